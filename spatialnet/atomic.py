"""Files that are written whole or not at all, and a full disk in our own words."""

from __future__ import annotations

import ctypes
import errno
import glob
import hashlib
import os
import shutil
import socket
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from spatialnet.errors import NotEnoughDisk, PathRefused

_FROM_HERE, _EXCHANGE = -100, 2
"""What the system calls the working folder (AT_FDCWD), and the exchange of two names (RENAME_EXCHANGE, RENAME_SWAP)."""

_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_CLOSED = {errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR}


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A file to write beside `path`; it takes the place of `path` when the block ends well and it is on disk.

    Args:
        path: the file to write; its folder exists.

    Raises:
        NotEnoughDisk: the disk is full; what was at `path` before is unchanged.
    """
    partial = beside(path)
    try:
        with full_disk_said(path.name):
            yield partial
            with partial.open("rb") as file:
                os.fsync(file.fileno())
            partial.replace(path)
    finally:
        remove(partial)


@contextmanager
def full_disk_said(what: str) -> Iterator[None]:
    """Turn an operating-system error that means "no space" into `NotEnoughDisk`.

    Args:
        what: what is being written, for the message.
    """
    try:
        yield
    except OSError as error:
        if is_full(error):
            raise not_enough_disk(what) from error
        raise


@contextmanager
def closed_folder_said(folder: Path) -> Iterator[None]:
    """Turn an operating-system error that means "you may not write here" into `PathRefused`.

    Args:
        folder: where something is being written, for the message.
    """
    try:
        yield
    except OSError as error:
        if error.errno in _CLOSED:
            raise PathRefused(
                f"{folder.name[:80]!r} cannot be written to ({error.strerror}). Check the folder's permissions, or choose another place."
            ) from error
        raise


def is_full(error: OSError) -> bool:
    """Whether an operating-system error means that the disk, the quota or the largest file size is used up."""
    return error.errno in _FULL


def not_enough_disk(what: str) -> NotEnoughDisk:
    """The error for a full disk."""
    return NotEnoughDisk(f"The disk is full: {what} was not written. Free some space and try again.")


def beside(path: Path) -> Path:
    """A name beside `path` that no other writer has, for a file or folder that is not whole yet.

    What writers of this machine that were killed left there is removed. A folder that several machines share holds theirs
    too; whether those still run cannot be known here.
    """
    here = _machine()
    for left_over in path.parent.glob(f".{glob.escape(path.name)}.{here}-*.partial*"):
        process = left_over.name.removeprefix(f".{path.name}.{here}-").partition("-")[0]
        if process.isdigit() and not _is_running(int(process)):
            remove(left_over)
    return path.with_name(f".{path.name}.{here}-{os.getpid()}-{uuid.uuid4().hex[:8]}.partial")


def _machine() -> str:
    """A short word for this machine; its name may be long, and a file name has 255 bytes."""
    return hashlib.sha256(socket.gethostname().encode()).hexdigest()[:8]


def put_in_place(fresh: Path, folder: Path) -> None:
    """Make a whole new folder appear at `folder`; what was there before is removed. At no moment is nothing there.

    Args:
        fresh: the new folder, beside `folder`.
        folder: its place.
    """
    if not folder.exists():
        fresh.rename(folder)
    elif _exchange(fresh, folder):
        remove(fresh)
    else:
        # A system that cannot exchange two names: between these two lines a crash leaves the old folder beside its place.
        old = folder.with_name(f".{folder.name}.replaced")
        remove(old)
        folder.rename(old)
        fresh.rename(folder)
        remove(old)


def _exchange(first: Path, second: Path) -> bool:
    """Let two names change places in one step, as Linux and macOS can; False where that is not to be had."""
    here = ctypes.CDLL(None, use_errno=True)
    names = os.fsencode(first), os.fsencode(second)
    if hasattr(here, "renameat2"):
        return here.renameat2(_FROM_HERE, names[0], _FROM_HERE, names[1], _EXCHANGE) == 0
    if hasattr(here, "renamex_np"):
        return here.renamex_np(*names, _EXCHANGE) == 0
    return False


def remove(path: Path) -> None:
    """Delete a file or a folder with all it holds, as far as that is possible."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        with suppress(OSError):
            path.unlink()


def _is_running(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True
