"""A data set that was exported comes back byte for byte, or not at all."""

import hashlib
import json
import zipfile

import numpy as np
import pytest

from spatialnet.errors import ImportRefused
from spatialnet.importing.transfer.archives import unpack
from spatialnet.importing.transfer.export import NOTE, export_dataset, read_note, restore_dataset
from tests.importing.packed_folder import write_data_set


@pytest.fixture
def data(tmp_path):
    return write_data_set(tmp_path / "town")


@pytest.fixture
def unpacked(data, tmp_path):
    unpack(export_dataset(data, tmp_path / "t.zip"), tmp_path / "unpacked")
    return tmp_path / "unpacked"


def content(folder):
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def change(folder, name, data):
    """Replace a file and state it rightly in the note."""
    (folder / name).write_bytes(data)
    note = json.loads((folder / NOTE).read_text())
    note["files"][name] = {"sha256": hashlib.sha256(data).hexdigest(), "bytes": len(data)}
    (folder / NOTE).write_text(json.dumps(note))


def edit(folder, **changes):
    manifest = json.loads((folder / "dataset.json").read_text())
    change(folder, "dataset.json", json.dumps(manifest | changes).encode())


def refused(source, tmp_path, said):
    before = sorted(p.name for p in tmp_path.iterdir())
    with pytest.raises(ImportRefused, match=said):
        restore_dataset(source, tmp_path / "new")
    assert sorted(p.name for p in tmp_path.iterdir()) == before


@pytest.mark.parametrize("way", ["zip", "folder", "nested zip"])
def test_everything_comes_back_byte_for_byte(data, tmp_path, way):
    source = export_dataset(data, tmp_path)
    assert source.name == "town-3.zip"
    if way != "zip":
        unpack(source, tmp_path / "unpacked")
        source = tmp_path / "unpacked"
    if way == "nested zip":
        with zipfile.ZipFile(tmp_path / "again.zip", "w", zipfile.ZIP_DEFLATED) as archive:
            for name, values in content(source).items():
                archive.writestr(f"unpacked/{name}", values)
        source = tmp_path / "again.zip"
    (tmp_path / "other").mkdir()
    shares = []
    back = restore_dataset(source, tmp_path / "other/town", lambda share, _text: shares.append(share))
    assert content(back.folder) == content(data.folder)
    assert [p.name for p in (tmp_path / "other").iterdir()] == ["town"]
    assert shares == sorted(shares)


def test_under_another_name_only_the_name_differs(data, tmp_path):
    back = restore_dataset(export_dataset(data, tmp_path / "t.zip"), tmp_path / "village")
    assert back.manifest == data.manifest | {"name": "village"}
    old, new = content(data.folder), content(back.folder)
    assert {name for name in old if old[name] != new[name]} == {"dataset.json"}


def test_the_same_data_set_gives_the_same_bytes_and_only_its_own_files(data, tmp_path):
    first = export_dataset(data, tmp_path / "a.zip").read_bytes()
    (data.folder / ".lock").write_text("x")
    (data.folder / "note.txt").write_text("mine")
    (data.folder / "link.npy").symlink_to("/etc/hostname")
    assert export_dataset(data, tmp_path / "b.zip").read_bytes() == first


