"""Which bands are shown and between which values: the choice, and the numbers in words."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import streamlit as st

from spatialnet.datasets.packed import PackedChips
from spatialnet.sensors import Sensor
from spatialnet.ui.pickers import pick
from spatialnet.web import addresses

_DEVIATIONS = {"sd1": 1.0, "sd2": 2.0, "sd3": 3.0}


@dataclass(frozen=True)
class Shown:
    """Three bands of one sensor and their stretch.

    Attributes:
        sensor: whose bands.
        name: of the composite.
        bands: indices shown as red, green and blue.
        low: value per band shown black; None is the data set's low percentile.
        high: value per band shown at full brightness; None is the data set's high percentile.
        text: both in words and numbers.
    """

    sensor: Sensor
    name: str
    bands: tuple[int, int, int]
    low: tuple[float, ...] | None
    high: tuple[float, ...] | None
    text: str

    def sheet(self, data: PackedChips, chips: Sequence[int], side: int) -> str:
        """Address of a contact sheet."""
        return addresses.contact_sheet(
            data.name, chips, sensor=self.sensor.name, bands=self.bands, low=self.low, high=self.high, side=side,
            version=data.fingerprint,
        )  # fmt: skip

    def chip(self, data: PackedChips, chip: int, size: int = 256) -> str:
        """Address of one chip's picture."""
        return addresses.chip_picture(
            data.name, chip, sensor=self.sensor.name, bands=self.bands, low=self.low, high=self.high, size=size,
            version=data.fingerprint,
        )  # fmt: skip

    def tiles(self, data: PackedChips, chosen: addresses.Query | None = None) -> str:
        """Address of map tiles: the scenes where there are any of this sensor, else the chips' own pictures."""
        stretch = {"low": self.low, "high": self.high}
        if any(self.sensor.name in place["sensors"] for place in data.places):
            return addresses.scene_tiles(data.name, self.sensor.name, self.bands, version=data.fingerprint, **stretch)
        return addresses.chip_tiles(
            data.name, self.sensor.name, self.bands, version=data.fingerprint, chosen=chosen, **stretch
        )


def composites(data: PackedChips) -> dict[str, tuple[Sensor, str, tuple[int, int, int]]]:
    """Every band composite of a data set by an identifier for the address, the first sensor's true colour first."""
    return {
        f"{sensor.name}.{_slug(name)}": (sensor, name, bands)
        for sensor in data.sensors
        for name, bands in sensor.composites().items()
    }


def pick_shown(data: PackedChips) -> Shown:
    """The choice of a composite, by the data set's percentiles."""
    identifier = pick("Bands", _titles(data), "bands")
    return shown(data, identifier, "percentiles")


def pick_stretched(data: PackedChips) -> Shown:
    """The choice of a composite and of its stretch."""
    identifier = pick("Bands", _titles(data), "bands")
    low, high = _percentiles(data, composites(data)[identifier][0])
    named = {"percentiles": f"Percentiles {low:g} to {high:g}"}
    named |= {key: f"Mean ± {times:g} standard deviation{'s' * (times > 1)}" for key, times in _DEVIATIONS.items()}
    return shown(data, identifier, pick("Stretch", named, "stretch"))


def shown(data: PackedChips, identifier: str, stretch: str) -> Shown:
    """A composite of a data set under one of the stretches."""
    sensor, name, bands = composites(data)[identifier]
    statistics = data.manifest["statistics"][sensor.name]
    if stretch in _DEVIATIONS:
        middle, spread = ([statistics[part][band] for band in bands] for part in ("mean", "std"))
        reach = [max(_DEVIATIONS[stretch] * value, 1e-6) for value in spread]
        low = tuple(m - r for m, r in zip(middle, reach, strict=True))
        high = tuple(m + r for m, r in zip(middle, reach, strict=True))
        numbers, how = _numbers(sensor, bands, low, high), f"mean ± {_DEVIATIONS[stretch]:g} standard deviations"
        return Shown(sensor, name, bands, low, high, f"{sensor.label}, {name.lower()}: {numbers} ({how})")
    low, high = (tuple(statistics[part][band] for band in bands) for part in ("low", "high"))
    first, last = _percentiles(data, sensor)
    numbers = _numbers(sensor, bands, low, high)
    return Shown(
        sensor,
        name,
        bands,
        None,
        None,
        f"{sensor.label}, {name.lower()}: {numbers} (percentiles {first:g} to {last:g})",
    )


def _numbers(sensor: Sensor, bands: Sequence[int], low: Sequence[float], high: Sequence[float]) -> str:
    parts = [f"{sensor.bands[b]} {first:.4g} to {last:.4g}" for b, first, last in zip(bands, low, high, strict=True)]
    return ", ".join(dict.fromkeys(parts))


def _percentiles(data: PackedChips, sensor: Sensor) -> tuple[float, float]:
    low, high = data.manifest["statistics"][sensor.name]["percentiles"]
    return float(low), float(high)


def _titles(data: PackedChips) -> dict[str, str]:
    several = len(data.sensors) > 1
    return {
        key: f"{name} ({sensor.label})" if several and name != sensor.label else name
        for key, (sensor, name, _) in composites(data).items()
    }


def _slug(name: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")


def sensor_pictures(data: PackedChips) -> dict[str, Shown]:
    """Each sensor in its first composite, by name."""
    found: dict[str, Shown] = {}
    for identifier, (sensor, _, _) in composites(data).items():
        if sensor.name not in found:
            found[sensor.name] = shown(data, identifier, st.session_state.get("stretch") or "percentiles")
    return found
