"""How windows cover a scene, and how their rows are cut into bands that can be predicted apart from each other."""

from __future__ import annotations

import math
from bisect import bisect_right
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from spatialnet.errors import NothingToRead, PredictionRefused

BAND_PIXELS, BANDS = 256, 16
"""A scene has one band per so many of its rows, and at least so many bands where it has enough rows of windows."""


@dataclass(frozen=True)
class Band:
    """Rows of windows that are predicted together.

    Attributes:
        first: number of the first row of windows.
        last: number of the row of windows after the last.
        top: first row of the scene that these windows settle.
        bottom: the row of the scene after the last.
    """

    first: int
    last: int
    top: int
    bottom: int


@dataclass(frozen=True)
class SceneWindows:
    """How windows cover one axis pair of a scene.

    Attributes:
        rows: first row of each row of windows, increasing.
        columns: first column of each window in a row, increasing.
        size: side of a window in pixels.
        height: rows of the scene.
    """

    rows: tuple[int, ...]
    columns: tuple[int, ...]
    size: int
    height: int

    @classmethod
    def covering(
        cls, height: int, width: int, size: int, stride: int, origin: tuple[int, int] = (0, 0)
    ) -> SceneWindows:
        """Windows every `stride` pixels from `origin`, and at the borders where they would leave pixels uncovered.

        Raises:
            PredictionRefused: the stride is not in 1..size.
            NothingToRead: the scene is smaller than one window.
        """
        if not 1 <= stride <= size:
            raise PredictionRefused(
                f"A stride of {stride} pixels does not fit windows of {size}. Choose 1 to {size}; half is usual."
            )
        if min(height, width) < size:
            raise NothingToRead(
                f"The scene has {width} x {height} pixels; the run needs {size} x {size}. Use a larger one."
            )
        return cls(_starts(height, size, stride, origin[0]), _starts(width, size, stride, origin[1]), size, height)

    def bands(self) -> tuple[Band, ...]:
        """All rows of windows, cut into bands. The cut depends on nothing but these windows."""
        count = min(len(self.rows), max(BANDS, math.ceil(self.height / BAND_PIXELS)))
        cuts = [len(self.rows) * number // count for number in range(count + 1)]
        ends = [*self.rows, self.height]
        return tuple(Band(first, last, ends[first], ends[last]) for first, last in pairwise(cuts))

    def reaching(self, first: int) -> int:
        """The first row of windows that reaches the pixels at which row of windows `first` begins."""
        return bisect_right(self.rows, self.rows[first] - self.size)


def _starts(length: int, size: int, stride: int, origin: int) -> tuple[int, ...]:
    starts = set(range(origin % stride, length - size + 1, stride))
    return tuple(sorted(starts | {0, length - size}))


def blend_weights(size: int) -> npt.NDArray[np.float32]:
    """How much each pixel of a window counts where windows overlap: most in the middle, (size, size) float32."""
    # Taken at the middle of each pixel: a window comes in and goes out by half a step, so that no edge of it shows.
    ramp = np.minimum(np.arange(size), np.arange(size)[::-1]).astype(np.float32) + 0.5
    return np.outer(ramp, ramp) / ramp.max() ** 2
