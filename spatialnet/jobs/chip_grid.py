"""How the chips of a data set lie on the scenes of a place: what is predicted or explained there uses the same windows."""

from __future__ import annotations

from collections.abc import Container
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
from affine import Affine

from spatialnet.datasets.packed import PackedChips


@dataclass(frozen=True)
class ChipGrid:
    """Windows that fall on the chips, counted in pixels of the finest scene.

    Attributes:
        scenes: file per sensor.
        size: side of a chip.
        stride: from one chip to the next.
        origin: row and column of the upper left corner of the chip that was asked about.
    """

    scenes: dict[str, Path]
    size: int
    stride: int
    origin: tuple[int, int]


def chip_grid(data: PackedChips, place: dict[str, Any], chip: pd.Series, sensors: Container[str]) -> ChipGrid | None:
    """Where the chips lie.

    Args:
        data: the data set.
        place: its entry in the data set's `places`.
        chip: the row of one of its chips in the chip table.
        sensors: those that the model knows; None is given where the place has none of them.
    """
    scenes = {s: data.scene_path(place["name"], s) for s in place["sensors"] if s in sensors}
    if not scenes:
        return None
    sizes = data.manifest["sizes"]
    # Windows are counted in pixels of the finest scene here; chips of another sensor may have fewer.
    size = max(int(sizes[s]) for s in scenes)
    finer = size / int(sizes[place["sensors"][0]])
    column, row = ~Affine(*place["transform"]) @ (float(chip["c"]), float(chip["f"]))
    stride = max(1, int(data.manifest["stride"]) * size // max(sizes.values()))
    return ChipGrid(scenes, size, stride, (round(row * finer), round(column * finer)))
