"""Occlusion by Captum: cover one patch after another, then one band after another, and see how far the score falls.

Source: Zeiler and Fergus, "Visualizing and Understanding Convolutional Networks", ECCV 2014, arXiv 1311.2901.
"""

from __future__ import annotations

import torch
from captum.attr import FeatureAblation, Occlusion
from torch import Tensor
from torch.nn import functional as F

from spatialnet.explain.pixels import divided
from spatialnet.explain.question import Evidence, Question

FORWARD_BATCH = 64
"""Covered chips per forward pass, over all chips of the batch."""


def explain(question: Question) -> Evidence:
    """Fall of the score when a patch of one sensor is set to the training mean (0 in normalised units).

    Returns:
        Signed values, one per patch, summed over sensors; shares of bands are by the absolute change of the score when
        the whole band is covered.
    """
    with torch.no_grad():
        logits = question.logits(*question.inputs, *question.context)
        at_once = max(1, FORWARD_BATCH // question.batch)
        falls = _falls(question, at_once)
        pixels = torch.stack([_on_chip(fall[:, 0], question.size) for fall in falls]).sum(0)
        weights = [fall.abs() for fall in _band_falls(question, at_once)]
    bands = divided(question.sensors, weights)
    info = {
        "unit": "fall of the score when the patch is covered",
        "baseline": "training mean of each band",
        "patch": question.model.patch,
    }
    return Evidence(pixels, logits, bands, info)


def _falls(question: Question, at_once: int) -> tuple[Tensor, ...]:
    windows = []
    for tensor in question.inputs:
        bands, height, width = tensor.shape[1:]
        windows.append((bands, min(question.model.patch, height), min(question.model.patch, width)))
    falls: tuple[Tensor, ...] = Occlusion(question.score).attribute(
        question.inputs,
        sliding_window_shapes=tuple(windows),
        strides=tuple(windows),
        baselines=(0,) * len(question.inputs),
        additional_forward_args=question.context or None,
        perturbations_per_eval=at_once,
    )
    return tuple(fall.float() for fall in falls)


def _band_falls(question: Question, at_once: int) -> list[Tensor]:
    masks, first = [], 0
    for tensor in question.inputs:
        numbers = torch.arange(first, first + tensor.shape[1], device=tensor.device)
        masks.append(numbers[None, :, None, None].expand(1, *tensor.shape[1:]))
        first += tensor.shape[1]
    falls: tuple[Tensor, ...] = FeatureAblation(question.score).attribute(
        question.inputs,
        baselines=(0,) * len(question.inputs),
        additional_forward_args=question.context or None,
        feature_mask=tuple(masks),
        perturbations_per_eval=at_once,
    )
    return [fall[:, :, 0, 0].float() for fall in falls]


def _on_chip(values: Tensor, size: tuple[int, int]) -> Tensor:
    return F.interpolate(values[:, None], size=size, mode="nearest-exact")[:, 0]
