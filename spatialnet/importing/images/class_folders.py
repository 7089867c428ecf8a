"""Data sets with known classes, one folder per class: what their importers have in common."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

import pandas as pd

from spatialnet.errors import ImportRefused
from spatialnet.importing.images.files import ImageFiles, file_pixels, find_images, split_column, stem
from spatialnet.importing.images.tables import read_table
from spatialnet.importing.importer import Source
from spatialnet.importing.listing import Listing, Note, Origin
from spatialnet.importing.target_plan import TargetPlan, propose, propose_columns, same_form
from spatialnet.importing.vocabulary import renamed, suggest
from spatialnet.importing.wording import counted
from spatialnet.raster import IMAGE_SUFFIXES
from spatialnet.sensors import Sensor

UCM_OBJECTS = (
    "airplane", "bare-soil", "buildings", "cars", "chaparral", "court", "dock", "field", "grass", "mobile-home",
    "pavement", "sand", "sea", "ship", "tanks", "trees", "water",
)  # fmt: skip
"""The objects that Chaudhuri et al. (2018) labelled in UC Merced, and Hua et al. (2020) in AID."""

_ENOUGH = 0.5


@dataclass(frozen=True)
class Scheme:
    """What is known of a data set with one folder per class.

    Attributes:
        importer: name of the importer.
        title: what people read.
        origin: title, licence, citation.
        classes: folder name of each class, and the class's name.
        sensor: of all images.
        urban: classes (folder names) that are urban.
        rural: classes that are rural; the rest is unknown.
        rule: the rule of rural and urban in one sentence.
    """

    importer: str
    title: str
    origin: Origin
    classes: Mapping[str, str]
    sensor: Sensor
    urban: tuple[str, ...] = ()
    rural: tuple[str, ...] = ()
    rule: str = ""


@dataclass(frozen=True)
class Found:
    """Images of known classes.

    Attributes:
        files: the images that count.
        folders: the class's folder name as the scheme spells it, one per image.
    """

    files: ImageFiles
    folders: list[str] = field(default_factory=list)


def folders_in(path: Path, most: int = 5000) -> list[Path]:
    """The folders in a folder, sorted; only its first `most` entries are looked at, and none where it cannot be read."""
    try:
        with os.scandir(path) as entries:
            return sorted(path / entry.name for entry in islice(entries, most) if entry.is_dir())
    except OSError:
        return []


def known_folders(classes: Sequence[str], enough: float = _ENOUGH) -> Callable[[Path], bool]:
    """A cheap test: does a folder, or one a few levels below it, hold folders named after most of the classes?"""
    forms = {same_form(name) for name in classes}

    def test(path: Path) -> bool:
        waiting = [(path, 0)]
        for folder, depth in waiting:
            below = folders_in(folder)
            if len(forms & {same_form(entry.name) for entry in below}) >= max(2, enough * len(forms)):
                return True
            if depth < 7 and len(below) <= 3:
                waiting.extend((entry, depth + 1) for entry in below)
        return False

    return test


def find_classes(source: Source, scheme: Scheme, suffixes: Sequence[str] = IMAGE_SUFFIXES) -> Found:
    """The images that lie in a folder named after a class, each once.

    Raises:
        ImportRefused: there are none.
    """
    return in_classes(find_images(source, suffixes), scheme)


def in_classes(files: ImageFiles, scheme: Scheme) -> Found:
    """The images of `files` that lie in a folder named after a class; of several copies of a data set the largest."""
    forms = {same_form(name): name for name in scheme.classes}
    of_name: dict[str, str] = {}
    elsewhere: list[str] = []
    for name in files.names:
        folder = name.rpartition("/")[0].rpartition("/")[2]
        known = forms.get(same_form(folder)) if folder else None
        if known is None:
            elsewhere.append(name)
        else:
            of_name[name] = known
    if not of_name:
        folders = sorted({name.rpartition("/")[0].rpartition("/")[2] or "." for name in files.names})
        raise ImportRefused(
            f"No image lies in a folder named after a class of {scheme.title} ({', '.join(list(scheme.classes)[:4])}, ...); "
            f"there are {', '.join(folders)[:120]}. Point at the unpacked folder."
        )
    kept, copies = _once(of_name)
    notes = []
    if copies:
        notes.append(
            Note(
                "drop",
                f"{counted(len(copies), 'image', 'is')} there twice, in another copy of the data set.",
                tuple(copies),
            )
        )
    if elsewhere:
        text = f"{counted(len(elsewhere), 'image', 'lies')} in no folder of a class of {scheme.title}."
        notes.append(Note("drop", text, tuple(elsewhere)))
    missing = tuple(name for name in scheme.classes if name not in set(of_name.values()))
    if missing and len(missing) < len(scheme.classes):
        notes.append(
            Note(
                "note",
                f"{len(missing)} of {len(scheme.classes)} classes ha{'s' if len(missing) == 1 else 've'} no image.",
                missing,
            )
        )
    return Found(files.keep(kept, *notes), [of_name[name] for name in kept])


def _once(of_name: Mapping[str, str]) -> tuple[list[str], list[str]]:
    """Names that are kept, and copies: images of one class and name in another base folder."""
    base = {name: name.rpartition("/")[0].rpartition("/")[0] for name in of_name}
    sizes = Counter(base.values())
    if len(sizes) == 1:
        return list(of_name), []
    rank = {folder: i for i, (folder, _) in enumerate(sorted(sizes.items(), key=lambda item: (-item[1], item[0])))}
    seen: dict[tuple[str, str], str] = {}
    for name in sorted(of_name, key=lambda n: (rank[base[n]], n)):
        seen.setdefault((of_name[name], stem(name)), name)
    kept = set(seen.values())
    return [n for n in of_name if n in kept], [n for n in of_name if n not in kept]


def read_objects(paths: Sequence[Path], objects: Sequence[str]) -> tuple[pd.DataFrame, tuple[Note, ...]]:
    """A table of objects: the first column names the image, one column per object says 1 or 0.

    Args:
        paths: one or several tables, one below the other.
        objects: column names that are wanted.

    Returns:
        one row per image, index the image's `stem`, and notes.

    Raises:
        ImportRefused: a table cannot be read, lacks an object, or names an image twice.
    """
    parts, notes = [], []
    for path in paths:
        table, said = read_table(path)
        notes += list(said)
        names = {same_form(str(column)): column for column in table.columns[1:]}
        missing = [name for name in objects if same_form(name) not in names]
        if missing:
            raise ImportRefused(
                f"{path.name[:80]!r} has no column {missing[0]!r}; it has {', '.join(map(str, table.columns))[:120]}. "
                "Use the table of objects as it was published."
            )
        part = table[[names[same_form(name)] for name in objects]].set_axis(list(objects), axis=1)
        parts.append(part.set_axis(table[table.columns[0]].astype(str).map(stem), axis=0))
    whole = pd.concat(parts)
    twice = whole.index[whole.index.duplicated()]
    if len(twice):
        raise ImportRefused(
            f"Image {str(twice[0])[:80]!r} is twice in {', '.join(p.name for p in paths)[:120]}. Correct them."
        )
    return whole, tuple(notes)


def object_labels(table: pd.DataFrame, stems: Sequence[str]) -> tuple[dict[str, Any], TargetPlan, tuple[Note, ...]]:
    """Label columns `presence_<object>` for images in the order of `stems`, the task they make, and notes."""
    rows = table.reindex(list(stems))
    columns = {f"presence_{name}": rows[name].to_numpy() for name in table.columns}
    plan = propose_columns("presence", "multilabel", "Objects", list(columns), "presence_")
    notes = []
    absent = sorted(set(table.index) - set(stems))
    if absent:
        notes.append(
            Note("note", f"Not in the folder: {counted(len(absent), 'image')} of the table of objects.", tuple(absent))
        )
    unknown = tuple(s for s in stems if s not in table.index)
    if unknown:
        notes.append(
            Note("note", f"{counted(len(unknown), 'image', 'has')} no row in the table of objects: unknown.", unknown)
        )
    return columns, plan, tuple(notes)


def class_listing(
    scheme: Scheme, found: Found, splits: Mapping[str, str], *, bands: Sequence[int] = (), sensor: Sensor | None = None,
    labels: Mapping[str, Any] | None = None, plans: Sequence[TargetPlan] = (), notes: Sequence[Note] = (),
) -> Listing:  # fmt: skip
    """The listing of a data set with known classes.

    Args:
        scheme: what is known of it.
        found: its images.
        splits: split by `stem`.
        bands: see `Pixels.bands`.
        sensor: where it is not the scheme's.
        labels: further label columns.
        plans: further tasks.
        notes: what else was noticed.
    """
    names = found.files.names
    column, split_notes = split_column(names, splits)
    chips = pd.DataFrame({"key": names, "split": column, "group": ""})
    table = pd.DataFrame({"land_use": found.folders, **(labels or {})})
    land_use = propose("land_use", "multiclass", "Land use", "land_use", table)
    land_use = named_by(land_use, scheme.classes)
    proposed = [land_use, *rural_urban(scheme, set(found.folders)), *plans]
    suggested = tuple(suggest(plan) for plan in proposed)
    said = [note for before, after in zip(proposed, suggested, strict=True) for note in renamed(before, after)]
    return Listing(
        scheme.importer, scheme.origin, chips, table,
        (file_pixels(found.files.root, names, sensor or scheme.sensor, bands),), suggested,
        notes=(*found.files.notes, *notes, *split_notes, *said),
    )  # fmt: skip


def named_by(plan: TargetPlan, names: Mapping[str, str]) -> TargetPlan:
    """The plan with classes called as the scheme calls them."""
    mapping = {value: names[value] for value in plan.mapping}
    classes = tuple(dict.fromkeys(mapping.values()))
    return TargetPlan(plan.name, plan.kind, plan.title, plan.columns, classes, mapping)


def rural_urban(scheme: Scheme, present: set[str]) -> tuple[TargetPlan, ...]:
    """The derived task rural or urban, where the scheme has a rule and the images have both."""
    mapping = {n: "rural" for n in scheme.rural if n in present} | {n: "urban" for n in scheme.urban if n in present}
    if len(set(mapping.values())) < 2:
        return ()
    title = "Rural or urban"
    return (
        TargetPlan("rural_urban", "binary", title, ("land_use",), ("rural", "urban"), mapping, derived=scheme.rule),
    )
