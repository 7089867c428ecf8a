"""Embeddings over a scene: one vector per window, with its place on the ground."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd
import torch
from rasterio.warp import transform

from spatialnet.model import SpatialNetViT
from spatialnet.predict.chips import embed, prepared
from spatialnet.predict.stack import SceneStack, Strip
from spatialnet.predict.windows import Band, SceneWindows


@dataclass(frozen=True)
class Embedded:
    """Embeddings of some windows of a scene.

    Attributes:
        features: (windows, dim) float16.
        rows: (windows,) first row of each window, in pixels of the stack's grid.
        columns: (windows,) first column of each.
    """

    features: npt.NDArray[np.float16]
    rows: npt.NDArray[np.int32]
    columns: npt.NDArray[np.int32]

    def positions(self, stack: SceneStack, size: int) -> pd.DataFrame:
        """One row per window: its pixels, and its centre in the scene's own system (x, y) and in degrees."""
        grid = stack.grid
        places = [
            grid.transform @ (column + size / 2, row + size / 2)
            for row, column in zip(self.rows.tolist(), self.columns.tolist(), strict=True)
        ]
        x, y = np.array(places, np.float64).reshape(-1, 2).T
        longitude, latitude = transform(grid.crs, "EPSG:4326", x, y) if len(x) else (x, y)
        return pd.DataFrame({
            "row": self.rows + grid.row, "column": self.columns + grid.column, "size": np.full(len(x), size, np.int32), "x": x, "y": y,
            "longitude": np.asarray(longitude), "latitude": np.asarray(latitude),
        })  # fmt: skip


@torch.inference_mode()
def embed_band(
    model: SpatialNetViT,
    stack: SceneStack,
    windows: SceneWindows,
    band: Band,
    *,
    batch: int,
    dataset: str | None = None,
    progress: Callable[[float], None] = lambda _share: None,
) -> Embedded:
    """Embeddings of the windows of a band; a window without a single valid pixel is left out.

    Args:
        model: in evaluation mode, on the device to use.
        stack: open scenes.
        windows: how they are covered.
        band: which rows of windows.
        batch: windows per forward pass.
        dataset: whose normalisation to use.
        progress: called with a share in 0..1.

    Raises:
        SceneUnreadable: a scene is damaged or cut short.
    """
    strip = Strip(stack, windows.size)
    found, rows, columns = [], [], []
    for index in range(band.first, band.last):
        strip.move(windows.rows[index])
        for start in range(0, len(windows.columns), batch):
            chosen = windows.columns[start : start + batch]
            images, present, seen = strip.windows(chosen)
            if seen.any():
                found.append(embed(model, {"images": prepared(model, images, dataset), "present": present}))
                columns += [column for column, is_seen in zip(chosen, seen, strict=True) if is_seen]
                rows += [windows.rows[index]] * int(seen.sum())
        progress((index + 1 - band.first) / (band.last - band.first))
    features = np.concatenate(found) if found else np.zeros((0, model.dim), np.float16)
    return Embedded(features, np.array(rows, np.int32), np.array(columns, np.int32))
