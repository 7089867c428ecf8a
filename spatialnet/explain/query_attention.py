"""The task query's own attention: which of the final tokens the task reads. The last step only, and the same for every class."""

from __future__ import annotations

import torch

from spatialnet.explain.attention import to_pixels, trace
from spatialnet.explain.question import Evidence, Question


def explain(question: Question) -> Evidence:
    """Attention of the task's query over the final tokens, mean over heads.

    Where the model pools by the class token, it is that token's attention in the last block.

    Returns:
        Values of 0 or more, one per patch, that sum to at most 1 over the patches.
    """
    with torch.no_grad():
        seen = trace(question)
        if question.model.preset.pool == "query":
            share = seen.pooled.attention.mean(1)[:, 0]
        else:
            share = (seen.pooled.base[:, None] @ seen.maps[-1].mean(1))[:, 0]
        pixels, sensors = to_pixels(share, seen.layout, question.size)
    info = {"unit": "share of attention per patch", "sensors": {n: v.tolist() for n, v in sensors.items()}}
    return Evidence(pixels, seen.logits, info=info)
