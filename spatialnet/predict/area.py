"""An area in degrees as a window of a scene: whatever the scene's own system, also rotated, polar or beyond 180 degrees."""

from __future__ import annotations

import math

import numpy as np
from rasterio.errors import CRSError
from rasterio.warp import transform
from rasterio.windows import Window

from spatialnet.errors import PredictionRefused
from spatialnet.raster import Grid

Degrees = tuple[float, float, float, float]
"""(west, south, east, north); an area over the antimeridian has its east below its west."""

_EDGE_POINTS = 33


def check_area(area: Degrees) -> Degrees:
    """The area, if it can be one.

    Raises:
        PredictionRefused: not four numbers, latitudes out of order or beyond the poles, or no width.
    """
    west, south, east, north = area
    lies = all(map(math.isfinite, area)) and -90 <= south < north <= 90 and -360 <= west <= 360 and -360 <= east <= 360
    if not lies or west == east:
        raise PredictionRefused(
            f"{','.join(f'{value:g}' for value in area)} is no area. Give west, south, east and north in degrees, as in 8.0,54.3,8.4,54.6."
        )
    return area


def parse_area(text: str) -> Degrees:
    """`west,south,east,north` in degrees.

    Raises:
        PredictionRefused: it is not written like that, or is no area.
    """
    try:
        west, south, east, north = (float(part) for part in text.split(","))
    except ValueError as error:
        raise PredictionRefused(
            f"{text[:60]!r} is no area. Write west,south,east,north in degrees, as in 8.0,54.3,8.4,54.6."
        ) from error
    return check_area((west, south, east, north))


def area_window(source: Grid, area: Degrees, least: int = 1) -> Window:
    """The smallest window of whole pixels around the part of an area that lies in a scene.

    Args:
        source: the scene, or the part of it that is looked at.
        area: in degrees.
        least: side in pixels that the window has at least; it grows to both sides, as far as the scene goes.

    Raises:
        PredictionRefused: the area does not meet the scene, or is none.
    """
    west, south, east, north = check_area(area)
    if east < west:
        east += 360
    along = np.linspace(0, 1, _EDGE_POINTS)
    # The inside too: around a pole, the edges of an area do not enclose it on the ground.
    x, y = (values.ravel() for values in np.meshgrid(west + along * (east - west), south + along * (north - south)))
    # The same meridian has several names; a scene in degrees knows only one of them.
    for turn in (0, -360, 360) if source.crs.is_geographic else (0,):
        try:
            ground = np.array(transform("EPSG:4326", source.crs, x + turn, y))
        except CRSError:
            continue
        pixels = np.array((~source.transform) @ ground)
        columns, rows = pixels[:, np.isfinite(pixels).all(axis=0)]
        if not len(rows):
            continue
        top, bottom = _span(rows, source.height, least)
        left, right = _span(columns, source.width, least)
        if top < bottom and left < right:
            return Window(left, top, right - left, bottom - top)
    raise PredictionRefused("The area does not meet the scene. Draw it over the scene, or leave it out for all of it.")


def _span(values: np.ndarray[tuple[int], np.dtype[np.float64]], length: int, least: int) -> tuple[int, int]:
    """First pixel and the one after the last, within 0..length; (0, 0) where there is none."""
    # A hundredth of a pixel is what going to degrees and back may cost.
    first, last = max(0, math.floor(values.min() + 0.01)), min(length, math.ceil(values.max() - 0.01))
    if first >= last:
        return 0, 0
    missing = max(0, min(least, length) - (last - first))
    first = min(max(0, first - missing // 2), length - max(last - first, min(least, length)))
    return first, max(last, first + min(least, length))
