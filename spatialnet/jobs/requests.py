"""What people ask for, as jobs: the sample, a training, a retraining with corrections."""

from __future__ import annotations

from collections.abc import Sequence

from spatialnet.atomic import remove
from spatialnet.datasets.packed import PackedChips
from spatialnet.errors import JobRefused, SpatialNetError
from spatialnet.jobs.launch import Jobs
from spatialnet.jobs.store import Job
from spatialnet.presets import preset_for
from spatialnet.recipe import Recipe, sample_recipe
from spatialnet.runs import Run, create_run, list_runs, open_run


def request_sample(jobs: Jobs, source: str = "any") -> Job:
    """Start preparing the sample and its first run.

    Args:
        jobs: the workspace's jobs.
        source: `raleigh`, `landscape`, or `any` (Raleigh where a package index answers, else the landscape).
    """
    return jobs.submit("sample", "Prepare the sample", {"source": source})


def request_first_run(jobs: Jobs, data: PackedChips) -> Job | None:
    """Train the sample's first run, unless the data set has a run already."""
    if list_runs(jobs.settings, data.name):
        return None
    return request_training(jobs, data, sample_recipe(), label_version=0)


def request_training(jobs: Jobs, data: PackedChips, recipe: Recipe, *, label_version: int, corrections: int = 0) -> Job:
    """Start a training.

    Args:
        jobs: the workspace's jobs.
        data: what to train on.
        recipe: how; with a parent, training goes on from that run.
        label_version: people's corrections up to this event count as targets.
        corrections: how many there are, for the list of runs.

    Raises:
        JobRefused: the same training waits or runs; or the parent was trained on another state of this data set.
    """
    _refuse_other_state(jobs, data, recipe.parent)
    spec = {"dataset": data.name, "recipe": recipe.to_toml(), "label_version": label_version}
    run = create_run(
        jobs.settings,
        {
            "title": recipe.name, "dataset": data.name, "dataset_title": data.title, "fingerprint": data.fingerprint,
            "label_version": label_version, "corrections": corrections, "parent": recipe.parent,
            "preset": preset_for(recipe.weights, recipe.preset), "weights": recipe.weights, "tasks": [t.to_dict() for t in data.tasks],
            "sensors": [s.to_dict() for s in data.sensors],
        },
        recipe.to_toml(),
    )  # fmt: skip
    try:
        return jobs.submit("train", f"Train: {recipe.name}", {**spec, "run": run.name})
    except (SpatialNetError, OSError):
        remove(run.folder)  # nothing will ever train it
        raise


def _refuse_other_state(jobs: Jobs, data: PackedChips, parent: str) -> None:
    """With another split, chips that the parent was trained on may now be test chips."""
    try:
        trained = open_run(jobs.settings, parent).info if parent else {}
    except SpatialNetError:
        return  # whoever trains says what is wrong with it
    if trained.get("dataset") == data.name and trained.get("fingerprint") != data.fingerprint:
        raise JobRefused(
            f"Data set {data.title} has another split, other targets or other classes than when run {parent} was trained, which may "
            "have seen what are test chips now. Start a new run without a parent."
        )


def newest_done(runs: Sequence[Run]) -> Run | None:
    """The newest run with predictions, or None."""
    return next((run for run in runs if run.done), None)
