"""Chips and targets as batches of tensors on one device."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import pairwise
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
"""Splits up to this size are prepared once and kept in memory; larger ones are gathered batch by batch. On a GPU the limit
is `RESIDENT_SHARE` of the memory that is free there."""

RESIDENT_SHARE = 0.5

_AT_ONCE = 512


@dataclass(frozen=True)
class Batch:
    """Some chips.

    Attributes:
        images: per sensor (batch, bands, height, width), normalised; empty where there are `features`.
        present: per sensor (batch,) bool.
        targets: per task, as `MultiTaskLoss` takes them.
        weights: (batch,) per task, or shaped as the targets.
        gsd: (batch,) metres per pixel; None where all chips have the model's own.
        dataset: which data set the chips are from.
        features: (batch, tasks or 1, dim) what the heads read, where the backbone is frozen.
    """

    images: dict[str, Tensor]
    present: dict[str, Tensor]
    targets: dict[str, Tensor]
    weights: dict[str, Tensor]
    gsd: Tensor | None = None
    dataset: str = ""
    features: Tensor | None = None

    def __len__(self) -> int:
        return len(next(iter(self.present.values())))

    def cut(self, parts: int) -> list[Batch]:
        """The same chips in at most `parts` batches of nearly the same size."""
        parts = min(parts, max(1, len(self)))
        if parts == 1:
            return [self]
        edges = [round(i * len(self) / parts) for i in range(parts + 1)]
        return [self._rows(slice(low, high)) for low, high in pairwise(edges)]

    def unknown(self) -> Batch:
        """The same chips with no target known; a process without chips of its own goes through the motions with them."""
        return replace(self, targets={name: torch.full_like(v, torch.nan) for name, v in self.targets.items()})

    def _rows(self, rows: slice) -> Batch:
        def of(values: dict[str, Tensor]) -> dict[str, Tensor]:
            return {name: value[rows] for name, value in values.items()}

        return Batch(
            of(self.images), of(self.present), of(self.targets), of(self.weights),
            None if self.gsd is None else self.gsd[rows], self.dataset, None if self.features is None else self.features[rows],
        )  # fmt: skip


class Chips:
    """The chips of one split, ready to be batched.

    Args:
        data: the data set.
        split: a name in `SPLITS`.
        model: gives the sensors, the normalisation, the size and the device.
        targets: per task what `training_targets` gives; float32, NaN unknown.
        weights: (chips of the data set,) per task, or shaped as the targets.
        named: whether the data set is one of several: its chips then carry their ground sample distance.
        seen_only: leave out chips that none of the model's sensors saw.

    Attributes:
        resident: whether the pixels lie on the device.
        features: (chips, tasks or 1, dim) once a frozen backbone has been asked, else None.
    """

    def __init__(
        self,
        data: PackedChips,
        split: str,
        model: SpatialNetViT,
        targets: Mapping[str, npt.NDArray[Any]],
        weights: Mapping[str, npt.NDArray[np.float32]],
        *,
        named: bool = False,
        seen_only: bool = False,
    ) -> None:
        self.model, self.data = model, data
        self.features: Tensor | None = None
        own = [sensor.name for sensor in data.sensors if sensor.name in model.sensors]
        present = {name: data.present(name) for name in own}
        self.indices = data.in_split(split)
        if seen_only:
            self.indices = self.indices[np.any([there[self.indices] for there in present.values()], axis=0)]
        device = model.device
        self.present = {name: torch.from_numpy(there[self.indices]).to(device) for name, there in present.items()}
        self.targets = {t: torch.from_numpy(values[self.indices]).to(device) for t, values in targets.items()}
        self.weights = {t: torch.from_numpy(values[self.indices]).to(device) for t, values in weights.items()}
        gsd = model.gsd_of(data.gsd_m, data.chip_size) if named else 0.0
        self.gsd = torch.full((len(self.indices),), gsd, device=device) if gsd > 0 else None
        self._mapped = {name: data.images(name) for name in own}
        self._resident = self._kept()

    def __len__(self) -> int:
        return len(self.indices)

    @property
    def resident(self) -> bool:
        """Whether the pixels lie on the device."""
        return self._resident is not None

    def batch(self, rows: Tensor, *, pixels: bool = True) -> Batch:
        """The chips at `rows` (long, on the CPU), counted within the split.

        Args:
            rows: which.
            pixels: False where only the features are wanted.
        """
        where = rows.to(self.model.device, non_blocking=True)
        images: dict[str, Tensor] = {}
        if pixels and self._resident is not None:
            images = {name: kept.index_select(0, where) for name, kept in self._resident.items()}
        elif pixels:
            images = self._prepare(self.indices[rows.numpy()])
        return Batch(
            images,
            {name: there[where] for name, there in self.present.items()},
            {name: values[where] for name, values in self.targets.items()},
            {name: values[where] for name, values in self.weights.items()},
            None if self.gsd is None else self.gsd[where],
            self.data.name,
            None if pixels or self.features is None else self.features[where],
        )

    def batches(self, size: int, *, pixels: bool = True) -> Iterator[Batch]:
        """All chips in order, `size` at a time."""
        for start in range(0, len(self), size):
            yield self.batch(torch.arange(start, min(start + size, len(self))), pixels=pixels)

    def _prepare(self, indices: npt.NDArray[np.int64], *, resample: bool = True) -> dict[str, Tensor]:
        mapped = {name: array[indices] for name, array in self._mapped.items()}
        ready = self.model.prepare(mapped, overwrite=True, dataset=self.data.name)
        return self.model.resample(ready) if resample and self.model.size else ready

    def _kept(self) -> dict[str, Tensor] | None:
        """All pixels on the device, where they fit there; resampled once, where that fits too."""
        if not len(self):
            return None
        limit: float = RESIDENT_BYTES
        if self.model.device.type == "cuda":
            limit = RESIDENT_SHARE * torch.cuda.mem_get_info(self.model.device)[0]
        for resample in (True, False):
            first = self._prepare(self.indices[:1], resample=resample)
            if sum(t.nbytes for t in first.values()) * len(self) > limit:
                continue
            kept = {name: t.new_empty((len(self), *t.shape[1:])) for name, t in first.items()}
            for start in range(0, len(self), _AT_ONCE):
                for name, part in self._prepare(self.indices[start : start + _AT_ONCE], resample=resample).items():
                    kept[name][start : start + _AT_ONCE] = part
            return kept
        return None


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
