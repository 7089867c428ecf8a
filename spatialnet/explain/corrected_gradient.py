"""One backward pass whose gradient is corrected, so that it says what each place brought and not what would move the score.

The plain gradient of a transformer is bent by every part that is not linear: it runs through the attention weights, through the
scale of every normalisation and through the slope of every gate, and a place that brought much may get none of it. Here these
parts are held as they were for this chip and only what they let through is followed. The chip then counts as a chain of
linear steps, and its score is the sum of what its pixels, and the model's own constants, brought.

Source: Mehri et al., "LibraGrad: Balancing Gradient Flow for Universally Better Vision Transformer Attributions", CVPR 2025,
arXiv 2411.16760: pruning and scaling of the backward path through attention, normalisation and gated activations.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

from spatialnet.explain.pixels import on_chip, shares
from spatialnet.explain.question import Evidence, Question


def explain(question: Question) -> Evidence:
    """Evidence of each pixel: its value, from the training mean, times the corrected gradient of the score.

    Returns:
        Signed values per pixel, summed over bands and sensors. `info` says what they add up to (`brought`) and what the model's own
        constants add to it (`constants`): together they are the score.
    """
    inputs = [tensor.clone().requires_grad_() for tensor in question.inputs]
    with torch.enable_grad(), corrected():
        logits = question.logits(*inputs, *question.context)
        score = question.score_of(logits)
        gradients = torch.autograd.grad(score.sum(), inputs, allow_unused=True)
    found = [
        torch.zeros_like(tensor) if gradient is None else (tensor.detach() * gradient).float()
        for tensor, gradient in zip(inputs, gradients, strict=True)
    ]
    brought = torch.stack([tensor.flatten(1).sum(1) for tensor in found]).sum(0)
    pixels = torch.stack([on_chip(tensor.sum(1), question.size) for tensor in found]).sum(0)
    info = {
        "unit": "part of the score per pixel",
        "baseline": "training mean of each band",
        "brought": brought.tolist(),
        "constants": (score.detach().float() - brought).tolist(),
    }
    return Evidence(pixels, logits.detach(), shares(question.sensors, found), info)


@contextmanager
def corrected() -> Iterator[None]:
    """Forward passes within give the same answers, and gradients that run through them are corrected."""
    with _Corrected():
        yield


class _Corrected(TorchFunctionMode):
    """Puts the corrected functions into the place of torch's, for whatever module calls them."""

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        instead: Callable[..., Any] = _INSTEAD.get(func, func)
        return instead(*args, **(kwargs or {}))


class _HeldNorm(torch.autograd.Function):
    """Layer norm; backwards its scale is a constant of the chip. The shift by the mean is linear and stays."""

    @staticmethod
    def forward(ctx: Any, values: Tensor, shape: Any, weight: Tensor | None, bias: Tensor | None, eps: float) -> Tensor:
        result, _, scale = torch.native_layer_norm(values, list(shape), weight, bias, eps)
        ctx.save_for_backward(scale, weight)
        ctx.axes = tuple(range(-len(shape), 0))
        return result

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Any:
        scale, weight = ctx.saved_tensors
        passed = gradients[0] * scale.to(gradients[0].dtype)
        if weight is not None:
            passed = passed * weight
        return passed - passed.mean(ctx.axes, keepdim=True), None, None, None, None


class _HeldGate(torch.autograd.Function):
    """x times a gate of x, as GELU and SiLU are; backwards the gate is a constant of the chip."""

    @staticmethod
    def forward(ctx: Any, values: Tensor, activation: Callable[[Tensor], Tensor]) -> Tensor:
        result = activation(values)
        ctx.save_for_backward(values, result)
        return result

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Any:
        values, result = ctx.saved_tensors
        # Both gates are a half where x is 0.
        return gradients[0] * torch.where(values == 0, 0.5, result / values), None


def _norm(
    values: Tensor, normalized_shape: Any, weight: Tensor | None = None, bias: Tensor | None = None, eps: float = 1e-5
) -> Tensor:
    result: Tensor = _HeldNorm.apply(values, normalized_shape, weight, bias, eps)
    return result


def _gelu(values: Tensor, approximate: str = "none") -> Tensor:
    result: Tensor = _HeldGate.apply(values, lambda x: F.gelu(x, approximate=approximate))
    return result


def _silu(values: Tensor, inplace: bool = False) -> Tensor:  # noqa: ARG001 - torch's signature
    result: Tensor = _HeldGate.apply(values, F.silu)
    return result


def _attention(query: Tensor, key: Tensor, value: Tensor, *rest: Any, **options: Any) -> Tensor:
    return F.scaled_dot_product_attention(query.detach(), key.detach(), value, *rest, **options)


def _held(function: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """The same numbers, as constants of the chip: weights of attention, and gates."""

    def constant(*args: Any, **options: Any) -> Tensor:
        return function(*args, **options).detach()

    return constant


_INSTEAD: dict[Any, Callable[..., Tensor]] = {
    F.layer_norm: _norm, torch.layer_norm: _norm, F.gelu: _gelu, F.silu: _silu,
    F.scaled_dot_product_attention: _attention,
    **{f: _held(f) for f in (F.softmax, torch.softmax, Tensor.softmax, torch.sigmoid, Tensor.sigmoid, F.sigmoid)},
}  # fmt: skip
