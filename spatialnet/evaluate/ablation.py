"""The statistics of an ablation: what each part of a recipe is worth, with an interval and a verdict in words.

What is compared is measured on the same draws of blocks of ground and with the same seeds. Blocks are drawn with
replacement; seeds are too few for that (three drawn values know nothing of the tails), so the chance of training enters as
Student's t over the seeds' own differences.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from spatialnet.evaluate.intervals import Drawn, goodness, interval
from spatialnet.tasks import Task

BETTER, WORSE, SAME, UNKNOWN = "better", "worse", "no difference", "unknown"

_CHANCES = 25
"""How often each draw of blocks is joined with a draw of the seeds' chance."""


def worth(task: Task, base: npt.NDArray[np.float64], arm: npt.NDArray[np.float64], blocks: int) -> dict[str, Any]:
    """How much better the base is than an arm on one task.

    Args:
        task: whose main metric was measured; an error counts the other way round.
        base: (seeds, 1 + draws) as `drawn_values` gives them for each seed.
        arm: the same of the arm; (1, 1 + draws) for a control that has no seed.
        blocks: how many blocks of ground the test chips lie in; fewer than two give no interval.

    Returns:
        JSON-ready: `value` (above zero: the base is better), `low`, `high` and `verdict`.
    """
    seeds = min(len(base), len(arm)) if len(arm) > 1 and len(base) > 1 else max(len(base), len(arm))
    paired = goodness(task) * (_of(base, seeds) - _of(arm, seeds))
    value = float(paired[:, 0].mean())
    drawn = np.tile(paired[:, 1:].mean(0), _CHANCES)
    if seeds > 1:
        error = paired[:, 0].std(ddof=1) / np.sqrt(seeds)
        drawn = drawn + error * np.random.default_rng(0).standard_t(seeds - 1, len(drawn))
    bounds = interval(drawn) if blocks > 1 else {"low": None, "high": None}
    return {"value": value, **bounds, "verdict": verdict(bounds["low"], bounds["high"])}


def verdict(low: float | None, high: float | None) -> str:
    """What an interval of a difference says: `better`, `worse`, `no difference` where it holds zero, or `unknown`."""
    if low is None or high is None:
        return UNKNOWN
    return BETTER if low > 0 else WORSE if high < 0 else SAME


def compare_arms(
    tasks: Sequence[Task], base: Mapping[str, Sequence[Drawn]], arm: Mapping[str, Sequence[Drawn]], blocks: int
) -> dict[str, Any]:
    """What the base is worth over an arm on each task that both have measured.

    Args:
        tasks: the data set's tasks.
        base: per task, seed by seed in the same order as the arm's, what `drawn_values` gave.
        arm: the same; one entry for a control.
        blocks: how many blocks of ground the test chips lie in.

    Returns:
        JSON-ready by task: `metric`, `base` and `arm` (`values` seed by seed and their `mean`), `seeds`, `worth` as
        `spatialnet.evaluate.ablation.worth` gives it.
    """
    result = {}
    for task in tasks:
        ours, theirs = base.get(task.name, ()), arm.get(task.name, ())
        if not ours or not theirs:
            continue
        result[task.name] = {
            "metric": task.main_metric, "base": _values(ours), "arm": _values(theirs), "seeds": len(ours),
            "worth": worth(task, np.stack(ours), np.stack(theirs), blocks),
        }  # fmt: skip
    return result


def sentence(part: str, instead: str, found: Sequence[tuple[str, Mapping[str, Any]]]) -> str:
    """What an arm says, as people read it: on which tasks the part helps, hurts, or makes no difference.

    Args:
        part: what the base has, as `Arm.part`.
        instead: what the arm has instead, as `Arm.instead`.
        found: label of each task and its entry of `compare_arms`.
    """
    said = []
    for word in (BETTER, WORSE, SAME, UNKNOWN):
        held = [(label, entry["worth"]) for label, entry in found if entry["worth"]["verdict"] == word]
        if not held:
            continue
        if word in (BETTER, WORSE):
            numbers = (
                f"{label} ({w['value']:+.3f}, 95 % interval {w['low']:+.3f} to {w['high']:+.3f})" for label, w in held
            )
            said.append(f"{word} on {', '.join(numbers)}")
        else:
            names = ", ".join(label for label, _ in held)
            said.append(f"{word} on {names}" if word == SAME else f"too few blocks of test ground to say on {names}")
    return f"{part} against {instead}: {'; '.join(said)}."


def _of(values: npt.NDArray[np.float64], seeds: int) -> npt.NDArray[np.float64]:
    return np.repeat(values, seeds, axis=0) if len(values) == 1 else values[:seeds]


def _values(drawn: Sequence[Drawn]) -> dict[str, Any]:
    values = [float(values[0]) for values in drawn]
    return {"values": values, "mean": float(np.mean(values))}
