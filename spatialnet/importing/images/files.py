"""Chips that are image files: finding them below a folder, and the lists of names that lie beside them."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from spatialnet.errors import ImportRefused
from spatialnet.importing.importer import Source
from spatialnet.importing.listing import Note, Pixels, Severity
from spatialnet.importing.wording import counted
from spatialnet.raster import IMAGE_SUFFIXES
from spatialnet.sensors import Sensor

SPLIT_NAMES = {
    "train": "train", "training": "train", "val": "validation", "valid": "validation", "validation": "validation",
    "dev": "validation", "test": "test", "testing": "test",
}  # fmt: skip
"""What people call the three splits, and our names of them."""

_CLUTTER = {"__macosx", "thumbs.db", "desktop.ini"}
_MAX_LIST_BYTES = 200_000_000


@dataclass(frozen=True)
class ImageFiles:
    """The files below a folder.

    Attributes:
        root: the folder.
        names: paths of the images relative to it, with "/", sorted.
        others: the same of all other files that are not hidden.
        notes: what was left out.
    """

    root: Path
    names: tuple[str, ...]
    others: tuple[str, ...]
    notes: tuple[Note, ...]

    def beside(self, name: str) -> Path | None:
        """A file of this name in the folder, anywhere below it, or in the folder around it; None where there is none."""
        below = sorted((other for other in self.others if other.rpartition("/")[2] == name), key=lambda o: o.count("/"))
        if below:
            return self.root / below[0]
        around = self.root.parent / name
        return around if around.is_file() else None

    def keep(self, names: Sequence[str], *notes: Note) -> ImageFiles:
        """The same with other images and further notes."""
        return replace(self, names=tuple(names), notes=(*self.notes, *notes))


def find_images(source: Source, suffixes: Sequence[str] = IMAGE_SUFFIXES) -> ImageFiles:
    """Every image file below a folder. No file is opened.

    Links to folders are not followed, nor are links to files elsewhere; hidden files and files that are no images are
    counted. Notes say so.

    Raises:
        ImportRefused: not a folder, or no image in it.
    """
    if not source.path.is_dir():
        raise ImportRefused(f"{source.path.name[:80]!r} is a file. Unpack it and point at the folder.")
    root = source.path.resolve()
    names: list[str] = []
    others: list[str] = []
    left: dict[str, list[str]] = {"hidden": [], "links": [], "closed": [], "names": []}
    waiting = [""]
    while waiting:
        folder = waiting.pop()
        try:
            entries = sorted(os.scandir(root / folder), key=lambda entry: entry.name)
        except OSError:
            left["closed"].append(folder or ".")
            continue
        for entry in entries:
            name = f"{folder}{entry.name}"
            if entry.name.startswith(".") or entry.name.lower() in _CLUTTER:
                left["hidden"].append(name)
            elif not _is_utf8(name):
                left["names"].append(name.encode("utf-8", "backslashreplace").decode())
            elif entry.is_symlink() and not _stays(root, root / name):
                left["links"].append(name)
            elif entry.is_dir():
                waiting.append(f"{name}/")
            else:
                (names if name.lower().endswith(tuple(suffixes)) else others).append(name)
        source.progress(0.0, f"{len(names):,} images found")
    if not names:
        raise ImportRefused(
            f"No image ({', '.join(suffixes)}) lies below {root.name[:80]!r}. Point at the unpacked folder of images."
        )
    return ImageFiles(root, tuple(sorted(names)), tuple(sorted(others)), tuple(_notes(left, others)))


def _stays(root: Path, link: Path) -> bool:
    try:
        real = link.resolve(strict=True)
    except (OSError, RuntimeError):
        return False
    return real.is_file() and real.is_relative_to(root)


def _is_utf8(name: str) -> bool:
    try:
        name.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def _notes(left: Mapping[str, list[str]], others: Sequence[str]) -> Iterable[Note]:
    texts = {
        "hidden": "{} hidden files or folders are left out.",
        "links": "{} links are not followed: they lead to folders, out of the source, or nowhere.",
        "closed": "{} folders cannot be opened. Check their permissions.",
        "names": "{} file names are not valid UTF-8 and are left out. Rename the files.",
    }
    for kind, text in texts.items():
        if left[kind]:
            severity: Severity = "drop" if kind in ("closed", "names") else "note"
            yield Note(severity, text.format(len(left[kind])), tuple(left[kind]))
    if others:
        yield Note("note", f"{counted(len(others), 'file', 'is')} no image{'s' * (len(others) != 1)}.", tuple(others))


def file_pixels(root: Path, names: Sequence[str], sensor: Sensor, bands: Sequence[int] = ()) -> Pixels:
    """One whole image file per chip.

    Args:
        root: the folder that names start from.
        names: one relative path per chip.
        sensor: its bands.
        bands: for each band of the sensor which band (from 1) of the file it is; empty: the first ones, in order.
    """
    count = len(names)
    return Pixels(
        sensor, "files", tuple(root / name for name in names), np.arange(count, dtype=np.int32)[:, None],
        np.zeros(count, np.int64), np.zeros(count, np.int64), bands=tuple(bands) or tuple(range(1, len(sensor.bands) + 1)),
    )  # fmt: skip


def stem(name: str) -> str:
    """A file's name without folders and suffix, in lower case: what lists of names agree on."""
    base = name.replace("\\", "/").rpartition("/")[2].lower()
    return next((base.removesuffix(suffix) for suffix in IMAGE_SUFFIXES if base.endswith(suffix)), base)


