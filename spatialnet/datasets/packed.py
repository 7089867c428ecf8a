"""The packed chip store of a data set: one memory-mapped array per sensor, small arrays for targets and splits.

Needs only NumPy, so that a data-set folder copied to a bare GPU machine trains there.

Layout of a data-set folder, format 2:
    dataset.json                what `spatialnet.importing.packing` says of it (`PackedChips.manifest`)
    chips/<sensor>.npy          (chips, bands, height, width) of the files' own type, bit by bit as they were read
    present/<sensor>.npy        (chips,) bool, only where a sensor is missing for some chips
    targets/<task>.npy          multiclass int64 (chips,), -100 unknown; multilabel and count float32 (chips, classes), NaN
                                unknown; binary float32 (chips,), NaN unknown
    soft/<task>.npy             optional soft targets in 0..1 of the head's shape, for training only
    splits/<id>.npy             (chips,) int8: index into SPLITS; one file per named, versioned split
    splits/<id>.blocks.npy      (chips,) int32: the unit of ground (or group) that a chip shares with chips like it
    splits/<id>.leaks.parquet   pairs of chips of different splits that are too much alike
    chips.parquet, labels.parquet, duplicates.parquet    where each chip is, what its source said (not needed for training)
    places/<place>/<sensor>.tif the rasters that chips were cut from (not needed for training)
"""

from __future__ import annotations

import errno
import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from spatialnet.atomic import full_disk_said
from spatialnet.errors import DataSetInvalid, DataSetNotFound, OutOfMemory
from spatialnet.sensors import Sensor
from spatialnet.tasks import Task

FORMAT = 2

SPLITS = ("train", "validation", "test", "guard")
"""Split names in index order. `guard` chips lie too near another split and are used by none."""


class ChipArray:
    """The chips of one sensor on disk; indexing along the first axis gives float32 with NaN for no-data.

    Attributes:
        raw: (chips, bands, height, width) as stored.
        nodata: the stored value that means "no data", or None.
    """

    def __init__(self, raw: npt.NDArray[Any], nodata: float | None) -> None:
        # Without NumPy's memmap class, whose every index makes a new object of it.
        self.raw = np.asarray(raw)
        self.nodata = nodata

    def __len__(self) -> int:
        return len(self.raw)

    @property
    def shape(self) -> tuple[int, ...]:
        """(chips, bands, height, width)."""
        return self.raw.shape

    def __getitem__(self, chips: int | slice | npt.NDArray[Any]) -> npt.NDArray[np.float32]:
        if isinstance(chips, int | np.integer):
            return self._values(np.empty(self.raw.shape[1:], np.float32), self.raw[chips])
        numbers = np.arange(len(self))[chips]
        values = np.empty((len(numbers), *self.raw.shape[1:]), np.float32)
        # Chip by chip: each is converted while it is in the processor's cache, and no copy of the stored type is made.
        for place, number in enumerate(numbers):
            self._values(values[place], self.raw[number])
        return values

    def _values(self, values: npt.NDArray[np.float32], stored: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
        values[...] = stored
        if self.nodata is not None:
            values[stored == np.asarray(self.nodata).astype(stored.dtype)] = np.nan
        if stored.dtype.kind == "f":
            np.copyto(values, np.nan, where=np.isinf(values))
        return values


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
        if manifest.get("format") != FORMAT:
            raise DataSetInvalid(
                f"Data set {folder.name} has format {manifest.get('format')!r}; this version reads format {FORMAT}. Import it again."
            )
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
        """Changes when chips, targets, classes or the split in use change."""
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

    def images(self, sensor: str) -> ChipArray:
        """Chips of one sensor, memory-mapped: indexing gives float32 with NaN for no-data."""
        storage = self.manifest["storage"][sensor]
        return ChipArray(self._load(f"chips/{sensor}.npy", mapped=True), storage["nodata"])

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

    @property
    def split_id(self) -> str:
        """The named, versioned split that is in use."""
        return str(self.manifest["split"]["id"])

    @cached_property
    def splits(self) -> npt.NDArray[np.int8]:
        """Split of each chip as an index into `SPLITS`."""
        return self._load(f"splits/{self.split_id}.npy")

    @cached_property
    def blocks(self) -> npt.NDArray[np.int32]:
        """Block of ground, or group, of each chip; chips of one block are not independent."""
        return self._load(f"splits/{self.split_id}.blocks.npy")

    @property
    def places(self) -> tuple[dict[str, Any], ...]:
        """The stacks that chips were cut from: name, crs, transform, height, width, bounds, sensors, land_cover."""
        return tuple(self.manifest["places"])

    @property
    def bounds(self) -> tuple[float, float, float, float] | None:
        """(west, south, east, north) of all chips in degrees; None where no chip has a place on the ground."""
        found = self.manifest["bounds"]
        return None if found is None else (found[0], found[1], found[2], found[3])

    @property
    def has_ground(self) -> bool:
        """Whether chips have a place on the ground."""
        return self.bounds is not None

    def scene_path(self, place: str, sensor: str) -> Path:
        """The raster of one sensor over a place."""
        return self.folder / "places" / place / f"{sensor}.tif"

    def land_cover_path(self, place: str) -> Path:
        """The land cover of a place that targets were derived from."""
        return self.folder / "places" / place / "land_cover.tif"

    def in_split(self, split: str) -> npt.NDArray[np.int64]:
        """Indices of the chips in a split."""
        return np.flatnonzero(self.splits == SPLITS.index(split))

    def _load(self, name: str, *, mapped: bool = False) -> Any:
        try:
            array = np.load(self.folder / name, mmap_mode="r" if mapped else None, allow_pickle=False)
        except (OSError, ValueError, EOFError) as error:
            if isinstance(error, OSError) and error.errno == errno.ENOMEM:
                raise OutOfMemory(
                    f"Memory ran out while {name} of data set {self.name} was opened. Free some and try again."
                ) from error
            raise DataSetInvalid(f"Data set {self.name} cannot be read at {name} ({error}). Build it again.") from error
        if len(array) != len(self):
            raise DataSetInvalid(
                f"Data set {self.name} has {len(array)} rows in {name} and {len(self)} chips. Build it again."
            )
        return array


def fingerprint(digests: Mapping[str, str], split: str, tasks: Iterable[Task]) -> str:
    """What tells one state of a data set from another, 16 hexadecimal digits.

    Args:
        digests: per file of chips, targets and splits its `digest`.
        split: identifier of the split in use; other splits do not count.
        tasks: what the targets' numbers mean: names, kinds, classes and colours count, titles do not.
    """
    counted = {
        n: d for n, d in digests.items() if not n.startswith("splits/") or n.split("/")[1].split(".")[0] == split
    }
    meaning = sorted((task.name, task.kind, task.classes, task.colours) for task in tasks)
    return hashlib.sha256(json.dumps([sorted(counted.items()), meaning]).encode()).hexdigest()[:16]


def digest(path: Path) -> str:
    """SHA-256 of a file, hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


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
