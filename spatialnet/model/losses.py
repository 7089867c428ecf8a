"""The losses of all tasks: each over the targets that are known, all tasks on one scale."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from spatialnet.tasks import UNKNOWN_CLASS, Task

RAREST = 1e-4
"""Classes that are rarer than this among the training targets are balanced as if they were this frequent."""

_LEAST = 1e-8


@dataclass(frozen=True)
class Losses:
    """The losses of some chips: a batch, or a part of a step.

    Attributes:
        tasks: scalar per task, with its graph; a uniform guess costs 1, unless the losses are unscaled. 0 with zero gradients
            where no target is known.
        known: detached scalar per task: the summed weight of its known targets here.
        share: detached scalar per task in 0..1: how much of the step's known targets is here; 1 where the step has one part
            and 0 where nothing is known.
    """

    tasks: dict[str, Tensor]
    known: dict[str, Tensor]
    share: dict[str, Tensor]


class MultiTaskLoss(nn.Module):
    """Per task the mean loss over known targets, divided by what a uniform guess costs.

    `multiclass`: cross-entropy / log(classes). `multilabel` and `binary`: binary cross-entropy / log 2.
    `count`: smooth L1 on the logarithm of one plus the count. Unknown targets take no part, in value or gradient. How the
    tasks are put together is `spatialnet.train.weighting`'s.

    Args:
        tasks: the model's tasks.
        label_smoothing: 0..1, for `multiclass` and `binary`.
        priors: share of each class in the training targets, (classes,) per `multiclass` or `binary` task.
        balance: 0..1, for `multiclass`. The logits of tasks with priors are raised by `balance` times the log prior
            inside the loss, so that the model's own outputs lean towards rare classes (1: as if all classes were
            equally frequent). A class that no training target has gets no such help, so that it is not guessed.
        balance_binary: the same for `binary`.
        assumed_negative: 0..1, how much an unknown entry of a `multilabel` task counts as a "no", in chips of which any entry
            of that task is known. Chips of which none is known were not asked, and stay unknown.
        unscaled: whether losses stay as they are: plain cross-entropies, and the squared error for `count`.

    Source: one scale: Kurin et al., 2022 (arXiv 2201.04122); logit adjustment: Menon et al., 2021 (arXiv 2007.07314).
    """

    def __init__(
        self,
        tasks: Sequence[Task],
        *,
        label_smoothing: float = 0.0,
        priors: Mapping[str, Tensor] | None = None,
        balance: float = 0.0,
        balance_binary: float = 0.0,
        assumed_negative: float = 0.0,
        unscaled: bool = False,
    ) -> None:
        super().__init__()
        self.tasks = {task.name: task for task in tasks}
        self.label_smoothing = label_smoothing
        self.assumed_negative = assumed_negative
        self.unscaled = unscaled
        for name, prior in (priors or {}).items():
            binary = self.tasks[name].kind == "binary"
            # Not in the checkpoint: they follow from the training targets.
            self.register_buffer(
                f"shift_{name}", _shift(prior, balance_binary if binary else balance, binary=binary), persistent=False
            )

    def forward(
        self,
        logits: Mapping[str, Tensor],
        targets: Mapping[str, Tensor],
        weights: Mapping[str, Tensor] | None = None,
        norm: Mapping[str, Tensor] | None = None,
    ) -> Losses:
        """Losses of a batch, for the tasks that both `logits` and `targets` name.

        Args:
            logits: per task, as the model returns them.
            targets: per task, as a data set stores them (-100 or NaN unknown); `multiclass` also as shares
                (batch, classes) that sum to 1, NaN rows unknown; `multilabel` and `binary` also anything in
                0..1.
            weights: (batch,) per task, or shaped as the targets, at least 0; default 1. Tasks without an entry count 1 for
                every chip.
            norm: per task the known weight of the whole step (the sum of `known` over its parts and processes), which
                then divides instead of this batch's own, so that the parts' losses add up to the step's.
        """
        tasks: dict[str, Tensor] = {}
        known: dict[str, Tensor] = {}
        share: dict[str, Tensor] = {}
        for name, outputs in logits.items():
            if name not in targets:
                continue
            task = self.tasks[name]
            weight = self._weight(task, targets[name], weights)
            amount = weight.sum()
            whole = norm[name] if norm is not None and name in norm else amount
            tasks[name] = (self._elements(task, outputs.float(), targets[name]) * weight).sum() / whole.clamp_min(
                _LEAST
            )
            known[name], share[name] = amount, amount / whole.clamp_min(_LEAST)
        return Losses(tasks, known, share)

    @torch.no_grad()
    def known(self, targets: Mapping[str, Tensor], weights: Mapping[str, Tensor] | None = None) -> dict[str, Tensor]:
        """Summed weight of the known targets per task, as `forward` counts them."""
        return {
            name: self._weight(self.tasks[name], values, weights).sum()
            for name, values in targets.items()
            if name in self.tasks
        }

    def _weight(self, task: Task, targets: Tensor, weights: Mapping[str, Tensor] | None) -> Tensor:
        """How much each entry counts, 0 where it is unknown: (batch,) for `multiclass`, else as the targets."""
        if task.kind == "multiclass":
            weight = (targets != UNKNOWN_CLASS if targets.ndim == 1 else ~targets.isnan().any(-1)).float()
        else:
            mask = ~targets.isnan()
            weight = mask.float()
            if task.kind == "multilabel" and self.assumed_negative:
                weight = torch.where(mask | ~mask.any(-1, keepdim=True), weight, self.assumed_negative)
        if weights is not None and task.name in weights:
            given = weights[task.name]
            weight = weight * (given if given.ndim == weight.ndim else given.reshape(-1, *[1] * (weight.ndim - 1)))
        return weight

    def _elements(self, task: Task, logits: Tensor, targets: Tensor) -> Tensor:
        """Loss per entry. Unknown targets are replaced before the loss, so that no NaN reaches a gradient."""
        shift = getattr(self, f"shift_{task.name}", None)
        if shift is not None:
            logits = logits + shift
        if task.kind == "multiclass":
            return self._cross_entropy(logits, targets)
        if task.kind == "count":
            wanted = targets.nan_to_num(0.0).clamp_min(0.0).log1p().to(logits.dtype)
            if self.unscaled:
                return F.mse_loss(logits, wanted, reduction="none")
            return F.smooth_l1_loss(logits, wanted, reduction="none")
        # An unknown entry that counts at all (assumed_negative) counts as a "no".
        wanted = targets.nan_to_num(0.0).to(logits.dtype)
        if task.kind == "binary":
            wanted = wanted * (1 - self.label_smoothing) + 0.5 * self.label_smoothing
        loss = F.binary_cross_entropy_with_logits(logits, wanted, reduction="none")
        return loss if self.unscaled else loss / math.log(2)

    def _cross_entropy(self, logits: Tensor, targets: Tensor) -> Tensor:
        classes = logits.shape[-1]
        if targets.ndim == 1:
            shares = F.one_hot(targets.clamp_min(0).long(), classes).to(logits.dtype)
        else:
            shares = torch.where(targets.isnan().any(-1, keepdim=True), 1.0 / classes, targets).to(logits.dtype)
        shares = shares * (1 - self.label_smoothing) + self.label_smoothing / classes
        loss = -(shares * logits.log_softmax(-1)).sum(-1)
        return loss if self.unscaled else loss / math.log(classes)


def _shift(prior: Tensor, balance: float, *, binary: bool) -> Tensor:
    """What is added to the logits of a task: (classes,), or one number for `binary`.

    A class without a target would be lowered most of all, and its own output then never learns to say no: it is left alone.
    """
    seen = prior > 0
    logs = torch.where(seen, prior.float().clamp_min(RAREST).log(), 0.0) * balance
    return logs[1] - logs[0] if binary else logs
