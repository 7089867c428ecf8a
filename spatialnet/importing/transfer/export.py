"""A data set as one file that comes back as it was: every array, table and raster, with a checksum of each."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from spatialnet import __version__
from spatialnet.atomic import beside, full_disk_said, remove, replacing
from spatialnet.datasets.packed import PackedChips
from spatialnet.errors import ImportRefused, SpatialNetError
from spatialnet.importing.importer import Progress
from spatialnet.importing.transfer.archives import need_disk, safe_path, unpack
from spatialnet.tasks import Task

NOTE = "export.json"
FORMAT = "spatialnet data set"
VERSION = 1
SUFFIXES = (".npy", ".json", ".parquet", ".tif")

_CHUNK = 1 << 20
_MAX_NOTE = 64 << 20
_TIME = (1980, 1, 1, 0, 0, 0)
_PLAIN = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,120}")


@dataclass(frozen=True)
class ExportNote:
    """What an export says of itself.

    Attributes:
        name: identifier of the data set.
        title: what people read.
        files: per file name its SHA-256 and its bytes.
    """

    name: str
    title: str
    files: Mapping[str, tuple[str, int]]

    @property
    def bytes(self) -> int:
        """Bytes of all files."""
        return sum(size for _, size in self.files.values())


def export_dataset(data: PackedChips, target: Path, progress: Progress = lambda _share, _text: None) -> Path:
    """Write a data set into one zip file; the same data set gives the same bytes.

    Args:
        data: the data set.
        target: the zip file to write, or an existing folder to write `<name>-<version>.zip` into.
        progress: called with a share in 0..1 and a text.

    Returns:
        The zip file.

    Raises:
        NotEnoughDisk: the disk is full; nothing was left behind.
        ImportRefused: the data-set folder cannot be read or the file cannot be written.
    """
    path = target / f"{data.name}-{data.manifest.get('version', 1)}.zip" if target.is_dir() else target
    paths = sorted(p for p in data.folder.rglob("*") if _belongs(p, data.folder))
    total = sum(p.stat().st_size for p in paths)
    files: dict[str, dict[str, Any]] = {}
    done = 0
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        need_disk(path.parent, total, f"The export of {data.name}")
        with replacing(path) as partial, zipfile.ZipFile(partial, "w", zipfile.ZIP_STORED) as archive:
            for source in paths:
                name = source.relative_to(data.folder).as_posix()
                with source.open("rb") as read, archive.open(_entry(name), "w", force_zip64=True) as write:
                    files[name] = _copy(read, write)
                done += files[name]["bytes"]
                progress(done / max(total, 1), f"writing {name}")
            note = {
                "format": FORMAT, "version": VERSION, "written_by": f"spatialnet {__version__}", "name": data.name,
                "title": data.title, "fingerprint": data.fingerprint, "files": files,
            }  # fmt: skip
            archive.writestr(_entry(NOTE), json.dumps(note, indent=1))
    except OSError as error:
        raise ImportRefused(
            f"{data.name} cannot be written to {str(path)[-120:]!r} ({error.strerror}). Choose another place."
        ) from error
    return path


def read_note(source: Path) -> ExportNote:
    """What an export, as a zip or as its folder, says of itself.

    Raises:
        ImportRefused: it is none, of a newer version, or names files that no data set has.
    """
    shown = repr(source.name[:80])
    try:
        if source.is_dir():
            with (_root(source) / NOTE).open("rb") as file:
                text = file.read(_MAX_NOTE + 1)
        else:
            with zipfile.ZipFile(source) as archive:
                names = [n for n in archive.namelist() if n == NOTE or (n.count("/") == 1 and n.endswith(f"/{NOTE}"))]
                with archive.open(names[0] if names else NOTE) as member:
                    text = member.read(_MAX_NOTE + 1)
        values = json.loads(text)
        if values["format"] != FORMAT:
            raise ImportRefused(
                f"{shown} is an export of {str(values['format'])[:40]!r}, not of a SpatialNet data set."
            )
        if values["version"] != VERSION:
            raise ImportRefused(
                f"{shown} has export version {str(values['version'])[:20]}; this version reads {VERSION}."
            )
        files = {str(n): (str(f["sha256"]), int(f["bytes"])) for n, f in values["files"].items()}
        note = ExportNote(str(values["name"]), str(values["title"]), files)
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError, RuntimeError, zipfile.BadZipFile,
            zlib.error, EOFError) as error:  # fmt: skip
        raise ImportRefused(
            f"{shown} is no export of a SpatialNet data set: it holds no {NOTE} that can be read."
        ) from error
    for name, (_, size) in files.items():
        safe_path(Path(), name)
        if PurePosixPath(name).suffix not in SUFFIXES or size < 0 or name == NOTE:
            raise ImportRefused(f"{shown} names {name[:80]!r}, which no data set holds. Export the data set again.")
    if "dataset.json" not in files:
        raise ImportRefused(f"{shown} names no dataset.json. Export the data set again.")
    return note


def check_export(folder: Path, progress: Progress = lambda _share, _text: None) -> PackedChips:
    """Check an export's folder file by file: all there, none changed, none added, and a data set that fits itself.

    Args:
        folder: the unpacked export.
        progress: called with a share in 0..1 and a text.

    Raises:
        ImportRefused: anything is amiss.
    """
    note, root, done = read_note(folder), _root(folder), 0
    for name, (expected, size) in sorted(note.files.items()):
        path = safe_path(root, name)
        if path.is_symlink() or not path.is_file():
            raise ImportRefused(f"The export of {note.name[:64]} lacks {name[:80]!r}. Export the data set again.")
        if path.stat().st_size != size or _digest(path) != expected:
            raise ImportRefused(
                f"{name[:80]!r} was changed or damaged since the export. Export the data set again, or copy it again."
            )
        done += size
        progress(done / max(note.bytes, 1), f"checking {name}")
    here = {p.relative_to(root).as_posix() for p in root.rglob("*") if p.is_symlink() or p.is_file()}
    added = sorted(here - set(note.files) - {NOTE})
    if added:
        raise ImportRefused(f"The export holds {added[0][:80]!r}, which it does not name. Remove it, or export again.")
    return _fits_itself(root)


def restore_dataset(source: Path, folder: Path, progress: Progress = lambda _share, _text: None) -> PackedChips:
    """Install an exported data set as it was; the folder appears whole or not at all.

    Args:
        source: the zip, or the folder that it was unpacked to.
        folder: the data-set folder to make. Its name becomes the data set's; that is all that may change.
        progress: called with a share in 0..1 and a text.

    Raises:
        ImportRefused: it is no export, files are missing, changed or added, or there is a data set of this name.
        NotEnoughDisk: the disk is too small.
    """
    if not source.exists():
        raise ImportRefused(f"There is nothing at {str(source)[:200]!r}. Check the path.")
    if folder.exists():
        raise ImportRefused(
            f"There is already a data set {folder.name[:64]!r}. Choose another name, or delete that one first."
        )
    note = read_note(source)
    folder.parent.mkdir(parents=True, exist_ok=True)
    need_disk(folder.parent, note.bytes, f"Data set {folder.name}")
    staged = beside(folder)
    try:
        with full_disk_said(f"data set {folder.name}"):
            if source.is_dir():
                _copy_folder(_root(source), staged, note)
            else:
                unpack(source, staged, max_bytes=note.bytes + _MAX_NOTE, max_files=len(note.files) + 1,
                       progress=lambda share, text: progress(share / 2, text))  # fmt: skip
            check_export(staged, lambda share, text: progress(0.5 + share / 2, text))
            root = _root(staged)
            (root / NOTE).unlink()
            _rename(root / "dataset.json", folder.name)
            root.rename(folder)
    except OSError as error:
        raise ImportRefused(f"Data set {folder.name[:64]} cannot be written ({error.strerror}). Try again.") from error
    finally:
        remove(staged)
    return PackedChips.open(folder)


def _belongs(path: Path, folder: Path) -> bool:
    parts = path.relative_to(folder).parts
    hidden = any(part.startswith(".") for part in parts)
    return path.is_file() and not path.is_symlink() and path.suffix in SUFFIXES and not hidden and parts != (NOTE,)


def _entry(name: str) -> zipfile.ZipInfo:
    entry = zipfile.ZipInfo(name, _TIME)
    entry.external_attr = 0o100644 << 16
    return entry


def _copy(read: IO[bytes], write: IO[bytes]) -> dict[str, Any]:
    digest, size = hashlib.sha256(), 0
    while part := read.read(_CHUNK):
        digest.update(part)
        size += len(part)
        write.write(part)
    return {"sha256": digest.hexdigest(), "bytes": size}


def _copy_folder(root: Path, staged: Path, note: ExportNote) -> None:
    for name, (_, size) in [*note.files.items(), (NOTE, ("", _MAX_NOTE))]:
        source, target = safe_path(root, name), safe_path(staged, name)
        if source.is_symlink() or not source.is_file() or source.stat().st_size > size:
            raise ImportRefused(f"{name[:80]!r} is missing or was changed since the export. Export the data set again.")
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, target)


def _root(folder: Path) -> Path:
    """The folder that holds the note: the given one, or the only one in it."""
    if (folder / NOTE).is_file():
        return folder
    inside = [path for path in folder.iterdir() if path.is_dir() and not path.is_symlink() and (path / NOTE).is_file()]
    return inside[0] if len(inside) == 1 else folder


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _rename(path: Path, name: str) -> None:
    manifest = json.loads(path.read_text(encoding="utf-8"))
    if manifest["name"] != name:
        with replacing(path) as partial:
            partial.write_text(json.dumps(manifest | {"name": name}, indent=1), encoding="utf-8")


def _fits_itself(folder: Path) -> PackedChips:
    """The data set in a folder, once its arrays and tables are those that its manifest describes."""
    try:
        data = PackedChips.open(folder)
        manifest = data.manifest
        splits = [str(split["id"]) for split in manifest["splits"]]
        pieces = [*(s.name for s in data.sensors), *(t.name for t in data.tasks), *splits, data.split_id,
                  *(p["name"] for p in data.places), *(s for p in data.places for s in p["sensors"])]  # fmt: skip
        for piece in pieces:
            _need(isinstance(piece, str) and _PLAIN.fullmatch(piece) is not None, f"the name {str(piece)[:40]!r}")
        for sensor in data.sensors:
            raw, size = data.images(sensor.name).raw, int(manifest["sizes"][sensor.name])
            fits = raw.shape == (len(data), len(sensor.bands), size, size) and raw.dtype.kind in "iuf"
            _need(
                fits and raw.dtype == np.dtype(str(manifest["storage"][sensor.name]["dtype"])),
                f"chips/{sensor.name}.npy",
            )
            _need(data.present(sensor.name).dtype == bool, f"present/{sensor.name}.npy")
            data.statistics(sensor.name)
        for task in data.tasks:
            _need(data.targets(task.name).shape == _shape(task, len(data)), f"targets/{task.name}.npy")
            soft = data.soft_targets(task.name)
            _need(soft is None or len(soft) == len(data), f"soft/{task.name}.npy")
        _need(data.split_id in splits, "split")
        for split in splits:
            for array in (f"splits/{split}.npy", f"splits/{split}.blocks.npy"):
                values = np.load(folder / array, allow_pickle=False)
                _need(values.shape == (len(data),) and values.dtype.kind == "i", array)
        for table in ("chips.parquet", "labels.parquet"):
            _need(pq.read_metadata(folder / table).num_rows == len(data), table)
        for place in data.places:
            for sensor_name in place["sensors"]:
                _need(
                    data.scene_path(place["name"], sensor_name).is_file(), f"places/{place['name']}/{sensor_name}.tif"
                )
    except ImportRefused:
        raise
    except (
        OSError,
        ValueError,
        KeyError,
        TypeError,
        AttributeError,
        EOFError,
        pa.ArrowException,
        SpatialNetError,
    ) as error:
        raise ImportRefused(
            f"The exported data set contradicts itself ({str(error)[:120]}). Export it again."
        ) from error
    return data


def _shape(task: Task, chips: int) -> tuple[int, ...]:
    return (chips,) if task.kind in ("multiclass", "binary") else (chips, len(task.classes))


def _need(fits: bool, what: str) -> None:
    if not fits:
        raise ImportRefused(f"The exported data set contradicts itself at {what}. Export it again.")
