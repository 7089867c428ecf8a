"""Land-cover rasters: class codes on the pixel grid of a scene, wherever and however the land cover was drawn."""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil, floor
from pathlib import Path

import numpy as np
import numpy.typing as npt
from affine import Affine
from rasterio.crs import CRS
from rasterio.enums import Resampling
from rasterio.io import DatasetReader
from rasterio.warp import reproject, transform_bounds
from rasterio.windows import Window

from spatialnet.errors import SceneHasNoCRS
from spatialnet.raster import named_crs, open_raster, read_window, shown_name

MAX_LAND_COVER_PIXELS = 100_000_000_000
"""Only the ground of a scene is read, so a land cover of a whole continent is welcome."""


@dataclass(frozen=True)
class Grid:
    """A pixel grid on the ground.

    Attributes:
        height: rows.
        width: columns.
        transform: pixel (column, row) to ground (x, y).
        crs: coordinate reference system.
    """

    height: int
    width: int
    transform: Affine
    crs: CRS

    @classmethod
    def of(cls, source: DatasetReader) -> Grid:
        """The grid of an open raster that has a coordinate reference system."""
        return cls(source.height, source.width, source.transform, named_crs(source.crs))

    @property
    def gsd_m(self) -> float:
        """Pixel size in metres (for a geographic CRS: along the meridian)."""
        size = float(np.hypot(self.transform.b, self.transform.e))
        return size * 111_320.0 if self.crs.is_geographic else size * float(self.crs.linear_units_factor[1])

    def part(self, row: int, column: int, height: int, width: int) -> Grid:
        """The grid of a window."""
        return Grid(height, width, self.transform @ Affine.translation(column, row), self.crs)

    def corners(self) -> list[tuple[float, float]]:
        """Ground (x, y) of the four corners."""
        ends = ((0, 0), (self.width, 0), (0, self.height), (self.width, self.height))
        return [self.transform @ corner for corner in ends]


@dataclass(frozen=True)
class LandCoverFile:
    """A raster of class codes in any projection and pixel size, read by nearest neighbour.

    Attributes:
        path: the GeoTIFF.
        root: the folder it must lie in, or None.
    """

    path: Path
    root: Path | None = None

    @property
    def title(self) -> str:
        """The file's name for a message."""
        return shown_name(self.path)

    def codes(self, grid: Grid) -> npt.NDArray[np.int32]:
        """Class codes on a pixel grid: (height, width) int32, -1 where the land cover is unknown.

        Raises:
            SceneHasNoCRS: the file has no coordinate reference system.
            SceneUnreadable: the file is damaged.
        """
        codes = np.full((grid.height, grid.width), -1, np.int32)
        with open_raster(self.path, root=self.root, max_pixels=MAX_LAND_COVER_PIXELS) as source:
            if source.crs is None:
                raise SceneHasNoCRS(f"{self.title} has no coordinate reference system. Assign one and import it again.")
            window = window_over(source, grid)
            if window.width > 0 and window.height > 0:
                values = read_window(source, window, [1])[0]
                # Not a WarpedVRT: making one brings the VRT driver back, which `spatialnet.raster` keeps out.
                reproject(
                    np.where(np.isfinite(values), values, -1).astype(np.int32), codes,
                    src_transform=source.window_transform(window), src_crs=source.crs, src_nodata=-1,
                    dst_transform=grid.transform, dst_crs=grid.crs, dst_nodata=-1, resampling=Resampling.nearest,
                )  # fmt: skip
        return codes


def window_over(source: DatasetReader, grid: Grid) -> Window:
    """The window of a raster that covers a grid, two pixels wider; empty where they do not meet."""
    xs, ys = zip(*grid.corners(), strict=True)
    left, bottom, right, top = transform_bounds(grid.crs, source.crs, min(xs), min(ys), max(xs), max(ys))
    corners = ((left, bottom), (left, top), (right, bottom), (right, top))
    if not np.isfinite(corners).all():
        return Window(0, 0, 0, 0)
    columns, rows = zip(*(~source.transform @ corner for corner in corners), strict=True)
    first_c, last_c = max(0, floor(min(columns)) - 2), min(source.width, ceil(max(columns)) + 2)
    first_r, last_r = max(0, floor(min(rows)) - 2), min(source.height, ceil(max(rows)) + 2)
    return Window(first_c, first_r, max(0, last_c - first_c), max(0, last_r - first_r))
