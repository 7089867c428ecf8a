"""What the values of each band are like, from a sample of training chips whose size is said."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from spatialnet.datasets.packed import ChipArray

SAMPLE_CHIPS = 2000
SAMPLE_BYTES = 512 << 20
STRETCH_PERCENTILES = (2.0, 98.0)
_TRAIN = 0


def band_statistics(chips: ChipArray, splits: npt.NDArray[np.int8], present: npt.NDArray[np.bool_]) -> dict[str, Any]:
    """Mean, standard deviation and stretch limits per band over valid pixels of training chips.

    Args:
        chips: of one sensor.
        splits: (chips,) index into `SPLITS`.
        present: (chips,) which chips have the sensor.

    Returns:
        `mean`, `std`, `low`, `high` (one number per band; 0 and 1 where no pixel is valid), `percentiles`,
        `sampled_chips`.
    """
    bands = chips.shape[1]
    usable = np.flatnonzero((splits == _TRAIN) & present)
    if not len(usable):
        usable = np.flatnonzero(present)
    most = max(16, min(SAMPLE_CHIPS, SAMPLE_BYTES // (8 * int(np.prod(chips.shape[1:])))))
    sample = np.sort(np.random.default_rng(0).permutation(usable)[:most])
    values = chips[sample]
    rows = []
    for band in range(bands):
        pixels = values[:, band][np.isfinite(values[:, band])].astype(np.float64)
        if len(pixels):
            low, high = np.percentile(pixels, STRETCH_PERCENTILES)
            rows.append((pixels.mean(), max(pixels.std(), 1e-6), low, high))
        else:
            rows.append((0.0, 1.0, 0.0, 1.0))
    mean, std, low, high = (list(map(float, column)) for column in zip(*rows, strict=True))
    return {
        "mean": mean, "std": std, "low": low, "high": high, "percentiles": list(STRETCH_PERCENTILES),
        "sampled_chips": len(sample),
    }  # fmt: skip
