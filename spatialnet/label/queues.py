"""Which chips to label next, and why each was chosen. Pure."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

Strategy = Literal["uncertain", "random", "disagrees"]


@dataclass(frozen=True)
class Queued:
    """One chip of a queue.

    Attributes:
        chip: index of the chip.
        why: why it was chosen, in a few words for the person who labels it.
    """

    chip: int
    why: str


def build_queue(
    uncertainty: npt.NDArray[np.float32] | None,
    disagrees: npt.NDArray[np.bool_] | None,
    candidates: npt.NDArray[np.int64],
    answered: Collection[int],
    *,
    strategy: Strategy = "uncertain",
    length: int = 200,
    seed: int = 0,
) -> list[Queued]:
    """A queue of chips that nobody has answered yet.

    Args:
        uncertainty: (chips,) 0 sure to 1 unsure, or None while no run has finished; the order is then random.
        disagrees: (chips,) True where the run's answer is not the target, or None.
        candidates: chips that may be asked about.
        answered: chips that have an answer already.
        strategy: `uncertain` (least sure first), `disagrees` (model and target differ, surest first), `random`.
        length: at most this many.
        seed: of the random order.
    """
    open_chips = candidates[~np.isin(candidates, list(answered))]
    shuffled = np.random.default_rng(seed).permutation(open_chips)
    if strategy == "random" or uncertainty is None:
        return [Queued(int(chip), "random") for chip in shuffled[:length]]
    if strategy == "disagrees" and disagrees is not None:
        chosen = shuffled[disagrees[shuffled]]
        order = chosen[np.argsort(uncertainty[chosen], kind="stable")]
        return [
            Queued(int(chip), f"model and target differ, margin {1 - uncertainty[chip]:.2f}") for chip in order[:length]
        ]
    order = shuffled[np.argsort(-uncertainty[shuffled], kind="stable")]
    return [Queued(int(chip), f"uncertain, margin {1 - uncertainty[chip]:.2f}") for chip in order[:length]]
