"""Land-cover rasters: class codes on the pixel grid of a scene, wherever and however the land cover was drawn."""

from __future__ import annotations

from math import ceil, floor
from pathlib import Path

import numpy as np
import numpy.typing as npt
from rasterio.enums import Resampling
from rasterio.io import DatasetReader
from rasterio.warp import reproject, transform_bounds
from rasterio.windows import Window

from spatialnet.errors import NothingToRead, SceneHasNoCRS
from spatialnet.raster import MAX_PIXELS, Raster, open_raster, read_window, shown_name


def read_codes_on_grid(
    path: Path | str, grid: Raster, *, root: Path | None = None, max_pixels: int = MAX_PIXELS
) -> npt.NDArray[np.int32]:
    """Class codes of a land-cover raster on the pixel grid of a scene, by nearest neighbour.

    Returns:
        (height, width) int32, -1 where the land cover is unknown.

    Raises:
        SceneHasNoCRS: the file has no coordinate reference system.
        NothingToRead: it knows nothing of the scene's ground.
    """
    with open_raster(path, root=root, max_pixels=max_pixels) as source:
        if source.crs is None:
            raise SceneHasNoCRS(
                f"{shown_name(path)} has no coordinate reference system. Assign one and import it again."
            )
        window = _window_over(source, grid)
        codes = np.full(grid.shape, -1, np.int32)
        if window.width > 0 and window.height > 0:
            values = read_window(source, window, [1])[0]
            # Not a WarpedVRT: making one brings the VRT driver back, which `spatialnet.raster` keeps out.
            reproject(
                np.where(np.isfinite(values), values, -1).astype(np.int32), codes,
                src_transform=source.window_transform(window), src_crs=source.crs, src_nodata=-1,
                dst_transform=grid.transform, dst_crs=grid.crs, dst_nodata=-1, resampling=Resampling.nearest,
            )  # fmt: skip
    if not (codes >= 0).any():
        raise NothingToRead(
            f"{shown_name(path)} holds no class on the ground of the scene. Choose a land cover of the same place."
        )
    return codes


def _window_over(source: DatasetReader, grid: Raster) -> Window:
    """The window of a raster that covers a grid, two pixels wider; empty where they do not meet."""
    height, width = grid.shape
    xs, ys = zip(
        *(grid.transform @ corner for corner in ((0, 0), (width, 0), (0, height), (width, height))), strict=True
    )
    left, bottom, right, top = transform_bounds(grid.crs, source.crs, min(xs), min(ys), max(xs), max(ys))
    corners = ((left, bottom), (left, top), (right, bottom), (right, top))
    columns, rows = zip(*(~source.transform @ corner for corner in corners), strict=True)
    first_c, last_c = max(0, floor(min(columns)) - 2), min(source.width, ceil(max(columns)) + 2)
    first_r, last_r = max(0, floor(min(rows)) - 2), min(source.height, ceil(max(rows)) + 2)
    return Window(first_c, first_r, max(0, last_c - first_c), max(0, last_r - first_r))
