"""From what an explanation starts: a chip that says nothing. Which one that is, is a choice, and changes the answer.

Source: Sturmfels, Lundberg and Lee, "Visualizing the Impact of Feature Attribution Baselines", Distill 2020.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional as F

from spatialnet.errors import ExplanationFailed
from spatialnet.explain.methods import BASELINES
from spatialnet.model import SpatialNetViT

BLUR_SHARE = 4
"""A blurred chip is the mean over this share of its side, taken three times."""


def baseline_images(
    model: SpatialNetViT,
    images: Mapping[str, Tensor],
    kind: str,
    *,
    neighbour: Mapping[str, npt.NDArray[Any]] | None = None,
    dataset: str | None = None,
) -> dict[str, Tensor]:
    """The chips that an explanation starts from.

    Args:
        model: gives the normalisation.
        images: what `model.prepare` gave: per sensor (batch, bands, height, width).
        kind: a name in `BASELINES`.
        neighbour: for `neighbour`, the other chip's pixels per sensor (1, bands, height, width), in sensor units; a sensor that it
            lacks is the training mean.
        dataset: whose normalisation to use.

    Returns:
        Per sensor (batch, bands, height, width), normalised.

    Raises:
        ExplanationFailed: there is no such baseline, or no neighbour was given for `neighbour`.
    """
    if kind not in BASELINES:
        raise ExplanationFailed(f"There is no baseline {kind[:40]!r}. Choose {', '.join(BASELINES)}.")
    if kind == "mean":
        return {name: torch.zeros_like(tensor) for name, tensor in images.items()}
    if kind == "blurred":
        return {name: blurred(tensor) for name, tensor in images.items()}
    if kind == "zero":
        dark = {name: np.zeros((1, *tensor.shape[1:]), np.float32) for name, tensor in images.items()}
        return _like(images, model.prepare(dark, dataset=dataset))
    if neighbour is None:
        raise ExplanationFailed("There is no other chip to start from. Choose another baseline.")
    return _like(images, model.prepare({n: neighbour[n] for n in images if n in neighbour}, dataset=dataset))


def _like(images: Mapping[str, Tensor], found: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {
        name: found[name].to(tensor).expand_as(tensor).clone() if name in found else torch.zeros_like(tensor)
        for name, tensor in images.items()
    }


def blurred(pixels: Tensor) -> Tensor:
    """Chips (batch, bands, height, width) without detail: three box means, a quarter of the chip wide."""
    side = max(1, min(pixels.shape[-2:]) // BLUR_SHARE) // 2 * 2 + 1
    for _ in range(3):
        pixels = F.avg_pool2d(F.pad(pixels, [side // 2] * 4, mode="replicate"), side, stride=1)
    return pixels
