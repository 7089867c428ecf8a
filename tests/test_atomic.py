import errno
import os
import subprocess
import sys

import pytest

from spatialnet.atomic import _exchange, beside, closed_folder_said, full_disk_said, put_in_place, replacing
from spatialnet.errors import NotEnoughDisk, PathRefused


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
    here = beside(path).name.split(".")[3].partition("-")[0]
    (tmp_path / f".map.tif.{here}-{dead.pid}-00ff.partial").write_text("left over")
    (tmp_path / f".map.tif.{here}-{dead.pid}-00ff.partial.ovr.tmp").write_text("left over")
    folder = tmp_path / f".map.tif.{here}-{dead.pid}-00aa.partial"
    folder.mkdir()
    (folder / "x").write_text("left over")
    kept = [
        tmp_path / f".map.tif.{here}-{os.getpid()}-00ff.partial", tmp_path / f".other.tif.{here}-{dead.pid}-00ff.partial"
    ]  # fmt: skip
    for file in kept:
        file.write_text("at work")
    first, second = beside(path), beside(path)
    assert first != second
    assert sorted(tmp_path.iterdir()) == sorted(kept)


def test_another_machines_writer_is_left_alone_whatever_its_process_number(tmp_path, monkeypatch):
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    path = tmp_path / "map.tif"
    monkeypatch.setattr("os.getpid", lambda: dead.pid)
    monkeypatch.setattr("socket.gethostname", lambda: "elsewhere")
    theirs = beside(path)
    theirs.write_text("at work")
    monkeypatch.undo()
    beside(path)
    assert theirs.exists()


@pytest.mark.parametrize("number", [errno.EACCES, errno.EPERM, errno.EROFS])
def test_a_folder_that_may_not_be_written_to_is_said_in_a_sentence(tmp_path, number):
    with pytest.raises(PathRefused, match=r"cannot be written to \(.+\)\. Check"), closed_folder_said(tmp_path):
        raise OSError(number, os.strerror(number))
    with pytest.raises(OSError, match="name too long"), closed_folder_said(tmp_path):
        raise OSError(errno.ENAMETOOLONG, "name too long")


def test_a_file_where_a_folder_was_expected(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(PathRefused, match="'file' cannot be written to"), closed_folder_said(tmp_path / "file"):
        (tmp_path / "file" / "below").mkdir()


@pytest.mark.parametrize("exchange", [True, False])
def test_a_folder_takes_anothers_place(tmp_path, monkeypatch, exchange):
    if not exchange:
        monkeypatch.setattr("spatialnet.atomic._exchange", lambda *_: False)
    (tmp_path / "new").mkdir()
    (tmp_path / "new" / "a").write_text("first")
    put_in_place(tmp_path / "new", tmp_path / "place")
    (tmp_path / "new").mkdir()
    (tmp_path / "new" / "a").write_text("second")
    put_in_place(tmp_path / "new", tmp_path / "place")
    assert [path.name for path in tmp_path.iterdir()] == ["place"]
    assert (tmp_path / "place" / "a").read_text() == "second"


def test_two_folders_change_places_in_one_step_on_this_system(tmp_path):
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / name).touch()
    if not _exchange(tmp_path / "a", tmp_path / "b"):
        pytest.skip("this file system cannot exchange two names")
    assert (tmp_path / "a" / "b").exists()
    assert (tmp_path / "b" / "a").exists()
