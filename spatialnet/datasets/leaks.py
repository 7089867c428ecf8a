"""What chips of different splits have in common: ground, or pixels. Pure.

A chip that a model was trained on must not come back, whole or in part, among the chips it is tested on.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
import pandas as pd

from spatialnet.datasets.packed import SPLITS

KINDS = ("shared ground", "exact duplicate", "near duplicate")
CAP = 10_000
"""At most this many pairs of each kind are listed; all are counted."""

_GUARD = SPLITS.index("guard")
_SLIVER = 0.01
"""Footprints share ground where they overlap by more than this share of the smaller one's side, both ways."""

_SLIVER_DEGREES = 0.06
"""The same for rectangles of longitude and latitude, which are a little larger than the turned footprints in them."""

_AT_ONCE = 2_000_000
"""Pairs that are looked at together, so that memory stays small."""

Pairs = tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]


def find_leaks(
    splits: npt.NDArray[np.int8], table: pd.DataFrame, duplicates: pd.DataFrame, cap: int = CAP
) -> pd.DataFrame:
    """Pairs of chips of different splits that share ground or are duplicates. `guard` is used by none, so it leaks none.

    Args:
        splits: (chips,) index into `SPLITS`.
        table: one row per chip: `west`, `south`, `east`, `north` in degrees (NaN unknown; `east` may exceed 180) and, where
            known, `crs`, `a` to `f`, `height`, `width`: then chips of one system are compared by their true footprints.
        duplicates: chip numbers `a` and `b`, `kind` "exact" or "near".
        cap: how many pairs of each kind are listed.

    Returns:
        Columns `a`, `b` (chip numbers), `split_a`, `split_b` (names), `kind` (one of `KINDS`); `attrs["counts"]` holds
        how many pairs of each kind there are (see `leak_counts`).
    """
    found: dict[str, tuple[list[Pairs], int]] = {}
    found[KINDS[0]] = _gather(shared_ground(table, splits), cap)
    kinds = duplicates["kind"].to_numpy() if len(duplicates) else np.zeros(0, object)
    a, b = (duplicates[c].to_numpy(np.int64) if len(duplicates) else np.zeros(0, np.int64) for c in ("a", "b"))
    exact, near = kinds == "exact", kinds == "near"
    found[KINDS[1]] = _gather(_same_pixels(a[exact], b[exact], splits), cap)
    apart = near & (splits[a] != splits[b]) & (splits[a] != _GUARD) & (splits[b] != _GUARD)
    found[KINDS[2]] = _gather(iter([(a[apart], b[apart])]), cap)
    names, parts = np.asarray(SPLITS, dtype=object), []
    for kind, (pairs, _) in found.items():
        first, second = (np.concatenate([p[i] for p in pairs]) if pairs else np.zeros(0, np.int64) for i in (0, 1))
        parts.append(pd.DataFrame({
            "a": first, "b": second, "split_a": names[splits[first]], "split_b": names[splits[second]],
            "kind": np.full(len(first), kind, object),
        }))  # fmt: skip
    leaks = pd.concat(parts, ignore_index=True)
    leaks.attrs["counts"] = {kind: count for kind, (_, count) in found.items()}
    return leaks


def leak_counts(leaks: pd.DataFrame) -> dict[str, int]:
    """How many pairs of each kind there are, listed or not."""
    counted = leaks.attrs.get("counts", {})
    return {kind: int(counted.get(kind, (leaks["kind"] == kind).sum())) for kind in KINDS}


def shared_ground(table: pd.DataFrame, splits: npt.NDArray[np.int8] | None = None) -> Iterator[Pairs]:
    """Pairs (a, b), a < b, of chips whose footprints overlap, piece by piece; each pair once.

    Args:
        table: see `find_leaks`.
        splits: only pairs of two different splits other than `guard`; None for all pairs.
    """
    bounds = table[["west", "south", "east", "north"]].to_numpy(np.float64)
    usable = np.isfinite(bounds).all(axis=1)
    if splits is not None:
        usable &= splits != _GUARD
    chips = np.flatnonzero(usable)
    # What crosses the antimeridian is met by its neighbours on the other side one turn further west.
    over = chips[bounds[chips, 2] > 180]
    moved = bounds[over] - [360, 0, 360, 0]
    boxes, owners = np.concatenate([bounds[chips], moved]), np.concatenate([chips, over])
    copy = np.arange(len(boxes)) >= len(chips)
    frames = _frames(table)
    for one, other in _overlapping(boxes, None if splits is None else splits[owners]):
        a, b = owners[one], owners[other]
        keep = _overlap(boxes[one], boxes[other], _SLIVER_DEGREES)
        if frames is not None:
            system, own = frames
            same = (system[a] == system[b]) & (system[a] >= 0) & ~(copy[one] | copy[other])
            keep = np.where(same, _overlap(own[a], own[b], _SLIVER), keep)
        keep &= ~(copy[one] & copy[other]) & (a != b)
        if keep.any():
            yield np.minimum(a, b)[keep], np.maximum(a, b)[keep]