def test_a_place_that_cannot_be_written_is_said(data, tmp_path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(ImportRefused, match="Choose another place"):
        export_dataset(data, tmp_path / "file/a.zip")


def test_missing_changed_and_added_files_are_refused(unpacked, tmp_path):
    target = unpacked / "targets/kind.npy"
    whole = target.read_bytes()
    target.write_bytes(whole[:-1] + b"\x05")
    refused(unpacked, tmp_path, "changed or damaged")
    target.write_bytes(whole + b"more")
    refused(unpacked, tmp_path, "missing or was changed")
    target.unlink()
    refused(unpacked, tmp_path, "missing or was changed")
    target.symlink_to("/etc/hostname")
    refused(unpacked, tmp_path, "missing or was changed")


def test_a_zip_with_a_changed_or_added_file_is_refused(data, tmp_path):
    source = export_dataset(data, tmp_path / "a.zip")
    with zipfile.ZipFile(source) as archive:
        files = {name: archive.read(name) for name in archive.namelist()}

    def rewritten(changes):
        with zipfile.ZipFile(tmp_path / "b.zip", "w") as archive:
            for name, values in (files | changes).items():
                if values is not None:
                    archive.writestr(name, values)
        return tmp_path / "b.zip"

    changed = files["targets/kind.npy"][:-1] + b"\x07"
    rewritten({})
    refused(rewritten({"targets/kind.npy": changed}), tmp_path, "changed or damaged")
    refused(rewritten({"targets/kind.npy": None}), tmp_path, "lacks 'targets/kind.npy'")
    refused(rewritten({"chips/more.npy": b"x"}), tmp_path, "at most")
    refused(rewritten({"chips/more.npy": b"x", "targets/kind.npy": None}), tmp_path, "lacks|does not name")
    refused(rewritten({"../evil.npy": b"x", "targets/kind.npy": None}), tmp_path, "no plain name")


@pytest.mark.parametrize("name", ["../evil.npy", "/evil.npy", "a/../../evil.npy"])
def test_names_that_leave_the_folder_are_refused(unpacked, tmp_path, name):
    note = json.loads((unpacked / NOTE).read_text())
    note["files"][name] = {"sha256": "", "bytes": 1}
    (unpacked / NOTE).write_text(json.dumps(note))
    refused(unpacked, tmp_path, "no plain name")


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"format": "other"}, "an export of 'other'"),
        ({"version": 9}, "export version 9"),
        ({"files": {}}, r"names no dataset\.json"),
        ({"files": {"run.py": {"sha256": "", "bytes": 1}}}, "no data set holds"),
        ({"files": {"dataset.json": {"sha256": "", "bytes": "many"}}}, "is no export"),
        ({"files": [1]}, "is no export"),
    ],
)
def test_notes_of_another_form_are_refused(unpacked, tmp_path, changes, said):
    note = json.loads((unpacked / NOTE).read_text())
    (unpacked / NOTE).write_text(json.dumps(note | changes))
    refused(unpacked, tmp_path, said)


def test_files_that_are_no_export_are_refused(tmp_path):
    for name, values in {"a.zip": b"", "b.zip": b"PK no zip", "c.txt": b"text"}.items():
        (tmp_path / name).write_bytes(values)
        refused(tmp_path / name, tmp_path, "is no export")
    with zipfile.ZipFile(tmp_path / "d.zip", "w") as archive:
        archive.writestr("a.txt", "x")
    refused(tmp_path / "d.zip", tmp_path, "is no export")
    (tmp_path / "empty").mkdir()
    refused(tmp_path / "empty", tmp_path, "is no export")
    with pytest.raises(ImportRefused, match="nothing at"):
        restore_dataset(tmp_path / "none", tmp_path / "new")


def test_a_data_set_that_is_there_is_not_replaced(data, tmp_path):
    source = export_dataset(data, tmp_path / "a.zip")
    with pytest.raises(ImportRefused, match="already a data set 'town'"):
        restore_dataset(source, data.folder)


@pytest.mark.parametrize(
    "changes",
    [
        {"chips": 6}, {"format": 1}, {"sizes": {"rgb": 4}}, {"split": {"id": "../a"}}, {"split": {"id": "c-1"}}, {"splits": 5},
        {"sensors": []}, {"sensors": [{"name": "rgb"}]}, {"tasks": [{"name": "kind", "kind": "multiclass", "classes": ["a"]}]},
        {"places": [{"name": "../..", "sensors": []}]}, {"places": [{"name": "town", "sensors": ["naip"]}]},
        {"storage": {}}, {"statistics": {}},
    ],
)  # fmt: skip
def test_a_manifest_that_contradicts_its_arrays_is_refused(unpacked, tmp_path, changes):
    if changes == {"sensors": []}:
        changes = {
            "sensors": [{"name": "../rgb", "kind": "optical", "bands": ["a"], "wavelengths_nm": [1], "gsd_m": 1}]
        }
    edit(unpacked, **changes)
    refused(unpacked, tmp_path, "contradicts itself")


def test_arrays_of_other_shape_are_refused(unpacked, tmp_path):
    np.save(tmp_path / "x.npy", np.zeros((7, 2), np.float32))
    change(unpacked, "targets/presence.npy", (tmp_path / "x.npy").read_bytes())
    refused(unpacked, tmp_path, r"contradicts itself at targets/presence\.npy")
    change(unpacked, "targets/presence.npy", b"")
    refused(unpacked, tmp_path, "contradicts itself")


def test_the_note_names_every_file(data, tmp_path):
    note = read_note(export_dataset(data, tmp_path / "a.zip"))
    assert set(note.files) == set(content(data.folder))
    assert note.bytes == sum(map(len, content(data.folder).values()))
