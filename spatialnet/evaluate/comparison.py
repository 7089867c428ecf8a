"""Two or more runs side by side: metrics with intervals, recipes where they differ, and what makes a comparison unfair."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from spatialnet.errors import DataSetInvalid, RecipeInvalid, RunNotFound
from spatialnet.metrics import higher_is_better
from spatialnet.recipe import FIELDS, Recipe
from spatialnet.runs import Run
from spatialnet.runs.rivals import rival_of


@dataclass(frozen=True)
class Measured:
    """One run's metric on one task.

    Attributes:
        value: of the task's main metric; may be NaN.
        low: lower end of the 95 % interval; None where it is not known.
        high: upper end.
        chips: how many test chips it was measured on.
        baseline: the better baseline's value on the same chips.
    """

    value: float
    low: float | None
    high: float | None
    chips: int
    baseline: float


@dataclass(frozen=True)
class Row:
    """One task of one data set.

    Attributes:
        dataset: identifier.
        task: identifier.
        label: what people read.
        metric: name in `spatialnet.metrics`.
        values: per run, in their order; None where the run has no metrics for it.
        clear: whether the intervals of the best and the worst run do not overlap.
        best: index of the best run; None where fewer than two have a value, or all have the same.
    """

    dataset: str
    task: str
    label: str
    metric: str
    values: tuple[Measured | None, ...]
    clear: bool
    best: int | None


@dataclass(frozen=True)
class Difference:
    """One field of the recipe in which runs differ.

    Attributes:
        field: its name.
        text: what it means.
        values: per run, in their order; None where the run's recipe cannot be read.
    """

    field: str
    text: str
    values: tuple[Any, ...]


@dataclass(frozen=True)
class Comparison:
    """Runs side by side.

    Attributes:
        runs: which, the first one is what recipes are compared with.
        rows: tasks of data sets.
        differences: fields of the recipe.
        cautions: sentences that say why numbers may not be comparable.
    """

    runs: tuple[Run, ...]
    rows: tuple[Row, ...]
    differences: tuple[Difference, ...]
    cautions: tuple[str, ...]


def compare(runs: Sequence[Run]) -> Comparison:
    """Compare runs, done or not.

    Args:
        runs: at least one.
    """
    reports = [_reports(run) for run in runs]
    labels = {task.name: task.label for run in runs for task in run.tasks}
    keys = list(
        dict.fromkeys((dataset, task) for report in reports for dataset, part in report.items() for task in part)
    )
    rows = []
    for dataset, task in keys:
        found = [report.get(dataset, {}).get(task) for report in reports]
        metric = next(values["metric"] for values in found if values)
        values = tuple(_measured(each) if each and each["metric"] == metric else None for each in found)
        best, clear = _best(values, metric)
        rows.append(Row(dataset, task, labels.get(task, task.replace("_", " ")), metric, values, clear, best))
    return Comparison(tuple(runs), tuple(rows), _differences(runs), _cautions(runs))


def _reports(run: Run) -> dict[str, dict[str, Any]]:
    """Per data set the metrics per task, as far as there are any."""
    found = {}
    for dataset in run.datasets:
        try:
            found[dataset] = dict(run.report_on(dataset)["tasks"])
        except (RunNotFound, DataSetInvalid):
            continue
    return found


def _measured(values: dict[str, Any]) -> Measured:
    main = values["run"]
    return Measured(main["value"], main["low"], main["high"], values["chips"], rival_of(values)["value"])


def _best(values: Sequence[Measured | None], metric: str) -> tuple[int | None, bool]:
    """The index of the best run, and whether its interval lies clear of the worst one's."""
    sign = 1.0 if higher_is_better(metric) else -1.0
    known = [(sign * v.value, i, v) for i, v in enumerate(values) if v is not None and v.value == v.value]
    if len(known) < 2:
        return None, False
    (_, at, best), (_, _, worst) = max(known, key=lambda k: k[:2]), min(known, key=lambda k: k[:2])
    if best.value == worst.value:
        return None, False
    if None in (best.low, best.high, worst.low, worst.high):
        return at, False
    above, below = (best, worst) if sign > 0 else (worst, best)
    return at, bool(above.low > below.high)  # type: ignore[operator]


def _differences(runs: Sequence[Run]) -> tuple[Difference, ...]:
    recipes = [recipe_of(run) for run in runs]
    known = [recipe for recipe in recipes if recipe is not None]
    names = {name for recipe in known for name in known[0].changes(recipe)}
    return tuple(
        Difference(name, text, tuple(None if recipe is None else getattr(recipe, name) for recipe in recipes))
        for name, text in FIELDS.items()
        if name in names
    )


def recipe_of(run: Run) -> Recipe | None:
    """The recipe of a run; None where it cannot be read."""
    try:
        return Recipe.load(run.folder / "recipe.toml")
    except RecipeInvalid:
        return None


def _cautions(runs: Sequence[Run]) -> tuple[str, ...]:
    told = []
    for dataset in dict.fromkeys(dataset for run in runs for dataset in run.datasets):
        states = {run.fingerprint(dataset) for run in runs if dataset in run.datasets and run.done}
        if len(states) > 1:
            told.append(
                f"The runs know {len(states)} states of data set {dataset} (another split, other chips or other targets), so they were "
                "not measured on the same chips."
            )
    if not set(runs[0].datasets).intersection(*(run.datasets for run in runs[1:])):
        told.append("The runs have no data set in common, so no number of theirs can be compared.")
    if versions := {run.info.get("label_version", 0) for run in runs if run.done}:
        corrected = {run.info.get("corrections", 0) for run in runs if run.done}
        if len(versions) > 1 and len(corrected) > 1:
            told.append(
                "The runs know different corrections. Corrected test chips count in the metrics too, so the targets may differ."
            )
    told += [f"Run {run.title[:80]!r} is not done; it has no metrics yet." for run in runs if not run.done]
    return tuple(told)
