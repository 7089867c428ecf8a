"""Archives are unpacked whole or not at all, and nothing in them reaches beyond their folder."""

import bz2
import gzip
import io
import lzma
import struct
import tarfile
import zipfile

import pytest

from spatialnet.errors import ImportRefused, NotEnoughDisk
from spatialnet.importing.transfer import archives
from spatialnet.importing.transfer.archives import is_archive, need_disk, unpack

FILES = {"data/a.txt": b"first", "data/deep/b.bin": bytes(range(256)) * 20, "empty.txt": b""}


def write_zip(path, files, method=zipfile.ZIP_DEFLATED):
    with zipfile.ZipFile(path, "w", method) as target:
        for name, content in files.items():
            target.writestr(name, content)
    return path


def write_tar(path, files, mode="w", **more):
    with tarfile.open(path, mode) as target:
        for name, content in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            for key, value in more.items():
                setattr(entry, key, value)
            target.addfile(entry, io.BytesIO(content))
    return path


def content(folder):
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def refused(archive, tmp_path, said, **limits):
    """Refused with a sentence, and nothing is left behind or written elsewhere."""
    with pytest.raises(ImportRefused, match=said):
        unpack(archive, tmp_path / "out", **limits)
    assert [p.name for p in tmp_path.iterdir()] == [archive.name]


@pytest.mark.parametrize("name", ["a.zip", "a.tar", "a.tar.gz", "a.tgz", "a.tar.bz2", "a.tar.xz", "A.ZIP"])
def test_every_kind_comes_out_as_it_went_in(tmp_path, name):
    mode = {"gz": "w:gz", "tgz": "w:gz", "bz2": "w:bz2", "xz": "w:xz"}.get(name.split(".")[-1], "w")
    path = tmp_path / name
    write_zip(path, FILES) if name.lower().endswith("zip") else write_tar(path, FILES, mode)
    shares = []
    unpack(path, tmp_path / "out", progress=lambda share, _text: shares.append(share))
    assert content(tmp_path / "out") == FILES
    assert shares
    assert all(0 <= share <= 1 for share in shares)
    assert is_archive(path)
    assert sorted(p.name for p in tmp_path.iterdir()) == sorted([name, "out"])


def test_clutter_of_other_systems_is_left_out(tmp_path):
    archive = write_zip(tmp_path / "a.zip", {"a.txt": b"x", "__MACOSX/._a.txt": b"y", ".DS_Store": b"z", "d/._b": b"q"})
    unpack(archive, tmp_path / "out")
    assert content(tmp_path / "out") == {"a.txt": b"x"}


@pytest.mark.parametrize(
    "name",
    ["../evil.txt", "a/../../evil.txt", "/evil.txt", "C:/evil.txt", "..\\evil.txt", "a/..", "x" * 300, "a/" * 600],
)
@pytest.mark.parametrize("kind", ["zip", "tar", "tar.gz"])
def test_names_that_leave_the_folder_are_refused(tmp_path, name, kind):
    files = {"good.txt": b"good", name: b"evil"}
    path = tmp_path / f"a.{kind}"
    write_zip(path, files) if kind == "zip" else write_tar(path, files, "w:gz" if kind == "tar.gz" else "w")
    if kind == "zip" and name.endswith("/"):
        files.pop(name)
    refused(path, tmp_path, "no plain name inside its folder")


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE, tarfile.CHRTYPE])
def test_links_and_devices_of_a_tar_are_refused(tmp_path, kind):
    refused(write_tar(tmp_path / "a.tar", {"a": b""}, type=kind, linkname="/etc/passwd"), tmp_path, "link or a device")


def test_links_of_a_zip_are_refused(tmp_path):
    entry = zipfile.ZipInfo("a")
    entry.external_attr = 0o120777 << 16
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as target:
        target.writestr(entry, "/etc/passwd")
    refused(tmp_path / "a.zip", tmp_path, "link or a device")


@pytest.mark.parametrize("kind", ["zip", "tar", "tar.gz"])
def test_more_bytes_or_files_than_allowed_are_refused(tmp_path, kind):
    path = tmp_path / f"a.{kind}"
    write_zip(path, FILES) if kind == "zip" else write_tar(path, FILES, "w:gz" if kind == "tar.gz" else "w")
    refused(path, tmp_path, "unpacks to more than 0.0 MB", max_bytes=1000)
    refused(path, tmp_path, "files; at most 2", max_files=2)


@pytest.mark.parametrize("kind", ["zip", "tar.gz"])
def test_an_archive_made_to_fill_a_disk_is_refused(tmp_path, kind, monkeypatch):
    monkeypatch.setattr(archives, "FREE_RATIO_BYTES", 1 << 20)
    bomb = {"zeros": bytes(8 << 20)}
    path = tmp_path / f"a.{kind}"
    write_zip(path, bomb) if kind == "zip" else write_tar(path, bomb, "w:gz")
    refused(path, tmp_path, "over 250 times its size")


