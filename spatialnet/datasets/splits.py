"""Spatially honest splits: blocks on the ground with a guard band between train, validation and test. Pure."""

from __future__ import annotations

import itertools
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from spatialnet.datasets.packed import SPLITS
from spatialnet.errors import DataSetInvalid, NothingToRead

TRAIN, VALIDATION, TEST, GUARD = range(4)
_MOST_BLOCKS_OF_A_CHIP = 400


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
    # Half the guard on each side of a border keeps two chips a whole guard apart.
    margin = (plan.guard_px + 1) // 2
    top, left = np.asarray(rows, np.int64), np.asarray(columns, np.int64)
    middle = np.stack([top + size // 2, left + size // 2], axis=1)
    first = np.stack([top - margin, left - margin], axis=1)
    last = np.stack([top + size - 1 + margin, left + size - 1 + margin], axis=1)
    middle, first, last = (np.maximum(v // plan.block_px, 0) for v in (middle, first, last))
    return search_blocks(middle, first, last, strata, plan, f"{plan.block_px} pixels", f"{plan.guard_px}")


def search_blocks(
    middle: npt.NDArray[np.int64],
    first: npt.NDArray[np.int64],
    last: npt.NDArray[np.int64],
    strata: npt.NDArray[np.float32],
    plan: BlockPlan,
    block: str,
    guard: str,
) -> tuple[npt.NDArray[np.int8], npt.NDArray[np.int32]]:
    """The search of `block_splits` on any grid of blocks.

    A swap costs what lies in and around two blocks, however many chips there are: chips that reach into the same
    blocks are counted together.

    Args:
        middle: (chips, 2) row and column of the block that holds a chip's centre, 0 or more.
        first: (chips, 2) the first block that a chip with half a guard around it reaches into.
        last: (chips, 2) the last such block.
        strata: (chips, k) numbers that should be alike in every split; no NaN.
        plan: fractions, seed, trials.
        block: side of a block in words, for messages.
        guard: width of the guard band in words.

    Returns:
        (chips,) int8 index into `SPLITS`, and (chips,) int32 block number.

    Raises:
        NothingToRead: too little ground for three splits.
    """
    reach = (last - first).max(axis=0) + 1
    if reach.prod() > _MOST_BLOCKS_OF_A_CHIP:
        raise NothingToRead(
            f"A chip with its guard band reaches over {reach.max()} blocks of {block}. Use larger blocks or a narrower guard band."
        )
    home, near = _numbered(middle, first, last)
    used, inverse = np.unique(home, return_inverse=True)
    if len(used) < 3:
        raise NothingToRead(
            f"There is ground for {len(used)} blocks of {block}; three are needed to train, validate and test on "
            "different ground. Use a larger scene or smaller blocks."
        )
    generator = np.random.default_rng(plan.seed)
    search = _Search(inverse, _places(near, used), len(used), strata, plan.fractions)
    search.set(_draw(len(used), plan.fractions, generator))
    for _ in range(plan.trials):
        one, other = generator.integers(len(used), size=2)
        if search.labels[one] != search.labels[other]:
            search.swap(int(one), int(other))
    best = search.splits()
    _guard_unused(best, near, used)
    if not all((best == split).any() for split in (TRAIN, VALIDATION, TEST)):
        raise NothingToRead(
            f"Blocks of {block} with a guard of {guard} leave a split without chips. "
            "Use larger blocks or a narrower guard band."
        )
    return best, inverse.astype(np.int32)


class _Search:
    """Labels of blocks, and what every split holds under them, kept up to date from swap to swap.

    Args:
        home: (chips,) block of each chip.
        near: (chips, m) all blocks that a chip reaches into; -1 where a block holds no chip's centre.
        blocks: how many there are.
        strata: (chips, k).
        fractions: wanted shares.
    """

    def __init__(
        self,
        home: npt.NDArray[np.int64],
        near: npt.NDArray[np.int64],
        blocks: int,
        strata: npt.NDArray[np.float32],
        fractions: tuple[float, float, float],
    ) -> None:
        reach = np.where(near < 0, home[:, None], near)
        reach.sort(axis=1)
        kinds, self._kind, counts = np.unique(
            np.column_stack([home, reach]), axis=0, return_inverse=True, return_counts=True
        )
        self._kind = self._kind.ravel()
        self._home, self._reach = kinds[:, 0], kinds[:, 1:]
        # What is said of a kind of chips: how many, and the sums of their strata.
        order = np.argsort(self._kind, kind="stable")
        starts = np.cumsum(counts) - counts
        self._sums = np.column_stack([counts, np.add.reduceat(strata[order].astype(np.float64), starts, axis=0)])
        pairs = np.unique(
            np.column_stack([self._reach.ravel(), np.repeat(np.arange(len(kinds)), reach.shape[1])]), axis=0
        )
        edges = np.searchsorted(pairs[:, 0], np.arange(blocks + 1))
        self._touching = [pairs[a:b, 1] for a, b in itertools.pairwise(edges)]
        self._whole = self._sums.sum(axis=0)
        self._fractions = np.asarray(fractions)
        self.labels = np.zeros(blocks, np.int8)
        self._held, self._cost = np.zeros((4, self._sums.shape[1])), float("inf")

    def set(self, labels: npt.NDArray[np.int8]) -> None:
        """Begin with these labels of blocks."""
        self.labels = labels.copy()
        self._held = self._sum(np.arange(len(self._home)))
        self._cost = self._imbalance(self._held)

    def swap(self, one: int, other: int) -> None:
        """Exchange the labels of two blocks unless that makes the splits less alike or loses more chips."""
        concerned = np.union1d(self._touching[one], self._touching[other])
        before = self._sum(concerned)
        self._exchange(one, other)
        held = self._held - before + self._sum(concerned)
        cost = self._imbalance(held)
        if cost <= self._cost:
            self._held, self._cost = held, cost
        else:
            self._exchange(one, other)

    def splits(self) -> npt.NDArray[np.int8]:
        """The split of every chip."""
        return self._split_of(np.arange(len(self._home)))[self._kind]

    def _exchange(self, one: int, other: int) -> None:
        self.labels[[one, other]] = self.labels[[other, one]]

    def _split_of(self, kinds: npt.NDArray[np.int64]) -> npt.NDArray[np.int8]:
        own = self.labels[self._home[kinds]]
        return np.where((self.labels[self._reach[kinds]] == own[:, None]).all(axis=1), own, np.int8(GUARD))

    def _sum(self, kinds: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
        split = self._split_of(kinds)
        return (split == np.arange(4, dtype=np.int8)[:, None]).astype(np.float64) @ self._sums[kinds]

    def _imbalance(self, held: npt.NDArray[np.float64]) -> float:
        counts = held[:3, 0]
        if (counts < 0.5).any():
            return float("inf")
        used = float(counts.sum())
        whole = self._whole[1:] / self._whole[0]
        # Relative to the whole, so that a class with 2 % counts like one with 40 %.
        unlike = (np.abs(held[:3, 1:] / counts[:, None] - whole) / (whole + 0.005)).mean(axis=1).sum()
        wrong = np.abs(counts / used - self._fractions).sum()
        return float(3 * (1.0 - used / self._whole[0]) + unlike + 2 * wrong)


def _numbered(
    middle: npt.NDArray[np.int64], first: npt.NDArray[np.int64], last: npt.NDArray[np.int64]
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """One number per block: of each chip's own (chips,), and of all that it reaches into (chips, m), some repeated."""
    across = int(max(last[:, 1].max(), middle[:, 1].max())) + 1
    rows, columns = (range(int((last - first)[:, axis].max()) + 1) for axis in (0, 1))
    near = [
        np.minimum(first[:, 0] + r, last[:, 0]) * across + np.minimum(first[:, 1] + c, last[:, 1])
        for r in rows for c in columns
    ]  # fmt: skip
    return middle[:, 0] * across + middle[:, 1], np.stack(near, axis=1)


def _places(numbers: npt.NDArray[np.int64], used: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Where block numbers stand in `used`; -1 for those that are not in it."""
    place = np.minimum(np.searchsorted(used, numbers), len(used) - 1)
    return np.where(used[place] == numbers, place, -1)


def _guard_unused(splits: npt.NDArray[np.int8], near: npt.NDArray[np.int64], used: npt.NDArray[np.int64]) -> None:
    """Chips of two splits may reach, from two sides, into a block that holds no chip's centre: they become guard."""
    outside = _places(near, used) < 0
    reaching = np.flatnonzero(outside.any(axis=1))
    pairs = np.unique(
        np.column_stack([near[reaching][outside[reaching]], np.repeat(reaching, outside[reaching].sum(axis=1))]), axis=0
    )
    if not len(pairs):
        return
    edges = np.flatnonzero(np.r_[True, pairs[1:, 0] != pairs[:-1, 0], True])
    for begin, end in itertools.pairwise(edges):
        chips = pairs[begin:end, 1]
        chips = chips[splits[chips] != GUARD]
        if len(chips) > 1 and (splits[chips] != splits[chips[0]]).any():
            splits[chips] = GUARD


def _draw(count: int, fractions: tuple[float, float, float], generator: np.random.Generator) -> npt.NDArray[np.int8]:
    edges = np.round(np.cumsum(fractions) * count).astype(int)
    edges[-1] = count
    labels = np.repeat(np.arange(3, dtype=np.int8), np.diff(np.concatenate([[0], edges])))
    return generator.permutation(labels)


def split_counts(splits: npt.NDArray[np.int8]) -> dict[str, int]:
    """How many chips each split holds, by name."""
    return {name: int((splits == index).sum()) for index, name in enumerate(SPLITS)}
