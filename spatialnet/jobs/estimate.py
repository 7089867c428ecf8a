"""How long a training will take, from what was measured on this machine. No torch."""

from __future__ import annotations

from collections.abc import Sequence

from spatialnet.datasets.packed import PackedChips
from spatialnet.presets import preset_for, relative_cost
from spatialnet.recipe import Recipe
from spatialnet.runs import Run

START_SECONDS = 12.0
"""Imports, the first step, predictions and the report, on two cores."""


def estimate_seconds(recipe: Recipe, data: PackedChips, runs: Sequence[Run]) -> float | None:
    """Seconds until a run would be done; None where no run has been measured yet.

    The newest run's chips per second, scaled by how much more work a chip is for the wanted preset.

    Args:
        recipe: the run that is asked for.
        data: its data set.
        runs: finished runs of the same data set, newest first.
    """
    for run in runs:
        history = run.history()
        if not history or not history[-1].get("chips_per_second"):
            continue
        measured = Recipe.load(run.folder / "recipe.toml")
        work = _cost(recipe, data) / _cost(measured, data)
        chips = recipe.epochs * len(data.in_split("train"))
        return START_SECONDS + chips * work / float(history[-1]["chips_per_second"])
    return None


def _cost(recipe: Recipe, data: PackedChips) -> float:
    return relative_cost(preset_for(recipe.weights, recipe.preset), data.chip_size)
