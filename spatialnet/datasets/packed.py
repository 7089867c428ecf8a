"""The packed chip store of a data set: one memory-mapped array per sensor, small arrays for targets and splits.

Needs only NumPy, so that a data-set folder copied to a bare GPU machine trains there.

Layout of a data-set folder:
    dataset.json            the manifest (`PackedChips.manifest`)
    chips/<sensor>.npy      (chips, bands, height, width) float32 in the sensor's own units, NaN where there is no data
    present/<sensor>.npy    (chips,) bool, only where a sensor is missing for some chips
    targets/<task>.npy      multiclass int64 (chips,), -100 unknown; multilabel and count float32 (chips, classes), NaN
                            unknown; binary float32 (chips,), NaN unknown
    soft/<task>.npy         optional soft targets in 0..1 of the head's shape, for training only
    splits.npy              (chips,) int8: index into SPLITS
    blocks.npy              (chips,) int32: the block on the ground that the chip's centre lies in
    chips.parquet           where each chip is (not needed for training)
    scenes/                 the rasters that the chips were cut from (not needed for training)
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from spatialnet.atomic import full_disk_said
from spatialnet.errors import DataSetInvalid, DataSetNotFound
from spatialnet.sensors import Sensor
from spatialnet.tasks import Task

SPLITS = ("train", "validation", "test", "guard")
"""Split names in index order. `guard` chips lie too near another split and are used by none."""


@dataclass(frozen=True)
class PackedChips:
    """A data set as arrays on disk.

    Attributes:
        folder: the data-set folder.
        manifest: the content of `dataset.json`.
    """

    folder: Path
    manifest: dict[str, Any]

    @classmethod
    def open(cls, folder: Path) -> PackedChips:
        """Open a data-set folder; arrays are mapped when they are asked for.

        Raises:
            DataSetNotFound: the folder holds no manifest.
            DataSetInvalid: the manifest cannot be read.
        """
        path = folder / "dataset.json"
        try:
            manifest = json.loads(path.read_text(encoding="utf-8"))
        except FileNotFoundError as error:
            raise DataSetNotFound(
                f"No data set called {folder.name} is in the workspace. Choose one of the listed."
            ) from error
        except (OSError, ValueError) as error:
            raise DataSetInvalid(
                f"The manifest of data set {folder.name} cannot be read ({error}). Build it again."
            ) from error
        if not isinstance(manifest, dict) or not {"title", "chips", "sensors", "tasks"} <= manifest.keys():
            raise DataSetInvalid(f"The manifest of data set {folder.name} lacks what it must say. Build it again.")
        return cls(folder, manifest)

    def __len__(self) -> int:
        return int(self.manifest["chips"])

    @property
    def name(self) -> str:
        """The data set's identifier."""
        return str(self.manifest["name"])

    @property
    def title(self) -> str:
        """What people read."""
        return str(self.manifest["title"])

    @property
    def chip_size(self) -> int:
        """Side of a chip in pixels."""
        return int(self.manifest["chip_size"])

    @property
    def gsd_m(self) -> float:
        """Ground sample distance of the chips in metres per pixel."""
        return float(self.manifest["gsd_m"])

    @property
    def fingerprint(self) -> str:
        """Changes when chips, targets or splits change."""
        return str(self.manifest["fingerprint"])

    @cached_property
    def sensors(self) -> tuple[Sensor, ...]:
        """The sensors, in the order of the manifest."""
        return tuple(Sensor.from_dict(values) for values in self.manifest["sensors"])

    @cached_property
    def tasks(self) -> tuple[Task, ...]:
        """The tasks, in the order of the manifest."""
        return tuple(Task.from_dict(values) for values in self.manifest["tasks"])

    def task(self, name: str) -> Task:
        """The task called `name`.

        Raises:
            DataSetInvalid: the data set has no such task.
        """
        for task in self.tasks:
            if task.name == name:
                return task
        raise DataSetInvalid(
            f"Data set {self.name} has no task {name[:64]!r}; it has {', '.join(t.name for t in self.tasks)}."
        )

    def statistics(self, sensor: str) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
        """Mean and standard deviation per band (bands,), over valid pixels of the training split."""
        values = self.manifest["statistics"][sensor]
        return np.asarray(values["mean"], np.float32), np.asarray(values["std"], np.float32)

    def images(self, sensor: str) -> npt.NDArray[np.float32]:
        """Chips of one sensor, memory-mapped: (chips, bands, height, width) float32, NaN where there is no data."""
        return self._load(f"chips/{sensor}.npy", mapped=True)

    def present(self, sensor: str) -> npt.NDArray[np.bool_]:
        """Which chips have this sensor: (chips,) bool."""
        if not (self.folder / "present" / f"{sensor}.npy").exists():
            return np.ones(len(self), bool)
        return self._load(f"present/{sensor}.npy")

    def targets(self, task: str) -> npt.NDArray[Any]:
        """Targets of one task as stored (see the module's text), without people's corrections."""
        return self._load(f"targets/{task}.npy")

    def soft_targets(self, task: str) -> npt.NDArray[np.float32] | None:
        """Soft targets of one task for training, or None: (chips, classes) float32 in 0..1; binary (chips,)."""
        return self._load(f"soft/{task}.npy") if (self.folder / "soft" / f"{task}.npy").exists() else None

    @cached_property
    def splits(self) -> npt.NDArray[np.int8]:
        """Split of each chip as an index into `SPLITS`."""
        return self._load("splits.npy")

    @cached_property
    def blocks(self) -> npt.NDArray[np.int32]:
        """Block on the ground of each chip; chips of one block are not independent."""
        return self._load("blocks.npy")

    def in_split(self, split: str) -> npt.NDArray[np.int64]:
        """Indices of the chips in a split."""
        return np.flatnonzero(self.splits == SPLITS.index(split))

    def _load(self, name: str, *, mapped: bool = False) -> Any:
        try:
            array = np.load(self.folder / name, mmap_mode="r" if mapped else None, allow_pickle=False)
        except (OSError, ValueError, EOFError) as error:
            raise DataSetInvalid(f"Data set {self.name} cannot be read at {name} ({error}). Build it again.") from error
        if len(array) != len(self):
            raise DataSetInvalid(
                f"Data set {self.name} has {len(array)} rows in {name} and {len(self)} chips. Build it again."
            )
        return array


