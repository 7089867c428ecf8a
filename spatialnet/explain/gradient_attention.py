"""Gradient-weighted attention: attention through all blocks, kept where it raises the score of the class.

Source: Chefer, Gur and Wolf, "Generic Attention-model Explainability for Interpreting Bi-Modal and Encoder-Decoder
Transformers", ICCV 2021, arXiv 2103.15679. The rule for cross attention serves the task queries.
"""

from __future__ import annotations

import torch

from spatialnet.explain.attention import to_pixels, trace
from spatialnet.explain.question import Evidence, Question


def explain(question: Question) -> Evidence:
    """Relevance of each place for the class.

    One forward and one backward pass, which ends at the first attention map. Every token that the task reads starts
    with 1 (its weight in the mean is already in the gradient), and the task's query adds what its own attention brings.
    Each block then adds what its attention, times its positive gradient (mean over heads), brings. The start itself is
    taken off again, as it tells places apart only by what they brought.

    Returns:
        Values of 0 or more, one per patch, in units of the score.
    """
    with torch.enable_grad():
        seen = trace(question)
        read_by_query = seen.pooled.attention.requires_grad  # not where the class token is read: nothing attends there
        wanted = [*seen.maps, seen.pooled.attention] if read_by_query else seen.maps
        gradients = torch.autograd.grad(question.score_of(seen.logits).sum(), wanted)
    with torch.no_grad():
        start = (seen.pooled.base > 0).float()
        relevance = start.clone()
        if read_by_query:
            relevance += (seen.pooled.attention * gradients[-1]).clamp_min_(0).sum(1)[:, 0]
        for attention, gradient in zip(reversed(seen.maps), reversed(gradients[: len(seen.maps)]), strict=True):
            brought = (attention * gradient).clamp_min_(0).mean(1)
            relevance = relevance + (relevance[:, None] @ brought)[:, 0]
        pixels, sensors = to_pixels(relevance - start, seen.layout, question.size)
    info = {"unit": "relevance, in units of the score", "sensors": {n: v.tolist() for n, v in sensors.items()}}
    return Evidence(pixels.clamp_min_(0), seen.logits.detach(), info=info)
