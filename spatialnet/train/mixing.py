"""Mixup and cutmix: some chips of a batch are mixed with another, and their classes with its classes.

Only tasks of kind `multiclass` can be answered by shares. What a mixed chip holds for every other task is unknown, so a part of
the batch stays as it is.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import torch
from torch import Tensor
from torch.nn import functional as F

from spatialnet.recipe import Recipe
from spatialnet.tasks import UNKNOWN_CLASS, Task
from spatialnet.train import fused
from spatialnet.train.batches import Batch

PART = 0.5
"""This share of the chips that can be mixed is: every one of them with one of the others, which stay as they are."""


def mix(batch: Batch, recipe: Recipe, tasks: Iterable[Task], generator: torch.Generator) -> Batch:
    """Mix half of the chips of which a class is known, each with its own one of the other half.

    Mixup: the weighted mean of both chips. Cutmix: a rectangle of the other chip, pasted at the same place. With both in the
    recipe, each mixed chip gets one or the other by the toss of a coin. The shares of the classes follow the pixels; a task of
    which either chip's class is unknown is unknown. A sensor is there only where both chips have it, and chips
    without a common sensor are left alone.

    Args:
        batch: some chips; it is not changed.
        recipe: `mixup` and `cutmix`, the alpha of their beta distributions.
        tasks: of the model.
        generator: on the batch's device.

    Returns:
        The batch with mixed chips in the places of the first; targets of `multiclass` as shares (batch, classes).

    Source: Zhang et al., 2018 (arXiv 1710.09412); Yun et al., 2019 (arXiv 1905.04899).
    """
    kinds = {task.name: task for task in tasks}
    shares = {
        name: _shares(values, len(kinds[name].classes))
        for name, values in batch.targets.items()
        if kinds[name].kind == "multiclass"
    }
    if not shares or not (recipe.mixup or recipe.cutmix):
        return batch
    known = torch.stack([~rows.isnan().any(-1) for rows in shares.values()]).any(0)
    mixed, other = _pairs(known, generator)
    present = {name: there & there[other] for name, there in batch.present.items()}
    mixed &= torch.stack(list(present.values())).any(0)
    first = next(iter(batch.images.values()))
    keep = _kept(first, mixed, recipe, generator)
    images = {
        name: pixels[other].lerp_(pixels, keep.to(pixels.dtype).expand_as(pixels))
        for name, pixels in batch.images.items()
    }
    own = keep.mean((1, 2, 3))
    targets, weights = {}, dict(batch.weights)
    for name, values in batch.targets.items():
        if name not in shares:
            targets[name] = values.masked_fill(mixed.reshape(-1, *[1] * (values.ndim - 1)), torch.nan)
            continue
        rows = shares[name]
        weight = batch.weights.get(name, torch.ones_like(own))
        mine, others = own * weight, (1 - own) * weight[other]
        total = (mine + others).clamp_min(1e-12)[:, None]
        both = (mine[:, None] * rows + others[:, None] * rows[other]) / total
        targets[name] = torch.where(mixed[:, None], both, rows)
        weights[name] = torch.where(mixed, mine + others, weight)
    there = {name: torch.where(mixed, present[name], batch.present[name]) for name in present}
    return replace(batch, images=images, present=there, targets=targets, weights=weights)


def _shares(targets: Tensor, classes: int) -> Tensor:
    """(batch, classes) shares, NaN rows unknown."""
    if targets.ndim == 2:
        return targets
    rows = F.one_hot(targets.clamp_min(0).long(), classes).float()
    return rows.masked_fill((targets == UNKNOWN_CLASS)[:, None], torch.nan)


def _pairs(known: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Which chips are mixed (batch,) bool, and with which (batch,) long; all others name themselves.

    The chips that can be mixed stand first in a random order, and its first half is mixed with its second.
    """
    batch = len(known)
    drawn = torch.rand(batch, generator=generator, device=known.device)
    order = torch.where(known, drawn, 2.0).argsort()
    half = (known.sum() * PART).long()
    place = torch.arange(batch, device=known.device)
    first = place < half
    partner = order[torch.where(first, place + half, place)]
    mixed, other = torch.zeros_like(known), torch.zeros_like(order)
    mixed[order], other[order] = first, partner
    return mixed, other


def _kept(like: Tensor, mixed: Tensor, recipe: Recipe, generator: torch.Generator) -> Tensor:
    """How much of each pixel is the chip's own: (batch, 1, height, width) in 0..1, 1 for chips that are not mixed."""
    batch, _, height, width = like.shape
    u = torch.rand((3, batch), generator=generator, device=like.device)
    over = _beta(recipe.mixup, batch, generator)[:, None, None, None].expand(batch, 1, height, width)
    side = (1 - _beta(recipe.cutmix, batch, generator)).sqrt()
    top, left = (1 - side) * u[0], (1 - side) * u[1]
    pasted = (~fused.inside(torch.stack([top, left, top + side, left + side], 1), height, width)).float()
    paste = u[2] < 0.5 if recipe.mixup and recipe.cutmix else torch.full_like(mixed, not recipe.mixup)
    keep = torch.where(paste[:, None, None, None], pasted, over)
    return torch.where(mixed[:, None, None, None], keep, 1.0)


def _beta(alpha: float, batch: int, generator: torch.Generator) -> Tensor:
    """(batch,) numbers of the beta distribution with both parameters `alpha`; 1 where it is 0."""
    if not alpha:
        return torch.ones(batch, device=generator.device)
    # torch.distributions.Beta draws the same, but takes no generator.
    drawn = torch._standard_gamma(torch.full((batch, 2), alpha, device=generator.device), generator=generator)
    drawn = drawn.clamp_min(torch.finfo(drawn.dtype).tiny)
    return drawn[:, 0] / drawn.sum(1)