def fingerprint(folder: Path) -> str:
    """SHA-256 over the bytes of chips, targets and splits of a data-set folder, 16 hexadecimal digits."""
    digest = hashlib.sha256()
    for path in sorted(p for p in folder.rglob("*.npy")):
        digest.update(path.relative_to(folder).as_posix().encode())
        with path.open("rb") as file:
            while part := file.read(1 << 20):
                digest.update(part)
    return digest.hexdigest()[:16]


def save_array(path: Path, array: npt.NDArray[Any]) -> None:
    """Write an array as `np.load` reads it; see `write_array`."""
    write_array(path, array.shape, array.dtype, [array])


def write_array(path: Path, shape: tuple[int, ...], dtype: npt.DTypeLike, parts: Iterable[npt.NDArray[Any]]) -> None:
    """Write an array part by part, as `np.load` reads it.

    Neither `np.save` nor a memory map: on a full disk the first says nothing of the disk, the second ends the process.

    Args:
        path: the file to write.
        shape: of the whole array.
        dtype: of the whole array.
        parts: along the first axis, in order.

    Raises:
        NotEnoughDisk: the disk is full.
    """
    with full_disk_said(path.name), path.open("wb") as file:
        header = {"descr": np.lib.format.dtype_to_descr(np.dtype(dtype)), "fortran_order": False, "shape": shape}
        np.lib.format.write_array_header_1_0(file, header)
        for part in parts:
            file.write(np.ascontiguousarray(part, dtype).tobytes())
