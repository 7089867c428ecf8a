"""Packed chips that are made for a measurement; needs NumPy only."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from spatialnet.datasets.packed import FORMAT, PackedChips
from spatialnet.sensors import Sensor
from spatialnet.tasks import Task


def packed(
    folder: Path,
    sensor: Sensor,
    pixels: npt.NDArray[Any],
    tasks: Sequence[Task],
    targets: Mapping[str, npt.NDArray[Any]],
    *,
    validation: int = 0,
    gsd_m: float = 10.0,
) -> PackedChips:
    """A data set of one sensor.

    Args:
        folder: is made.
        sensor: whose chips.
        pixels: (chips, bands, side, side) as stored.
        tasks: of the data set.
        targets: per task, as a data set stores them.
        validation: how many chips from the end are held out; the others are trained on.
        gsd_m: metres per pixel.
    """
    for part in ("chips", "targets", "splits"):
        (folder / part).mkdir(parents=True)
    chips = len(pixels)
    np.save(folder / "chips" / f"{sensor.name}.npy", pixels)
    for name, values in targets.items():
        np.save(folder / "targets" / f"{name}.npy", values)
    splits = np.zeros(chips, np.int8)
    splits[chips - validation :] = 1
    np.save(folder / "splits" / "given-1.npy", splits)
    np.save(folder / "splits" / "given-1.blocks.npy", np.arange(chips, dtype=np.int32))
    some = pixels[:256].astype(np.float32)
    manifest = {
        "name": folder.name, "title": folder.name, "format": FORMAT, "fingerprint": "generated", "chips": chips,
        "chip_size": pixels.shape[-1], "gsd_m": gsd_m, "sensors": [sensor.to_dict()], "tasks": [task.to_dict() for task in tasks],
        "split": {"id": "given-1"}, "storage": {sensor.name: {"dtype": str(pixels.dtype), "nodata": None}},
        "statistics": {sensor.name: {"mean": some.mean((0, 2, 3)).tolist(), "std": some.std((0, 2, 3)).tolist()}},
    }  # fmt: skip
    (folder / "dataset.json").write_text(json.dumps(manifest), encoding="utf-8")
    return PackedChips.open(folder)


TASKS = (
    Task("land_use", "multiclass", tuple(f"class {i}" for i in range(30))),
    Task("presence", "multilabel", tuple(f"object {i}" for i in range(15))),
    Task("rural_urban", "binary", ("rural", "urban")),
)
"""Three tasks as those of an aerial data set."""


def noise(folder: Path, sensor: Sensor, chips: int, side: int, *, seed: int = 0) -> PackedChips:
    """Chips and targets of `TASKS` without meaning, for measuring speed: uint8 for three bands, else uint16."""
    generator = np.random.default_rng(seed)
    kind, top = (np.uint8, 255) if len(sensor.bands) == 3 else (np.uint16, 4000)
    pixels = generator.integers(0, top, (chips, len(sensor.bands), side, side), dtype=kind)
    targets = {
        "land_use": generator.integers(0, 30, chips),
        "presence": (generator.random((chips, 15)) < 0.3).astype(np.float32),
        "rural_urban": (generator.random(chips) < 0.5).astype(np.float32),
    }
    return packed(folder, sensor, pixels, TASKS, targets)
