"""A run leaves one workspace and arrives in another; what is damaged or made up stays out."""

import json
import zipfile

import pytest

from spatialnet.errors import RunRefused
from spatialnet.runs import list_runs, open_run
from spatialnet.runs.notes import add_note, notes
from spatialnet.runs.transfer import export_run, import_run, is_export
from spatialnet.runs.trash import delete_run


@pytest.fixture
def zipped(finished, tmp_path):
    return export_run(open_run(finished, "run-done"), tmp_path / "run.zip")


def rewritten(zipped, target, change):
    """The same zip file with other entries: `change(entries)` gets and gives them by name."""
    with zipfile.ZipFile(zipped) as source:
        entries = {name: source.read(name) for name in source.namelist()}
    with zipfile.ZipFile(target, "w") as archive:
        for name, content in change(entries).items():
            archive.writestr(name, content)
    return target


def noted(entries, change):
    note = json.loads(entries["export.json"])
    change(note)
    return entries | {"export.json": json.dumps(note).encode()}


def test_a_run_arrives_byte_by_byte_and_says_where_it_came_from(finished, settings, zipped):
    run, given = import_run(settings, zipped), open_run(finished, "run-done")
    assert (run.name, run.title, run.done) == ("run-done", given.title, True)
    assert run.info["imported"]["from"] == "run.zip"
    there = {p.relative_to(run.folder): p.read_bytes() for p in run.folder.rglob("*") if p.is_file()}
    here = {p.relative_to(given.folder): p.read_bytes() for p in given.folder.rglob("*") if p.is_file()}
    assert there.keys() == here.keys()
    assert [str(p) for p in here if there[p] != here[p]] == ["run.json"]
    assert is_export(zipped)
    assert [path.name for path in settings.runs.iterdir() if path.name.startswith(".imported")] == []


def test_a_name_that_is_taken_or_in_the_trash_becomes_a_fresh_one(settings, zipped):
    first, second = import_run(settings, zipped), import_run(settings, zipped)
    assert (first.name, second.name) == ("run-done", "run-done-2")
    assert second.info["imported"]["name"] == "run-done"
    delete_run(settings, first)
    assert import_run(settings, zipped).name not in ("run-done", "run-done-2")


def test_the_same_run_gives_the_same_bytes_and_notes_travel(settings, zipped, tmp_path):
    run = import_run(settings, zipped)
    add_note(run, "mind the north", "Ann")
    files = [export_run(run, tmp_path / name) for name in ("a.zip", "b.zip")]
    assert files[0].read_bytes() == files[1].read_bytes()
    with files[0].open("rb") as stream:
        assert [note.text for note in notes(import_run(settings, stream))] == ["mind the north"]


def test_an_unpacked_export_is_imported_and_links_in_it_are_not_followed(settings, zipped, tmp_path):
    with zipfile.ZipFile(zipped) as archive:
        archive.extractall(tmp_path / "folder")
    assert import_run(settings, tmp_path / "folder").title.startswith("done")
    path = tmp_path / "folder" / "recipe.toml"
    path.rename(tmp_path / "recipe.toml")
    path.symlink_to(tmp_path / "recipe.toml")
    with pytest.raises(RunRefused, match="a link"):
        import_run(settings, tmp_path / "folder")


def changed(name, content):
    return lambda entries: entries | {name: content}


def forged(name, content):
    """A file with another content and a checksum that fits it."""
    import hashlib

    def change(entries):
        facts = {"sha256": hashlib.sha256(content).hexdigest(), "bytes": len(content)}
        return noted(entries | {name: content}, lambda note: note["files"].update({name: facts}))

    return change


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda _: {"a.txt": b"x"}, "no exported run"),
        (changed("export.json", b"{"), "no exported run"),
        (changed("export.json", b'{"format": "spatialnet data set"}'), "not of a run"),
        (changed("recipe.toml", b"x"), "changed since the export"),
        (changed("extra.json", b"{}"), "does not name"),
        (lambda e: {n: c for n, c in e.items() if n != "report.json"}, "lacks 'report.json'"),
        (lambda e: noted(e, lambda n: n["files"]["run.json"].update(sha256="0" * 64)), "changed or damaged"),
        (lambda e: noted(e, lambda n: n.update(version=2)), "export version 2"),
        (lambda e: noted(e, lambda n: n.update(name="../../x")), "which no run is called"),
        (lambda e: noted(e, lambda n: n["files"].update({"run.json": {"sha256": "", "bytes": 1 << 50}})), "at most"),
        (forged("../evil.json", b"{}"), "which no run holds"),
        (forged("/etc/evil.json", b"{}"), "which no run holds"),
        (forged("maps/../../evil.tif", b"{}"), "which no run holds"),
        (forged(".hidden.json", b"{}"), "which no run holds"),
        (forged("code.py", b"{}"), "which no run holds"),
        (forged("run.json", b"[1]"), "no run that is whole"),
        (forged("run.json", b'{"dataset": "../x", "created_at": 1, "tasks": []}'), "no run that is whole"),
        (forged("report.json", b'{"tasks": {"land_use": {}}}'), "no run that is whole"),
        (forged("report.json", b"[" * 100_000), "no run that is whole"),
        (forged("recipe.toml", b"epochs = -1"), "no run that is whole"),
        (forged("history.jsonl", b'{"loss": "high"}\n'), "history.jsonl"),
    ],
)  # fmt: skip
def test_what_is_damaged_or_made_up_is_refused_and_leaves_nothing(settings, zipped, tmp_path, change, said):
    source = rewritten(zipped, tmp_path / "bad.zip", change)
    with pytest.raises(RunRefused, match=said):
        import_run(settings, source)
    assert list_runs(settings) == []
    assert [path.name for path in settings.runs.iterdir() if path.name != ".trash"] == []
    assert not list(tmp_path.rglob("evil*"))


def test_a_file_that_is_cut_short_or_no_zip_is_refused(settings, zipped, tmp_path):
    for length in (0, 100, len(zipped.read_bytes()) // 2):
        (tmp_path / "cut.zip").write_bytes(zipped.read_bytes()[:length])
        with pytest.raises(RunRefused, match="damaged or cut short"):
            import_run(settings, tmp_path / "cut.zip")
        assert not is_export(tmp_path / "cut.zip")
    with pytest.raises(RunRefused, match="There is no file"):
        import_run(settings, tmp_path / "none.zip")


def test_a_run_that_is_not_done_is_not_exported(settings, zipped, tmp_path):
    run = import_run(settings, zipped)
    (run.folder / "report.json").unlink()
    with pytest.raises(RunRefused, match="is not done"):
        export_run(run, tmp_path / "x.zip")
    assert not (tmp_path / "x.zip").exists()
