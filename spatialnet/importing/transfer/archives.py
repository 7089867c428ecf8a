"""Unpacks archives that people bring: nothing leaves the folder, nothing grows without bound, the folder appears whole."""

from __future__ import annotations

import bz2
import gzip
import lzma
import re
import shutil
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO, Any, cast

from spatialnet.atomic import beside, full_disk_said, remove
from spatialnet.errors import ImportRefused, NotEnoughDisk
from spatialnet.importing.importer import Progress

MAX_BYTES = 300 << 30
MAX_FILES = 10_000_000
MAX_RATIO = 250
"""Bytes unpacked per byte of the archive. Deflate reaches 1,032 on zeros; images stay under 20."""

FREE_RATIO_BYTES = 256 << 20
"""An archive that unpacks to less may have any ratio: small text compresses well and does no harm."""

SPARE_BYTES = 512 << 20
"""What is left free on the disk."""

_CHUNK = 1 << 20
_MAX_HEADER = 16 << 20
_TARS = (".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz")
SUFFIXES = (".zip", *_TARS)
_FOREIGN = {
    ".tar.zst": "tar --zstd -xf", ".tzst": "tar --zstd -xf", ".zst": "unzstd", ".rar": "unrar x", ".7z": "7z x", ".gz": "gunzip",
}  # fmt: skip


@dataclass
class _Limits:
    """What may still be written."""

    archive: str
    packed: int
    max_bytes: int
    max_files: int
    files: int = 0
    bytes: int = 0

    def announced(self, files: int, size: int) -> None:
        """Check totals that the archive itself states, before anything is written."""
        if files > self.max_files:
            raise ImportRefused(f"{self.archive} holds {files:,} files; at most {self.max_files:,} are unpacked.")
        self._check(size)

    def file(self) -> None:
        """Count one more file."""
        self.files += 1
        self.announced(self.files, self.bytes)

    def add(self, size: int) -> None:
        """Count bytes that are about to be written."""
        self.bytes += size
        self._check(self.bytes)

    def _check(self, size: int) -> None:
        if size > self.max_bytes:
            raise ImportRefused(
                f"{self.archive} unpacks to more than {_shown(self.max_bytes)}, the most that is unpacked."
            )
        if size > max(FREE_RATIO_BYTES, MAX_RATIO * self.packed):
            raise ImportRefused(
                f"{self.archive} unpacks to over {MAX_RATIO} times its size, as archives made to fill a disk do. "
                "If you trust it, unpack it yourself and give the folder."
            )


def is_archive(path: Path) -> bool:
    """Whether a file has the name of an archive that `unpack` reads."""
    return path.name.lower().endswith(SUFFIXES)


def unpack(
    archive: Path,
    folder: Path,
    *,
    max_bytes: int = MAX_BYTES,
    max_files: int = MAX_FILES,
    progress: Progress = lambda _share, _text: None,
) -> None:
    """Unpack a zip or tar archive into a new folder, which appears when all of it is there.

    Args:
        archive: the file; `SUFFIXES` says which kinds.
        folder: the folder to make; there is none yet.
        max_bytes: the most bytes that are written.
        max_files: the most files that are written.
        progress: called with a share in 0..1 and a text; what it raises ends the work, and nothing stays behind.

    Raises:
        ImportRefused: another kind of file, damaged, encrypted, with a link or a name that leaves the folder, or larger
            than the limits.
        NotEnoughDisk: the disk is too small.
    """
    name = archive.name.lower()
    if not archive.is_file():
        raise ImportRefused(f"There is no archive {archive.name[:80]!r}. Check the path.")
    if not is_archive(archive):
        command = next((command for suffix, command in _FOREIGN.items() if name.endswith(suffix)), "")
        way = (
            f"Unpack it first ({command} {archive.name[:80]}) and give the folder."
            if command
            else "Give a zip or tar file."
        )
        raise ImportRefused(f"{archive.name[:80]!r} is of no kind that can be unpacked here. {way}")
    if folder.exists():
        raise ImportRefused(f"There is already a folder {folder.name[:80]!r}. Use it, or remove it first.")
    folder.parent.mkdir(parents=True, exist_ok=True)
    partial = beside(folder)
    limits = _Limits(repr(archive.name[:80]), archive.stat().st_size, max_bytes, max_files)
    try:
        with full_disk_said(folder.name), _damage_said(archive.name):
            partial.mkdir()
            if name.endswith(".zip"):
                _unpack_zip(archive, partial, limits, progress)
            else:
                suffix = next(suffix for suffix in _TARS if name.endswith(suffix))
                _unpack_tar(archive, partial, limits, progress, suffix)
            partial.rename(folder)
    finally:
        remove(partial)


