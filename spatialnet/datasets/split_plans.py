"""How a data set is divided into train, validation and test: a plan in plain words, and the division it leads to. Pure.

Chips that depend on each other (the same ground, group or picture) are kept in one split, or used by none where a plan
cannot keep them together.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal, get_args

import numpy as np
import numpy.typing as npt
import pandas as pd

from spatialnet.datasets.leaks import components
from spatialnet.datasets.packed import SPLITS
from spatialnet.datasets.split_ground import METRES_PER_DEGREE, block_grid, chip_side_m, has_ground, place_of_blocks
from spatialnet.datasets.split_units import assign_units, column_words, dependent_units, numbered
from spatialnet.datasets.splits import GUARD, TEST, TRAIN, VALIDATION, BlockPlan, search_blocks
from spatialnet.errors import DataSetInvalid, NothingToRead

SplitKind = Literal["official", "blocks", "groups", "regions", "random"]
_FEWEST_BLOCKS, _MOST_BLOCKS, _FEWEST_OVERLAPPING, _FEWEST_GROUPS = 12, 400, 6, 8
"""Bounds of what `propose_split` offers."""

Divided = tuple[npt.NDArray[np.int8], npt.NDArray[np.int32]]


@dataclass(frozen=True)
class SplitPlan:
    """How chips are divided.

    Attributes:
        kind: `official` (as the source says), `blocks` (squares of ground with a guard band), `groups` (whole groups by a
            column), `regions` (whole regions, or bands of longitude), `random`.
        name: identifier of the split, `[a-z][a-z0-9_]*`.
        block_m: side of a block in metres; for `official` and bands of longitude only the unit of the intervals.
        guard_m: chips of different splits are at least this many metres apart (`blocks`, bands of longitude).
        column: which column names the groups (`group`, `place`, ...) or regions (`region`, `longitude`); "" chooses.
        fractions: wanted shares of train, validation and test; they sum to 1.
        seed: of everything that is drawn.
        trials: how many swaps of two blocks are tried.
        reason: why this plan was proposed, in words.
    """

    kind: SplitKind
    name: str = "main"
    block_m: float = 0.0
    guard_m: float = 0.0
    column: str = ""
    fractions: tuple[float, float, float] = (0.6, 0.15, 0.25)
    seed: int = 0
    trials: int = 3000
    reason: str = ""

    def __post_init__(self) -> None:
        if self.kind not in get_args(SplitKind):
            raise DataSetInvalid(
                f"A split cannot be of kind {str(self.kind)[:40]!r}. Use one of {', '.join(get_args(SplitKind))}."
            )
        if not (self.name.isidentifier() and self.name.islower()):
            raise DataSetInvalid(
                f"Split name {self.name[:40]!r} is not a lower-case identifier. Use letters, digits and _."
            )
        if len(self.fractions) != 3 or min(self.fractions) <= 0 or abs(sum(self.fractions) - 1) > 1e-6:
            raise DataSetInvalid(
                f"The shares {list(self.fractions)[:5]} of a split do not sum to 1. Give three above 0."
            )
        if not (0 <= self.block_m < 1e7 and 0 <= self.guard_m < 1e7) or (self.kind == "blocks" and self.block_m <= 0):
            raise DataSetInvalid(
                f"Blocks of {self.block_m:g} m with a guard of {self.guard_m:g} m cannot be made. Use above 0, and 0 or more."
            )

    def sentence(self) -> str:
        """The plan in plain words."""
        shares = f"{self.fractions[0]:.0%} train, {self.fractions[1]:.0%} validation, {self.fractions[2]:.0%} test"
        alike = "the splits are made alike in their classes"
        if self.kind == "official":
            return (
                "The source's own split. Chips that it gives to none are used by none; where it lacks validation or test, "
                "a validation part is taken from its training part, group by group."
            )
        if self.kind == "blocks":
            return (
                f"Blocks of ground of {_metres(self.block_m)} go to {shares}; chips of different splits are at least "
                f"{_metres(self.guard_m)} apart, and those between are used by none; {alike}."
            )
        if self.kind == "groups":
            return f"Whole groups by `{self.column or 'group'}` go to {shares}; {alike}."
        if self.kind == "regions" and self.column == "longitude":
            return (
                f"Three bands of longitude from west to east: {shares}; chips within {_metres(self.guard_m)} of a border "
                "are used by none."
            )
        if self.kind == "regions":
            return f"Whole regions by `{self.column or 'region'}` go to {shares}, so that the test is on regions never seen."
        return f"Chips go at random to {shares}; groups and duplicates are kept together; {alike}."

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready values."""
        return asdict(self) | {"fractions": list(self.fractions)}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> SplitPlan:
        """The plan that `to_dict` wrote; what is not named has its default.

        Raises:
            DataSetInvalid: a value is missing or outside its range.
        """
        try:
            known = {k: v for k, v in values.items() if k in cls.__dataclass_fields__}
            first, second, third = known.get("fractions", cls.fractions)
            return cls(**known | {"fractions": (float(first), float(second), float(third))})
        except (TypeError, ValueError, AttributeError) as error:
            raise DataSetInvalid(
                "A split's plan is damaged: it lacks its kind or has other values. Choose a split anew."
            ) from error