def test_a_zip_that_understates_its_size_is_refused(tmp_path):
    path = write_zip(tmp_path / "a.zip", {"a": bytes(100_000)})
    data = bytearray(path.read_bytes())
    for start, offset in ((b"PK\x01\x02", 24), (b"PK\x03\x04", 22)):
        at = data.index(start) + offset
        data[at : at + 4] = struct.pack("<I", 10)
    path.write_bytes(data)
    refused(path, tmp_path, "damaged or cut short")


def test_a_header_that_states_a_name_of_gigabytes_is_refused(tmp_path):
    entry = tarfile.TarInfo("x")
    entry.type, entry.size = tarfile.GNUTYPE_LONGNAME, 4 << 30
    (tmp_path / "a.tar").write_bytes(entry.tobuf(tarfile.GNU_FORMAT) + bytes(10240))
    refused(tmp_path / "a.tar", tmp_path, "which no sound archive has")


def test_two_entries_of_one_name_are_refused(tmp_path):
    with tarfile.open(tmp_path / "a.tar", "w") as target:
        for _ in range(2):
            target.addfile(tarfile.TarInfo("same"), io.BytesIO())
    refused(tmp_path / "a.tar", tmp_path, "two entries called 'same'")


def test_one_name_for_file_and_folder_is_refused(tmp_path):
    refused(write_tar(tmp_path / "a.tar", {"a": b"", "a/b": b""}), tmp_path, "a file and a folder")


@pytest.mark.parametrize("name", ["a.zip", "a.tar", "a.tar.gz", "a.tar.bz2", "a.tar.xz"])
def test_empty_damaged_and_short_files_are_refused(tmp_path, name):
    path = tmp_path / name
    for data in (b"", b"no archive at all" * 100):
        path.write_bytes(data)
        refused(path, tmp_path, "damaged or cut short|holds no file")
    mode = {"gz": "w:gz", "bz2": "w:bz2", "xz": "w:xz"}.get(name.split(".")[-1], "w")
    write_zip(path, FILES) if name == "a.zip" else write_tar(path, FILES, mode)
    path.write_bytes(path.read_bytes()[:-400] if name == "a.zip" else path.read_bytes()[: path.stat().st_size // 3])
    refused(path, tmp_path, "damaged or cut short")


def test_a_zip_with_changed_bytes_is_refused(tmp_path):
    path = write_zip(tmp_path / "a.zip", {"a": b"content" * 9}, zipfile.ZIP_STORED)
    path.write_bytes(path.read_bytes().replace(b"content", b"contend", 1))
    refused(path, tmp_path, "damaged or cut short")


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("a.tar.zst", "tar --zstd -xf"),
        ("a.rar", "unrar x"),
        ("a.7z", "7z x"),
        ("a.txt", "Give a zip or tar"),
        ("a.gz", "gunzip"),
    ],
)
def test_other_kinds_say_how_to_unpack_them(tmp_path, name, said):
    (tmp_path / name).write_bytes(b"x")
    refused(tmp_path / name, tmp_path, said)
    assert not is_archive(tmp_path / name)


def test_no_archive_and_a_folder_that_is_there_are_refused(tmp_path):
    with pytest.raises(ImportRefused, match="There is no archive"):
        unpack(tmp_path / "none.zip", tmp_path / "out")
    archive = write_zip(tmp_path / "a.zip", FILES)
    (tmp_path / "out").mkdir()
    with pytest.raises(ImportRefused, match="already a folder"):
        unpack(archive, tmp_path / "out")


def test_stopped_half_way_nothing_stays(tmp_path):
    def stop(share, text):
        raise KeyboardInterrupt

    archive = write_zip(tmp_path / "a.zip", FILES)
    with pytest.raises(KeyboardInterrupt):
        unpack(archive, tmp_path / "out", progress=stop)
    assert [p.name for p in tmp_path.iterdir()] == ["a.zip"]


def test_too_small_a_disk_is_said_before_the_work(tmp_path):
    with pytest.raises(NotEnoughDisk, match="needs"):
        need_disk(tmp_path, 1 << 60, "It")


def test_streams_that_end_early_are_no_traceback(tmp_path):
    for name, packer in (("a.tar.gz", gzip.compress), ("a.tar.bz2", bz2.compress), ("a.tar.xz", lzma.compress)):
        path = tmp_path / name
        path.write_bytes(packer(b"short"))
        refused(path, tmp_path, "damaged or cut short|holds no file")
        path.unlink()
