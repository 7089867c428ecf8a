"""Data sets that SpatialNet exported: as a zip, or as the folder that it was unpacked to."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd

from spatialnet.datasets.packed import SPLITS, PackedChips
from spatialnet.errors import ImportRefused
from spatialnet.importing.importer import Importer, Source
from spatialnet.importing.listing import Listing, Note, Origin, Pixels, Place, Ready
from spatialnet.importing.target_plan import TargetPlan
from spatialnet.importing.transfer.archives import unpack
from spatialnet.importing.transfer.export import NOTE, check_export, read_note


def _recognise(path: Path) -> str | None:
    try:
        if path.is_dir() or path.suffix.lower() == ".zip":
            note = read_note(path)
            return f"{NOTE} of data set {note.title[:80]}"
    except (ImportRefused, OSError):
        pass
    return None


def _list_chips(source: Source) -> Listing:
    folder = source.path if source.path.is_dir() else _unpacked(source)
    data = check_export(folder, source.progress)
    table = pd.read_parquet(data.folder / "chips.parquet")
    columns = [c for c in ("key", "group", "place", "region", "longitude", "latitude") if c in table]
    chips = table[columns].assign(split=[SPLITS[i] if i < SPLITS.index("guard") else "" for i in data.splits])
    manifest = data.manifest
    texts = {name: str(manifest.get(name, "")) for name in ("title", "description", "licence", "citation", "source")}
    return Listing(
        "own_export", Origin(**texts, synthetic=bool(manifest.get("synthetic"))), chips,
        pd.read_parquet(data.folder / "labels.parquet"), tuple(_pixels(data, s.name) for s in data.sensors),
        tuple(_target(data, task.name) for task in data.tasks),
        {task.name: Ready(data.targets(task.name), data.soft_targets(task.name)) for task in data.tasks},
        tuple(_place(data, place["name"]) for place in data.places), int(manifest["stride"]), dict(manifest["rules"]),
        (Note("note", "Read as a source of chips, only the split in use comes along, and chips lose their place on the ground "
              "and their no-data value; restore the export to have the data set as it was."),),
    )  # fmt: skip


def _unpacked(source: Source) -> Path:
    """The folder beside a zip that holds what is in it."""
    note, folder = read_note(source.path), source.path.with_suffix("")
    if not folder.exists():
        try:
            unpack(
                source.path,
                folder,
                max_bytes=2 * note.bytes + (64 << 20),
                max_files=len(note.files) + 1,
                progress=source.progress,
            )
        except OSError as error:
            raise ImportRefused(
                f"{folder.name[:80]!r} cannot be written beside the zip. Unpack it, and give its folder."
            ) from error
    return folder


def _pixels(data: PackedChips, sensor: str) -> Pixels:
    index = next(s for s in data.sensors if s.name == sensor)
    file = np.where(data.present(sensor), 0, -1).astype(np.int32)[:, None]
    path = data.folder / "chips" / f"{sensor}.npy"
    return Pixels(index, "npy", (path,), file, np.arange(len(data), dtype=np.int64), np.zeros(len(data), np.int64))


def _target(data: PackedChips, name: str) -> TargetPlan:
    task = data.task(name)
    kept = data.manifest["targets"].get(name)
    plan = TargetPlan.from_dict(kept) if kept else TargetPlan(name, task.kind, task.title, (), task.classes)
    return replace(plan, columns=(), mapping={}, classes=task.classes, colours=task.colours)


def _place(data: PackedChips, name: str) -> Place:
    place = next(place for place in data.places if place["name"] == name)
    cover = data.land_cover_path(name)
    return Place(name, {s: (data.scene_path(name, s),) for s in place["sensors"]}, cover if cover.is_file() else None)


IMPORTER = Importer(
    name="own_export",
    title="SpatialNet export",
    about="A data set that was exported here or elsewhere comes back as it was: pixels, targets, splits and places.",
    layout="""\
my-data-set-1.zip          or the folder that it was unpacked to
  export.json
  dataset.json
  chips/<sensor>.npy
  ...
""",
    family="yours",
    recognise=_recognise,
    list_chips=_list_chips,
)
