"""A run as one zip file that comes back as it was, with a checksum of every file."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import time
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO, Any, cast

from spatialnet import __version__
from spatialnet.atomic import beside, full_disk_said, remove, replacing
from spatialnet.errors import NotEnoughDisk, RunRefused, SpatialNetError
from spatialnet.runs.folder import Run, new_folder, open_run_in, write_json
from spatialnet.runs.imported import check_run
from spatialnet.runs.publishing import registry_lock
from spatialnet.runs.trash import trash
from spatialnet.settings import Settings

NOTE = "export.json"
FORMAT = "spatialnet run"
VERSION = 1
SUFFIXES = (".json", ".jsonl", ".toml", ".txt", ".safetensors", ".npy", ".parquet", ".tif")
MAX_BYTES = 64 << 30
MAX_FILES = 100_000
SPARE_BYTES = 512 << 20
"""What is left free on the disk."""

_CHUNK = 1 << 20
_MAX_NOTE = 32 << 20
_TIME = (1980, 1, 1, 0, 0, 0)
_PART = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,120}")
_DAMAGE = (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError, RuntimeError, zipfile.BadZipFile, zlib.error,
           EOFError, NotImplementedError)  # fmt: skip


@dataclass(frozen=True)
class ExportNote:
    """What an export says of itself.

    Attributes:
        name: the run's name where it came from.
        title: what people read.
        files: per file name its SHA-256 and its bytes.
    """

    name: str
    title: str
    files: Mapping[str, tuple[str, int]]


class _Pipe:
    """What is written into it can be taken out again: a zip file that is made while it is sent."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []
        self._told = 0

    def write(self, part: bytes) -> int:
        self._parts.append(bytes(part))
        self._told += len(part)
        return len(part)

    def tell(self) -> int:
        return self._told

    def flush(self) -> None:
        """Nothing waits."""

    def take(self) -> bytes:
        taken = b"".join(self._parts)
        self._parts = []
        return taken


def export_chunks(run: Run) -> Iterator[bytes]:
    """A run as a zip file, piece by piece of about a megabyte; nothing is written to disk.

    Raises:
        RunRefused: the run is not done.
    """
    if not run.done:
        raise RunRefused(f"Run {run.title[:80]!r} is not done. Export it when it has metrics.")
    return _chunks(run)


def _chunks(run: Run) -> Iterator[bytes]:
    files: dict[str, dict[str, Any]] = {}
    pipe = _Pipe()
    with zipfile.ZipFile(cast(IO[bytes], pipe), "w", zipfile.ZIP_STORED) as archive:
        for source in sorted(path for path in run.folder.rglob("*") if _belongs(path, run.folder)):
            name, digest, size = source.relative_to(run.folder).as_posix(), hashlib.sha256(), 0
            with source.open("rb") as read, archive.open(_entry(name), "w", force_zip64=True) as write:
                while part := read.read(_CHUNK):
                    digest.update(part)
                    size += len(part)
                    write.write(part)
                    yield pipe.take()
            files[name] = {"sha256": digest.hexdigest(), "bytes": size}
        note = {
            "format": FORMAT, "version": VERSION, "written_by": f"spatialnet {__version__}", "name": run.name,
            "title": run.title, "dataset": run.dataset, "files": files,
        }  # fmt: skip
        archive.writestr(_entry(NOTE), json.dumps(note, indent=1))
    yield pipe.take()


def export_run(run: Run, target: Path) -> Path:
    """Write a run into one zip file.

    Args:
        run: a run that is done.
        target: the file to write, or an existing folder to write `<name>.zip` into.

    Returns:
        The file.

    Raises:
        RunRefused: the run is not done, or the file cannot be written there.
        NotEnoughDisk: the disk is full; nothing was left behind.
    """
    path = target / f"{run.name}.zip" if target.is_dir() else target
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(path) as partial, partial.open("wb") as file:
            file.writelines(export_chunks(run))
    except OSError as error:
        raise RunRefused(
            f"Run {run.name} cannot be written to {str(path)[-120:]!r} ({error.strerror}). Choose another place."
        ) from error
    return path


