"""How long a training will take here: a few real steps are timed."""

from __future__ import annotations

import time
from pathlib import Path

import torch

from spatialnet.datasets.packed import PackedChips
from spatialnet.recipe import Recipe
from spatialnet.train.loop import VALIDATION_BATCH, Training, resolve_device, steps_per_epoch, without_start_weights

_TIMED_STEPS = 4


def estimate_seconds(recipe: Recipe, data: PackedChips, *, device: str = "auto") -> float:
    """Wall seconds that a whole training takes on this machine as busy as it is now.

    Builds the model with random weights and times a few steps and one batch of validation; fetches and writes
    nothing.

    Args:
        recipe: the recipe.
        data: the data set.
        device: `auto`, `cpu`, `cuda` or `cuda:<index>`.

    Raises:
        RecipeInvalid: the recipe cannot be used.
        NothingToRead: there is no chip to train on.
    """
    limit = max(recipe.batch_size, VALIDATION_BATCH)
    chosen = resolve_device(device)
    with torch.random.fork_rng(devices=[chosen.index or 0] if chosen.type == "cuda" else []):
        training = Training(Path(), data, without_start_weights(recipe), device, Path(), limit)
        training.step()
        begin = _now(training.device)
        for _ in range(_TIMED_STEPS):
            training.step()
        middle = _now(training.device)
        training.validate()
        end = _now(training.device)
    steps = recipe.epochs * steps_per_epoch(len(data.in_split("train")), recipe)
    checked = recipe.epochs * len(data.in_split("validation")) / max(1, len(training.validation_chips))
    return steps * (middle - begin) / _TIMED_STEPS + checked * (end - middle)


def _now(device: torch.device) -> float:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter()
