import errno
import os
import subprocess
import sys

import pytest

from spatialnet.atomic import beside, full_disk_said, replacing
from spatialnet.errors import NotEnoughDisk


def test_a_file_is_replaced_whole(tmp_path):
    path = tmp_path / "a.json"
    path.write_text("old")
    with replacing(path) as partial:
        partial.write_text("new")
        assert path.read_text() == "old"
    assert path.read_text() == "new"
    assert list(tmp_path.iterdir()) == [path]


def test_what_goes_wrong_leaves_the_old_file_and_nothing_else(tmp_path):
    def fail() -> None:
        with replacing(path) as partial:
            partial.write_text("half")
            raise ZeroDivisionError

    path = tmp_path / "a.json"
    path.write_text("old")
    with pytest.raises(ZeroDivisionError):
        fail()
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EFBIG])
def test_a_full_disk_is_said_in_our_words(number):
    with (
        pytest.raises(NotEnoughDisk, match=r"The disk is full: the map was not written\. Free some space"),
        full_disk_said("the map"),
    ):
        raise OSError(number, os.strerror(number))


def test_other_errors_pass_through():
    with pytest.raises(PermissionError), full_disk_said("the map"):
        raise PermissionError(errno.EACCES, "no")


def test_what_a_killed_writer_left_is_removed_and_a_live_one_is_left_alone(tmp_path):
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    path = tmp_path / "map.tif"
    (tmp_path / f".map.tif.{dead.pid}-00ff.partial").write_text("left over")
    (tmp_path / f".map.tif.{dead.pid}-00ff.partial.ovr.tmp").write_text("left over")
    folder = tmp_path / f".map.tif.{dead.pid}-00aa.partial"
    folder.mkdir()
    (folder / "x").write_text("left over")
    kept = [tmp_path / f".map.tif.{os.getpid()}-00ff.partial", tmp_path / f".other.tif.{dead.pid}-00ff.partial"]
    for file in kept:
        file.write_text("at work")
    first, second = beside(path), beside(path)
    assert first != second
    assert sorted(tmp_path.iterdir()) == sorted(kept)
