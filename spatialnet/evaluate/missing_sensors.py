"""What a run still knows when a sensor is missing: each sensor removed, and each alone, on the test split."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from spatialnet.evaluate.intervals import Drawn, block_draws, drawn_values, goodness, interval
from spatialnet.tasks import Task

Scores = Mapping[str, npt.NDArray[np.float32]]


def missing_sensors(
    tasks: Sequence[Task],
    sensors: Sequence[str],
    targets: Mapping[str, npt.NDArray[Any]],
    blocks: npt.NDArray[np.int32],
    whole: Scores,
    predict: Callable[[tuple[str, ...]], Scores],
) -> dict[str, dict[str, dict[str, dict[str, Any]]]]:
    """Each task's main metric with each sensor removed and with each sensor alone.

    Args:
        tasks: the tasks of the run; those without scores are left out.
        sensors: names of the sensors that the run sees.
        targets: per task the targets of the test chips.
        blocks: (test chips,) block of each.
        whole: per task the scores of the test chips with all sensors.
        predict: scores of the test chips without the sensors that it is given.

    Returns:
        JSON-ready, to be laid into a run's report: `without` and `alone`, by sensor and task `metric`, `value`, `low`, `high`
        and `change` against all sensors (below zero: worse) with its interval from paired draws. Both are empty for fewer
        than two sensors; `alone` is for two sensors what `without` is the other way round.
    """
    result: dict[str, dict[str, dict[str, dict[str, Any]]]] = {"without": {}, "alone": {}}
    if len(sensors) < 2:
        return result
    draws = block_draws(blocks)

    def drawn(scores: Scores) -> dict[str, Drawn]:
        return {
            task.name: drawn_values(task, scores[task.name], targets[task.name], draws)
            for task in tasks
            if task.name in scores
        }

    every, known = drawn(whole), {task.name: task for task in tasks}
    found: dict[tuple[str, ...], dict[str, dict[str, Any]]] = {}
    for kind in ("without", "alone"):
        for sensor in sensors:
            gone = tuple(name for name in sensors if (name == sensor) == (kind == "without"))
            if gone not in found:
                less = drawn(predict(gone))
                found[gone] = {name: _row(known[name], values, every[name]) for name, values in less.items()}
            result[kind][sensor] = found[gone]
    return result


def _row(task: Task, less: Drawn, every: Drawn) -> dict[str, Any]:
    change = goodness(task) * (less - every)
    return {
        "metric": task.main_metric, "value": float(less[0]), **interval(less[1:]),
        "change": {"value": float(change[0]), **interval(change[1:])},
    }  # fmt: skip
