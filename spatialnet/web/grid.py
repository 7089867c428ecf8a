"""The pixel grid of one map tile in Web Mercator, and how a raster is brought onto it.

A raster is warped by GDAL straight onto the tile's own pixels. rio-tiler's reader asks GDAL for a default grid first, which
needs the VRT driver, and that driver is switched off because a VRT can point at any file or address.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from affine import Affine
from rasterio.enums import Resampling
from rasterio.io import DatasetReader
from rasterio.vrt import WarpedVRT
from rasterio.warp import transform_bounds
from starlette.requests import Request

from spatialnet.web.answers import RequestRefused

TILE = 256
MAX_ZOOM = 24
HALF = 20_037_508.342789244
"""Half the side of the Web Mercator square, in metres."""

Read = tuple[npt.NDArray[np.float32] | npt.NDArray[np.uint8], npt.NDArray[np.bool_]]


class Grid:
    """The pixel grid of one tile.

    Attributes:
        bounds: (west, south, east, north) in Web Mercator metres.
        pixel: side of a tile pixel in Web Mercator metres.
        transform: tile pixel to Web Mercator metres.
    """

    def __init__(self, z: int, x: int, y: int) -> None:
        side = 2 * HALF / 2**z
        west, north = x * side - HALF, HALF - y * side
        self.bounds = (west, north - side, west + side, north)
        self.pixel = side / TILE
        self.transform = Affine(self.pixel, 0, west, 0, -self.pixel, north)

    def meets(self, bounds: tuple[float, float, float, float]) -> bool:
        """Whether (west, south, east, north) in Web Mercator metres shares ground with the tile."""
        west, south, east, north = self.bounds
        return bounds[0] < east and bounds[2] > west and bounds[1] < north and bounds[3] > south

    def read(self, source: DatasetReader, bands: list[int], shrink: Resampling) -> Read:
        """Bands of a raster on this grid.

        Args:
            source: an open raster.
            bands: from 1.
            shrink: how several pixels become one; where pixels grow, each stays a sharp square.

        Returns:
            Values (bands, 256, 256) in the raster's type, and where all of them are valid (256, 256).
        """
        whole = transform_bounds(source.crs, "EPSG:3857", *source.bounds)
        if not self.meets(whole):
            return np.zeros((len(bands), TILE, TILE), source.dtypes[0]), np.zeros((TILE, TILE), bool)
        grows = self.pixel < (whole[2] - whole[0]) / source.width
        with WarpedVRT(
            source, crs="EPSG:3857", transform=self.transform, width=TILE, height=TILE,
            resampling=Resampling.nearest if grows else shrink, add_alpha=source.nodata is None,
        ) as warped:  # fmt: skip
            values = warped.read(bands)
            valid = warped.read(warped.count) > 0 if source.nodata is None else _known(values, source.nodata)
        return values, valid


def grid_of(request: Request) -> tuple[int, int, int]:
    """The tile's zoom, column and row.

    Raises:
        RequestRefused: there is no such tile.
    """
    z, x, y = (request.path_params[name] for name in "zxy")
    if z > MAX_ZOOM or x >= 2**z or y >= 2**z:
        raise RequestRefused(f"There is no tile {x}, {y} at zoom {z}. Zoom goes from 0 to {MAX_ZOOM}.")
    return z, x, y


def _known(values: npt.NDArray[Any], nodata: float) -> npt.NDArray[np.bool_]:
    known: npt.NDArray[np.bool_] = (np.isfinite(values) if np.isnan(nodata) else values != nodata).all(axis=0)
    return known