def safe_path(folder: Path, name: str) -> Path:
    """The path of an archive's entry inside a folder.

    Raises:
        ImportRefused: the name is absolute, goes up, or is no name of a file.
    """
    path = PurePosixPath(name)
    parts = path.parts
    wrong = (
        not parts or path.is_absolute() or ".." in parts or "\\" in name or "\0" in name or re.match(r"[A-Za-z]:", name)
        or len(name) > 1000 or any(len(part.encode("utf-8", "replace")) > 255 for part in parts)
    )  # fmt: skip
    if wrong:
        raise ImportRefused(
            f"The archive holds an entry called {name[:80]!r}, which is no plain name inside its folder. "
            "It is not unpacked; pack it again with relative names."
        )
    return folder.joinpath(*parts)


def need_disk(folder: Path, size: int, what: str) -> None:
    """Refuse to start what cannot be finished.

    Args:
        folder: an existing folder on the disk.
        size: bytes that will be written.
        what: what is written, for the message.

    Raises:
        NotEnoughDisk: less than `size` and a reserve is free.
    """
    free = shutil.disk_usage(folder).free
    if size + SPARE_BYTES > free:
        raise NotEnoughDisk(f"{what} needs {_shown(size)} and {_shown(free)} are free. Free some space and try again.")


def _unpack_zip(archive: Path, folder: Path, limits: _Limits, progress: Progress) -> None:
    with zipfile.ZipFile(archive) as source:
        entries = [entry for entry in source.infolist() if not _is_clutter(entry.filename)]
        files = [entry for entry in entries if not entry.is_dir()]
        total = sum(entry.file_size for entry in files)
        limits.announced(len(files), total)
        for entry in entries:
            _check_zip_entry(entry, limits.archive)
            safe_path(folder, entry.filename)
        need_disk(folder, total, f"Unpacking {limits.archive}")
        for entry in entries:
            if entry.is_dir():
                safe_path(folder, entry.filename).mkdir(parents=True, exist_ok=True)
                continue
            with source.open(entry) as stream:
                _write(stream, safe_path(folder, entry.filename), limits)
            progress(limits.bytes / max(total, 1), f"unpacking {archive.name}")


def _check_zip_entry(entry: zipfile.ZipInfo, archive: str) -> None:
    mode = entry.external_attr >> 16
    if stat.S_IFMT(mode) not in (0, stat.S_IFREG, stat.S_IFDIR):
        raise _no_links(archive, entry.filename)
    if entry.flag_bits & 1:
        raise ImportRefused(f"{archive} is encrypted. Unpack it yourself and give the folder.")


def _unpack_tar(archive: Path, folder: Path, limits: _Limits, progress: Progress, suffix: str) -> None:
    plain = suffix == ".tar"
    if plain:
        # Headers of an uncompressed tar can be read without its data: sizes are then known before anything is written.
        sizes = [entry.size for entry in _tar_entries(archive, suffix, limits) if entry.isfile()]
        limits.announced(len(sizes), sum(sizes))
        need_disk(folder, sum(sizes), f"Unpacking {limits.archive}")
    with _opened(archive, suffix) as stream, tarfile.open(fileobj=_Guarded(stream, limits), mode="r:") as source:
        for entry in source:
            source.members = []  # type: ignore[attr-defined]  # a million entries are not kept
            path = _tar_path(entry, folder, limits.archive)
            if path is None:
                continue
            if entry.isdir():
                path.mkdir(parents=True, exist_ok=True)
                continue
            if not plain:
                need_disk(folder, entry.size, f"Unpacking {limits.archive}")
            data = source.extractfile(entry)
            if data is not None:
                with data:
                    _write(data, path, limits)
            share = limits.bytes / max(limits.packed, 1) if plain else 0.0
            progress(min(share, 1.0), f"unpacking {archive.name}: {limits.files:,} files")
    if not limits.files:
        raise ImportRefused(f"{limits.archive} holds no file, or is cut short. Download it again.")


