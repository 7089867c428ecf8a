"""Why-maps as files: evidence over many neighbouring chips, as one raster. What names one, and where it is kept. No torch."""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from spatialnet.datasets.packed import PackedChips
from spatialnet.explain.methods import METHODS
from spatialnet.jobs.launch import Jobs
from spatialnet.jobs.store import Job
from spatialnet.runs import Run
from spatialnet.settings import Settings

WHOLE_PLACE = -1
"""Instead of a number of chips around: everything that the scene holds."""

AT_ONCE = 400.0
"""Work up to this many passes forward and back is done while a person waits; more is a job."""


_KEY = re.compile(r"[0-9a-f]{40}")


@dataclass(frozen=True)
class WhyMapRequest:
    """Which Why-map.

    Attributes:
        run: identifier of the run.
        dataset: identifier of the data set.
        chip: index of the chip in the middle.
        around: how many chips to each side of it, 0 = it alone; or `WHOLE_PLACE`.
        task: name of the task.
        class_index: index into the task's classes.
        method: a name in `spatialnet.explain.methods.METHODS`.
        against: index of another class: why the one rather than this; None = the one alone.
        area: (west, south, east, north) in degrees instead of what is `around` the chip, which then says in which place; or None.
    """

    run: str
    dataset: str
    chip: int
    around: int
    task: str
    class_index: int
    method: str
    against: int | None = None
    area: tuple[float, float, float, float] | None = None

    @property
    def key(self) -> str:
        """Names the map's files; a run's weights never change, so nor does what it names."""
        return hashlib.sha256(json.dumps(asdict(self), sort_keys=True).encode()).hexdigest()[:40]


def why_map_raster(settings: Settings, key: str) -> Path:
    """Where the raster of a Why-map is kept."""
    return settings.cache / "why" / f"{key}.tif"


def why_map_facts(settings: Settings, key: str) -> Path:
    """Where what is known of a Why-map is kept; written after the raster."""
    return settings.cache / "why" / f"{key}.json"


def kept_why_map(settings: Settings, key: str) -> dict[str, Any] | None:
    """What is known of a Why-map that was made before; None where there is none, or where `key` is no key at all."""
    if not _KEY.fullmatch(key):
        return None
    try:
        facts = json.loads(why_map_facts(settings, key).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return dict(facts) if isinstance(facts, dict) and why_map_raster(settings, key).is_file() else None


def windows_of(
    data: PackedChips, place: dict[str, Any], around: int, area: tuple[float, float, float, float] | None = None
) -> int:
    """About how many windows a Why-map looks at: they overlap by half.

    Args:
        data: the data set.
        place: its entry in the data set's `places`.
        around: as in `WhyMapRequest`.
        area: as in `WhyMapRequest`.
    """
    size = int(data.manifest["sizes"][place["sensors"][0]])
    whole = (2 * int(place["height"]) / size) * (2 * int(place["width"]) / size)
    if area is not None:
        (west, south, east, north), (left, low, right, high) = area, place["bounds"]
        wide, tall = (
            (min(east, right) - max(west, left)) / (right - left),
            (min(north, high) - max(south, low)) / (high - low),
        )
        return max(1, int(whole * max(0.0, wide) * max(0.0, tall)))
    return int(whole if around == WHOLE_PLACE else min(whole, (2 * (2 * around + 1) + 1) ** 2))


def is_quick(data: PackedChips, place: dict[str, Any], request: WhyMapRequest) -> bool:
    """Whether a person may wait for it."""
    return windows_of(data, place, request.around, request.area) * METHODS[request.method].cost <= AT_ONCE


def request_why_map(jobs: Jobs, run: Run, request: WhyMapRequest) -> Job:
    """Make a Why-map as a job.

    Raises:
        JobRefused: the same map is being made.
    """
    return jobs.submit("why-map", f"Why-map: {run.title}", {"request": asdict(request), "dataset": request.dataset})
