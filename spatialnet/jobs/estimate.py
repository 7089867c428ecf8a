"""How long a training will take, how much memory and how much disk it needs, before it starts. No torch."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from spatialnet.datasets.packed import PackedChips
from spatialnet.jobs.machine import GIB, Device
from spatialnet.presets import preset_for, preset_named, relative_cost
from spatialnet.recipe import Recipe
from spatialnet.runs import Run

START_SECONDS = 12.0
"""Imports, the first step, predictions and the report, on two cores."""

PROCESS_BYTES = 850e6
"""A process with PyTorch in it that has done a step, without its model."""
_VALUES_PER_BLOCK = 20.0
"""Numbers that one block keeps of one token for the backward pass, in widths of the model."""


def estimate_seconds(
    recipe: Recipe, data: PackedChips, runs: Sequence[Run], others: Sequence[PackedChips] = ()
) -> float | None:
    """Seconds until a run would be done; None where no run has been measured yet.

    The newest run's chips per second, scaled by how much more work a chip is for the wanted recipe: its preset, the side
    of its chips, the share of the patches and of the blocks that learn. The stage of the heads counts as one look at
    every chip without a backward pass; its epochs on kept features cost next to nothing.

    Args:
        recipe: the run that is asked for.
        data: its data set.
        runs: finished runs of the same data set, newest first.
        others: further data sets that the same run learns.
    """
    for run in runs:
        lines = [line for line in run.history() if line.get("chips_per_second") and line.get("stage") != "heads"]
        if not lines:
            continue
        measured = Recipe.load(run.folder / "recipe.toml")
        rate = float(lines[-1]["chips_per_second"]) * _step_cost(measured, data)
        return START_SECONDS + sum(_work(recipe, each) for each in (data, *others)) / rate
    return None


def estimate_memory(recipe: Recipe, data: PackedChips) -> float:
    """Bytes at the peak of a training: the process, weights with their gradients, averages and moments, and activations.

    Five measured steps on a CPU (nano at 16 px to tiny at 112 px in batches of 128; 0.8 to 2.5 GiB) lie within 8 % of it;
    what a training keeps besides its steps may double that error, and a GPU was not measured.

    Args:
        recipe: the run that is asked for; `accumulate`, `checkpointing`, `precision` and `patch_drop` count.
        data: its data set.
    """
    preset = preset_named(preset_for(recipe.weights, recipe.preset))
    side = recipe.size or data.chip_size
    tokens = max(1, side // (recipe.patch or preset.patch(side))) ** 2 * (1 - recipe.patch_drop)
    chips = -(-recipe.batch_size // recipe.accumulate)
    number = 2 if recipe.precision == "bfloat16" else 4
    blocks = preset.depth if recipe.tune != "last" else min(preset.depth, recipe.tuned_blocks)
    kept = (1.0 * preset.depth + _VALUES_PER_BLOCK) if recipe.checkpointing else _VALUES_PER_BLOCK * blocks
    activations = chips * tokens * preset.width * kept * number if recipe.epochs else 0.0
    bands = sum(len(sensor.bands) for sensor in data.sensors)
    pixels = chips * bands * side * side * 4 * 4
    return PROCESS_BYTES + 6 * _model_bytes(recipe) + activations + pixels


def memory_warning(needed: float, device: Device) -> str:
    """A sentence where a training would not fit into what a device has free; empty where it would."""
    if needed <= device.free_gib * GIB:
        return ""
    return (
        f"This needs about {needed / GIB:.1f} GiB of memory, and {device.title} has {device.free_gib:.1f} of {device.total_gib:.1f} "
        "GiB free. Choose smaller batches, more parts, checkpointing or a smaller model; where memory runs out, the job goes on in "
        "smaller parts by itself."
    )


def estimate_checkpoint(recipe: Recipe) -> float:
    """Bytes of one checkpoint: weights, averaged and best weights, and two moments of each."""
    return 5 * _model_bytes(recipe)


def estimate_disk(recipe: Recipe, data: PackedChips) -> float:
    """Bytes that a run writes at most at one time: two checkpoints (the new beside the old), the model, scores and maps.

    Args:
        recipe: the run that is asked for.
        data: its data set; the scenes that are kept with it are mapped.
    """
    classes = sum(len(task.classes) or 1 for task in data.tasks)
    scenes = [data.scene_path(place["name"], sensor) for place in data.places for sensor in place["sensors"][:1]]
    maps = sum(_size(path) for path in scenes) * (classes + 2 * len(data.tasks)) / 4
    return 2 * estimate_checkpoint(recipe) + _model_bytes(recipe) + len(data) * classes * 8.0 + maps


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _model_bytes(recipe: Recipe) -> float:
    preset = preset_named(preset_for(recipe.weights, recipe.preset))
    return 4.0 * (12 * preset.depth * preset.width**2 + 1_500 * preset.width)


def _forward_cost(recipe: Recipe, data: PackedChips, drop: float = 0.0) -> float:
    side = recipe.size or data.chip_size
    name = preset_for(recipe.weights, recipe.preset)
    whole = relative_cost(name, side)
    if not recipe.patch and not drop:
        return whole
    preset = preset_named(name)
    tokens = max(1.0, round(side / (recipe.patch or preset.patch(side))) ** 2 * (1 - drop))
    return float(preset.depth * tokens * (12 * preset.width**2 + 2 * tokens * preset.width))


def _work(recipe: Recipe, data: PackedChips) -> float:
    look = _forward_cost(recipe, data) if recipe.head_epochs else 0.0
    return len(data.in_split("train")) * (recipe.epochs * _step_cost(recipe, data) + look)


def _step_cost(recipe: Recipe, data: PackedChips) -> float:
    """Work for one chip in a step: one pass forward and, for what learns, two backward."""
    depth = preset_named(preset_for(recipe.weights, recipe.preset)).depth
    # Low-rank updates need the gradient through all blocks, but of hardly any weights.
    backward = {"all": 2.0, "last": 2.0 * min(1.0, recipe.tuned_blocks / depth), "lora": 1.1}[recipe.tune]
    again = 1.0 if recipe.checkpointing else 0.0
    return _forward_cost(recipe, data, recipe.patch_drop) * (1.0 + backward + again)
