"""A file of chips that is written once, in order, and goes on after a crash where it stopped."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from spatialnet.atomic import full_disk_said, replacing

COMMIT_BYTES = 64 << 20
"""After this much the file is brought to disk and the number of whole chips noted."""


def write_chips(
    path: Path,
    shape: tuple[int, int, int, int],
    dtype: npt.DTypeLike,
    chips_from: Callable[[int], Iterator[npt.NDArray[Any]]],
    progress: Callable[[int], None] = lambda _done: None,
) -> None:
    """Write chips as one array that `np.load` maps; called again after a crash it goes on with the next chip.

    Neither `np.save` nor a memory map: on a full disk the first says nothing of the disk, the second ends the process.

    Args:
        path: the file to write; beside it `<path>.done` notes how many chips are safely on disk while it is written.
        shape: (chips, bands, height, width).
        dtype: of the array.
        chips_from: the chips from a given number on, in order.
        progress: called with the number of chips written.

    Raises:
        NotEnoughDisk: the disk is full; what was written stays, and writing can go on.
    """
    kind = np.dtype(dtype)
    note = path.with_name(f"{path.name}.done")
    chip_bytes = int(np.prod(shape[1:])) * kind.itemsize
    done = _committed(note, path, shape, kind)
    with full_disk_said(path.name), path.open("r+b" if done else "wb") as file:
        header = {"descr": np.lib.format.dtype_to_descr(kind), "fortran_order": False, "shape": shape}
        np.lib.format.write_array_header_1_0(file, header)
        begin = file.tell()
        # What was written after the last note may be torn.
        file.truncate(begin + done * chip_bytes)
        file.seek(0, os.SEEK_END)
        pending = 0
        for chip in chips_from(done):
            file.write(np.ascontiguousarray(chip, kind).tobytes())
            done += 1
            pending += chip_bytes
            if pending >= COMMIT_BYTES:
                _commit(file.fileno(), file.flush, note, done, shape, kind)
                pending = 0
            progress(done)
        _commit(file.fileno(), file.flush, note, done, shape, kind)
    if done != shape[0]:
        raise ValueError(f"{path.name} was promised {shape[0]} chips and given {done}.")


def _commit(
    number: int, flush: Callable[[], None], note: Path, done: int, shape: tuple[int, ...], kind: np.dtype[Any]
) -> None:
    flush()
    os.fsync(number)
    with replacing(note) as partial:
        partial.write_text(json.dumps({"done": done, "shape": list(shape), "dtype": kind.str}), encoding="utf-8")


def _committed(note: Path, path: Path, shape: tuple[int, ...], kind: np.dtype[Any]) -> int:
    """How many chips are on disk, where the same array was being written before."""
    try:
        noted = json.loads(note.read_text(encoding="utf-8"))
        same = noted["shape"] == list(shape) and noted["dtype"] == kind.str and path.exists()
        return int(noted["done"]) if same else 0
    except (OSError, ValueError, KeyError, TypeError):
        return 0
