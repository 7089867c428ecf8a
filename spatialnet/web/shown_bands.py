"""Which bands a picture shows, and between which values: read from a request, checked against the data set."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from starlette.datastructures import QueryParams

from spatialnet.datasets.packed import PackedChips
from spatialnet.sensors import Sensor
from spatialnet.web.answers import RequestRefused


@dataclass(frozen=True)
class ShownBands:
    """Three bands and their stretch.

    Attributes:
        indices: bands shown as red, green and blue, from 0.
        low: value per band that is shown black, in the sensor's units.
        high: value per band that is shown at full brightness.
    """

    indices: tuple[int, int, int]
    low: tuple[float, ...]
    high: tuple[float, ...]

    @property
    def limits(self) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
        """`low` and `high` as arrays (3,)."""
        return np.asarray(self.low, np.float32), np.asarray(self.high, np.float32)


def shown_bands(data: PackedChips, sensor: Sensor, bands: str | None, query: QueryParams) -> ShownBands:
    """The bands that a request asks for.

    Args:
        data: the data set; its 2nd and 98th percentiles are the default stretch.
        sensor: whose bands.
        bands: three indices from 0, such as `3-2-1`; None for the sensor's true colour.
        query: may hold `low` and `high`, one number or three separated by commas.

    Raises:
        RequestRefused: an index is not a band of the sensor, or the stretch makes no sense.
    """
    indices = _indices(bands, sensor)
    statistics = data.manifest["statistics"][sensor.name]
    low = _numbers(query.get("low"), [statistics["low"][i] for i in indices])
    high = _numbers(query.get("high"), [statistics["high"][i] for i in indices])
    if any(a >= b for a, b in zip(low, high, strict=True)):
        if "low" in query or "high" in query:
            raise RequestRefused("Each low value must be below its high value.")
        # A band that is constant over the whole data set.
        high = tuple(max(b, a + 1.0) for a, b in zip(low, high, strict=True))
    return ShownBands(indices, low, high)


def _indices(bands: str | None, sensor: Sensor) -> tuple[int, int, int]:
    if bands is None:
        return sensor.rgb()
    parts = bands.replace(",", "-").split("-")
    good = len(parts) == 3 and all(
        p.isascii() and p.isdigit() and len(p) < 5 and int(p) < len(sensor.bands) for p in parts
    )
    if not good:
        raise RequestRefused(
            f"Bands {bands[:40]!r} are not three bands of {sensor.label}. "
            f"Use numbers from 0 to {len(sensor.bands) - 1}, such as 2-1-0."
        )
    return int(parts[0]), int(parts[1]), int(parts[2])


def _numbers(text: str | None, default: Sequence[float]) -> tuple[float, ...]:
    if text is None:
        return tuple(float(value) for value in default)
    try:
        values = [float(part) for part in text[:200].split(",")]
    except ValueError:
        values = []
    if len(values) not in (1, 3) or not all(math.isfinite(value) for value in values):
        raise RequestRefused(f"A stretch of {text[:40]!r} is not one number or three. Use for example low=10,12,8.")
    return tuple(values * (3 // len(values)))
