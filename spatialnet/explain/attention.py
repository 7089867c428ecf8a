"""The attention maps of a model, recorded during one forward pass, and the way from tokens back to pixels."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from spatialnet.errors import ExplanationFailed
from spatialnet.explain.question import Question
from spatialnet.model import Pooled, SpatialNetViT, TokenLayout


@dataclass(frozen=True)
class Trace:
    """One forward pass with its attention.

    Attributes:
        maps: per block (batch, heads, tokens, tokens); row = the token that attends, each row sums to 1.
        tokens: (batch, tokens, dim) after the final norm.
        pooled: what the task's query saw (one task).
        layout: where each token comes from.
        logits: the task's logits.
    """

    maps: list[Tensor]
    tokens: Tensor
    pooled: Pooled
    layout: TokenLayout
    logits: Tensor


def trace(question: Question) -> Trace:
    """Run the model on the question's chips and keep every attention map, connected to the logits for gradients.

    Raises:
        ExplanationFailed: the model's blocks do not show their attention.
    """
    model, names = question.model, [question.task.name]
    images = dict(zip(question.sensors, question.inputs, strict=True))
    with torch.no_grad():
        start, layout = model.tokens(images, **question.keywords(question.context))
    with attention_maps(model) as maps:
        tokens = model.encode(start.requires_grad_(torch.is_grad_enabled()), layout)
    pooled = model.pool(tokens, layout, names)
    logits = model.classify(pooled.features, names)[question.task.name]
    return Trace(maps, tokens, pooled, layout, logits)


@contextmanager
def attention_maps(model: SpatialNetViT) -> Iterator[list[Tensor]]:
    """A list that a forward pass within fills with one map per block.

    The blocks' fused attention never forms the map, so it is switched off for the time; it is switched back and the
    hooks are removed afterwards, also when something raises.
    """
    attentions = [getattr(block, "attn", None) for block in model.blocks]
    if not all(hasattr(a, "fused_attn") and hasattr(a, "attn_drop") for a in attentions):
        raise ExplanationFailed(
            f"The blocks of preset {model.preset.name} do not show their attention. "
            "Choose Integrated Gradients or occlusion."
        )
    found: list[nn.Module] = [a for a in attentions if a is not None]
    fused = [bool(attention.fused_attn) for attention in found]
    maps: list[Tensor] = []
    handles = []

    def keep(module: nn.Module, inputs: Any, output: Tensor) -> None:  # noqa: ARG001 - torch's hook signature
        maps.append(output)

    try:
        for attention in found:
            attention.fused_attn = False  # type: ignore[assignment]
            dropout = attention.attn_drop
            assert isinstance(dropout, nn.Module)  # noqa: S101 - tells the type checker
            handles.append(dropout.register_forward_hook(keep))
        yield maps
    finally:
        for handle in handles:
            handle.remove()
        for attention, flag in zip(found, fused, strict=True):
            attention.fused_attn = flag  # type: ignore[assignment]


def to_pixels(tokens: Tensor, layout: TokenLayout, size: tuple[int, int]) -> tuple[Tensor, dict[str, Tensor]]:
    """Values per token on chip pixels.

    Args:
        tokens: (batch, tokens).
        layout: where each token comes from.
        size: height and width of the chip in pixels.

    Returns:
        (batch, height, width), each patch filled with its own value, summed over sensors; and the sum per sensor
        (batch,).
    """
    grids = layout.grids(tokens)
    total = torch.stack(list(grids.values())).sum(0)
    pixels = F.interpolate(total[:, None], size=size, mode="nearest-exact")[:, 0]
    return pixels, {name: grid.sum((-2, -1)) for name, grid in grids.items()}