def components(count: int, a: npt.NDArray[np.int64], b: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Which things hang together: (count,) the lowest number in each one's component, given pairs (a, b)."""
    root = np.arange(count)
    while True:
        lowest = np.minimum(root[a], root[b])
        before = root.copy()
        np.minimum.at(root, root[a], lowest)
        np.minimum.at(root, root[b], lowest)
        root = root[root]
        if np.array_equal(root, before):
            return root


def _gather(pieces: Iterator[Pairs], cap: int) -> tuple[list[Pairs], int]:
    kept: list[Pairs] = []
    count = held = 0
    for a, b in pieces:
        if held < cap:
            kept.append((a[: cap - held], b[: cap - held]))
            held += len(kept[-1][0])
        count += len(a)
    return kept, count


def _same_pixels(a: npt.NDArray[np.int64], b: npt.NDArray[np.int64], splits: npt.NDArray[np.int8]) -> Iterator[Pairs]:
    """All pairs of two splits among chips with the same pixels, also those that are only linked through a third."""
    chips = np.unique(np.concatenate([a, b]))
    root = components(len(chips), np.searchsorted(chips, a), np.searchsorted(chips, b))
    used = splits[chips] != _GUARD
    chips = chips[used]
    for i, j in _pairs_within(root[used], splits[chips]):
        yield np.minimum(chips[i], chips[j]), np.maximum(chips[i], chips[j])


def _frames(table: pd.DataFrame) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]] | None:
    """Per chip its coordinate system as a number (-1: compare in degrees) and its rectangle there."""
    if not {"crs", "height", "width", *"abcdef"} <= set(table.columns):
        return None
    a, b, c, d, e, f, height, width = (table[n].to_numpy(np.float64) for n in (*"abcdef", "height", "width"))
    system = pd.factorize(table["crs"])[0].astype(np.int64)
    upright = np.isfinite([a, b, c, d, e, f, height, width]).all(axis=0) & (b == 0) & (d == 0)
    system[~upright | (table["crs"].to_numpy() == "")] = -1
    x, y = np.stack([c, c + a * width]), np.stack([f, f + e * height])
    return system, np.column_stack([x.min(axis=0), y.min(axis=0), x.max(axis=0), y.max(axis=0)])


def _overlap(one: npt.NDArray[np.float64], other: npt.NDArray[np.float64], share: float) -> npt.NDArray[np.bool_]:
    """Whether rectangles overlap by more than a share of the smaller side, in both directions."""
    common = np.minimum(one[:, 2:], other[:, 2:]) - np.maximum(one[:, :2], other[:, :2])
    side = np.minimum(one[:, 2:] - one[:, :2], other[:, 2:] - other[:, :2])
    return np.asarray(((common > share * side) & (common > 0)).all(axis=1), np.bool_)


def _overlapping(
    boxes: npt.NDArray[np.float64], splits: npt.NDArray[np.int8] | None
) -> Iterator[tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]]:
    """Pairs of boxes that overlap, each once.

    Boxes are put into the cells of a grid that they touch. Boxes of very different size have a grid for each pair of
    sizes, with cells as large as the larger one, so that a box never touches more than four cells of it.
    """
    side = np.maximum(boxes[:, 2] - boxes[:, 0], boxes[:, 3] - boxes[:, 1])
    level = np.ceil(np.log2(np.maximum(side, 1e-9))).astype(np.int64)
    for large in np.unique(level):
        for small in np.unique(level[level <= large]):
            members = np.flatnonzero((level == large) | (level == small))
            for a, b in _in_cells(boxes[members], 2.0 ** float(large), None if splits is None else splits[members]):
                one, other = members[a], members[b]
                keep = slice(None) if small == large else level[one] != level[other]
                yield one[keep], other[keep]


def _in_cells(boxes: npt.NDArray[np.float64], cell: float, splits: npt.NDArray[np.int8] | None) -> Iterator[Pairs]:
    first, last = (np.floor(boxes[:, part] / cell).astype(np.int64) for part in (slice(0, 2), slice(2, 4)))
    lowest = first.min(axis=0)
    first, last = first - lowest, last - lowest
    across = int(last[:, 0].max()) + 1
    parts, owners = [], []
    for x in (0, 1):
        for y in (0, 1):
            there = np.flatnonzero((first[:, 0] + x <= last[:, 0]) & (first[:, 1] + y <= last[:, 1]))
            parts.append((first[there, 1] + y) * across + first[there, 0] + x)
            owners.append(there)
    cells, owner = np.concatenate(parts), np.concatenate(owners)
    for i, j in _pairs_within(cells, None if splits is None else splits[owner]):
        a, b = owner[i], owner[j]
        west, south = (np.maximum(boxes[a, side], boxes[b, side]) for side in (0, 1))
        # A pair may meet in several cells; it counts in the one that holds the corner of what the two share.
        column, row = np.floor(west / cell).astype(np.int64), np.floor(south / cell).astype(np.int64)
        met = (west < np.minimum(boxes[a, 2], boxes[b, 2])) & (south < np.minimum(boxes[a, 3], boxes[b, 3]))
        met &= (row - lowest[1]) * across + (column - lowest[0]) == cells[i]
        if met.any():
            yield a[met], b[met]


def _pairs_within(groups: npt.NDArray[np.int64], splits: npt.NDArray[np.int8] | None) -> Iterator[Pairs]:
    """Pairs of positions of one group, each once; with `splits` only those of different splits."""
    order = np.argsort(groups, kind="stable") if splits is None else np.lexsort((splits, groups))
    sorted_groups = groups[order]
    end = np.searchsorted(sorted_groups, sorted_groups, side="right")
    begin = np.arange(len(order)) + 1
    if splits is not None:
        both = sorted_groups * len(SPLITS) + splits[order]
        begin = np.searchsorted(both, both, side="right")
    partners = end - begin
    total = np.cumsum(partners)
    start = 0
    while start < len(order):
        stop = max(int(np.searchsorted(total, (total[start - 1] if start else 0) + _AT_ONCE, side="right")), start + 1)
        count = partners[start:stop]
        if count.sum():
            left = np.repeat(np.arange(start, stop), count)
            step = np.arange(len(left)) - np.repeat(np.cumsum(count) - count, count)
            yield order[left], order[np.repeat(begin[start:stop], count) + step]
        start = stop