def make_split(
    plan: SplitPlan, table: pd.DataFrame, strata: npt.NDArray[np.float32], duplicates: pd.DataFrame | None = None
) -> Divided:
    """Divide chips as a plan says; the same plan and chips always give the same division.

    Args:
        plan: how.
        table: one row per chip: `split`, `group`, `region`, `place` (text), `west`, `south`, `east`, `north`, `longitude`,
            `latitude` (degrees), and for exact blocks of one scene `row`, `column`, `height`, `width`, `crs`, `gsd_m`, `a` to
            `f`; only what the plan needs must be there.
        strata: (chips, k) numbers that should be alike in every split, for example one column per class; no NaN.
        duplicates: chip numbers `a` and `b` of equal pictures. They are kept in one split; where ground or regions part
            them, the one in train (else in validation) is used by none. An official split is left as it is.

    Returns:
        (chips,) int8 index into `SPLITS`, and (chips,) int32 unit of independence for intervals: block, group, region, or
        pictures that are the same.

    Raises:
        NothingToRead: too little ground, or too few groups, for three splits.
        DataSetInvalid: the table lacks what the plan needs.
    """
    if not len(table):
        raise NothingToRead("There is no chip to split. Choose another source.")
    a, b = (np.zeros(0, np.int64),) * 2 if duplicates is None or duplicates.empty else (
        duplicates[c].to_numpy(np.int64) for c in ("a", "b")
    )  # fmt: skip
    numbers = np.asarray(strata, np.float32).reshape(len(table), -1)
    if plan.kind == "official":
        return _official(plan, table, numbers, a, b)
    if plan.kind == "blocks":
        splits, blocks = _blocks(plan, table, numbers)
    elif plan.kind == "regions" and _region_column(plan, table) == "longitude":
        splits, blocks = _bands(plan, table)
    elif plan.kind == "random":
        return _whole_units(
            plan,
            dependent_units(column_words(table, "group"), a, b),
            numbers,
            "groups of chips that depend on each other",
        )
    else:
        column = _region_column(plan, table) if plan.kind == "regions" else plan.column or "group"
        splits, blocks = _by_column(plan, table, column, numbers, a, b)
    _part_duplicates(splits, a, b)
    return _checked(splits), blocks


def propose_split(table: pd.DataFrame, stride: int = 0, name: str = "main") -> SplitPlan:
    """The most honest plan that a set of chips allows, with the reason in words.

    Args:
        table: see `make_split`.
        stride: pixels from one window to the next, 0 for files: windows that overlap are only kept apart by blocks.
        name: identifier of the split.
    """
    side, ground = round(chip_side_m(table), 3), has_ground(table)
    block = _block_side(table[ground], side) if ground.mean() >= 0.9 else 0.0
    overlap = 0 < stride < (int(table["height"].max()) if "height" in table else stride + 1)
    said = column_words(table, "split")
    if (said == "train").any() and ((said == "test") | (said == "validation")).any():
        return SplitPlan(
            "official",
            name,
            block_m=block,
            reason="The source has a split of its own, so results can be compared with others'.",
        )
    if block > 0:
        count = len(np.unique(place_of_blocks(table[ground], block)))
        if count >= (_FEWEST_OVERLAPPING if overlap else _FEWEST_BLOCKS):
            return SplitPlan(
                "blocks", name, block, side / 2,
                reason=f"The chips' places are known and cover {count:,} blocks of {_metres(block)}, so the test can be on other ground.",
            )  # fmt: skip
    for column, what in (("group", "groups"), ("place", "places")):
        words = column_words(table, column)
        values, counts = np.unique(words[words != ""], return_counts=True)
        if len(values) >= _FEWEST_GROUPS and counts.sum() >= len(table) / 2 and counts.max() <= 0.6 * len(table):
            return SplitPlan(
                "groups",
                name,
                column=column,
                reason=f"The source has {len(values):,} {what} that belong together; each stays whole.",
            )
    known = "cover too little ground for blocks" if block > 0 else "have no known place"
    return SplitPlan(
        "random", name, reason=f"The chips {known}, and no groups are known, so they are split at random; results may be too good.",
    )  # fmt: skip


