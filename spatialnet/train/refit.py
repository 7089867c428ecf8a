"""Heads fitted anew on features that are kept: what a person at the screen waits for after a correction."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional as F

from spatialnet.model import SpatialNetViT
from spatialnet.model.heads import Head
from spatialnet.tasks import UNKNOWN_CLASS, Task

MOST_ROUNDS = 60
"""L-BFGS rounds at most; in coordinates in which the problem is about round, 15 are usual."""

TOLERANCE = 3e-5
"""The fit is done when another round is expected to lower the loss by less than this, per known target."""

_PAIRS = 10
"""How many past steps L-BFGS remembers."""

_SAMPLE = 2048
"""Chips from which the curvature of the problem is estimated; it decides the number of rounds, not the result."""


@dataclass(frozen=True)
class _Rows:
    """Features as the heads' linear layers read them, standardised.

    Attributes:
        values: (chips, dim).
        mean: (dim,) before standardising.
        deviation: (dim,) likewise.
        axes: (dim, dim), a column per main axis of the values, orthogonal.
        spread: (dim,) mean square of the values along each axis.
    """

    values: Tensor
    mean: Tensor
    deviation: Tensor
    axes: Tensor
    spread: Tensor


def refit_heads(
    model: SpatialNetViT,
    features: npt.NDArray[Any] | Mapping[str, npt.NDArray[Any]],
    targets: Mapping[str, npt.NDArray[Any]],
    weights: Mapping[str, npt.NDArray[np.float32]] | None = None,
    *,
    decay: float = 1.0,
    rounds: int = MOST_ROUNDS,
    tolerance: float = TOLERANCE,
) -> dict[str, float]:
    """Fit the model's heads to kept features: logistic regression (least squares of log1p for `count`) by L-BFGS on one thread.

    Each task's problem is convex and starts from the head as it is; the backbone is not touched. A task without a known
    target keeps its head.

    Args:
        model: on any device; its heads are changed in place.
        features: (chips, dim) what the heads read, for all tasks or per task.
        targets: per task, as a data set stores them, or as shares (chips, classes) of a `multiclass` task.
        weights: (chips,) per task, at least 0; default 1.
        decay: strength of the L2 term on the weights of standardised features, in chips: 1 is the usual logistic regression.
        rounds: L-BFGS rounds at most.
        tolerance: expected gain per known target at which the fit is done.

    Returns:
        Per task that was fitted its mean loss.
    """
    found = {}
    standard: dict[int, _Rows] = {}
    with _one_thread(), torch.no_grad():
        for name, wanted in targets.items():
            if name not in model.tasks:
                continue
            task, head = model.tasks[name], model.heads[name]
            assert isinstance(head, Head)  # noqa: S101 - tells the type checker what the module dict holds
            rows = features[name] if isinstance(features, Mapping) else features
            weight = np.ones(len(rows), np.float32) if weights is None or name not in weights else weights[name]
            target, mask = _dense(task, np.asarray(wanted), np.asarray(weight, np.float32))
            if not mask.any():
                continue
            if id(rows) not in standard:
                standard[id(rows)] = _standardised(rows, head)
            found[name] = _fit(head, standard[id(rows)], target, mask, decay, rounds, tolerance)
    return found


@contextmanager
def _one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def _standardised(rows: npt.NDArray[Any], head: Head) -> _Rows:
    """What a head's linear layer reads but for its norm's own scale, standardised."""
    values = torch.from_numpy(np.ascontiguousarray(rows, np.float32))
    if isinstance(head.norm, torch.nn.LayerNorm):
        values = F.layer_norm(values, values.shape[-1:], eps=head.norm.eps)
    deviation, mean = torch.std_mean(values, 0, correction=0)
    deviation = deviation.clamp_min(1e-4)
    values = (values - mean).div_(deviation)
    some = values[:: -(-len(values) // _SAMPLE)]
    spread, axes = torch.linalg.eigh(some.T @ some / len(some))
    return _Rows(values, mean, deviation, axes, spread.clamp_min(0))


def _dense(task: Task, wanted: npt.NDArray[Any], weight: npt.NDArray[np.float32]) -> tuple[Tensor, Tensor]:
    """Targets (chips, outputs) without NaN, and what each entry, or for `multiclass` each chip, counts."""
    if task.kind == "multiclass":
        if wanted.ndim == 1:
            known = wanted != UNKNOWN_CLASS
            dense = np.zeros((len(wanted), len(task.classes)), np.float32)
            dense[known, wanted[known].astype(np.int64)] = 1.0
        else:
            known = ~np.isnan(wanted).any(1)
            dense = np.where(known[:, None], wanted, 0.0)
        return torch.from_numpy(dense.astype(np.float32)), torch.from_numpy(known * weight)[:, None]
    values = wanted.reshape(len(wanted), -1).astype(np.float32)
    known = ~np.isnan(values)
    dense = np.nan_to_num(values)
    if task.kind == "count":
        dense = np.log1p(dense.clip(0))
    return torch.from_numpy(dense), torch.from_numpy(known * weight[:, None])


def _fit(head: Head, rows: _Rows, target: Tensor, mask: Tensor, decay: float, rounds: int, tolerance: float) -> float:
    norm = head.norm if isinstance(head.norm, torch.nn.LayerNorm) else None
    scale = torch.ones_like(rows.mean) if norm is None else norm.weight.detach().cpu()
    shift = torch.zeros_like(rows.mean) if norm is None else norm.bias.detach().cpu()
    before, bias = head.fc.weight.detach().cpu(), head.fc.bias.detach().cpu()
    # The same function, written for standardised rows.
    start = torch.cat([before * scale * rows.deviation, (before @ (shift + scale * rows.mean) + bias)[:, None]], 1)
    solved, loss = _minimised(head.task, rows, target, mask, start, decay, rounds, tolerance)
    direct = solved[:, :-1] / rows.deviation  # on normed rows
    raw = direct / torch.where(scale.abs() < 1e-6, 1.0, scale)
    head.fc.weight.copy_(raw)
    head.fc.bias.copy_(solved[:, -1] - direct @ rows.mean - raw @ shift)
    return loss


def _minimised(
    task: Task, rows: _Rows, target: Tensor, mask: Tensor, start: Tensor, decay: float, rounds: int, tolerance: float
) -> tuple[Tensor, float]:
    """The best weights of standardised rows, (outputs, dim + 1) with the bias last, and their mean loss."""
    values = rows.values
    chips = (mask.amax(1) > 0).nonzero()[:, 0]
    if len(chips) < len(values):
        values, target, mask = values[chips], target[chips], mask[chips]
    amount = float(mask.sum())
    # With a row per output these products are up to twice as fast.
    target, mask = target.T.contiguous(), mask.T.contiguous()
    bend = {"multiclass": 0.5, "count": 1.0}.get(task.kind, 0.25)  # the loss's largest curvature in a logit
    per_output = amount if task.kind == "multiclass" else amount / len(target)
    # Along the main axes, each in units in which the curvature is about 1, no direction is much steeper than another.
    unit = (bend * per_output * rows.spread + decay).rsqrt()
    bias_unit = (bend * per_output) ** -0.5

    def data_loss(logits: Tensor) -> tuple[Tensor, Tensor]:
        """Summed loss and its gradient for the logits; by hand, which is half the work of a graph."""
        if task.kind == "multiclass":
            logs = logits.log_softmax(0)
            return -(target * logs * mask).sum(), (logs.exp() * target.sum(0, keepdim=True) - target) * mask
        if task.kind == "count":
            error = logits - target
            return 0.5 * (error.square() * mask).sum(), error * mask
        loss = F.binary_cross_entropy_with_logits(logits, target, weight=mask, reduction="sum")
        return loss, (logits.sigmoid() - target) * mask

    def plain(point: Tensor) -> Tensor:
        return torch.cat([(point[:, :-1] * unit) @ rows.axes.T, point[:, -1:] * bias_unit], 1)

    def logits(point: Tensor) -> Tensor:
        weight = plain(point)
        return (weight[:, :-1] @ values.T).add_(weight[:, -1:])

    def value(point: Tensor) -> tuple[float, Tensor]:
        loss, slope = data_loss(logits(point))
        down = ((slope @ values) @ rows.axes * unit).add_(decay * unit.square() * point[:, :-1])
        gradient = torch.cat([down, slope.sum(1, keepdim=True) * bias_unit], 1)
        return float(loss + 0.5 * decay * (point[:, :-1] * unit).square().sum()), gradient

    first = torch.cat([start[:, :-1] @ rows.axes / unit, start[:, -1:] / bias_unit], 1)
    point = _descended(value, first, rounds, tolerance * amount)
    return plain(point), float(data_loss(logits(point))[0]) / amount


def _descended(value: Callable[[Tensor], tuple[float, Tensor]], point: Tensor, rounds: int, tolerance: float) -> Tensor:
    """The lowest point of a smooth convex function by L-BFGS (Nocedal and Wright, Numerical Optimization, 7.2).

    Args:
        value: the function and its gradient.
        point: where to start, in coordinates in which the curvature is at most about 1.
        rounds: at most.
        tolerance: expected further gain at which to stop.
    """
    loss, gradient = value(point)
    pairs: list[tuple[Tensor, Tensor, float]] = []
    for _ in range(rounds):
        direction = _direction(gradient, pairs)
        slope = float((direction * gradient).sum())
        if -slope / 2 <= tolerance:
            break
        share = 1.0
        while True:
            there = point + share * direction
            found, steeper = value(there)
            # What a sum in float32 cannot tell apart counts as equal.
            if found <= loss + 1e-4 * share * slope + 1e-7 * abs(loss):
                break
            share *= 0.3
            if share < 1e-4:
                return point
        step, change = there - point, steeper - gradient
        bend = float((step * change).sum())
        if bend > 0:
            pairs = [*pairs[1 - _PAIRS :], (step, change, 1 / bend)]
        point, loss, gradient = there, found, steeper
    return point


def _direction(gradient: Tensor, pairs: list[tuple[Tensor, Tensor, float]]) -> Tensor:
    """Minus the gradient times the inverse curvature that the past steps tell of."""
    direction = -gradient
    shares = []
    for step, change, inverse in reversed(pairs):
        share = inverse * float((step * direction).sum())
        shares.append(share)
        direction = direction - share * change
    if pairs:
        step, change, inverse = pairs[-1]
        direction = direction / (inverse * float(change.square().sum()))
    for (step, change, inverse), share in zip(pairs, reversed(shares), strict=True):
        direction = direction + (share - inverse * float((change * direction).sum())) * step
    return direction
