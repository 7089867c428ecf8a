"""What a backbone that was never trained on a data set makes of its chips: the features of a cheap control."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from spatialnet.datasets.packed import PackedChips
from spatialnet.model import FEATURES
from spatialnet.model.weights import apply_weights
from spatialnet.recipe import Recipe
from spatialnet.train.loop import build_model, resolve_device


@torch.inference_mode()
def frozen_features(
    data: PackedChips,
    recipe: Recipe,
    weights_folder: Path,
    *,
    device: str = "auto",
    batch: int = 128,
    progress: Callable[[float], None] = lambda _share: None,
) -> npt.NDArray[np.float32]:
    """The mean of the final tokens of a recipe's network as it is before any training.

    Args:
        data: the data set.
        recipe: says the architecture and the weights; without weights the backbone is random, by the recipe's seed.
        weights_folder: where `file:` weights lie.
        device: `auto`, `cpu`, `cuda` or `cuda:<index>`.
        batch: chips per forward pass.
        progress: called with a share in 0..1.

    Returns:
        (chips, dim) float32.

    Raises:
        WeightsUnavailable: the weights cannot be had.
        CheckpointDoesNotFit: they are for another architecture.
    """
    with torch.random.fork_rng():
        torch.manual_seed(recipe.seed)
        model = build_model(data, replace(recipe, parent=""))
        apply_weights(model, recipe.weights, weights_folder)
    model.to(resolve_device(device)).eval()
    found = []
    there = {name: data.present(name) for name in model.sensors}
    for start in range(0, len(data), batch):
        rows = np.arange(start, min(start + batch, len(data)))
        images = model.prepare({name: data.images(name)[rows] for name in model.sensors}, overwrite=True)
        present = {name: torch.from_numpy(values[rows]) for name, values in there.items()}
        partial = any(not values[rows].all() for values in there.values())
        answers = model(images, present=present if partial else None, tasks=[], return_features=True)
        found.append(answers[FEATURES].cpu().numpy())
        progress((start + len(rows)) / len(data))
    return np.concatenate(found).astype(np.float32)