def _block_side(table: pd.DataFrame, side: float) -> float:
    """Four chips wide, and doubled until there are few enough blocks that the guard bands cost little; 0 where unknown."""
    block = 4 * side or 1000.0
    while block < 1e6 and len(np.unique(place_of_blocks(table, block))) > _MOST_BLOCKS:
        block *= 2
    return block


def _official(
    plan: SplitPlan,
    table: pd.DataFrame,
    strata: npt.NDArray[np.float32],
    a: npt.NDArray[np.int64],
    b: npt.NDArray[np.int64],
) -> Divided:
    said = column_words(table, "split")
    splits = np.full(len(table), GUARD, np.int8)
    for index, name in enumerate(SPLITS):
        splits[said == name] = index
    there = [bool((splits == split).any()) for split in (TRAIN, VALIDATION, TEST)]
    units = dependent_units(column_words(table, "group"), a, b)
    if not there[0] or not any(there[1:]):
        named = ", ".join(n for n, found in zip(SPLITS, there, strict=False) if found) or "none"
        raise NothingToRead(
            f"The source's own split has these parts: {named}; train and one of validation and test are needed. Choose another split."
        )
    if not all(there):
        if not there[2]:
            splits[splits == VALIDATION] = TEST
        train = np.flatnonzero(splits == TRAIN)
        own, size = np.unique(units[train], return_inverse=True)
        if len(own) < 2:
            raise NothingToRead(
                "The source's training part is one group, so no validation part can be taken from it. Choose another split."
            )
        share = plan.fractions[1] / (plan.fractions[0] + plan.fractions[1])
        taken = assign_units(size, strata[train], (1 - share, share), plan.seed)
        splits[train[taken == 1]] = VALIDATION
    if plan.block_m > 0 and has_ground(table).all():
        units = place_of_blocks(table, plan.block_m)
    return _checked(splits), numbered(units)


def _blocks(plan: SplitPlan, table: pd.DataFrame, strata: npt.NDArray[np.float32]) -> Divided:
    known = np.flatnonzero(has_ground(table))
    if not len(known):
        raise NothingToRead(
            "No chip's place on the ground is known, so it cannot be split by blocks. Split by groups or at random."
        )
    grid = block_grid(table.iloc[known], plan.block_m, plan.guard_m)
    own, block = search_blocks(
        grid.middle, grid.first, grid.last, strata[known],
        BlockPlan(fractions=plan.fractions, seed=plan.seed, trials=plan.trials), _metres(plan.block_m), _metres(plan.guard_m),
    )  # fmt: skip
    splits, blocks = np.full(len(table), GUARD, np.int8), np.full(len(table), -1, np.int32)
    splits[known], blocks[known] = own, block
    lost = np.flatnonzero(blocks < 0)
    blocks[lost] = blocks.max() + 1 + np.arange(len(lost))
    return splits, blocks


