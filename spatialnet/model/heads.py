"""From tokens to answers: one learned query and one head per task, and what their outputs mean."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from spatialnet.errors import TargetsInvalid
from spatialnet.tasks import Task


@dataclass(frozen=True)
class Pooled:
    """What each task saw of the tokens.

    Attributes:
        features: (batch, tasks, dim), what the heads read.
        attention: (batch, heads, tasks, tokens) weights of the task queries, each row sums to 1, part of the
            graph. With class-token pooling one head with all weight on the class token.
        base: (batch, tokens) weights of the other path: uniform over the patches that are there, or all on
            the class token. Each row sums to 1.
    """

    features: Tensor
    attention: Tensor
    base: Tensor


class TaskQueries(nn.Module):
    """One learned query per task reads the final tokens; what it finds is added to their mean.

    The output projection starts at zero: at first every task sees the mean of the patches.

    Shape:
        tokens (batch, tokens, dim), there (batch, tokens) bool, base (batch, tokens) -> `Pooled`.
    """

    def __init__(self, tasks: int, dim: int) -> None:
        super().__init__()
        self.heads = max(1, dim // 64)
        self.query = nn.Parameter(torch.zeros(tasks, dim))
        nn.init.trunc_normal_(self.query, std=0.02)
        self.norm = nn.LayerNorm(dim)
        self.key = nn.Linear(dim, dim)
        self.value = nn.Linear(dim, dim)
        self.out = nn.Linear(dim, dim)
        nn.init.zeros_(self.out.weight)
        nn.init.zeros_(self.out.bias)

    def forward(self, tokens: Tensor, there: Tensor, base: Tensor, chosen: Tensor) -> Pooled:
        """Pool for the tasks whose indices are in `chosen` (long)."""
        normed = self.norm(tokens)
        batch, count, dim = normed.shape
        split = (self.heads, dim // self.heads)
        query = self.query[chosen].reshape(-1, *split)
        # A few queries read many tokens: the queries go through the key's weights, and what they found through the value's,
        # which gives what keys and values of every token would give, for a fraction of the work.
        probe = torch.einsum("thc,hcd->htd", query, self.key.weight.reshape(*split, dim))
        offset = torch.einsum("thc,hc->ht", query, self.key.bias.reshape(split))
        logits = (normed @ probe.reshape(-1, dim).to(normed.dtype).T).float().transpose(1, 2)
        logits = (logits.reshape(batch, self.heads, -1, count) + offset[..., None].float()) * split[1] ** -0.5
        attention = logits.masked_fill(~there[:, None, None, :], -torch.inf).softmax(-1)
        seen = (attention.flatten(1, 2).to(normed.dtype) @ normed).reshape(batch, self.heads, -1, dim)
        value = torch.einsum("bhtd,hcd->bthc", seen, self.value.weight.reshape(*split, dim))
        found = (value + self.value.bias.reshape(split)).flatten(2)
        mean = (base.to(tokens.dtype)[:, None, :] @ tokens).expand(-1, len(chosen), -1)
        return Pooled(mean + self.out(found), attention, base)


class Head(nn.Module):
    """The outputs of one task: layer norm (optional) and one linear layer.

    Shape:
        (batch, dim) -> (batch, task.outputs); (batch,) for `binary`.
    """

    def __init__(self, task: Task, dim: int, *, norm: bool = True) -> None:
        super().__init__()
        self.task = task
        self.norm = nn.LayerNorm(dim) if norm else nn.Identity()
        self.fc = nn.Linear(dim, task.outputs)
        nn.init.trunc_normal_(self.fc.weight, std=0.02)
        nn.init.zeros_(self.fc.bias)

    def forward(self, features: Tensor) -> Tensor:
        """Logits in float32."""
        logits: Tensor = self.fc(self.norm(features)).float()
        return logits[:, 0] if self.task.kind == "binary" else logits


def probabilities(logits: Tensor, task: Task) -> Tensor:
    """What a head's outputs say, in the task's own unit.

    Args:
        logits: (batch, classes), or (batch,) for `binary`.
        task: whose head gave them.

    Returns:
        (batch, classes) float32: `multiclass` sums to 1; `multilabel` each in 0..1; `binary` (batch, 2), sums
        to 1; `count` how many of each class, at least 0.
    """
    logits = logits.float()
    if task.kind == "multiclass":
        return logits.softmax(-1)
    if task.kind == "multilabel":
        return logits.sigmoid()
    if task.kind == "binary":
        return torch.stack([(-logits).sigmoid(), logits.sigmoid()], -1)
    return logits.expm1().clamp_min(0.0)


def score(logits: Tensor, task: Task, class_index: int) -> Tensor:
    """The number per chip that an explanation of one class is about: (batch,).

    It is the logit of the class; for class 0 of a `binary` task the negative logit; for `count` the logarithm
    of one plus the count.

    Raises:
        TargetsInvalid: the task has no class of this index.
    """
    if not 0 <= class_index < len(task.classes):
        raise TargetsInvalid(f"Task {task.name} has classes 0 to {len(task.classes) - 1}; {class_index} was asked for.")
    if task.kind == "binary":
        return logits if class_index == 1 else -logits
    return logits[:, class_index]
