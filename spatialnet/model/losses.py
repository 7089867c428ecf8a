"""The multi-task loss: each task over the targets that are known, all tasks on one scale."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from spatialnet.tasks import UNKNOWN_CLASS, Task

Weighting = Literal["static", "uncertainty"]


@dataclass(frozen=True)
class Losses:
    """One batch's losses.

    Attributes:
        total: scalar to call `backward` on; 0 with zero gradients when no target is known.
        tasks: detached scalar per task, scale-normalised: a uniform guess costs 1; 0 where no target is
            known.
        known: detached scalar per task: the summed weight of its known targets.
    """

    total: Tensor
    tasks: dict[str, Tensor]
    known: dict[str, Tensor]


class MultiTaskLoss(nn.Module):
    """Sum over tasks of the mean loss over known targets, each divided by what a uniform guess costs.

    `multiclass`: cross-entropy / log(classes). `multilabel` and `binary`: binary cross-entropy / log 2.
    `count`: smooth L1 on the logarithm of one plus the count. Unknown targets take no part, in value or
    gradient; a task without any in the batch is skipped.

    Args:
        tasks: the model's tasks.
        weighting: `static` = every task counts 1; `uncertainty` = learned weights (Kendall et al., 2018).
        label_smoothing: 0..1, for `multiclass` and `binary`.
        priors: share of each class in the training targets, (classes,) per `multiclass` or `binary` task.
        balance: 0..1, for `multiclass`. The logits of tasks with priors are raised by `balance` times the log prior
            inside the loss, so that the model's own outputs lean towards rare classes (1: as if all classes were
            equally frequent).
        balance_binary: the same for `binary`.

    Source: static weights: Kurin et al., 2022 (arXiv 2201.04122); logit adjustment: Menon et al., 2021 (arXiv
    2007.07314).
    """

    def __init__(
        self,
        tasks: Sequence[Task],
        *,
        weighting: Weighting = "static",
        label_smoothing: float = 0.0,
        priors: Mapping[str, Tensor] | None = None,
        balance: float = 0.0,
        balance_binary: float = 0.0,
    ) -> None:
        super().__init__()
        self.tasks = {task.name: task for task in tasks}
        self.label_smoothing = label_smoothing
        self.log_variance = nn.ParameterDict(
            {name: nn.Parameter(torch.zeros(())) for name in self.tasks} if weighting == "uncertainty" else {}
        )
        self.shift: dict[str, Tensor] = {}
        for name, prior in (priors or {}).items():
            logs = prior.float().clamp_min(1e-4).log()
            binary = self.tasks[name].kind == "binary"
            self.shift[name] = (logs[1] - logs[0]) * balance_binary if binary else logs * balance

    def forward(
        self, logits: Mapping[str, Tensor], targets: Mapping[str, Tensor], weights: Mapping[str, Tensor] | None = None
    ) -> Losses:
        """Losses of a batch.

        Args:
            logits: per task, as the model returns them.
            targets: per task, as a data set stores them (-100 or NaN unknown); `multiclass` also as shares
                (batch, classes) that sum to 1, NaN rows unknown; `multilabel` and `binary` also anything in
                0..1.
            weights: (batch,) per task, at least 0; default 1. Tasks without an entry count 1 for every chip.
        """
        total = next(iter(logits.values())).new_zeros(())
        parts: dict[str, Tensor] = {}
        known: dict[str, Tensor] = {}
        for name, outputs in logits.items():
            if name not in targets:
                continue
            loss, mask = self._elements(self.tasks[name], outputs, targets[name])
            weight = mask.float()
            if weights is not None and name in weights:
                weight = weight * weights[name].reshape(-1, *[1] * (mask.ndim - 1))
            amount = weight.sum()
            mean = (loss * weight).sum() / amount.clamp_min(1e-8)
            parts[name], known[name] = mean.detach(), amount.detach()
            if name in self.log_variance:
                s = self.log_variance[name]
                factor = 0.5 if self.tasks[name].kind == "count" else 1.0
                mean = (factor * torch.exp(-s) * mean + 0.5 * s) * (amount > 0)
            total = total + mean
        return Losses(total, parts, known)

    def _elements(self, task: Task, logits: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        """Loss per known entry, and which entries are known. Unknown ones are replaced before the loss, so that no NaN
        reaches a gradient.
        """  # noqa: D205 - one thought
        logits = logits + self.shift[task.name].to(logits.device) if task.name in self.shift else logits
        if task.kind == "multiclass":
            return self._cross_entropy(logits, targets)
        mask = ~torch.isnan(targets)
        if task.kind == "count":
            wanted = torch.where(mask, targets, 0.0).clamp_min(0.0).log1p()
            return F.smooth_l1_loss(logits, wanted, reduction="none"), mask
        wanted = torch.where(mask, targets, 0.5)
        if task.kind == "binary":
            wanted = wanted * (1 - self.label_smoothing) + 0.5 * self.label_smoothing
        return F.binary_cross_entropy_with_logits(logits, wanted, reduction="none") / math.log(2), mask

    def _cross_entropy(self, logits: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        classes = logits.shape[-1]
        if targets.ndim == 1:
            mask = targets != UNKNOWN_CLASS
            shares = F.one_hot(torch.where(mask, targets, 0), classes).to(logits.dtype)
        else:
            mask = ~torch.isnan(targets).any(-1)
            shares = torch.where(mask[:, None], targets, 1.0 / classes)
        shares = shares * (1 - self.label_smoothing) + self.label_smoothing / classes
        return -(shares * logits.log_softmax(-1)).sum(-1) / math.log(classes), mask
