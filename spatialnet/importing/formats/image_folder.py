"""Images in one folder per class, the layout of most small data sets."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import pandas as pd

from spatialnet.errors import ImportRefused
from spatialnet.importing.images.class_folders import folders_in
from spatialnet.importing.images.files import SPLIT_NAMES, ImageFiles, file_pixels, find_images
from spatialnet.importing.images.sensor import SENSOR_OPTIONS, image_sensor
from spatialnet.importing.importer import Importer, Source
from spatialnet.importing.listing import Listing, Note, Origin
from spatialnet.importing.target_plan import propose
from spatialnet.importing.vocabulary import renamed, suggest
from spatialnet.importing.wording import counted
from spatialnet.raster import IMAGE_SUFFIXES


def recognise(path: Path) -> str | None:
    """At least two folders that hold images; only the first names of each are read."""
    if not path.is_dir():
        return None
    found = 0
    for folder in _folders(path):
        if folder.name.lower() in SPLIT_NAMES:
            found += 2 * any(_has_image(below) for below in _folders(folder))
        else:
            found += _has_image(folder)
        if found >= 2:
            return "folders of images, one per class"
    return None


def _folders(path: Path) -> list[Path]:
    return [folder for folder in folders_in(path) if not folder.name.startswith(".")][:50]


def _has_image(folder: Path) -> bool:
    try:
        for number, entry in enumerate(folder.iterdir()):
            if entry.name.lower().endswith(IMAGE_SUFFIXES):
                return True
            if number > 100:
                return False
    except OSError:
        return False
    return False


def _list_chips(source: Source) -> Listing:
    files = find_images(source)
    inside, notes = _inside(files)
    splits, classes, names, loose = [], [], [], []
    by_split = _is_split(name.removeprefix(inside) for name in files.names)
    for name in files.names:
        parts = name.removeprefix(inside).split("/")
        split = SPLIT_NAMES[parts.pop(0).lower()] if by_split and len(parts) > 1 else ""
        if len(parts) < 2:
            loose.append(name)
            continue
        names.append(name)
        splits.append(split)
        classes.append(parts[0])
    if loose:
        notes += (Note("drop", f"{counted(len(loose), 'image', 'lies')} in no class folder.", tuple(loose)),)
    if by_split:
        notes += (Note("note", "The folders train, val and test are taken as the official split."),)
    labels = pd.DataFrame({"land_use": classes})
    plan = propose("land_use", "multiclass", "Land use", "land_use", labels)
    if len(plan.classes) < 2:
        raise ImportRefused(
            f"All images of {files.root.name[:80]!r} lie in {len(plan.classes)} class folder. "
            "Two or more are wanted: point at the folder that holds them."
        )
    named = suggest(plan)
    sensor, bands, said = image_sensor(source, files.root, names)
    origin = Origin(
        files.root.name, "Images in one folder per class.", "not stated by the source", "not stated by the source",
        "a folder of images",
    )  # fmt: skip
    return Listing(
        "image_folder", origin, pd.DataFrame({"key": names, "split": splits, "group": ""}), labels,
        (file_pixels(files.root, names, sensor, bands),), (named,), notes=(*files.notes, *notes, *said, *renamed(plan, named)),
    )  # fmt: skip


def _inside(files: ImageFiles) -> tuple[str, tuple[Note, ...]]:
    """The folders around all class folders, where a data set was unpacked into a folder of its own."""
    inside = ""
    while True:
        tops = {name.removeprefix(inside).partition("/")[0] for name in files.names}
        deeper = {name.removeprefix(inside).count("/") >= 2 for name in files.names}
        if len(tops) > 1 or deeper != {True}:
            break
        inside += f"{tops.pop()}/"
    return inside, (Note("note", f"Class folders are taken from {inside[:-1]}."),) if inside else ()


def _is_split(names: Iterable[str]) -> bool:
    """Whether the first folders are those of a split, each with class folders in it."""
    tops = {parts[0].lower() for name in names if len(parts := name.split("/")) > 1}
    return len(tops) > 1 and tops <= set(SPLIT_NAMES)


IMPORTER = Importer(
    "image_folder",
    "Folders of images",
    "Images (GeoTIFF, JPEG, PNG) in one folder per class; the folder's name is the class.",
    """
folder/
    forest/
        a.jpg
        b.jpg
    river/
        a.jpg
or, with a split of its own:
folder/
    train/forest/a.jpg
    val/forest/b.jpg
    test/forest/c.jpg
""".strip("\n"),
    "yours",
    recognise,
    _list_chips,
    SENSOR_OPTIONS,
)
