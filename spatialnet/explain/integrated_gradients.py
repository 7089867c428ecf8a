"""Integrated Gradients by Captum, with as many steps as completeness needs.

Source: Sundararajan, Taly and Yan, "Axiomatic Attribution for Deep Networks", ICML 2017, arXiv 1703.01365.
"""

from __future__ import annotations

import torch
from captum.attr import IntegratedGradients
from torch import Tensor

from spatialnet.explain.pixels import on_chip, shares
from spatialnet.explain.question import Evidence, Question

STEPS = (32, 64, 128, 256)
"""Steps that are tried in turn for the chips that are not complete yet. A trained transformer needs about 100."""

COMPLETE = 0.01
"""Attributions may miss the change of the score by this fraction of it."""

LEAST_CHANGE = 0.1
"""A smaller change of the score than this counts as this in the relative error, which would else divide by zero."""

INTERNAL_BATCH = 32


def explain(question: Question) -> Evidence:
    """Evidence of each pixel, from the question's baseline (by default the training mean, 0 in normalised units) to the chip as it is.

    Returns:
        Signed values per pixel, summed over bands and sensors. They add up to the score of the chip minus the score of
        the baseline, up to the relative `completeness_error` in `info`.
    """
    inputs, context = question.inputs, question.context
    with torch.no_grad():
        logits = question.logits(*inputs, *context)
        blank = question.score(*question.baselines, *context)
        change = question.score(*inputs, *context) - blank
    found = [torch.zeros_like(tensor) for tensor in inputs]
    error = torch.full_like(change, torch.inf)
    taken = torch.zeros(question.batch, dtype=torch.long, device=change.device)
    for steps in STEPS:
        open_chips = torch.nonzero(error > COMPLETE)[:, 0]
        if not len(open_chips):
            break
        for whole, part in zip(found, _integrate(question.select(open_chips), steps), strict=True):
            whole[open_chips] = part
        reached = sum((tensor[open_chips].flatten(1).sum(1) for tensor in found), torch.zeros(()))
        miss = (reached - change[open_chips]).abs()
        error[open_chips] = miss / change[open_chips].abs().clamp_min(LEAST_CHANGE)
        taken[open_chips] = steps
    info = {
        "unit": "change of the score per pixel",
        "baseline": "chosen" if question.start else "training mean of each band",
        "change": change.tolist(),
        "steps": taken.tolist(),
        "completeness_error": error.tolist(),
        "complete": (error <= COMPLETE).tolist(),
    }
    pixels = torch.stack([on_chip(tensor.sum(1), question.size) for tensor in found]).sum(0)
    return Evidence(pixels, logits, shares(question.sensors, found), info)


def _integrate(question: Question, steps: int) -> tuple[Tensor, ...]:
    method = IntegratedGradients(question.score, multiply_by_inputs=True)
    attributions: tuple[Tensor, ...] = method.attribute(
        question.inputs,
        baselines=question.baselines,
        additional_forward_args=question.context or None,
        n_steps=steps,
        method="gausslegendre",
        internal_batch_size=max(INTERNAL_BATCH, question.batch),
    )
    return tuple(tensor.detach().float() for tensor in attributions)
