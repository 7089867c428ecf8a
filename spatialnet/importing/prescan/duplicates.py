"""Pictures that are the same, pixel by pixel or nearly so. Pure."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
import pandas as pd

THUMBNAIL = 16
MOST_PAIRS = 200_000
"""At most this many near pairs are kept."""

_BITS_APART = 5
"""Hashes of near duplicates differ in at most this many of 64 bits; one more band of bits than that finds them all."""

_BANDS = ((0, 11), (11, 11), (22, 11), (33, 11), (44, 10), (54, 10))
_CORRELATION = 0.98
_MEAN_APART = 25.0
_FLAT = 3.0
"""Thumbnails (0..255) with a smaller standard deviation, such as open sea, are alike without being the same picture."""

_MOST_COMPARED = 15_000_000
"""Pairs looked at per band of bits: among very many pictures that are all alike (dunes), some pairs are not looked at."""

_AT_ONCE = 2_000_000
Pairs = tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]


def content_hash(pixels: npt.NDArray[np.generic]) -> int:
    """A 64-bit number that two chips share only if every pixel, the size and the type are the same."""
    digest = hashlib.blake2b(repr((pixels.shape, pixels.dtype.str)).encode(), digest_size=8)
    digest.update(np.ascontiguousarray(pixels).data)
    return int.from_bytes(digest.digest(), "little")


def small_picture(grey: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """The picture that near duplicates are found by: (16, 16) means of a grey picture (height, width) without NaN."""
    rows, columns = (_edges(length) for length in grey.shape)
    total = np.add.reduceat(np.add.reduceat(grey.astype(np.float64), rows, axis=0), columns, axis=1)
    areas = np.diff(np.r_[rows, grey.shape[0]])[:, None] * np.diff(np.r_[columns, grey.shape[1]])
    means = (total / areas).astype(np.float32)
    across = (np.arange(THUMBNAIL) * means.shape[1]) // THUMBNAIL
    return means[(np.arange(THUMBNAIL) * means.shape[0]) // THUMBNAIL][:, across]


def difference_hashes(thumbnails: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint64]:
    """64 bits per picture (pictures, 16, 16): whether each of 8 x 9 fields is darker than the one on its right."""
    fields = thumbnails.astype(np.float32).reshape(len(thumbnails), 8, 2, THUMBNAIL).mean(axis=2)
    at = np.linspace(0, THUMBNAIL - 1, 9)
    low = np.minimum(at.astype(np.int64), THUMBNAIL - 2)
    fields = fields[:, :, low] * (1 - (at - low)) + fields[:, :, low + 1] * (at - low)
    # A step of less than one grey level is noise: in flat parts the bit stays 0.
    bits = np.diff(fields, axis=2) > 1.0
    packed = np.packbits(bits.reshape(len(thumbnails), 64), axis=1)
    return packed.view(np.uint64).ravel()


def find_duplicates(
    hashes: npt.NDArray[np.uint64], thumbnails: npt.NDArray[np.uint8], most: int = MOST_PAIRS
) -> tuple[pd.DataFrame, bool]:
    """Pairs of equal pictures.

    Of many chips with the same pixels, each is paired with the first of them. Near duplicates differ a little in
    brightness or were compressed anew; their thumbnails correlate with at least 0.98.

    Args:
        hashes: (chips,) see `content_hash`.
        thumbnails: (chips, 16, 16) grey pictures, all on one scale.
        most: how many near pairs are kept.

    Returns:
        `a`, `b` (chip numbers, a < b), `kind` "exact" or "near"; and whether there may be more near pairs.
    """
    _, first, inverse = np.unique(hashes, return_index=True, return_inverse=True)
    leader = first[inverse]
    copies = np.flatnonzero(leader != np.arange(len(hashes)))
    # Copies are found already; only one of each is compared with the others.
    ones = np.sort(first)
    flat = thumbnails[ones].reshape(len(ones), -1).astype(np.float32)
    mean, spread = flat.mean(axis=1), flat.std(axis=1)
    ones = ones[spread >= _FLAT]
    flat, mean = flat[spread >= _FLAT], mean[spread >= _FLAT]
    flat -= mean[:, None]
    flat /= np.maximum(np.linalg.norm(flat, axis=1), 1e-9)[:, None]
    parts: list[Pairs] = []
    count, cut = 0, False
    for i, j, limited in _candidates(difference_hashes(thumbnails[ones])):
        for begin in range(0, len(i), 100_000):
            one, other = i[begin : begin + 100_000], j[begin : begin + 100_000]
            same = np.einsum("ij,ij->i", flat[one], flat[other]) >= _CORRELATION
            same &= np.abs(mean[one] - mean[other]) <= _MEAN_APART
            parts.append((ones[one[same]], ones[other[same]]))
            count += int(same.sum())
        cut |= limited
        if count > len(_BANDS) * most:
            break
    found = np.unique(np.concatenate([a * len(hashes) + b for a, b in parts])) if parts else np.zeros(0, np.int64)
    cut |= len(found) > most
    near_a, near_b = np.divmod(found[:most], max(len(hashes), 1))
    table = pd.DataFrame({
        "a": np.concatenate([leader[copies], near_a]).astype(np.int64),
        "b": np.concatenate([copies, near_b]).astype(np.int64),
        "kind": np.repeat(np.array(["exact", "near"], object), [len(copies), len(near_a)]),
    })  # fmt: skip
    return table, cut


def _edges(length: int) -> npt.NDArray[np.int64]:
    return np.unique((np.arange(min(THUMBNAIL, length)) * length) // min(THUMBNAIL, length))


def _candidates(hashes: npt.NDArray[np.uint64]) -> Iterator[tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], bool]]:
    """Pairs of hashes that differ in few bits, some more than once: two such hashes agree in at least one band of bits.

    Third comes whether pairs of this band were not looked at (`_MOST_COMPARED`); those nearest in hash order are.
    """
    keys = [(hashes >> np.uint64(start)) & np.uint64((1 << width) - 1) for start, width in _BANDS]
    for key in keys:
        order = np.lexsort((hashes, key))
        ordered = key[order]
        partners = np.searchsorted(ordered, ordered, side="right") - np.arange(len(order)) - 1
        limit = next(
            (m for m in (100_000, 5000, 2000, 1000, 500, 250) if np.minimum(partners, m).sum() <= _MOST_COMPARED), 125
        )
        limited = bool((partners > limit).any())
        partners = np.minimum(partners, limit)
        total = np.cumsum(partners)
        start = 0
        while start < len(order):
            stop = max(
                int(np.searchsorted(total, (total[start - 1] if start else 0) + _AT_ONCE, side="right")), start + 1
            )
            count = partners[start:stop]
            left = np.repeat(np.arange(start, stop), count)
            right = left + 1 + np.arange(len(left)) - np.repeat(np.cumsum(count) - count, count)
            i, j = order[left], order[right]
            close = np.bitwise_count(hashes[i] ^ hashes[j]) <= _BITS_APART
            i, j = i[close], j[close]
            if len(i) or limited:
                yield np.minimum(i, j), np.maximum(i, j), limited
            start = stop
