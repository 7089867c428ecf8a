"""Predictions over the chips of a data set."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import torch

from spatialnet.datasets.packed import PackedChips
from spatialnet.errors import CheckpointDoesNotFit
from spatialnet.model import SpatialNetViT, probabilities
from spatialnet.predict.table import Scores


@torch.inference_mode()
def predict_chips(
    model: SpatialNetViT,
    data: PackedChips,
    indices: npt.NDArray[np.int64] | None = None,
    *,
    batch: int = 128,
    progress: Callable[[float], None] = lambda _share: None,
) -> Scores:
    """Scores of chips for every task of the model.

    Args:
        model: in evaluation mode, on the device to use.
        data: has at least one of the model's sensors.
        indices: which chips, in this order; default all.
        batch: chips per forward pass.
        progress: called with a share in 0..1.

    Returns:
        Per task (chips, classes) float32 as `spatialnet.predict.table` keeps them.

    Raises:
        CheckpointDoesNotFit: the data set has none of the model's sensors.
    """
    chosen = np.arange(len(data)) if indices is None else indices
    names = [sensor.name for sensor in data.sensors if sensor.name in model.sensors]
    if not names:
        raise CheckpointDoesNotFit(
            f"The run knows the sensors {', '.join(model.sensors)}; data set {data.name} has "
            f"{', '.join(s.name for s in data.sensors)}. Choose a run that was trained on one of them."
        )
    there = {name: data.present(name) for name in names}
    partial = any(not values.all() for values in there.values())
    parts: dict[str, list[npt.NDArray[np.float32]]] = {name: [] for name in model.tasks}
    for start in range(0, len(chosen), batch):
        rows = chosen[start : start + batch]
        images = model.prepare({name: data.images(name)[rows] for name in names}, overwrite=True)
        present = {name: torch.from_numpy(there[name][rows]) for name in names} if partial else None
        logits = model(images, present=present)
        for name, task in model.tasks.items():
            parts[name].append(probabilities(logits[name], task).cpu().numpy())
        progress((start + len(rows)) / len(chosen))
    return {
        name: np.concatenate(rows) if rows else np.zeros((0, len(model.tasks[name].classes)), np.float32)
        for name, rows in parts.items()
    }
