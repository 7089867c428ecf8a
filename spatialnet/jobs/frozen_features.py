"""What a backbone that was never trained on a data set makes of its chips: the features of a cheap control."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from spatialnet.datasets.packed import PackedChips
from spatialnet.model.weights import apply_weights
from spatialnet.predict.chips import embed_chips
from spatialnet.recipe import Recipe
from spatialnet.train.loop import build_model, resolve_device


def frozen_features(
    data: PackedChips,
    recipe: Recipe,
    weights_folder: Path,
    *,
    device: str = "auto",
    progress: Callable[[float], None] = lambda _share: None,
) -> npt.NDArray[np.float32]:
    """The mean of the final tokens of a recipe's network as it is before any training.

    Args:
        data: the data set.
        recipe: says the architecture and the weights; without weights the backbone is random, by the recipe's seed.
        weights_folder: where `file:` weights lie.
        device: `auto`, `cpu`, `cuda` or `cuda:<index>`.
        progress: called with a share in 0..1.

    Returns:
        (chips, dim) float32.

    Raises:
        WeightsUnavailable: the weights cannot be had.
        CheckpointDoesNotFit: they are for another architecture.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(recipe.seed)
        model = build_model(data, replace(recipe, parent=""))
        apply_weights(model, recipe.weights, weights_folder)
    model.to(resolve_device(device)).eval()
    return embed_chips(model, data, progress=progress).astype(np.float32)