def is_export(source: Path) -> bool:
    """Whether a file is a zip file that says it is an exported run."""
    try:
        with zipfile.ZipFile(source) as archive:
            _read_note(archive, source.name)
    except (SpatialNetError, *_DAMAGE):
        return False
    return True


def import_run(settings: Settings, source: Path | IO[bytes], shown: str = "") -> Run:
    """Take in an exported run; its folder appears whole or not at all.

    Args:
        settings: the workspace.
        source: the zip file, a folder that it was unpacked into, or an opened zip file.
        shown: what the file is called, for messages; default its name.

    Returns:
        The run, under its own name, or under a fresh one where that is taken. `run.json` says where it came from.

    Raises:
        RunRefused: it is no exported run, or it is damaged, changed, too large, or not what runs are made of.
        NotEnoughDisk: the disk is too small.
    """
    shown = (shown or (source.name if isinstance(source, Path) else "the file"))[:80]
    if isinstance(source, Path) and source.is_dir():
        return _import_folder(settings, source, shown)
    if isinstance(source, Path) and not source.is_file():
        raise RunRefused(f"There is no file {shown!r}. Check the path.")
    with _damage_said(shown), zipfile.ZipFile(source) as archive:
        note = _read_note(archive, shown)
        _check_entries(archive, note, shown)
        return _take_in(settings, note, shown, archive.open)


def _import_folder(settings: Settings, folder: Path, shown: str) -> Run:
    if not (folder / NOTE).is_file():
        raise RunRefused(
            f"{shown!r} holds no {NOTE}, so it is no exported run. Give the zip file that an export wrote."
        )
    with _damage_said(shown):
        note = _parse_note((folder / NOTE).read_bytes()[: _MAX_NOTE + 1], shown)

        def opened(name: str) -> IO[bytes]:
            if (folder / name).is_symlink() or not (folder / name).resolve().is_relative_to(folder.resolve()):
                raise RunRefused(f"{shown!r} has a link at {name[:80]!r}, which no run holds. Export the run again.")
            return (folder / name).open("rb")

        return _take_in(settings, note, shown, opened)


def _take_in(settings: Settings, note: ExportNote, shown: str, opened: Any) -> Run:
    size = sum(bytes_ for _, bytes_ in note.files.values())
    free = shutil.disk_usage(settings.runs).free
    if size + SPARE_BYTES > free:
        raise NotEnoughDisk(
            f"The run needs {size / 1e6:,.1f} MB and {free / 1e6:,.1f} MB are free. Free some space and try again."
        )
    staged = beside(settings.runs / "imported")
    try:
        with full_disk_said("the imported run"):
            staged.mkdir()
            for name, (digest, bytes_) in note.files.items():
                target = staged.joinpath(*PurePosixPath(name).parts)
                target.parent.mkdir(parents=True, exist_ok=True)
                with opened(name) as read, target.open("xb") as write:
                    _copy(read, write, digest, bytes_, f"{name[:80]!r} of {shown!r}")
        info = check_run(staged)
        info["imported"] = {"from": shown, "name": note.name, "at": time.time()}
        with registry_lock(settings):
            folder = _fresh_folder(settings, note.name)
            try:
                write_json(staged / "run.json", info | {"run": folder.name})
                staged.replace(folder)
            except BaseException:
                remove(folder)
                raise
        return open_run_in(settings.runs, folder.name)
    finally:
        remove(staged)


def _fresh_folder(settings: Settings, name: str) -> Path:
    """A new folder of this name, or of one with a number behind it; runs in the trash keep theirs."""
    resting = {deleted.run.name for deleted in trash(settings)}
    while True:
        folder = new_folder(settings.runs, name[:56])
        if folder.name not in resting:
            return folder
        folder.rmdir()
        name = f"{name[:50]}-again"


