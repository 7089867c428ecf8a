"""Keeps the rasters of each place with the data set, as cloud-optimised GeoTIFFs, so that its map can be drawn."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from rasterio.io import DatasetReader
from rasterio.warp import transform_bounds
from rasterio.windows import Window

from spatialnet.datasets.class_raster import NO_CLASS
from spatialnet.importing.chip_reader import MAX_SCENE_PIXELS
from spatialnet.importing.listing import Listing, Pixels
from spatialnet.importing.scenes.land_cover import MAX_LAND_COVER_PIXELS, Grid, window_over
from spatialnet.raster import cog_writer, has_mask, named_crs, open_raster, read_native, read_window, write_cog

STRIP_ROWS = 512


def keep_places(folder: Path, listing: Listing, progress: Callable[[float, str], None]) -> list[dict[str, Any]]:
    """Write the rasters of all places.

    Args:
        folder: where `<place>/<sensor>.tif` and `<place>/land_cover.tif` go.
        listing: its `places`; empty where chips are files.
        progress: called with a share in 0..1 and what is being done.

    Returns:
        What the manifest says of each place: name, crs, transform (6), height, width, bounds in degrees, sensors, land_cover.
    """
    kept = []
    for number, place in enumerate(listing.places):
        progress(0.8 + 0.15 * number / len(listing.places), f"Writing the scenes of {place.name}")
        (folder / place.name).mkdir(parents=True, exist_ok=True)
        grid = None
        for pixels in listing.pixels:
            paths = place.scenes.get(pixels.sensor.name)
            if paths:
                grid = grid or _grid(paths[0])
                _keep_scene(folder / place.name / f"{pixels.sensor.name}.tif", paths, pixels)
        if grid is None:
            continue
        cover = place.land_cover is not None and _keep_land_cover(
            folder / place.name / "land_cover.tif", place.land_cover, grid, listing.rules
        )
        kept.append(
            {"name": place.name, **_facts(grid), "sensors": [p.sensor.name for p in listing.pixels if p.sensor.name in place.scenes],
             "land_cover": cover}
        )  # fmt: skip
    return kept


def _grid(path: Path) -> Grid:
    with open_raster(path, max_pixels=MAX_SCENE_PIXELS) as source:
        return Grid.of(source)


def _facts(grid: Grid) -> dict[str, Any]:
    xs, ys = zip(*grid.corners(), strict=True)
    return {
        "crs": named_crs(grid.crs).to_string(), "transform": list(grid.transform)[:6], "height": grid.height, "width": grid.width,
        "bounds": list(transform_bounds(grid.crs, "EPSG:4326", min(xs), min(ys), max(xs), max(ys))),
    }  # fmt: skip


def _keep_scene(path: Path, files: tuple[Path, ...], pixels: Pixels) -> None:
    """Bands of one sensor, in its order, strip by strip."""
    with ExitStack() as stack:
        sources = [stack.enter_context(open_raster(file, max_pixels=MAX_SCENE_PIXELS)) for file in files]
        masked = any(has_mask(source) for source in sources) or len({source.nodata for source in sources}) > 1
        nodata = float("nan") if masked else sources[0].nodata
        dtype = "float32" if masked else np.result_type(*(source.dtypes[0] for source in sources)).name
        order = [band - 1 for band in pixels.bands] or list(range(sum(source.count for source in sources)))
        with cog_writer(
            path, sources[0], count=len(order), dtype=dtype, nodata=nodata, descriptions=pixels.sensor.bands
        ) as target:
            for row in range(0, sources[0].height, STRIP_ROWS):
                window = Window(0, row, sources[0].width, min(STRIP_ROWS, sources[0].height - row))
                target.write(_strip(sources, window, order, masked).astype(dtype, copy=False), window=window)


def _strip(sources: list[DatasetReader], window: Window, order: list[int], masked: bool) -> npt.NDArray[Any]:
    read = read_window if masked else read_native
    bands = np.concatenate([read(source, window, list(source.indexes)) for source in sources])
    return bands[order]


def _keep_land_cover(path: Path, cover: Path, grid: Grid, rules: Mapping[str, Any]) -> bool:
    """The land cover around a place, in its own projection, with the colours of the rules; False where it says nothing."""
    colours = {
        int(entry["code"]): (*bytes.fromhex(str(entry["colour"])[1:]), 255)
        for entry in rules.get("classes", [])
        if 0 <= int(entry["code"]) < NO_CLASS
    }
    with open_raster(cover, max_pixels=MAX_LAND_COVER_PIXELS) as source:
        window = window_over(source, grid)
        if not (window.width and window.height):
            return False
        codes = np.full((window.height, window.width), NO_CLASS, np.uint8)
        table = np.full(NO_CLASS + 1, NO_CLASS, np.uint8)
        table[list(colours)] = list(colours)
        for row in range(0, window.height, STRIP_ROWS):
            strip = Window(window.col_off, window.row_off + row, window.width, min(STRIP_ROWS, window.height - row))
            values = np.nan_to_num(read_window(source, strip, [1])[0], nan=NO_CLASS)
            inside = (values >= 0) & (values < NO_CLASS)
            codes[row : row + strip.height] = table[np.where(inside, values, NO_CLASS).astype(np.intp)]
        write_cog(
            path, codes[None], source.window_transform(window), named_crs(source.crs), nodata=NO_CLASS, colours=colours
        )
    return True
