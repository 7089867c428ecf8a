import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from spatialnet.datasets import chip_file
from spatialnet.datasets.chip_file import write_chips
from spatialnet.settings import REPOSITORY

SHAPE = (50, 2, 4, 4)


def chips(dtype="uint16"):
    return np.random.default_rng(0).integers(0, 200, SHAPE).astype(dtype)


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int16", "float32"])
def test_what_is_written_reads_back_bit_by_bit(tmp_path, dtype):
    values = chips(dtype)
    if dtype == "float32":
        values[3, 1, 2, 2] = np.nan
        values[4, 0, 0, 0] = -np.inf
    write_chips(tmp_path / "a.npy", SHAPE, dtype, lambda start: iter(values[start:]))
    read = np.load(tmp_path / "a.npy", mmap_mode="r", allow_pickle=False)
    assert read.dtype == np.dtype(dtype)
    assert read.tobytes() == values.tobytes()


def test_a_writer_that_failed_goes_on_where_it_stopped(tmp_path, monkeypatch):
    monkeypatch.setattr(chip_file, "COMMIT_BYTES", 5 * 2 * 4 * 4 * 2)  # every five chips
    values, asked = chips(), []

    def from_chip(start, fail_at=None):
        asked.append(start)
        for number in range(start, len(values)):
            if number == fail_at:
                raise KeyboardInterrupt
            yield values[number]

    with pytest.raises(KeyboardInterrupt):
        write_chips(tmp_path / "a.npy", SHAPE, "uint16", lambda start: from_chip(start, 23))
    with (tmp_path / "a.npy").open("ab") as torn:
        torn.write(b"half a chip")
    write_chips(tmp_path / "a.npy", SHAPE, "uint16", from_chip)
    assert asked == [0, 20]
    assert np.load(tmp_path / "a.npy").tobytes() == values.tobytes()


def test_another_array_under_the_same_name_starts_anew(tmp_path):
    write_chips(tmp_path / "a.npy", SHAPE, "uint16", lambda start: iter(chips()[start:]))
    other = chips("uint8")
    write_chips(tmp_path / "a.npy", SHAPE, "uint8", lambda start: iter(other[start:]))
    assert np.load(tmp_path / "a.npy").tobytes() == other.tobytes()
    (tmp_path / "a.npy.done").write_text("{")
    write_chips(tmp_path / "a.npy", SHAPE, "uint8", lambda start: iter(other[start:]))
    assert np.load(tmp_path / "a.npy").tobytes() == other.tobytes()


def test_too_few_chips_are_an_error(tmp_path):
    with pytest.raises(ValueError, match="promised 50 chips and given 7"):
        write_chips(tmp_path / "a.npy", SHAPE, "uint16", lambda _start: iter(chips()[:7]))


SLOW = """
import sys, time
from pathlib import Path
import numpy as np
from spatialnet.datasets import chip_file
chip_file.COMMIT_BYTES = 4096
def chips(start):
    for number in range(start, 400):
        time.sleep(0.005)
        yield np.full((1, 16, 16), number, np.uint16)
chip_file.write_chips(Path(sys.argv[1]), (400, 1, 16, 16), "uint16", chips)
"""


def test_after_kill_9_no_chip_is_there_twice_and_none_is_missing(tmp_path):
    path = tmp_path / "a.npy"
    process = subprocess.Popen([sys.executable, "-c", SLOW, str(path)], cwd=REPOSITORY)
    note = tmp_path / "a.npy.done"
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline and not (note.exists() and json.loads(note.read_text())["done"] > 60):
        time.sleep(0.02)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    done = json.loads(note.read_text())["done"]
    assert 60 < done < 400
    write_chips(path, (400, 1, 16, 16), "uint16", lambda s: (np.full((1, 16, 16), n, np.uint16) for n in range(s, 400)))
    assert np.array_equal(np.load(path)[:, 0, 0, 0], np.arange(400))
