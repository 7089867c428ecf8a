"""What the heads read of every chip while the backbone is frozen: computed once."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from spatialnet.model import SpatialNetViT
from spatialnet.train.distributed import Processes
from spatialnet.train.sets import LearntSet


class Stopped(Exception):
    """The training was asked to stop while it computed features."""


@torch.no_grad()
def compute_features(
    model: SpatialNetViT,
    sets: Sequence[LearntSet],
    processes: Processes,
    autocast: torch.autocast,
    size: int,
    heard: Callable[[float], bool],
) -> None:
    """Give the chips of every data set their `features`, without augmentation. Each process does its share.

    Args:
        model: on its device; put into evaluation mode.
        sets: whose training and validation chips.
        processes: among which the chips are dealt.
        autocast: the precision.
        size: chips at once.
        heard: called with the share that is done; True = stop.

    Raises:
        Stopped: `heard` said so.
    """
    model.eval()
    queries = model.queries
    # Untrained queries add nothing yet: all tasks read the same mean.
    names = list(model.tasks)[:1] if queries is None or not queries.out.weight.any() else list(model.tasks)
    every = [chips for one in sets for chips in (one.train, one.validation)]
    total, done = max(1, sum(map(len, every))), 0
    for chips in every:
        features = torch.zeros(len(chips), len(names), model.dim, device=model.device)
        for rows in torch.split(processes.deal(torch.arange(len(chips))), size):
            # Among several processes the others would wait for one that stops here.
            if heard(done / total) and processes.count == 1:
                raise Stopped
            batch = chips.batch(rows)
            present = batch.present if len(batch.present) > 1 else None
            with autocast:
                tokens, layout = model.tokens(batch.images, present=present, gsd=batch.gsd)
                pooled = model.pool(model.encode(tokens, layout), layout, names)
            features[rows.to(model.device)] = pooled.features.float()
            done += len(rows) * processes.count
        processes.sum_(features)
        chips.features = features


def classify_features(model: SpatialNetViT, features: Tensor, names: Sequence[str]) -> dict[str, Tensor]:
    """Logits per task from what `compute_features` kept.

    Args:
        model: whose heads.
        features: (batch, tasks or 1, dim).
        names: which tasks.
    """
    if features.shape[1] == 1:
        return {name: model.heads[name](features[:, 0]) for name in names}
    order = list(model.tasks)
    return {name: model.heads[name](features[:, order.index(name)]) for name in names}