def read_text(path: Path) -> tuple[str, bool]:
    """A text file, and whether it was guessed to be Latin-1 because it is no UTF-8.

    Raises:
        ImportRefused: it cannot be read, or is too large for a list or table.
    """
    try:
        if path.stat().st_size > _MAX_LIST_BYTES:
            raise ImportRefused(
                f"{path.name[:80]!r} has more than {_MAX_LIST_BYTES // 1_000_000} MB. Write it as Parquet."
            )
        content = path.read_bytes()
    except OSError as error:
        raise ImportRefused(f"{path.name[:80]!r} cannot be read. Check its permissions.") from error
    try:
        wide = content.startswith((b"\xff\xfe", b"\xfe\xff"))
        return content.decode("utf-16" if wide else "utf-8-sig"), False
    except UnicodeDecodeError:
        return content.decode("latin-1"), True


def read_splits(files: ImageFiles, lists: Mapping[str, str]) -> tuple[dict[str, str], tuple[Note, ...]]:
    """The source's own split, from one list of file names per split; empty where there is none.

    A line is a file name with or without folders; what follows a comma is not read. Names are compared without folder
    and suffix, because lists often name JPEGs where the images are TIFFs.

    Args:
        files: the source.
        lists: file name of the list, by split: "train", "validation", "test".

    Returns:
        split by `stem`, and notes.

    Raises:
        ImportRefused: a list cannot be read, or a name is in two of them.
    """
    found = {split: path for split, name in lists.items() if (path := files.beside(name)) is not None}
    splits: dict[str, str] = {}
    for split, path in found.items():
        for line in read_text(path)[0].splitlines():
            name = line.split(",")[0].strip().strip('"')
            if not name or ("." not in name):
                continue
            if splits.setdefault(stem(name), split) != split:
                raise ImportRefused(
                    f"Image {name[:80]!r} is in the lists of {splits[stem(name)]} and of {split}. Correct one of them."
                )
    if not found:
        return {}, (Note("note", f"No official split: none of {', '.join(lists.values())} lies beside the images."),)
    notes = [Note("note", f"The official split is read from {', '.join(path.name for path in found.values())}.")]
    if missing := [name for split, name in lists.items() if split not in found]:
        notes.append(Note("note", f"The list {', '.join(missing)} is missing; its images are in no split."))
    return splits, tuple(notes)


def split_column(names: Sequence[str], splits: Mapping[str, str]) -> tuple[list[str], tuple[Note, ...]]:
    """One split per image ("" for none), and notes on what lists and disk do not share."""
    if not splits:
        return [""] * len(names), ()
    stems = [stem(name) for name in names]
    column = [splits.get(s, "") for s in stems]
    notes = []
    if absent := sorted(set(splits) - set(stems)):
        notes.append(
            Note("note", f"Not in the folder: {counted(len(absent), 'image')} of the split lists.", tuple(absent))
        )
    if alone := tuple(name for name, split in zip(names, column, strict=True) if not split):
        notes.append(Note("note", f"{counted(len(alone), 'image', 'is')} in no split list.", alone))
    return column, tuple(notes)