def _opened(archive: Path, suffix: str) -> IO[bytes]:
    """The bytes of a tar without its compression."""
    if suffix in (".tar.gz", ".tgz"):
        return cast(IO[bytes], gzip.open(archive, "rb"))
    if suffix == ".tar.bz2":
        return bz2.open(archive, "rb")
    if suffix == ".tar.xz":
        return lzma.open(archive, "rb")
    return archive.open("rb")


def _tar_entries(archive: Path, suffix: str, limits: _Limits) -> Iterator[tarfile.TarInfo]:
    with _opened(archive, suffix) as stream, tarfile.open(fileobj=_Guarded(stream, limits), mode="r:") as source:
        for files, entry in enumerate(source):
            source.members = []  # type: ignore[attr-defined]
            limits.announced(files, 0)
            yield entry


def _tar_path(entry: tarfile.TarInfo, folder: Path, archive: str) -> Path | None:
    """Where an entry goes; None for what is left out."""
    if _is_clutter(entry.name) or entry.name in (".", "./"):
        return None
    if not (entry.isfile() or entry.isdir()) or entry.issparse():
        raise _no_links(archive, entry.name)
    return safe_path(folder, entry.name)


def _write(stream: IO[bytes], path: Path, limits: _Limits) -> None:
    limits.file()
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        with path.open("xb") as file:
            while part := stream.read(_CHUNK):
                limits.add(len(part))
                file.write(part)
    except FileExistsError as error:
        raise ImportRefused(f"{limits.archive} holds two entries called {path.name[:80]!r}. Pack it again.") from error


class _Guarded:
    """A stream that refuses to hand out more at once than any sound header needs.

    A tar header may state a name of many gigabytes, which `tarfile` would read into memory.
    """

    def __init__(self, stream: IO[bytes], limits: _Limits) -> None:
        self._stream = stream
        self._limits = limits

    def read(self, size: int = -1) -> bytes:
        if not 0 <= size <= _MAX_HEADER:
            raise ImportRefused(f"{self._limits.archive} has a header of {size:,} bytes, which no sound archive has.")
        return self._stream.read(size)

    def seek(self, position: int, whence: int = 0) -> int:
        # Skipping compressed data still unpacks it, so it counts.
        if position > self._limits.max_bytes + self._limits.max_files * 2048:
            raise ImportRefused(
                f"{self._limits.archive} states more bytes than the {_shown(self._limits.max_bytes)} allowed."
            )
        return self._stream.seek(position, whence)

    def tell(self) -> int:
        return self._stream.tell()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


@contextmanager
def _damage_said(name: str) -> Iterator[None]:
    try:
        yield
    except (zipfile.BadZipFile, tarfile.TarError, zlib.error, lzma.LZMAError, gzip.BadGzipFile, EOFError) as error:
        raise ImportRefused(f"{name[:80]!r} is damaged or cut short. Download it again.") from error
    except NotImplementedError as error:
        raise ImportRefused(f"{name[:80]!r} uses a compression that is not read here. Unpack it yourself.") from error
    except (FileExistsError, NotADirectoryError, IsADirectoryError) as error:
        raise ImportRefused(f"{name[:80]!r} uses one name for a file and a folder. Pack it again.") from error
    except OSError as error:
        if error.errno is None:  # bz2 says "Invalid data stream" in this way
            raise ImportRefused(f"{name[:80]!r} is damaged or cut short. Download it again.") from error
        raise


def _no_links(archive: str, name: str) -> ImportRefused:
    return ImportRefused(
        f"{archive} holds {name[:80]!r}, which is a link or a device and no file. Unpack it yourself and give the folder."
    )


def _is_clutter(name: str) -> bool:
    """What macOS puts into archives beside the files."""
    parts = PurePosixPath(name).parts
    return "__MACOSX" in parts or bool(parts and (parts[-1] == ".DS_Store" or parts[-1].startswith("._")))


def _shown(size: float) -> str:
    return f"{size / 1e9:,.1f} GB" if size >= 1e9 else f"{size / 1e6:,.1f} MB"
