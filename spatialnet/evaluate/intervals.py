"""Intervals from drawing whole blocks of ground with replacement.

Chips of one block of ground are alike, so intervals come from drawing whole blocks, not chips (a block bootstrap;
Roberts et al. 2017, Ecography 40:913). Everything that is compared is measured on the same draws.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from spatialnet.metrics import higher_is_better, metrics
from spatialnet.tasks import Task

DRAWS = 400
LEVEL = 0.95

Rows = npt.NDArray[np.int64]
Drawn = npt.NDArray[np.float64]


def block_draws(blocks: npt.NDArray[np.int32], draws: int = DRAWS) -> list[Rows]:
    """Which chips each draw takes: the same for the same blocks, whoever asks.

    Args:
        blocks: (chips,) block of each chip.
        draws: how many.
    """
    members = [np.flatnonzero(blocks == block) for block in np.unique(blocks)]
    generator = np.random.default_rng(0)
    return [
        np.concatenate([members[i] for i in generator.integers(len(members), size=len(members))])
        for _ in range(draws if members else 0)
    ]


def main_value(task: Task, scores: npt.NDArray[np.float32], targets: npt.NDArray[Any]) -> float:
    """The task's main metric; NaN where the known targets do not define it."""
    return metrics(task, scores, targets).get(task.main_metric, float("nan"))


def drawn_values(
    task: Task, scores: npt.NDArray[np.float32], targets: npt.NDArray[Any], draws: Sequence[Rows]
) -> Drawn:
    """The main metric on all chips and then on each draw: (1 + draws,)."""
    return np.array([
        main_value(task, scores, targets), *(main_value(task, scores[rows], targets[rows]) for rows in draws)
    ])  # fmt: skip


def goodness(task: Task) -> float:
    """1 where more of the main metric is better, -1 where less is (errors)."""
    return 1.0 if higher_is_better(task.main_metric) else -1.0


def interval(draws: npt.ArrayLike) -> dict[str, float | None]:
    """`low` and `high` of the middle 95 % of draws; None where no draw is a number."""
    values = np.asarray(draws, np.float64)
    finite = values[np.isfinite(values)]
    if not len(finite):
        return {"low": None, "high": None}
    low, high = np.quantile(finite, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return {"low": float(low), "high": float(high)}
