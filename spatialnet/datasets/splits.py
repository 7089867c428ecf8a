"""Spatially honest splits: blocks on the ground with a guard band between train, validation and test. Pure."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from spatialnet.datasets.packed import SPLITS
from spatialnet.errors import NothingToRead

TRAIN, VALIDATION, TEST, GUARD = range(4)


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
    across = int(columns.max() + size - 1) // plan.block_px + 1
    centre_r, centre_c = rows + size // 2, columns + size // 2
    blocks = (centre_r // plan.block_px * across + centre_c // plan.block_px).astype(np.int32)
    used, inverse = np.unique(blocks, return_inverse=True)
    if len(used) < 3:
        raise NothingToRead(
            f"The scene has ground for {len(used)} blocks of {plan.block_px} pixels; three are needed to train, validate "
            "and test on different ground. Use a larger scene or smaller blocks."
        )
    down = int(rows.max() + size - 1) // plan.block_px + 1
    grid = np.full(down * across, -1, np.int8)
    generator = np.random.default_rng(plan.seed)

    def split_by(labels: npt.NDArray[np.int8]) -> tuple[float, npt.NDArray[np.int8]]:
        grid[used] = labels
        splits = _with_guard(grid.reshape(down, across), rows, columns, size, plan)
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
    if not all((best == split).any() for split in (TRAIN, VALIDATION, TEST)):
        raise NothingToRead(
            f"Blocks of {plan.block_px} pixels with a guard of {plan.guard_px} leave a split without chips. "
            "Use larger blocks or a narrower guard band."
        )
    return best, inverse.astype(np.int32)


def _draw(count: int, fractions: tuple[float, float, float], generator: np.random.Generator) -> npt.NDArray[np.int8]:
    edges = np.round(np.cumsum(fractions) * count).astype(int)
    edges[-1] = count
    labels = np.repeat(np.arange(3, dtype=np.int8), np.diff(np.concatenate([[0], edges])))
    return generator.permutation(labels)


def _with_guard(
    grid: npt.NDArray[np.int8],
    rows: npt.NDArray[np.int64],
    columns: npt.NDArray[np.int64],
    size: int,
    plan: BlockPlan,
) -> npt.NDArray[np.int8]:
    # Half the guard on each side of a border keeps two chips a whole guard apart.
    margin, height, width = (plan.guard_px + 1) // 2, *grid.shape
    own = grid[
        np.minimum((rows + size // 2) // plan.block_px, height - 1),
        np.minimum((columns + size // 2) // plan.block_px, width - 1),
    ]
    splits = own.copy()
    top, bottom = (rows - margin) // plan.block_px, (rows + size - 1 + margin) // plan.block_px
    left, right = (columns - margin) // plan.block_px, (columns + size - 1 + margin) // plan.block_px
    for r in (top, bottom):
        for c in (left, right):
            met = grid[np.clip(r, 0, height - 1), np.clip(c, 0, width - 1)]
            splits[(met >= 0) & (met != own)] = GUARD
    return splits


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
