"""What the sensors measured at a spot on the ground, and over the chip around it."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
from rasterio.warp import transform
from rasterio.windows import Window

from spatialnet.datasets.packed import PackedChips
from spatialnet.errors import PathRefused, SceneUnreadable
from spatialnet.raster import open_raster, read_window


def band_values(data: PackedChips, chip: int, place: str = "", spot: tuple[float, float] | None = None) -> pd.DataFrame:
    """One row per sensor and band, in the order of the files.

    Args:
        data: the data set.
        chip: the chip.
        place: name of the place that it was cut from; "" for a chip that is a file.
        spot: (latitude, longitude) in degrees of one pixel of the place.

    Returns:
        Columns `sensor` (what people read), `band`, `wavelength_nm` (NaN where it has no meaning), `mean`, `low` and `high` (the
        chip's, in the sensor's units), and `here` (the pixel's, NaN where there is none).
    """
    rows = []
    for sensor in data.sensors:
        if not data.present(sensor.name)[chip]:
            continue
        pixels = data.images(sensor.name)[chip : chip + 1][0].reshape(len(sensor.bands), -1)
        known = np.isfinite(pixels)
        here = _pixel(data, place, sensor.name, spot) if place and spot else np.full(len(sensor.bands), np.nan)
        for index, (band, wavelength) in enumerate(zip(sensor.bands, sensor.wavelengths_nm, strict=True)):
            seen = pixels[index][known[index]]
            mean, low, high = (seen.mean(), seen.min(), seen.max()) if len(seen) else (math.nan,) * 3
            rows.append((sensor.label, band, wavelength or math.nan, mean, low, high, here[index]))
    return pd.DataFrame(rows, columns=["sensor", "band", "wavelength_nm", "mean", "low", "high", "here"])


def _pixel(
    data: PackedChips, place: str, sensor: str, spot: tuple[float, float]
) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    """The bands of the pixel under a spot; NaN outside the scene, and where its file is gone or damaged."""
    bands = next(len(known.bands) for known in data.sensors if known.name == sensor)
    nothing = np.full(bands, np.nan)
    try:
        with open_raster(data.scene_path(place, sensor), root=data.folder) as source:
            (x,), (y,) = transform("EPSG:4326", source.crs, [spot[1]], [spot[0]])
            column, row = (math.floor(value) for value in ~source.transform @ (x, y))
            if not (0 <= row < source.height and 0 <= column < source.width):
                return nothing
            return np.asarray(read_window(source, Window(column, row, 1, 1))[:, 0, 0], np.float64)
    except (PathRefused, SceneUnreadable):
        return nothing
