"""Spatially honest splits: blocks on the ground with a guard band between train, validation and test. Pure."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from spatialnet.datasets.packed import SPLITS
from spatialnet.errors import DataSetInvalid, NothingToRead

TRAIN, VALIDATION, TEST, GUARD = range(4)
_UNUSED = -1


@dataclass(frozen=True)
class BlockPlan:
    """How a scene is cut into blocks and split.

    Attributes:
        block_px: side of a block in pixels.
        guard_px: chips of different splits are at least this many pixels apart, edge to edge.
        fractions: share of blocks for train, validation and test; they sum to 1.
        seed: of the search for a balanced assignment.
        trials: how many swaps of two blocks are tried.
    """

    block_px: int = 64
    guard_px: int = 8
    fractions: tuple[float, float, float] = (0.6, 0.15, 0.25)
    seed: int = 0
    trials: int = 3000

    def __post_init__(self) -> None:
        if self.block_px < 1 or self.guard_px < 0:
            raise DataSetInvalid(
                f"Blocks of {self.block_px} pixels with a guard of {self.guard_px} cannot be made. Use 1 or more, and 0 or more."
            )

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready values for the manifest."""
        return {"kind": "blocks", **asdict(self)}


def block_splits(
    rows: npt.NDArray[np.int64],
    columns: npt.NDArray[np.int64],
    size: int,
    strata: npt.NDArray[np.float32],
    plan: BlockPlan,
) -> tuple[npt.NDArray[np.int8], npt.NDArray[np.int32]]:
    """Assign every chip to a split by the block of ground it lies in.

    A search swaps blocks between splits as long as the splits become more alike in `strata`, nearer to the wanted
    fractions, or lose fewer chips to the guard band; so a rare class is not all in one split. A chip that lies within
    half of `guard_px` of a block of another split becomes `guard`.

    Args:
        rows: first row of each chip, in scene pixels.
        columns: first column of each chip.
        size: side of a chip in pixels.
        strata: (chips, k) numbers that should be alike in every split, for example class shares; no NaN.
        plan: sizes, fractions and seed.

    Returns:
        (chips,) int8 index into `SPLITS`, and (chips,) int32 block number.

    Raises:
        NothingToRead: too little ground for three splits.
    """
    home, near = _blocks_of(rows, columns, size, plan)
    used, inverse = np.unique(home, return_inverse=True)
    if len(used) < 3:
        raise NothingToRead(
            f"The scene has ground for {len(used)} blocks of {plan.block_px} pixels; three are needed to train, "
            "validate and test on different ground. Use a larger scene or smaller blocks."
        )
    grid = np.full(int(near.max()) + 1, _UNUSED, np.int8)
    generator = np.random.default_rng(plan.seed)

    def split_by(labels: npt.NDArray[np.int8]) -> tuple[float, npt.NDArray[np.int8]]:
        grid[used] = labels
        own, met = grid[home], grid[near]
        splits = np.where(((met != _UNUSED) & (met != own[:, None])).any(axis=1), np.int8(GUARD), own)
        return _imbalance(splits, strata, plan.fractions), splits

    labels = _draw(len(used), plan.fractions, generator)
    cost, best = split_by(labels)
    for _ in range(plan.trials):
        first, second = generator.integers(len(used), size=2)
        if labels[first] == labels[second]:
            continue
        swapped = labels.copy()
        swapped[[first, second]] = labels[[second, first]]
        swapped_cost, splits = split_by(swapped)
        if swapped_cost <= cost:
            labels, cost, best = swapped, swapped_cost, splits
    _guard_unused(best, near, used)
    if not all((best == split).any() for split in (TRAIN, VALIDATION, TEST)):
        raise NothingToRead(
            f"Blocks of {plan.block_px} pixels with a guard of {plan.guard_px} leave a split without chips. "
            "Use larger blocks or a narrower guard band."
        )
    return best, inverse.astype(np.int32)


def _blocks_of(
    rows: npt.NDArray[np.int64], columns: npt.NDArray[np.int64], size: int, plan: BlockPlan
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """The block of each chip's centre (chips,), and all blocks within half the guard of the chip (chips, some)."""
    # Half the guard on each side of a border keeps two chips a whole guard apart.
    margin = (plan.guard_px + 1) // 2
    down = int(rows.max() + size - 1 + margin) // plan.block_px + 1
    across = int(columns.max() + size - 1 + margin) // plan.block_px + 1
    reach = range((size - 1 + 2 * margin) // plan.block_px + 2)

    def span(first: npt.NDArray[np.int64], blocks: int) -> list[npt.NDArray[np.int64]]:
        begin, end = (first - margin) // plan.block_px, (first + size - 1 + margin) // plan.block_px
        return [np.clip(np.minimum(begin + step, end), 0, blocks - 1) for step in reach]

    near = [r * across + c for r in span(rows, down) for c in span(columns, across)]
    home = (rows + size // 2) // plan.block_px * across + (columns + size // 2) // plan.block_px
    return home, np.stack(near, axis=1)


def _guard_unused(splits: npt.NDArray[np.int8], near: npt.NDArray[np.int64], used: npt.NDArray[np.int64]) -> None:
    """Chips of two splits may reach, from two sides, into a block that holds no chip's centre: they become guard."""
    for block in np.setdiff1d(near, used):
        chips = np.flatnonzero((near == block).any(axis=1) & (splits != GUARD))
        if len(np.unique(splits[chips])) > 1:
            splits[chips] = GUARD


def _draw(count: int, fractions: tuple[float, float, float], generator: np.random.Generator) -> npt.NDArray[np.int8]:
    edges = np.round(np.cumsum(fractions) * count).astype(int)
    edges[-1] = count
    labels = np.repeat(np.arange(3, dtype=np.int8), np.diff(np.concatenate([[0], edges])))
    return generator.permutation(labels)


def _imbalance(
    splits: npt.NDArray[np.int8], strata: npt.NDArray[np.float32], fractions: tuple[float, float, float]
) -> float:
    used = splits != GUARD
    if not used.any():
        return float("inf")
    whole = strata.mean(axis=0)
    cost = 3 * (1.0 - float(used.mean()))
    for split, fraction in enumerate(fractions):
        members = splits == split
        if not members.any():
            return float("inf")
        # Relative to the whole, so that a class with 2 % counts like one with 40 %.
        cost += float(np.mean(np.abs(strata[members].mean(axis=0) - whole) / (whole + 0.005)))
        cost += abs(float(members.sum() / used.sum()) - fraction) * 2
    return cost


def split_counts(splits: npt.NDArray[np.int8]) -> dict[str, int]:
    """How many chips each split holds, by name."""
    return {name: int((splits == index).sum()) for index, name in enumerate(SPLITS)}
