"""A manifest: what is to be done, cut into units, in one JSON file that every machine reads.

A work folder looks like this:
    .shards/manifest.json       what is to be done
    .shards/parts/<unit>/       what a unit produced; appears whole or not at all
    .shards/finished.json       every result is in its place
    and the results themselves, as each kind of work lays them out

Paths are absolute: a cluster sees the work folder, the run and the files under the same paths on each machine.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, get_args

from spatialnet.atomic import closed_folder_said
from spatialnet.errors import PredictionRefused
from spatialnet.runs import write_json

Kind = Literal["predict", "embed", "train"]

STATE = ".shards"
FORMAT = 1


@dataclass(frozen=True)
class Item:
    """One scene, data set or run.

    Attributes:
        name: names its results; a valid file name.
        units: how many portions it is cut into.
        files: per role the absolute path: a sensor's raster, `dataset`, or `run`.
        stamps: per role what tells this state of the file from another one.
    """

    name: str
    units: int
    files: Mapping[str, str]
    stamps: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Unit:
    """A portion of an item: the smallest piece of work that is done whole."""

    item: Item
    number: int

    @property
    def name(self) -> str:
        """Names the unit's folder."""
        return f"{self.item.name}-{self.number:05d}"


@dataclass(frozen=True)
class Manifest:
    """What is to be done.

    Attributes:
        folder: the work folder, absolute.
        kind: `predict` scenes, `embed` scenes or the chips of a data set, `train` runs.
        model: the run's model file, absolute; "" where runs are trained.
        model_stamp: what tells this model from another one.
        options: what the kind of work needs to know besides; JSON-ready.
        items: in the order in which they were given.
    """

    folder: Path
    kind: Kind
    model: str
    model_stamp: str
    options: Mapping[str, Any]
    items: tuple[Item, ...]

    @property
    def state(self) -> Path:
        """Where the manifest and everything unfinished lies."""
        return self.folder / STATE

    @property
    def finished(self) -> bool:
        """Whether every result is in its place."""
        return (self.state / "finished.json").exists()

    @property
    def units(self) -> tuple[Unit, ...]:
        """All units, in order."""
        return tuple(Unit(item, number) for item in self.items for number in range(item.units))

    def part(self, unit: Unit) -> Path:
        """Where a unit's output lies once it is done; that the folder is there is the done-marker."""
        return self.state / "parts" / unit.name

    def is_done(self, unit: Unit) -> bool:
        """Whether a unit's output is there, whole."""
        return self.part(unit).is_dir()

    def done(self) -> int:
        """How many units are done."""
        if self.finished:
            return len(self.units)
        try:
            there = {entry.name for entry in (self.state / "parts").iterdir()}
        except FileNotFoundError:
            return 0
        return sum(unit.name in there for unit in self.units)

    def shard(self, number: int, shards: int) -> tuple[Unit, ...]:
        """The units of one shard: neighbours, because neighbouring bands of a scene share rows.

        Args:
            number: from 1 to `shards`.
            shards: how many there are.

        Raises:
            PredictionRefused: there is no such shard.
        """
        check_shard(number, shards)
        units = self.units
        return units[len(units) * (number - 1) // shards : len(units) * number // shards]

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        return {
            "format": FORMAT, "kind": self.kind, "model": self.model, "model_stamp": self.model_stamp,
            "options": dict(self.options),
            "items": [
                {"name": i.name, "units": i.units, "files": dict(i.files), "stamps": dict(i.stamps)} for i in self.items
            ],
        }  # fmt: skip

    def publish(self) -> None:
        """Write the manifest into its folder, or find the same one there: several processes may do this at once.

        Raises:
            PredictionRefused: the folder holds other work.
            PathRefused: the folder cannot be written to.
            NotEnoughDisk: the disk is full.
        """
        with closed_folder_said(self.folder):
            self.state.mkdir(parents=True, exist_ok=True)
            if not (self.state / "manifest.json").exists():
                write_json(self.state / "manifest.json", self.to_dict())
        there = read_manifest(self.folder)
        if there.to_dict() != json.loads(json.dumps(self.to_dict())):
            raise PredictionRefused(
                f"{self.folder.name[:80]!r} holds other work: {_difference(there, self)}. Choose another folder, or remove that one."
            )


def read_manifest(folder: Path) -> Manifest:
    """The manifest in a work folder.

    Raises:
        PredictionRefused: there is none, or it cannot be read.
    """
    path = folder / STATE / "manifest.json"
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
        if values["format"] != FORMAT or values["kind"] not in get_args(Kind):
            raise ValueError(f"format {values['format']!r}, kind {values['kind']!r}")
        items = tuple(
            Item(_plain(i["name"]), int(i["units"]), dict(i["files"]), dict(i["stamps"])) for i in values["items"]
        )
        return Manifest(
            folder.resolve(), values["kind"], str(values["model"]), str(values["model_stamp"]), dict(values["options"]), items
        )  # fmt: skip
    except FileNotFoundError as error:
        raise PredictionRefused(
            f"{folder.name[:80]!r} holds no work to share. Start with the whole command."
        ) from error
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise PredictionRefused(
            f"The manifest in {folder.name[:80]!r} cannot be read ({str(error)[:80]}). Remove its {STATE} folder and start again."
        ) from error


def check_shard(number: int, shards: int) -> None:
    """Refuse a shard that is not one of 1..shards.

    Raises:
        PredictionRefused: there is no such shard.
    """
    if not 1 <= number <= shards:
        raise PredictionRefused(
            f"There is no shard {number} of {shards}. Shards are counted from 1, as in 1/{max(shards, 2)}."
        )


def stamp(path: Path) -> str:
    """What tells one state of a file from another: its size and when it was written.

    Raises:
        PredictionRefused: there is no such file.
    """
    try:
        found = path.stat()
    except OSError as error:
        raise PredictionRefused(f"There is no file {path.name[:80]!r} ({error.strerror}). Check the path.") from error
    return f"{found.st_size}-{found.st_mtime_ns}"


def digest_of(values: Any) -> str:
    """Sixteen hexadecimal digits that tell JSON-ready values apart."""
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()[:16]


def _plain(name: Any) -> str:
    """A name that stays inside a folder."""
    if not isinstance(name, str) or not name or "/" in name or "\\" in name or name.startswith("."):
        raise ValueError(f"item {name!r}")
    return name


def _difference(there: Manifest, wanted: Manifest) -> str:
    old, new = there.to_dict(), json.loads(json.dumps(wanted.to_dict()))
    words = {
        "kind": "another kind of work",
        "model": "another run",
        "model_stamp": "the run was trained anew since",
        "options": "other options",
    }
    for key, text in words.items():
        if old[key] != new[key]:
            return text
    names = [item["name"] for item in old["items"]]
    if names != [item["name"] for item in new["items"]]:
        return f"{len(names)} items, the first {names[0][:40]!r}" if names else "no items"
    return "the same items in another state, because a file changed since"
