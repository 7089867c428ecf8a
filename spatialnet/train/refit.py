"""Heads fitted anew on features that are kept: what a person at the screen waits for after a correction."""

from __future__ import annotations

from collections.abc import Mapping
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
"""L-BFGS rounds at most; the loss of standardised features is smooth and convex, so few are needed."""


def refit_heads(
    model: SpatialNetViT,
    features: npt.NDArray[Any] | Mapping[str, npt.NDArray[Any]],
    targets: Mapping[str, npt.NDArray[Any]],
    weights: Mapping[str, npt.NDArray[np.float32]] | None = None,
    *,
    decay: float = 1.0,
    rounds: int = MOST_ROUNDS,
) -> dict[str, float]:
    """Fit the model's heads to kept features: logistic regression (least squares of log1p for `count`) by L-BFGS, on the CPU.

    Each task's problem is convex and starts from the head as it is; the backbone is not touched. A task without a known
    target keeps its head.

    Args:
        model: on any device; its heads are changed in place.
        features: (chips, dim) what the heads read, for all tasks or per task.
        targets: per task, as a data set stores them, or as shares (chips, classes) of a `multiclass` task.
        weights: (chips,) per task, at least 0; default 1.
        decay: strength of the L2 term on the weights of standardised features, in chips: 1 is the usual logistic regression.
        rounds: L-BFGS rounds at most.

    Returns:
        Per task that was fitted its mean loss.
    """
    found = {}
    standard: dict[int, tuple[Tensor, Tensor, Tensor]] = {}
    for name, wanted in targets.items():
        if name not in model.tasks:
            continue
        task, head = model.tasks[name], model.heads[name]
        assert isinstance(head, Head)  # noqa: S101 - tells the type checker what the module dict holds
        rows = features[name] if isinstance(features, Mapping) else features
        if id(rows) not in standard:
            standard[id(rows)] = _standardised(rows, head)
        count = len(rows)
        weight = np.ones(count, np.float32) if weights is None or name not in weights else weights[name]
        target, mask = _dense(task, np.asarray(wanted), np.asarray(weight, np.float32))
        if mask.any():
            found[name] = _fit(head, standard[id(rows)], target, mask, decay, rounds)
    return found


def _standardised(rows: npt.NDArray[Any], head: Head) -> tuple[Tensor, Tensor, Tensor]:
    """What a head's linear layer reads but for its norm's own scale, standardised: (chips, dim), mean (dim,), deviation (dim,)."""
    values = torch.from_numpy(np.ascontiguousarray(rows, np.float32))
    if isinstance(head.norm, torch.nn.LayerNorm):
        values = F.layer_norm(values, values.shape[-1:], eps=head.norm.eps)
    deviation, mean = torch.std_mean(values, 0, correction=0)
    deviation = deviation.clamp_min(1e-4)
    return (values - mean) / deviation, mean, deviation


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


def _fit(
    head: Head, standard: tuple[Tensor, Tensor, Tensor], target: Tensor, mask: Tensor, decay: float, rounds: int
) -> float:
    rows, mean, deviation = standard
    norm = head.norm if isinstance(head.norm, torch.nn.LayerNorm) else None
    with torch.no_grad():
        scale = torch.ones_like(mean) if norm is None else norm.weight.detach().cpu()
        shift = torch.zeros_like(mean) if norm is None else norm.bias.detach().cpu()
        before, bias = head.fc.weight.detach().cpu(), head.fc.bias.detach().cpu()
        # The same function, written for standardised rows.
        weight = (before * scale * deviation).T.contiguous()
        start = torch.cat([weight, (before @ (shift + scale * mean) + bias)[None]])
    solved, loss = _minimised(head.task, rows, target, mask, start, decay, rounds)
    with torch.no_grad():
        direct = (solved[:-1] / deviation[:, None]).T  # on normed rows
        raw = direct / torch.where(scale.abs() < 1e-6, 1.0, scale)
        head.fc.weight.copy_(raw)
        head.fc.bias.copy_(solved[-1] - direct @ mean - raw @ shift)
    return loss


def _minimised(
    task: Task, rows: Tensor, target: Tensor, mask: Tensor, start: Tensor, decay: float, rounds: int
) -> tuple[Tensor, float]:
    chips = (mask.amax(1) > 0).nonzero()[:, 0]
    if len(chips) < len(rows):
        rows, target, mask = rows[chips], target[chips], mask[chips]
    amount = float(mask.sum())
    solution = start.clone().requires_grad_()
    optimizer = torch.optim.LBFGS(
        [solution], max_iter=rounds, history_size=10, line_search_fn="strong_wolfe", tolerance_change=1e-7
    )

    def data_loss(logits: Tensor) -> tuple[Tensor, Tensor]:
        """Summed loss and its gradient for the logits; by hand, which is half the work of a graph."""
        if task.kind == "multiclass":
            logs = logits.log_softmax(-1)
            return -(target * logs * mask).sum(), (logs.exp() * target.sum(-1, keepdim=True) - target) * mask
        if task.kind == "count":
            error = logits - target
            return 0.5 * (error.square() * mask).sum(), error * mask
        loss = F.binary_cross_entropy_with_logits(logits, target, weight=mask, reduction="sum")
        return loss, (logits.sigmoid() - target) * mask

    @torch.no_grad()
    def closure() -> float:
        loss, slope = data_loss(torch.addmm(solution[-1], rows, solution[:-1]))
        gradient = torch.cat([torch.mm(rows.T, slope) + decay * solution[:-1], slope.sum(0, keepdim=True)])
        solution.grad = gradient / amount
        return float((loss + 0.5 * decay * solution[:-1].square().sum()) / amount)

    optimizer.step(closure)  # type: ignore[no-untyped-call]
    with torch.no_grad():
        loss, _ = data_loss(torch.addmm(solution[-1], rows, solution[:-1]))
    return solution.detach(), float(loss) / amount
