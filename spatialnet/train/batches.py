"""Chips and targets as batches of tensors on one device."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from spatialnet.datasets.packed import PackedChips
from spatialnet.errors import TargetsInvalid
from spatialnet.model import SpatialNetViT
from spatialnet.tasks import UNKNOWN_CLASS, Task

RESIDENT_BYTES = 2 << 30
"""Splits up to this size are normalised once and kept on the device; larger ones are gathered batch by batch."""


@dataclass(frozen=True)
class Batch:
    """Some chips.

    Attributes:
        images: per sensor (batch, bands, height, width), normalised.
        present: per sensor (batch,) bool.
        targets: per task, as `MultiTaskLoss` takes them.
        weights: (batch,) per task.
    """

    images: dict[str, Tensor]
    present: dict[str, Tensor]
    targets: dict[str, Tensor]
    weights: dict[str, Tensor]


class Chips:
    """The chips of one split, ready to be batched.

    Args:
        data: the data set.
        split: a name in `SPLITS`.
        model: gives the normalisation and the device.
        targets: per task what `training_targets` gives.
        weights: (chips of the data set,) per task.
    """

    def __init__(
        self,
        data: PackedChips,
        split: str,
        model: SpatialNetViT,
        targets: Mapping[str, npt.NDArray[Any]],
        weights: Mapping[str, npt.NDArray[np.float32]],
    ) -> None:
        self.indices = data.in_split(split)
        self.model = model
        device = model.device
        self.present = {s: torch.from_numpy(data.present(s)[self.indices]).to(device) for s in model.sensors}
        self.targets = {t: torch.from_numpy(values[self.indices]).to(device) for t, values in targets.items()}
        self.weights = {t: torch.from_numpy(values[self.indices]).to(device) for t, values in weights.items()}
        self._mapped = {s: data.images(s) for s in model.sensors}
        size = sum(len(self) * array[0].nbytes for array in self._mapped.values() if len(array))
        self._resident: dict[str, Tensor] | None = None
        if size <= RESIDENT_BYTES:
            self._resident = self._prepare(self.indices)

    def __len__(self) -> int:
        return len(self.indices)

    def batch(self, rows: Tensor) -> Batch:
        """The chips at `rows` (long, on the CPU), counted within the split."""
        if self._resident is not None:
            images = {name: pixels[rows.to(pixels.device)] for name, pixels in self._resident.items()}
        else:
            images = self._prepare(self.indices[rows.numpy()])
        where = rows.to(self.model.device)
        return Batch(
            images,
            {name: there[where] for name, there in self.present.items()},
            {name: values[where] for name, values in self.targets.items()},
            {name: values[where] for name, values in self.weights.items()},
        )

    def batches(self, size: int) -> Iterator[Batch]:
        """All chips in order, `size` at a time."""
        for start in range(0, len(self), size):
            yield self.batch(torch.arange(start, min(start + size, len(self))))

    def _prepare(self, indices: npt.NDArray[np.int64]) -> dict[str, Tensor]:
        return self.model.prepare({name: array[indices] for name, array in self._mapped.items()}, overwrite=True)


def run_targets(run: Path, data: PackedChips, task: Task) -> npt.NDArray[Any]:
    """Targets of a task with the run's corrections: `targets/<task>.npy` of the run, else those of the data set.

    Raises:
        TargetsInvalid: the run's file has another shape than the data set's.
    """
    stored = data.targets(task.name)
    path = run / "targets" / f"{task.name}.npy"
    if not path.exists():
        return stored
    corrected = np.load(path, allow_pickle=False)
    if corrected.shape != stored.shape:
        raise TargetsInvalid(
            f"The run's targets of {task.name} have shape {corrected.shape}, the data set's {stored.shape}. "
            "Start a new run."
        )
    return corrected.astype(stored.dtype)


def run_weights(run: Path, data: PackedChips, task: Task) -> npt.NDArray[np.float32]:
    """(chips,) float32: how much each chip's target of a task counts; 1 where the run says nothing.

    Raises:
        TargetsInvalid: the run's file does not have one number, at least 0, per chip.
    """
    path = run / "weights" / f"{task.name}.npy"
    if not path.exists():
        return np.ones(len(data), np.float32)
    weights = np.load(path, allow_pickle=False).astype(np.float32)
    if weights.shape != (len(data),) or not np.isfinite(weights).all() or (weights < 0).any():
        raise TargetsInvalid(f"The run's weights of {task.name} must be {len(data)} numbers of at least 0.")
    return weights


def training_targets(
    run: Path, data: PackedChips, task: Task, weights: npt.NDArray[np.float32], *, soft: bool
) -> npt.NDArray[np.float32]:
    """Targets of a task for the loss: soft where the data set has them and nobody said otherwise, else hard.

    Args:
        run: the run's folder.
        data: the data set.
        task: the task.
        weights: as `run_weights`; a chip with another weight than 1 was looked at by a person and takes the
            hard target.
        soft: whether to use soft targets at all.

    Returns:
        float32 of the head's shape, NaN unknown: `multiclass` shares (chips, classes), `binary` (chips,),
        others (chips, classes).
    """
    hard = run_targets(run, data, task)
    dense = _one_hot(hard, len(task.classes)) if task.kind == "multiclass" else hard.astype(np.float32)
    shares = data.soft_targets(task.name) if soft and task.kind != "count" else None
    if shares is None:
        return dense
    stored = data.targets(task.name)
    same = (hard == stored) | ((hard != hard) & (stored != stored))  # NaN on both sides is the same
    same = same if same.ndim == 1 else same.all(1)
    untouched = same & (weights == 1.0)
    return np.where(untouched.reshape(-1, *[1] * (dense.ndim - 1)), shares, dense).astype(np.float32)


def _one_hot(indices: npt.NDArray[Any], classes: int) -> npt.NDArray[np.float32]:
    dense = np.full((len(indices), classes), np.nan, np.float32)
    known = indices != UNKNOWN_CLASS
    dense[known] = np.eye(classes, dtype=np.float32)[indices[known]]
    return dense


def priors(task: Task, targets: npt.NDArray[np.float32]) -> Tensor | None:
    """Share of each class among known training targets, for tasks where one answer excludes the others.

    Args:
        task: the task.
        targets: (chips, classes) or (chips,), as `training_targets`, of the training split only.
    """
    if task.kind not in ("multiclass", "binary"):
        return None
    rows = targets if task.kind == "multiclass" else np.stack([1 - targets, targets], 1)
    rows = rows[~np.isnan(rows).any(1)]
    return torch.from_numpy(rows.mean(0).astype(np.float32)) if len(rows) else None
