"""Does an attribution depend on what the model learnt, and does it stay when nothing that matters changes?

Source: Adebayo et al., "Sanity Checks for Saliency Maps", NeurIPS 2018, arXiv 1810.03292 (randomised weights); Yeh et al., "On the
(In)fidelity and Sensitivity of Explanations", NeurIPS 2019, arXiv 1901.09392 (sensitivity to small changes).
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from spatialnet.explain.attribute import attribute
from spatialnet.explain.faithfulness import Faithfulness
from spatialnet.model import SpatialNetViT

NOISE, DRAWS = 0.05, 4
"""Standard deviation of the noise in normalised units, where a band's own is 1: not visible; and how often it is drawn."""

LEARNT = 0.5
"""A map that keeps more than this rank correlation when the weights are shuffled says more of the chip than of the model."""

STEADY = 0.5
"""A map that keeps less than this rank correlation under noise that nobody sees cannot be read place by place."""

_shuffled: WeakKeyDictionary[SpatialNetViT, SpatialNetViT] = WeakKeyDictionary()


@dataclass(frozen=True)
class Stability:
    """What two checks found, of one chip.

    Attributes:
        randomised: absolute rank correlation with the map of the same network with shuffled weights, 0..1; low is good.
        noise: mean rank correlation with the maps of the chip under tiny noise, -1..1; high is good.
    """

    randomised: float
    noise: float


def stability(
    model: SpatialNetViT,
    images: Mapping[str, Tensor],
    task: str,
    class_index: int,
    method: str,
    values: npt.NDArray[np.floating[Any]],
    *,
    against: int | None = None,
    seed: int = 0,
) -> Stability:
    """Ask the same question of a model with shuffled weights, and of the chip under tiny noise. The model is left as found.

    Args:
        model: the run's model.
        images: what `model.prepare` gave, for one chip: per sensor (1, bands, height, width).
        task: name of the task.
        class_index: index into the task's classes.
        method: a name in `METHODS`.
        values: the method's map of the chip, (1, height, width).
        against: another class, as `attribute` takes it.
        seed: of the noise.

    Raises:
        ExplanationFailed: as `attribute`.
    """
    other = attribute(_with_shuffled_weights(model), images, task, class_index, method, against=against).values[0]
    generator = torch.Generator().manual_seed(seed)
    noisy = {
        name: pixels + NOISE * torch.randn(DRAWS, *pixels.shape[1:], generator=generator).to(pixels)
        for name, pixels in images.items()
    }
    again = attribute(model, noisy, task, class_index, method, against=against).values
    own = values[0]
    return Stability(
        randomised=abs(rank_correlation(own, other)),
        noise=float(np.mean([rank_correlation(own, one) for one in again])),
    )


def judged(badge: Faithfulness, found: Stability) -> Faithfulness:
    """A badge with both checks: what was faithful is weak where one fails, and says which."""
    doubts = []
    if found.randomised > LEARNT:
        doubts.append(
            "A network with shuffled weights gives nearly the same map, so it says little about what was learnt."
        )
    if found.noise < STEADY:
        doubts.append("Noise that nobody sees changes the map, so single places in it mean little.")
    checked = replace(badge, randomised=found.randomised, noise=found.noise)
    if not doubts or badge.verdict == "no better than chance":
        return checked
    return replace(checked, verdict="weak", sentence=" ".join([badge.sentence, *doubts]))


def rank_correlation(one: npt.NDArray[np.floating[Any]], other: npt.NDArray[np.floating[Any]]) -> float:
    """Spearman's rank correlation of two maps of one shape, with the mean rank for equal values; 0 where a map is flat."""
    ranks = [_ranks(values.ravel()) for values in (one, other)]
    if any(values.std() == 0 for values in ranks):
        return 0.0
    return float(np.corrcoef(ranks[0], ranks[1])[0, 1])


def _ranks(values: npt.NDArray[np.floating[Any]]) -> npt.NDArray[np.float64]:
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    return np.asarray((np.cumsum(counts) - (counts - 1) / 2)[inverse], np.float64)


def _with_shuffled_weights(model: SpatialNetViT) -> SpatialNetViT:
    """A copy in which the numbers of every weight have changed places: as large as before, and nothing learnt is left."""
    if model not in _shuffled:
        other = copy.deepcopy(model)
        generator = torch.Generator().manual_seed(0)
        with torch.no_grad():
            for parameter in other.parameters():
                order = torch.randperm(parameter.numel(), generator=generator).to(parameter.device)
                parameter.copy_(parameter.flatten()[order].view_as(parameter))
        _shuffled[model] = other
    return _shuffled[model]
