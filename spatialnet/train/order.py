"""Which chips each step sees: a shuffle per epoch, and with several data sets a draw of one of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from spatialnet.recipe import Recipe


@dataclass(frozen=True)
class Draw:
    """Chips of one data set that a step sees.

    Attributes:
        number: which data set.
        visit: how often steps drew from this data set before.
        rows: (chips,) long on the CPU, counted within the training split.
    """

    number: int
    visit: int
    rows: Tensor


class Order:
    """The order of a whole run; it follows from the recipe and the numbers of chips alone, so there is nothing to save.

    One data set: each step is the next `batch_size` chips of the epoch's shuffle. Several: a step has `accumulate` draws of
    one data set each, in proportion to (number of chips) ** `sampling`; each goes through its own shuffles.

    Args:
        sizes: chips of each data set's training split, at least one of them above 0.
        recipe: the run's recipe.
        steps: of the whole run.
    """

    def __init__(self, sizes: Sequence[int], recipe: Recipe, steps: int) -> None:
        self.sizes, self.seed = tuple(sizes), recipe.seed
        self.draws = 1 if len(sizes) == 1 else recipe.accumulate
        self.chips = max(1, recipe.batch_size // self.draws)
        share = np.where(np.array(sizes) > 0, np.maximum(sizes, 1) ** float(recipe.sampling), 0.0)
        generator = np.random.default_rng((recipe.seed, 6))
        self._sets = generator.choice(len(sizes), steps * self.draws, p=share / share.sum()).astype(np.int16)
        self._visits = np.zeros(len(self._sets), np.int64)
        for number in range(len(sizes)):
            drawn = self._sets == number
            self._visits[drawn] = np.arange(drawn.sum())
        self._shuffles: dict[int, tuple[int, Tensor]] = {}

    def __call__(self, step: int) -> list[Draw]:
        """What a step (from 0) sees."""
        return [self._draw(place) for place in range(step * self.draws, (step + 1) * self.draws)]

    def _draw(self, place: int) -> Draw:
        number, visit = int(self._sets[place]), int(self._visits[place])
        epoch, part = divmod(visit, max(1, self.sizes[number] // self.chips))
        rows = self._shuffle(number, epoch)[part * self.chips : (part + 1) * self.chips]
        return Draw(number, visit, rows)

    def _shuffle(self, number: int, epoch: int) -> Tensor:
        held = self._shuffles.get(number)
        if held is None or held[0] != epoch:
            seed = mixed(self.seed, epoch, 1, number) if number else mixed(self.seed, epoch, 1)
            held = (epoch, torch.randperm(self.sizes[number], generator=torch.Generator().manual_seed(seed)))
            self._shuffles[number] = held
        return held[1]


def steps_per_epoch(chips: int, recipe: Recipe) -> int:
    """Full batches in an epoch; at least one, which may then be short."""
    return max(1, chips // recipe.batch_size)


def mixed(*numbers: int) -> int:
    """One seed from several numbers, such that neighbours have unrelated seeds."""
    high, low = np.random.SeedSequence(numbers).generate_state(2, np.uint32)
    return (int(high) << 31) ^ int(low)