def _copy(read: IO[bytes], write: IO[bytes], digest: str, size: int, what: str) -> None:
    found, left = hashlib.sha256(), size
    while part := read.read(min(_CHUNK, left + 1)):
        left -= len(part)
        if left < 0:
            break
        found.update(part)
        write.write(part)
    if left or found.hexdigest() != digest:
        raise RunRefused(
            f"{what} was changed or damaged since the export. Copy the file again, or export the run again."
        )


def _read_note(archive: zipfile.ZipFile, shown: str) -> ExportNote:
    if NOTE not in archive.namelist():
        raise RunRefused(
            f"{shown!r} holds no {NOTE}, so it is no exported run. Give the zip file that an export wrote."
        )
    with archive.open(NOTE) as member:
        return _parse_note(member.read(_MAX_NOTE + 1), shown)


def _parse_note(text: bytes, shown: str) -> ExportNote:
    values = json.loads(text)
    if values["format"] != FORMAT:
        raise RunRefused(f"{shown!r} is an export of {str(values['format'])[:40]!r}, not of a run.")
    if values["version"] != VERSION:
        raise RunRefused(f"{shown!r} has export version {str(values['version'])[:20]}; this version reads {VERSION}.")
    files = {str(name): (str(facts["sha256"]), int(facts["bytes"])) for name, facts in values["files"].items()}
    note = ExportNote(str(values["name"]), str(values["title"]), files)
    if not re.fullmatch(r"[a-z0-9][a-z0-9-]{0,63}", note.name):
        raise RunRefused(
            f"{shown!r} is of a run called {note.name[:80]!r}, which no run is called. Export the run again."
        )
    for name, (_, size) in files.items():
        parts = PurePosixPath(name).parts
        plain = "/".join(parts) == name and len(parts) <= 6 and all(_PART.fullmatch(part) for part in parts)
        if not plain or PurePosixPath(name).suffix not in SUFFIXES or size < 0 or name == NOTE:
            raise RunRefused(f"{shown!r} names {name[:80]!r}, which no run holds. Export the run again.")
    if len(files) > MAX_FILES or sum(size for _, size in files.values()) > MAX_BYTES:
        raise RunRefused(
            f"{shown!r} holds {len(files):,} files; a run has at most {MAX_FILES:,} of together {MAX_BYTES >> 30} GB."
        )
    return note


def _check_entries(archive: zipfile.ZipFile, note: ExportNote, shown: str) -> None:
    entries = [entry for entry in archive.infolist() if entry.filename != NOTE]
    names = [entry.filename for entry in entries]
    if added := sorted(set(names) - set(note.files)):
        raise RunRefused(f"{shown!r} holds {added[0][:80]!r}, which it does not name. Export the run again.")
    if missing := sorted(set(note.files) - set(names)):
        raise RunRefused(f"{shown!r} lacks {missing[0][:80]!r}. Copy the file again, or export the run again.")
    if len(names) != len(set(names)):
        raise RunRefused(f"{shown!r} holds one file twice. Export the run again.")
    wrong = [entry for entry in entries if entry.flag_bits & 1 or entry.file_size != note.files[entry.filename][1]]
    if wrong:
        raise RunRefused(f"{shown!r} was changed since the export at {wrong[0].filename[:80]!r}. Export the run again.")


@contextmanager
def _damage_said(shown: str) -> Iterator[None]:
    try:
        yield
    except SpatialNetError:
        raise
    except _DAMAGE as error:
        raise RunRefused(
            f"{shown!r} is no exported run, or it is damaged or cut short. Copy the file again, or export the run again."
        ) from error


def _belongs(path: Path, folder: Path) -> bool:
    parts = path.relative_to(folder).parts
    plain = all(_PART.fullmatch(part) for part in parts)
    return plain and path.suffix in SUFFIXES and parts != (NOTE,) and path.is_file() and not path.is_symlink()


def _entry(name: str) -> zipfile.ZipInfo:
    entry = zipfile.ZipInfo(name, _TIME)
    entry.external_attr = 0o100644 << 16
    return entry
