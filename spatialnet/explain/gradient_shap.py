"""Gradient SHAP by Captum: gradients at random points between noisy copies of the chip and several baselines.

Source: Lundberg and Lee, "A Unified Approach to Interpreting Model Predictions", NeurIPS 2017, arXiv 1705.07874 (expected gradients).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch
from captum.attr import GradientShap
from torch import Tensor

from spatialnet.explain.baselines import blurred
from spatialnet.explain.pixels import on_chip, shares
from spatialnet.explain.question import Evidence, Question

SAMPLES, AT_ONCE = 48, 16
"""Random points per chip, and how many go through the model together."""

NOISE = 0.1
"""Standard deviation of the noise on the chip, in normalised units."""


def explain(question: Question) -> Evidence:
    """Mean over random points of gradient times the way from a baseline to the chip.

    Baselines are the training mean and the blurred chip, or the one that was chosen. Points are the same for the same chip, whatever
    else is in the batch.

    Returns:
        Signed values per pixel, summed over bands and sensors, and shares of bands.
    """
    with torch.no_grad():
        logits = question.logits(*question.inputs, *question.context)
    found = [torch.zeros_like(tensor) for tensor in question.inputs]
    for chip in range(question.batch):
        one = question.select(torch.tensor([chip], device=logits.device))
        baselines = one.start or tuple(torch.cat([torch.zeros_like(t), blurred(t)]) for t in one.inputs)
        with _same_draws(logits.device):
            for _ in range(SAMPLES // AT_ONCE):
                parts: tuple[Tensor, ...] = GradientShap(one.score).attribute(
                    one.inputs,
                    baselines=baselines,
                    n_samples=AT_ONCE,
                    stdevs=NOISE,
                    additional_forward_args=one.context or None,
                )
                for whole, part in zip(found, parts, strict=True):
                    whole[chip] += part[0].detach().float() * (AT_ONCE / SAMPLES)
    info = {
        "unit": "change of the score per pixel",
        "baseline": "chosen" if question.start else "training mean of each band, and the chip, blurred",
        "samples": SAMPLES,
    }
    pixels = torch.stack([on_chip(tensor.sum(1), question.size) for tensor in found]).sum(0)
    return Evidence(pixels, logits, shares(question.sensors, found), info)


@contextmanager
def _same_draws(device: torch.device) -> Iterator[None]:
    """Captum draws from the global generators: they begin at a known place, and go on afterwards as if nothing had been drawn."""
    state = np.random.get_state()
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.manual_seed(0)
        np.random.seed(0)
        try:
            yield
        finally:
            np.random.set_state(state)
