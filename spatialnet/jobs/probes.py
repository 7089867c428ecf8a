"""What-if questions to the compute process: a chip without some of its places, bands or sensors. No torch."""

from __future__ import annotations

from dataclasses import dataclass

SIDE = 8
"""Places along an edge of a chip."""


@dataclass(frozen=True)
class ProbeRequest:
    """Which change of which chip.

    Attributes:
        run: identifier of the run.
        dataset: identifier of the data set.
        chip: index into the data set.
        cells: places that are removed, numbered row by row on a grid of `SIDE` x `SIDE`.
        fill: what takes their place: `blur`, `mean` or `neighbour`.
        bands: (sensor, index of the band) that are left out.
        sensors: sensors that are left out.
    """

    run: str
    dataset: str
    chip: int
    cells: tuple[int, ...] = ()
    fill: str = "blur"
    bands: tuple[tuple[str, int], ...] = ()
    sensors: tuple[str, ...] = ()
