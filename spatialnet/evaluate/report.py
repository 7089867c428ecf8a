"""The report of a run: every task's main metric on the test split, beside cheap controls, with intervals."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from spatialnet.datasets.packed import PackedChips
from spatialnet.evaluate.baselines import band_statistics, better_linear, majority_scores
from spatialnet.evaluate.ground import ground
from spatialnet.evaluate.intervals import DRAWS, LEVEL, Rows, block_draws, drawn_values, goodness, interval
from spatialnet.metrics import metrics
from spatialnet.tasks import Task

BASELINES = ("majority", "band_statistics")
"""What every run is measured beside."""


def evaluate_run(
    data: PackedChips,
    targets: Mapping[str, npt.NDArray[Any]],
    scores: Mapping[str, npt.NDArray[np.float32]],
    *,
    split: str = "test",
    features: Mapping[str, npt.NDArray[Any]] | None = None,
) -> dict[str, Any]:
    """Metrics of a run, of both baselines and of further controls on one split.

    Args:
        data: the data set.
        targets: per task the targets of all chips, people's corrections included.
        scores: per task the run's scores of all chips.
        split: which split to measure on.
        features: by the name of a control (such as `frozen_features`) the (chips, features) of all chips that a linear
            model is fitted on, as it is on band statistics.

    Returns:
        JSON-ready: `split`, what `ground` gives, `interval`, and per task `metric`, `chips`, `run`, `majority`,
        `band_statistics` (each with `value`, `low`, `high`, and `all` metrics), `controls` (the same by name) and `margin`
        over the best of them with its own interval from paired draws. A value that the known targets do not define is NaN,
        its bounds None.
    """
    parts = {"train": data.in_split("train"), "validation": data.in_split("validation"), "test": data.in_split(split)}
    train, test = parts["train"], parts["test"]
    known_features = {
        "band_statistics": {name: band_statistics(data, rows) for name, rows in parts.items()},
        **{
            name: {part: np.asarray(values[rows], np.float32) for part, rows in parts.items()}
            for name, values in (features or {}).items()
        },
    }
    draws = block_draws(data.blocks[test])
    report: dict[str, Any] = {
        "split": split, **ground(data, split), "interval": LEVEL, "draws": DRAWS, "tasks": {},
    }  # fmt: skip
    for task in data.tasks:
        if task.name not in scores:
            continue
        known = targets[task.name].astype(np.float64)
        rivals = {
            "run": scores[task.name][test],
            "majority": majority_scores(task, known[train], len(test)),
            **{
                name: better_linear(task, x, known[train], known[parts["validation"]])
                for name, x in known_features.items()
            },
        }
        report["tasks"][task.name] = _compare(task, rivals, targets[task.name][test], draws)
    return report


def _compare(
    task: Task, rivals: Mapping[str, npt.NDArray[np.float32]], targets: npt.NDArray[Any], draws: Sequence[Rows]
) -> dict[str, Any]:
    drawn = {name: drawn_values(task, scores, targets, draws) for name, scores in rivals.items()}
    result: dict[str, Any] = {"metric": task.main_metric, "chips": int(_known(task, targets).sum()), "controls": {}}
    for name, scores in rivals.items():
        place = result if name in ("run", *BASELINES) else result["controls"]
        every = metrics(task, scores, targets)
        place[name] = {"value": float(drawn[name][0]), **interval(drawn[name][1:]), "all": every}
    sign = goodness(task)
    best = max((name for name in rivals if name != "run"), key=lambda name: _rank(sign * drawn[name][0]))
    paired = sign * (drawn["run"] - drawn[best])
    result["margin"] = {"over": best, "value": float(paired[0]), **interval(paired[1:])}
    return result


def _rank(value: float) -> float:
    return value if np.isfinite(value) else -np.inf


def _known(task: Task, targets: npt.NDArray[Any]) -> npt.NDArray[np.bool_]:
    if task.kind == "multiclass":
        return np.asarray(targets >= 0)
    finite = np.isfinite(targets)
    return finite if finite.ndim == 1 else finite.any(axis=1)
