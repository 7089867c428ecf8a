"""Predictions over a place or an area of it, asked for on the map. What names one, and where it is kept. No torch."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from spatialnet.jobs.launch import Jobs
from spatialnet.jobs.store import Job
from spatialnet.runs import Run
from spatialnet.settings import Settings
from spatialnet.shards.manifest import STATE

_KEY = re.compile(r"[0-9a-f]{40}")

STEPS = {1: "a whole chip (fast, edges show)", 2: "half a chip (blended)", 4: "a quarter of a chip (smooth, slow)"}
"""Windows along a chip's side, in words."""


@dataclass(frozen=True)
class AreaRequest:
    """Which prediction.

    Attributes:
        run: identifier of the run.
        dataset: identifier of the data set.
        place: name of the place.
        area: (west, south, east, north) in degrees, or None for the whole place.
        steps: windows along a chip's side; 1 is the plain grid of chips.
        scores: keep the score of each class, not only class and confidence.
    """

    run: str
    dataset: str
    place: str
    area: tuple[float, float, float, float] | None = None
    steps: int = 2
    scores: bool = True

    @property
    def key(self) -> str:
        """Names the prediction's folder; a run's weights never change, so nor does what it names."""
        return hashlib.sha256(json.dumps(asdict(self), sort_keys=True).encode()).hexdigest()[:40]


@dataclass(frozen=True)
class AreaPrediction:
    """A prediction that was asked for.

    Attributes:
        key: names it.
        folder: its files.
        facts: what was asked; `title` of the run; `bounds` of the place in degrees; `tasks` that have a raster.
    """

    key: str
    folder: Path
    facts: dict[str, Any]

    @property
    def finished(self) -> bool:
        """Whether every file is whole and in its place."""
        return (self.folder / STATE / "finished.json").exists()

    def rasters(self, task: str) -> list[Path]:
        """The rasters of a task as far as they are there: one when it is finished, else the parts that are done."""
        if self.finished:
            return [self.folder / f"{task}.tif"]
        return sorted((self.folder / STATE / "parts").glob(f"*/{task}.tif"))


def area_folder(settings: Settings, key: str) -> Path:
    """Where a prediction is kept."""
    return settings.predictions / key


def kept_prediction(settings: Settings, key: str) -> AreaPrediction | None:
    """A prediction, finished or under way; None where there is none, or where `key` is no key at all."""
    if not _KEY.fullmatch(key):
        return None
    folder = area_folder(settings, key)
    try:
        facts = json.loads((folder / "facts.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return AreaPrediction(key, folder, facts) if isinstance(facts, dict) else None


def list_predictions(settings: Settings, dataset: str, run: str) -> list[AreaPrediction]:
    """All predictions of a run on a data set, newest first."""
    try:
        there = sorted(settings.predictions.iterdir(), key=lambda path: path.stat().st_mtime, reverse=True)
    except FileNotFoundError:
        return []
    found = (kept_prediction(settings, path.name) for path in there)
    return [p for p in found if p and p.facts["dataset"] == dataset and p.facts["run"] == run]


def remove_prediction(settings: Settings, key: str) -> None:
    """Delete a prediction's files; nothing where there is none."""
    found = kept_prediction(settings, key)
    if found is not None:
        shutil.rmtree(found.folder, ignore_errors=True)


def request_area(jobs: Jobs, run: Run, request: AreaRequest) -> Job:
    """Predict as a job; a job that is killed goes on from the parts that are done.

    Raises:
        JobRefused: the same prediction is under way.
    """
    values = asdict(request)
    return jobs.submit(
        "predict-area", f"Predict {request.place}: {run.title}", {"request": values, "dataset": request.dataset}
    )
