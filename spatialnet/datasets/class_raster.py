"""Class rasters: targets and predictions as the bands of a GeoTIFF. Band layout in `class_bands`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from affine import Affine

from spatialnet.raster import Raster, write_cog
from spatialnet.tasks import Task

NO_CLASS, NONE_PRESENT = 255, 254
"""What band 1 of a target or prediction raster holds where nothing is known, and where no class is present."""


def class_bands(task: Task, scores: npt.NDArray[np.float32]) -> tuple[npt.NDArray[np.uint8], list[str]]:
    """Scores as the bands of a class raster.

    Args:
        task: not of kind `count`.
        scores: (n, classes) in 0..1, NaN unknown; `binary` has two columns.

    Returns:
        (n, 2 + classes) uint8 and the band names. Band 1 is the class index (255 unknown; 254 where a `multilabel` task
        has no class at 0.5 or more), band 2 its score in percent, band 3 and on the score of each class in percent.
    """
    unknown = ~np.isfinite(scores).all(axis=1)
    filled = np.nan_to_num(scores)
    best = filled.argmax(axis=1).astype(np.uint8)
    top = filled.max(axis=1)
    if task.kind == "multilabel":
        best[top < 0.5] = NONE_PRESENT
        # How sure the least sure yes or no is.
        confidence = np.maximum(filled, 1 - filled).min(axis=1)
    else:
        confidence = top
    bands = np.column_stack([best, *(np.round(100 * values).astype(np.uint8) for values in (confidence, *filled.T))])
    bands[unknown] = NO_CLASS
    return bands, ["class", "confidence", *(f"p({name})" for name in task.classes)]


@dataclass(frozen=True)
class CellGrid:
    """The raster on which each chip paints its central square of `stride` pixels.

    Attributes:
        rows: cell row of each chip.
        columns: cell column of each chip.
        shape: (height, width) in cells.
        transform: cell (column, row) to ground.
        crs: the scene's.
    """

    rows: npt.NDArray[np.int64]
    columns: npt.NDArray[np.int64]
    shape: tuple[int, int]
    transform: Affine
    crs: Any

    @classmethod
    def of(
        cls, grid: Raster, rows: npt.NDArray[np.int64], columns: npt.NDArray[np.int64], size: int, stride: int
    ) -> CellGrid:
        """The cell grid of chips cut from a scene."""
        first_r, first_c, margin = int(rows.min()), int(columns.min()), (size - stride) / 2
        cell_r, cell_c = (rows - first_r) // stride, (columns - first_c) // stride
        origin = grid.transform @ Affine.translation(first_c + margin, first_r + margin) @ Affine.scale(stride)
        return cls(cell_r, cell_c, (int(cell_r.max()) + 1, int(cell_c.max()) + 1), origin, grid.crs)

    def write(self, path: Path, values: npt.NDArray[np.uint8], names: list[str]) -> None:
        """Write (chips, bands) uint8 values as a raster; cells without a chip are 255, which is no-data."""
        pixels = np.full((values.shape[1], *self.shape), NO_CLASS, np.uint8)
        pixels[:, self.rows, self.columns] = values.T
        scales = [1.0] + [0.01] * (values.shape[1] - 1)
        write_cog(path, pixels, self.transform, self.crs, nodata=NO_CLASS, descriptions=names, scales=scales)
