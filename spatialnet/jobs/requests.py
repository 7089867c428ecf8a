"""What people ask for, as jobs: the sample, a training, a retraining with corrections."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from spatialnet.atomic import remove
from spatialnet.datasets.captions import captions_of
from spatialnet.datasets.packed import PackedChips
from spatialnet.errors import JobRefused, PredictionRefused, RecipeInvalid, SpatialNetError
from spatialnet.importing.vocabulary import join_tasks
from spatialnet.jobs.estimate import estimate_checkpoint, estimate_disk, estimate_seconds
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


def request_training(
    jobs: Jobs,
    data: PackedChips,
    recipe: Recipe,
    *,
    label_version: int,
    corrections: int = 0,
    others: Sequence[PackedChips] = (),
    device: str = "auto",
    priority: int = 0,
) -> Job:
    """Start a training.

    Args:
        jobs: the workspace's jobs.
        data: what to train on.
        recipe: how; with a parent, training goes on from that run.
        label_version: people's corrections up to this event count as targets.
        corrections: how many there are, for the list of runs.
        others: further data sets that the same model learns; their tasks are joined with those of `data` by name.
        device: `auto`, `cpu`, `cuda`, `cuda:<index>`, or several of them with commas between.
        priority: -1 low, 0, 1 high: who goes first where several jobs wait for a device.

    Raises:
        RecipeInvalid: the recipe names a task or a sensor that the data does not have.
        JobRefused: the same training waits or runs; the parent was trained on another state of this data set; or a data
            set is named twice.
    """
    sets = (data, *others)
    if len({each.name for each in sets}) < len(sets):
        raise JobRefused("A data set is named twice. Name each data set of a joint run once.")
    _refuse_other_state(jobs, data, recipe.parent)
    joint = join_tasks({each.name: each.tasks for each in sets}) if others else None
    tasks = joint.tasks if joint else data.tasks
    check_names(recipe, [task.name for task in tasks], {sensor.name for each in sets for sensor in each.sensors})
    done = [run for run in list_runs(jobs.settings, data.name) if run.done]
    seconds = estimate_seconds(recipe, data, done, others)
    sensors = {sensor.name: sensor for each in sets for sensor in each.sensors}
    spec = {
        "dataset": data.name, "datasets": [each.name for each in sets], "recipe": recipe.to_toml(), "label_version": label_version,
        "device": device, "priority": priority, "seconds": seconds, "disk_bytes": estimate_disk(recipe, data),
        "checkpoint_bytes": estimate_checkpoint(recipe),
    }  # fmt: skip
    run = create_run(
        jobs.settings,
        {
            "title": recipe.name, "dataset": data.name, "dataset_title": data.title, "fingerprint": data.fingerprint,
            "datasets": [each.name for each in sets], "fingerprints": {each.name: each.fingerprint for each in sets},
            "label_version": label_version, "corrections": corrections, "parent": recipe.parent,
            "preset": preset_for(recipe.weights, recipe.preset), "weights": recipe.weights, "tasks": [t.to_dict() for t in tasks],
            "sensors": [s.to_dict() for s in sensors.values()],
        },
        recipe.to_toml(documented=True),
    )  # fmt: skip
    try:
        if joint:
            joint.save(run.folder)
        return jobs.submit("train", f"Train: {recipe.name}", {**spec, "run": run.name})
    except (SpatialNetError, OSError):
        remove(run.folder)  # nothing will ever train it
        raise


def check_names(recipe: Recipe, tasks: Iterable[str], sensors: Iterable[str]) -> None:
    """See whether a recipe fits the data before anything starts.

    Args:
        recipe: what is asked for.
        tasks: names of the tasks that there are.
        sensors: names of the sensors that there are.

    Raises:
        RecipeInvalid: the recipe names another one.
    """
    weighted = [name for name, _ in recipe.task_weights]
    for what, named, there in (
        ("task", (*recipe.tasks, *weighted), list(tasks)),
        ("sensor", recipe.sensors, sorted(sensors)),
    ):
        if unknown := [name for name in named if name not in there]:
            raise RecipeInvalid(
                f"The recipe names a {what} {unknown[0][:64]!r}, which the data does not have; it has {', '.join(there)}. Name one of "
                "these, or choose the data set that the recipe was written for."
            )


def request_captions(
    jobs: Jobs,
    run: Run,
    data: PackedChips,
    column: str = "",
    *,
    epochs: int = 20,
    seed: int = 0,
    beams: int = 3,
    device: str = "auto",
) -> Job:
    """Start the training of a run's caption head; see `spatialnet.jobs.captions.caption_run`.

    Args:
        jobs: the workspace's jobs.
        run: a finished run.
        data: a data set that it knows.
        column: where the captions are, see `captions_of`.
        epochs: passes over the training chips, 1 to 1000.
        seed: of all that is random.
        beams: beginnings that are kept while writing, 1 to 16.
        device: `auto`, `cpu`, `cuda` or `cuda:<index>`.

    Raises:
        PredictionRefused: the run has no network yet or does not know the data set, or epochs or beams are out of range.
        DataSetInvalid: the data set has no captions.
        JobRefused: the same captions are being learnt.
    """
    check_captions(run, data, epochs, beams)
    captions_of(data, column)
    spec = {
        # Not `run`, which says nothing about whether two jobs are the same: that is a training's new folder.
        "captions_of": run.name, "dataset": data.name, "column": column, "epochs": epochs, "seed": seed, "beams": beams,
        "device": device,
    }  # fmt: skip
    return jobs.submit("caption", f"Captions: {run.title}", spec)


def check_captions(run: Run, data: PackedChips, epochs: int, beams: int) -> None:
    """Refuse what cannot be done, see `request_captions`.

    Raises:
        PredictionRefused: the run has no network yet or does not know the data set, or epochs or beams are out of range.
    """
    if not 1 <= epochs <= 1000 or not 1 <= beams <= 16:
        raise PredictionRefused(
            f"{epochs} epochs and {beams} beams were asked for. Give 1 to 1000 epochs and 1 to 16 beams."
        )
    if not run.done:
        raise PredictionRefused(f"Run {run.title[:80]!r} has not finished. Wait until it has, then train its captions.")
    if data.name not in run.datasets:
        raise PredictionRefused(
            f"Run {run.title[:80]!r} was not trained on {data.name}, only on {', '.join(run.datasets)}. Choose one of these."
        )


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
