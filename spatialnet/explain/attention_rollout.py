"""Attention rollout: attention multiplied through all blocks. Says where the model looks, the same for every class.

Source: Abnar and Zuidema, "Quantifying Attention Flow in Transformers", ACL 2020, arXiv 2005.00928.
"""

from __future__ import annotations

import torch

from spatialnet.explain.attention import to_pixels, trace
from spatialnet.explain.question import Evidence, Question


def explain(question: Question) -> Evidence:
    """Share of each place in what the task reads.

    Each block passes on half attention (mean over heads) and half the token itself, its residual path. The task reads
    half by its query's attention (mean over heads) and half by the mean of the patches, which is the query's residual
    path; the class token alone where the model pools by it.

    Returns:
        Values of 0 or more, one per patch, that sum to 1 over the patches (and, with a class token, the tokens that
        belong to no patch).
    """
    with torch.no_grad():
        seen = trace(question)
        share = 0.5 * seen.pooled.attention.mean(1)[:, 0] + 0.5 * seen.pooled.base
        for attention in reversed(seen.maps):
            share = 0.5 * share + 0.5 * (share[:, None] @ attention.mean(1))[:, 0]
        pixels, sensors = to_pixels(share, seen.layout, question.size)
    info = {"unit": "share of attention per patch", "sensors": {n: v.tolist() for n, v in sensors.items()}}
    return Evidence(pixels, seen.logits, info=info)
