"""Units that a split never parts, and how whole units are given to train, validation and test. Pure."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from spatialnet.datasets.leaks import components


def assign_units(
    units: npt.NDArray[Any], strata: npt.NDArray[np.float32], fractions: tuple[float, ...], seed: int
) -> npt.NDArray[np.int8]:
    """Give whole units to parts, the largest first, each to the part that lacks most of what it holds.

    Args:
        units: (chips,) number of each chip's unit, 0..n-1.
        strata: (chips, k) numbers that should be alike in every part.
        fractions: wanted share of each part.
        seed: of the order of units of one size.

    Returns:
        (chips,) int8 number of each chip's part; no part is empty as long as there are enough units.
    """
    count = int(units.max()) + 1
    held = np.column_stack([np.ones(len(units)), strata.astype(np.float64)])
    sums = np.zeros((count, held.shape[1]))
    np.add.at(sums, units, held)
    order = np.lexsort((np.random.default_rng(seed).permutation(count), -sums[:, 0]))
    weight = np.r_[float(max(held.shape[1] - 1, 1)), np.ones(held.shape[1] - 1)]
    totals = sums.sum(axis=0)
    sums = sums / np.where(totals > 0, totals, 1.0)
    shares = np.asarray(fractions)
    lacking = np.repeat(shares[:, None], sums.shape[1], axis=1)
    part = np.zeros(count, np.int8)
    scale = weight / shares[:, None]
    for unit in order:
        own = sums[unit]
        # By how much the squared distance from the wanted shares grows, relative to each part's size.
        choice = int(np.argmin(((own - 2 * lacking) * own * scale).sum(axis=1)))
        part[unit] = choice
        lacking[choice] -= own
    for index in range(len(shares)):
        if not (part == index).any():
            rich = np.flatnonzero(part == np.bincount(part).argmax())
            part[rich[np.argmin(sums[rich, 0])]] = index
    return part[units]


def dependent_units(
    words: npt.NDArray[np.object_], a: npt.NDArray[np.int64], b: npt.NDArray[np.int64]
) -> npt.NDArray[np.int64]:
    """Chips of one group, and pictures that are the same, as one unit: (chips,) numbers. "" is no group."""
    named = np.flatnonzero(words != "")
    codes = pd.factorize(words[named])[0]
    first = np.full(int(codes.max(initial=-1)) + 1, len(words), np.int64)
    np.minimum.at(first, codes, named)
    return components(len(words), np.concatenate([a, named]), np.concatenate([b, first[codes]]))


def column_words(table: pd.DataFrame, column: str) -> npt.NDArray[np.object_]:
    """A column as text, "" where there is nothing: (chips,)."""
    if column not in table:
        return np.full(len(table), "", object)
    return table[column].astype(object).where(table[column].notna(), "").astype(str).to_numpy(object)


def numbered(units: npt.NDArray[Any]) -> npt.NDArray[np.int32]:
    """The same units, numbered from 0 without gaps: (chips,)."""
    return np.unique(units, return_inverse=True)[1].astype(np.int32)