def _bands(plan: SplitPlan, table: pd.DataFrame) -> Divided:
    longitude = table["longitude"].to_numpy(np.float64) if "longitude" in table else np.full(len(table), np.nan)
    known = np.flatnonzero(np.isfinite(longitude))
    if len(np.unique(longitude[known])) < 3:
        raise NothingToRead(
            "Fewer than three longitudes are known, so there are no bands to split by. Split by groups or at random."
        )
    x = longitude[known]
    borders = np.quantile(x, np.cumsum(plan.fractions)[:2], method="higher")
    splits = np.full(len(table), GUARD, np.int8)
    splits[known] = np.searchsorted(borders, x, side="right")
    if plan.guard_m > 0:
        latitude = np.abs(table["latitude"].to_numpy(np.float64)[known])
        degrees = METRES_PER_DEGREE * np.cos(np.radians(np.minimum(latitude, 89.0)))
        bounds = (
            table[["west", "east"]].to_numpy(np.float64)[known]
            if {"west", "east"} <= set(table)
            else np.full((len(x), 2), np.nan)
        )
        west, east = (np.where(np.isfinite(side), side, x) for side in bounds.T)
        for border in borders:
            near = (west - border < plan.guard_m / 2 / degrees) & (border - east < plan.guard_m / 2 / degrees)
            splits[known[near]] = GUARD
    side = plan.block_m or max(plan.guard_m, 4 * chip_side_m(table), 1000.0)
    ground = has_ground(table)
    units = np.where(ground, 0, np.arange(len(table)) + 1)
    if ground.any():
        units[ground] = place_of_blocks(table[ground], side) + len(table) + 1
    return splits, numbered(units)


def _by_column(
    plan: SplitPlan,
    table: pd.DataFrame,
    column: str,
    strata: npt.NDArray[np.float32],
    a: npt.NDArray[np.int64],
    b: npt.NDArray[np.int64],
) -> Divided:
    if column not in table:
        raise DataSetInvalid(
            f"The chips have no column {column[:40]!r} to split by; they have {', '.join(map(str, table))[:200]}."
        )
    words = column_words(table, column)
    what = f"values of `{column[:40]}`"
    if len(set(words[words != ""])) < 3:
        raise NothingToRead(
            f"There are {len(set(words[words != '']))} {what}; three are needed to train, validate and test on different ones. "
            "Split by another column, or at random."
        )
    if plan.kind == "regions":
        known = np.flatnonzero(words != "")
        units = dependent_units(words, a[:0], b[:0])
        splits = np.full(len(table), GUARD, np.int8)
        splits[known] = _whole_units(plan, units[known], strata[known], what)[0]
        return splits, numbered(units)
    alone, units = dependent_units(words, a[:0], b[:0]), dependent_units(words, a, b)
    largest = np.bincount(np.unique(units, return_inverse=True)[1]).max()
    # A few pictures that everyone has (open sea) would tie all groups together; those pictures are then parted instead.
    if len(np.unique(units)) < 3 or largest > max(
        np.bincount(np.unique(alone, return_inverse=True)[1]).max(), len(table) / 2
    ):
        units = alone
    return _whole_units(plan, units, strata, what)


def _whole_units(plan: SplitPlan, units: npt.NDArray[np.int64], strata: npt.NDArray[np.float32], what: str) -> Divided:
    blocks = numbered(units)
    if int(blocks.max()) < 2:
        raise NothingToRead(
            f"There are {int(blocks.max()) + 1} {what}; three are needed to train, validate and test. Add chips."
        )
    return _checked(assign_units(blocks, strata, plan.fractions, plan.seed)), blocks


def _part_duplicates(splits: npt.NDArray[np.int8], a: npt.NDArray[np.int64], b: npt.NDArray[np.int64]) -> None:
    """Of equal pictures in different splits, those of test stay, else those of validation; the others are used by none."""
    root = components(len(splits), a, b)
    used = np.flatnonzero(splits != GUARD)
    staying = np.full(len(splits), -1, np.int8)
    np.maximum.at(staying, root[used], splits[used])
    splits[used[splits[used] != staying[root[used]]]] = GUARD


def _checked(splits: npt.NDArray[np.int8]) -> npt.NDArray[np.int8]:
    missing = [SPLITS[split] for split in (TRAIN, VALIDATION, TEST) if not (splits == split).any()]
    if missing:
        raise NothingToRead(
            f"This plan leaves no chip for {' and '.join(missing)}. Use smaller blocks or another kind of split."
        )
    return splits


def _region_column(plan: SplitPlan, table: pd.DataFrame) -> str:
    if plan.column:
        return plan.column
    words = column_words(table, "region")
    return "region" if len(set(words[words != ""])) >= 3 else "longitude"


def _metres(length: float) -> str:
    return f"{length / 1000:.3g} km" if length >= 1000 else f"{length:.3g} m"
