"""Ablations: asking for one, finding them again, and how long one will take. No torch; the work is in `jobs.ablating`.

An ablation folder holds `ablation.json` (what is compared, and what is known of it so far) and `runs/`, a run folder for every
training. Those runs are not among the workspace's runs, and their networks are deleted once they are measured.
"""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from spatialnet.atomic import full_disk_said, remove
from spatialnet.datasets.packed import PackedChips
from spatialnet.errors import AblationNotFound, PathRefused, SpatialNetError
from spatialnet.evaluate.arms import Plan, plan_arms, planned_runs
from spatialnet.jobs.estimate import estimate_seconds
from spatialnet.jobs.launch import Jobs
from spatialnet.jobs.store import Job
from spatialnet.recipe import Recipe
from spatialnet.runs import Run, write_json
from spatialnet.settings import Settings, inside
from spatialnet.tasks import Task

FILE = "ablation.json"


@dataclass(frozen=True)
class Ablation:
    """One ablation.

    Attributes:
        folder: its folder; the name is the identifier.
        info: the content of `ablation.json`: `title`, `dataset`, `dataset_title`, `fingerprint`, `created_at`, `seeds`,
            `recipe` (TOML), `tasks`, `arms` (`name`, `part`, `instead`), `notes`, `runs` (`folder`, `arm`, `seed`, `recipe`,
            `seconds` once it is done), and once the first run is done `chips`, `blocks` and `results`: `base` (per task
            `metric`, `values`, `mean`) and `arms` (per arm what `spatialnet.evaluate.ablation.compare_arms` gives).
    """

    folder: Path
    info: dict[str, Any]

    @property
    def name(self) -> str:
        """The identifier."""
        return self.folder.name

    @property
    def title(self) -> str:
        """What people read."""
        return str(self.info["title"])

    @property
    def created_at(self) -> float:
        """Seconds since 1970, UTC."""
        return float(self.info["created_at"])

    @property
    def tasks(self) -> tuple[Task, ...]:
        """The tasks of its data set."""
        return tuple(Task.from_dict(values) for values in self.info["tasks"])

    @property
    def results(self) -> dict[str, Any]:
        """What is known so far; empty before the first run is done."""
        return dict(self.info.get("results") or {})

    @property
    def done_runs(self) -> int:
        """How many of its trainings are done."""
        return sum("seconds" in run for run in self.info["runs"])

    @property
    def done(self) -> bool:
        """Whether every training and every control is measured."""
        return bool(self.info.get("done"))


def request_ablation(jobs: Jobs, data: PackedChips, plan: Plan, *, seeds: int = 3, keep_models: bool = False) -> Job:
    """Start an ablation.

    Args:
        jobs: the workspace's jobs.
        data: what to train and test on.
        plan: what `spatialnet.evaluate.arms.plan_arms` made.
        seeds: how often everything is trained.
        keep_models: keep every trained network; they take tens to hundreds of megabytes each.

    Raises:
        RecipeInvalid: too many seeds, or none.
        JobRefused: the same ablation waits or runs.
        NotEnoughDisk: the disk is full; nothing was started.
    """
    runs = planned_runs(plan, seeds)
    info = {
        "title": f"What each part is worth on {data.title}", "dataset": data.name, "dataset_title": data.title,
        "fingerprint": data.fingerprint, "created_at": time.time(), "seeds": seeds, "recipe": plan.base.to_toml(),
        "tasks": [task.to_dict() for task in data.tasks if not plan.base.tasks or task.name in plan.base.tasks],
        "arms": [{"name": arm.name, "part": arm.part, "instead": arm.instead} for arm in plan.arms],
        "notes": list(plan.notes), "keep_models": keep_models,
        "runs": [
            {"folder": run.folder, "arm": run.arm, "seed": run.seed, "recipe": run.recipe.to_toml()} for run in runs
        ],
    }  # fmt: skip
    same = {
        "dataset": data.name, "fingerprint": data.fingerprint, "recipe": info["recipe"], "seeds": seeds,
        "arms": [arm.name for arm in plan.arms],
    }  # fmt: skip
    with full_disk_said("the ablation"):
        folder = _new_folder(jobs.settings)
    try:
        write_json(folder / FILE, info)
        return jobs.submit("ablation", f"Ablation on {data.title}", {**same, "run": folder.name})
    except (SpatialNetError, OSError):
        remove(folder)  # nothing will ever work on it
        raise


def list_ablations(settings: Settings, dataset: str | None = None) -> list[Ablation]:
    """All ablations, newest first, of one data set or of all. A folder that cannot be read is left out."""
    found = []
    for folder in settings.ablations.iterdir():
        try:
            ablation = open_ablation(settings, folder.name)
        except (PathRefused, AblationNotFound):
            continue
        if dataset is None or ablation.info["dataset"] == dataset:
            found.append(ablation)
    return sorted(found, key=lambda ablation: ablation.created_at, reverse=True)


def open_ablation(settings: Settings, name: str) -> Ablation:
    """The ablation called `name`.

    Raises:
        PathRefused: not a valid name.
        AblationNotFound: none of this name, or its file cannot be read.
    """
    folder = inside(settings.ablations, name)
    try:
        info = json.loads((folder / FILE).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise AblationNotFound(f"There is no ablation {name!r} that can be read. Choose a listed one.") from error
    if not isinstance(info, dict) or not {"dataset", "created_at", "arms", "runs", "tasks", "title"} <= info.keys():
        raise AblationNotFound(f"{name}/{FILE} does not say what was compared. Start the ablation again.")
    return Ablation(folder, info)


def job_of(jobs: Jobs, ablation: Ablation) -> Job | None:
    """The job that works or worked on an ablation; None where the list of jobs has forgotten it."""
    return next((job for job in jobs.store.all(kind="ablation") if job.spec.get("run") == ablation.name), None)


def plan_for(
    data: PackedChips, recipe: Recipe, questions: Sequence[str], *, paper: bool = False, controls: bool = True
) -> Plan:
    """`spatialnet.evaluate.arms.plan_arms` with a data set's tasks and sensors."""
    names = [task.name for task in data.tasks], [sensor.name for sensor in data.sensors]
    return plan_arms(recipe, *names, questions, paper=paper, controls=controls)


def estimate_ablation(plan: Plan, seeds: int, data: PackedChips, runs: Sequence[Run]) -> float | None:
    """Seconds until an ablation would be done; None where no run has been measured on this machine yet.

    Args:
        plan: what is compared.
        seeds: how often.
        data: the data set.
        runs: finished runs of the same data set, newest first.
    """
    total = 0.0
    for run in planned_runs(plan, seeds):
        seconds = estimate_seconds(run.recipe, data, runs)
        if seconds is None:
            return None
        total += seconds
    return total


def _new_folder(settings: Settings) -> Path:
    stem, number = time.strftime("ablation-%Y%m%d-%H%M%S", time.gmtime()), 1
    while True:
        folder = settings.ablations / (stem if number == 1 else f"{stem}-{number}")
        try:
            folder.mkdir()
        except FileExistsError:
            number += 1
        else:
            return folder
