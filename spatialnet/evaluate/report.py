"""The report of a run: every task's main metric on the blocked test split, beside two baselines, with intervals.

Chips of one block of ground are alike, so intervals come from drawing whole blocks, not chips, with replacement
(a block bootstrap; Roberts et al. 2017, Ecography 40:913).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from spatialnet.datasets.packed import PackedChips
from spatialnet.evaluate.baselines import band_statistics, linear_scores, majority_scores
from spatialnet.metrics import higher_is_better, metrics
from spatialnet.tasks import Task

DRAWS = 400
LEVEL = 0.95


def evaluate_run(
    data: PackedChips,
    targets: Mapping[str, npt.NDArray[Any]],
    scores: Mapping[str, npt.NDArray[np.float32]],
    *,
    split: str = "test",
) -> dict[str, Any]:
    """Metrics of a run and of both baselines on one split.

    Args:
        data: the data set.
        targets: per task the targets of all chips, people's corrections included.
        scores: per task the run's scores of all chips.
        split: which split to measure on.

    Returns:
        JSON-ready: `split`, `chips`, `blocks`, `interval`, and per task `metric`, `chips`, `run`, `majority`,
        `band_statistics` (each with `value`, `low`, `high`, and `all` metrics) and `margin` over the better baseline
        with its own interval from paired draws. A value that the known targets do not define is NaN, its bounds None.
    """
    train, validation, test = data.in_split("train"), data.in_split("validation"), data.in_split(split)
    features = {
        name: band_statistics(data, rows) for name, rows in (("train", train), ("val", validation), ("test", test))
    }
    blocks = data.blocks[test]
    report: dict[str, Any] = {
        "split": split, "chips": len(test), "blocks": len(np.unique(blocks)), "interval": LEVEL, "draws": DRAWS,
        "tasks": {},
    }  # fmt: skip
    for task in data.tasks:
        if task.name not in scores:
            continue
        known = targets[task.name].astype(np.float64)
        rivals = {
            "run": scores[task.name][test],
            "majority": majority_scores(task, known[train], len(test)),
            "band_statistics": _better_linear(task, features, known, train, validation),
        }
        report["tasks"][task.name] = _compare(task, rivals, targets[task.name][test], blocks)
    return report


def _better_linear(
    task: Task,
    features: Mapping[str, npt.NDArray[np.float32]],
    targets: npt.NDArray[np.float64],
    train: npt.NDArray[np.int64],
    validation: npt.NDArray[np.int64],
) -> npt.NDArray[np.float32]:
    """Of the plain and the class-balanced fit, the one that is better on the validation split."""

    def on_validation(balanced: bool) -> float:
        guessed = linear_scores(task, features["train"], targets[train], features["val"], balanced=balanced)
        return _better(task, _main(task, guessed, targets[validation]))

    balanced = on_validation(True) > on_validation(False)
    return linear_scores(task, features["train"], targets[train], features["test"], balanced=balanced)


def _better(task: Task, value: float) -> float:
    """A number that grows with quality."""
    if not np.isfinite(value):
        return -np.inf
    return value if higher_is_better(task.main_metric) else -value


def _compare(
    task: Task,
    rivals: Mapping[str, npt.NDArray[np.float32]],
    targets: npt.NDArray[Any],
    blocks: npt.NDArray[np.int32],
) -> dict[str, Any]:
    members = [np.flatnonzero(blocks == block) for block in np.unique(blocks)]
    generator = np.random.default_rng(0)
    draws: dict[str, list[float]] = {name: [] for name in rivals}
    for _ in range(DRAWS):
        rows = np.concatenate([members[i] for i in generator.integers(len(members), size=len(members))])
        for name, scores in rivals.items():
            draws[name].append(_main(task, scores[rows], targets[rows]))
    result: dict[str, Any] = {"metric": task.main_metric, "chips": int(_known(task, targets).sum())}
    values = {}
    for name, scores in rivals.items():
        every = metrics(task, scores, targets)
        values[name] = every.get(task.main_metric, float("nan"))
        result[name] = {"value": values[name], **_interval(draws[name]), "all": every}
    rival = max(("majority", "band_statistics"), key=lambda name: _better(task, values[name]))
    sign = 1.0 if higher_is_better(task.main_metric) else -1.0
    paired = sign * (np.asarray(draws["run"]) - np.asarray(draws[rival]))
    result["margin"] = {"over": rival, "value": sign * (values["run"] - values[rival]), **_interval(list(paired))}
    return result


def _main(task: Task, scores: npt.NDArray[np.float32], targets: npt.NDArray[Any]) -> float:
    """The task's main metric; NaN where the known targets do not define it."""
    return metrics(task, scores, targets).get(task.main_metric, float("nan"))


def _known(task: Task, targets: npt.NDArray[Any]) -> npt.NDArray[np.bool_]:
    if task.kind == "multiclass":
        return np.asarray(targets >= 0)
    finite = np.isfinite(targets)
    return finite if finite.ndim == 1 else finite.any(axis=1)


def _interval(draws: list[float]) -> dict[str, float | None]:
    finite = np.asarray([value for value in draws if np.isfinite(value)])
    if not len(finite):
        return {"low": None, "high": None}
    low, high = np.quantile(finite, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return {"low": float(low), "high": float(high)}
