"""What an importer finds: one row per chip, where its pixels are, and what is said of it. No pixel is read for it.

A listing is plain data: it can be saved and read again, so that the pre-scan and the build see the same chips.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pandas as pd

from spatialnet.errors import ImportRefused
from spatialnet.importing.target_plan import TargetPlan
from spatialnet.sensors import Sensor

Reader = Literal["files", "windows", "hdf5", "npy"]
Severity = Literal["refuse", "drop", "note"]


@dataclass(frozen=True)
class Origin:
    """Where a data set comes from; shown with everything made from it.

    Attributes:
        title: what people read.
        description: one or two sentences.
        licence: the licence's name, and what is known of it.
        citation: how to cite it.
        source: where it was taken from.
        synthetic: True for generated landscapes.
    """

    title: str
    description: str
    licence: str
    citation: str
    source: str
    synthetic: bool = False


@dataclass(frozen=True)
class Pixels:
    """Where the pixels of one sensor are, for every chip of a listing.

    Attributes:
        sensor: its bands, in the order in which they are stored.
        reader: `files` (a chip is one or several whole image files, whose bands follow one another), `windows` (a
            square window of one or several rasters on one grid), `hdf5` and `npy` (one row of an array
            (rows, bands, height, width); with `channels_last` (rows, height, width, bands)).
        files: every file that is used, once.
        file: (chips, k) int32 indices into `files`, k files per chip; -1 where this sensor is missing.
        row: (chips,) int64: first pixel row of the window, or the row of the array; 0 for `files`.
        column: (chips,) int64: first pixel column of the window; else 0.
        size: side of the window in pixels; 0 for whole files and arrays.
        bands: for each band of the sensor, which band (from 1) of the chip's files one after another it is.
        array: name of the array inside an HDF5 file.
        channels_last: the array ends with its bands.
    """

    sensor: Sensor
    reader: Reader
    files: tuple[Path, ...]
    file: npt.NDArray[np.int32]
    row: npt.NDArray[np.int64]
    column: npt.NDArray[np.int64]
    size: int = 0
    bands: tuple[int, ...] = ()
    array: str = ""
    channels_last: bool = False

    def __post_init__(self) -> None:
        if self.file.ndim != 2 or not len(self.file) == len(self.row) == len(self.column):
            raise ImportRefused(
                f"The files of {self.sensor.label} do not match its chips. This is an importer's mistake."
            )

    @property
    def present(self) -> npt.NDArray[np.bool_]:
        """Which chips have this sensor: (chips,) bool."""
        return np.asarray((self.file >= 0).all(axis=1))

    def of(self, chips: npt.NDArray[np.int64]) -> Pixels:
        """The same for some chips only."""
        return Pixels(
            **{**_fields(self), "file": self.file[chips], "row": self.row[chips], "column": self.column[chips]}
        )


@dataclass(frozen=True)
class Place:
    """One stack: co-registered rasters of one place, kept with the data set so that its map can be drawn.

    Attributes:
        name: identifier.
        scenes: per sensor name its raster files, whose bands follow one another.
        land_cover: the land-cover raster that targets were derived from, or None.
    """

    name: str
    scenes: Mapping[str, tuple[Path, ...]]
    land_cover: Path | None = None


@dataclass(frozen=True)
class Note:
    """One thing that was noticed about a source.

    Attributes:
        severity: `refuse` (nothing can be imported), `drop` (the named chips are left out), `note` (good to know).
        text: one sentence for the person at the screen.
        names: the files or chips concerned; all of them, shown in part.
    """

    severity: Severity
    text: str
    names: tuple[str, ...] = ()


@dataclass(frozen=True)
class Ready:
    """Targets that an importer computed itself (from land cover), as the packed store keeps them.

    Attributes:
        hard: see `spatialnet.datasets.packed`.
        soft: shares of evidence in 0..1 of the head's shape, NaN unknown; None where there are none.
    """

    hard: npt.NDArray[Any]
    soft: npt.NDArray[np.float32] | None = None


@dataclass(frozen=True)
class Listing:
    """A source of chips.

    Attributes:
        importer: name of the importer.
        origin: title, licence, citation.
        chips: one row per chip, index 0..n-1. Columns: `key` (unique text that stays the same when the source is listed
            again: a relative path or an identifier), `split` (the source's own: "", "train", "validation", "test"),
            `group` (text; chips of one group are never parted by a split; "" is no group), and, where known,
            `longitude`, `latitude`, `region` (for example a country), `place` (name of a `Place`).
        labels: one row per chip; any columns. What the source says of each chip; None or NaN is unknown.
        pixels: one entry per sensor.
        targets: which labels become which task; a proposal that people may change.
        ready: per task name targets that are already arrays; `targets` says their task with no columns.
        places: stacks to keep for the map.
        stride: pixels from one window to the next; 0 where chips are files.
        rules: what the manifest says of derived targets (`Rules.to_dict`), or empty.
        notes: what was noticed.
    """

    importer: str
    origin: Origin
    chips: pd.DataFrame
    labels: pd.DataFrame
    pixels: tuple[Pixels, ...]
    targets: tuple[TargetPlan, ...]
    ready: Mapping[str, Ready] = field(default_factory=dict)
    places: tuple[Place, ...] = ()
    stride: int = 0
    rules: Mapping[str, Any] = field(default_factory=dict)
    notes: tuple[Note, ...] = ()

    def __post_init__(self) -> None:
        if not len(self.chips) == len(self.labels) == len(self.pixels[0].row):
            raise ImportRefused(f"Importer {self.importer} listed chips and labels of different number.")
        if self.chips["key"].duplicated().any():
            twice = self.chips.loc[self.chips["key"].duplicated(), "key"].iloc[0]
            raise ImportRefused(f"Two chips are called {str(twice)[:80]!r}. Give each file a name of its own.")

    def __len__(self) -> int:
        return len(self.chips)

    @property
    def sensors(self) -> tuple[Sensor, ...]:
        """The sensors, in order."""
        return tuple(pixels.sensor for pixels in self.pixels)

    def of(self, chips: npt.NDArray[np.int64]) -> Listing:
        """The same for some chips only, in the given order."""
        return Listing(**{
            **_fields(self),
            "chips": self.chips.iloc[chips].reset_index(drop=True),
            "labels": self.labels.iloc[chips].reset_index(drop=True),
            "pixels": tuple(pixels.of(chips) for pixels in self.pixels),
            "ready": {n: Ready(r.hard[chips], None if r.soft is None else r.soft[chips]) for n, r in self.ready.items()},
        })  # fmt: skip

    def save(self, folder: Path) -> None:
        """Write the listing into a folder: `listing.json`, `chips.parquet`, `labels.parquet` and arrays."""
        self.chips.to_parquet(folder / "chips.parquet")
        self.labels.to_parquet(folder / "labels.parquet")
        for pixels in self.pixels:
            for part in ("file", "row", "column"):
                np.save(folder / f"{pixels.sensor.name}.{part}.npy", getattr(pixels, part), allow_pickle=False)
        for name, ready in self.ready.items():
            np.save(folder / f"{name}.hard.npy", ready.hard, allow_pickle=False)
            if ready.soft is not None:
                np.save(folder / f"{name}.soft.npy", ready.soft, allow_pickle=False)
        values = {
            "importer": self.importer, "chips": len(self), "origin": asdict(self.origin), "stride": self.stride, "rules": self.rules,
            "targets": [plan.to_dict() for plan in self.targets], "notes": [asdict(note) for note in self.notes],
            "ready": {name: ready.soft is not None for name, ready in self.ready.items()},
            "places": [
                {"name": p.name, "scenes": {s: [str(f) for f in files] for s, files in p.scenes.items()},
                 "land_cover": None if p.land_cover is None else str(p.land_cover)} for p in self.places
            ],
            "pixels": [
                {"sensor": p.sensor.to_dict(), "reader": p.reader, "files": [str(f) for f in p.files], "size": p.size,
                 "bands": p.bands, "array": p.array, "channels_last": p.channels_last} for p in self.pixels
            ],
        }  # fmt: skip
        (folder / "listing.json").write_text(json.dumps(values), encoding="utf-8")

    @classmethod
    def load(cls, folder: Path) -> Listing:
        """The listing that `save` wrote.

        Raises:
            ImportRefused: the folder holds none, or a damaged one.
        """
        try:
            values = json.loads((folder / "listing.json").read_text(encoding="utf-8"))
            labels = pd.read_parquet(folder / "labels.parquet")  # without a column it has forgotten its rows

            def array(name: str) -> Any:
                return np.load(folder / f"{name}.npy", allow_pickle=False)

            pixels = tuple(
                Pixels(
                    Sensor.from_dict(p["sensor"]), p["reader"], tuple(map(Path, p["files"])),
                    array(f"{p['sensor']['name']}.file"), array(f"{p['sensor']['name']}.row"),
                    array(f"{p['sensor']['name']}.column"), p["size"], tuple(p["bands"]), p["array"], p["channels_last"],
                ) for p in values["pixels"]
            )  # fmt: skip
            places = tuple(
                Place(p["name"], {s: tuple(map(Path, files)) for s, files in p["scenes"].items()},
                      p["land_cover"] and Path(p["land_cover"])) for p in values["places"]
            )  # fmt: skip
            return cls(
                values["importer"], Origin(**values["origin"]), pd.read_parquet(folder / "chips.parquet"),
                labels if len(labels.columns) else pd.DataFrame(index=range(values["chips"])),
                pixels, tuple(map(TargetPlan.from_dict, values["targets"])),
                {n: Ready(array(f"{n}.hard"), array(f"{n}.soft") if soft else None) for n, soft in values["ready"].items()},
                places, values["stride"], values["rules"],
                tuple(Note(n["severity"], n["text"], tuple(n["names"])) for n in values["notes"]),
            )  # fmt: skip
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise ImportRefused("The pre-scan of this source is gone or damaged. Scan it again.") from error


def _fields(value: Any) -> dict[str, Any]:
    return {name: getattr(value, name) for name in value.__dataclass_fields__}
