"""The commands that bring data in, in a real shell where that matters."""

import json
import os
import re
import subprocess
import sys
from dataclasses import replace

import pytest
from PIL import Image

from spatialnet.cli import main
from spatialnet.datasets.packed import PackedChips
from spatialnet.importing.formats import IMPORTERS
from spatialnet.jobs.services import services
from spatialnet.settings import REPOSITORY
from tests.cli.test_cli import refused, use
from tests.jobs.conftest import HereJobs
from tests.sources import write_images, write_stack

OPTIONS = (
    "scenes=sentinel2_10=sentinel2.tif, sentinel1=sentinel1.tif", "land_cover=land_cover.tif", "rules=worldcover", "size=32",
    "stride=16",
)  # fmt: skip


@pytest.fixture
def workspace(settings, monkeypatch):
    yield from use(settings, monkeypatch)


@pytest.fixture
def quick(workspace, monkeypatch):
    """The workspace, with jobs that are done in this process."""
    own = services()
    own = replace(own, jobs=HereJobs(own.settings, own.engine))
    monkeypatch.setattr("spatialnet.cli.importing.services", lambda: own)
    return workspace


def shell(settings, line: str, **more) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["bash", "-c", line.replace("spatialnet ", f"{sys.executable} -m spatialnet ")], cwd=REPOSITORY, capture_output=True,
        text=True, env={**os.environ, "SPATIALNET_DATA": str(settings.workspace)}, **more,
    )  # fmt: skip


def test_every_format_is_listed_and_shown(workspace, capsys):
    assert main(["importers"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split("\t")[0] for line in lines] == list(IMPORTERS)
    assert all(len(line.split("\t")) == 3 for line in lines)
    for name in IMPORTERS:
        assert main(["importers", name]) == 0
        text = capsys.readouterr().out
        assert all(option.name in text for option in IMPORTERS[name].options)
    assert main(["importers", "none"]) == 1
    refused(capsys, "There is no format 'none'")


def test_a_folder_is_looked_at_in_a_real_shell(workspace, tmp_path):
    source = write_images(tmp_path / "My pictures")
    looked = shell(workspace, f"spatialnet scan '{source}'")
    assert (looked.returncode, looked.stderr.splitlines()[0]) == (
        0, "Taken for Folders of images: folders of images, one per class.",
    )  # fmt: skip
    assert looked.stdout.splitlines()[0] == "My pictures (Folders of images: folders of images, one per class)"
    assert "chips: 36" in looked.stdout
    assert "sensor: RGB, 3 bands (red, green, blue), 32 px, uint8" in looked.stdout
    assert "    SeaLake  -> sea or lake  12\n    river    -> river        12\n" in looked.stdout
    assert list(workspace.datasets.iterdir()) == []


def test_nothing_is_imported_without_a_yes(quick, tmp_path, capsys):
    source = write_images(tmp_path / "My pictures")
    assert main(["import", str(source)]) == 1
    assert capsys.readouterr().err.splitlines()[-1] == "spatialnet: Nothing was imported. Add --yes to import this."
    assert list(quick.datasets.iterdir()) == []
    assert main(["import", str(source), "--yes", "--title", "A <b>title</b>", "--licence", "CC0"]) == 0
    assert capsys.readouterr().err.splitlines()[-1].startswith("done: A <b>title</b>: 36 chips (train ")
    data = PackedChips.open(quick.datasets / "my-pictures")
    assert (data.title, data.manifest["licence"]) == ("A <b>title</b>", "CC0")


def test_one_of_a_thing_is_said_as_one(quick, tmp_path, capsys):
    source = write_images(tmp_path / "pictures", each=1)
    for path in source.rglob("*.png"):
        Image.open(path).convert("L").save(path)
    (source / "notes.txt").write_text("x")
    assert main(["scan", str(source)]) == 0
    text = capsys.readouterr().out
    assert "1 band (" in text
    assert "1 file is no image." in text
    assert "s of disk" not in text
    assert not re.search(r"\b1 (files|chips|bands|pairs|classes|images)\b", text), text


def test_a_plan_can_be_edited_as_a_file(quick, tmp_path, capsys):
    source = write_images(tmp_path / "pictures")
    assert main(["scan", str(source), "--json"]) == 0
    values = json.loads(capsys.readouterr().out)
    assert (values["importer"], values["facts"]["chips"]) == ("image_folder", 36)
    (target,) = values["plan"]["targets"]
    target["mapping"] = {"Forest": "dry", "SeaLake": "wet", "river": "wet"}
    target |= {"classes": ["wet", "dry"], "colours": []}
    (tmp_path / "plan.json").write_text(json.dumps(values))
    assert main(["import", str(source), "--plan", f"{tmp_path}/plan.json", "--name", "wet-dry", "--yes"]) == 0
    data = PackedChips.open(quick.datasets / "wet-dry")
    assert data.task("land_use").classes == ("wet", "dry")
    assert (data.targets("land_use") == 0).sum() == 24


def test_what_is_not_recognised_is_not_guessed(workspace, tmp_path, capsys):
    (tmp_path / "empty").mkdir()
    assert main(["scan", str(tmp_path / "empty")]) == 2
    said = capsys.readouterr().err
    assert "looks like none of the known formats. Choose one with --as:" in said
    assert all(f"  {name}\t" in said for name in IMPORTERS)
    assert services().jobs.store.all() == []


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["scan", "/none/such"], "There is nothing at '/none/such'"),
        (["import", ".", "--as", "none"], "There is no format 'none'"),
        (["scan", ".", "--as", "image_folder", "--option", "sensor"], "holds no answer. Write NAME=VALUE"),
        (["download", "image_folder", "--to", "x"], "cannot be fetched from here"),
        (["split", "none"], "No data set called none"),
        (["export", "none", "--to", "x.zip"], "No data set called none"),
        (["targets", "../x"], "not a valid name"),
    ],
)
def test_mistakes_are_one_sentence(workspace, capsys, arguments, said):
    assert main(arguments) == 1
    refused(capsys, said)


def test_a_stack_is_imported_split_retargeted_exported_and_restored(quick, tmp_path, capsys):
    source = write_stack(tmp_path / "delta")
    options = [part for option in OPTIONS for part in ("--option", option)]
    assert main(["import", str(source), "--name", "delta", "--split", "random", "--yes", *options]) == 0
    capsys.readouterr()
    assert main(["split", "delta"]) == 0
    line = capsys.readouterr().out.rstrip("\n").split("\t")
    assert (line[0], line[1], line[4]) == ("main-1", "random", "in use")
    assert "pairs: shared ground" in line[3]
    assert main(["split", "delta", "--kind", "blocks", "--block-m", "400", "--name", "wide", "--use"]) == 0
    first, second = (text.split("\t") for text in capsys.readouterr().out.splitlines())
    assert (first[0], len(first), second[0], second[3], second[4]) == ("main-1", 4, "wide-1", "no leaks", "in use")
    assert main(["split", "delta", "--use", "none"]) == 1
    refused(capsys, "has no split 'none'; it has main-1, wide-1")

    assert main(["targets", "delta", "--json"]) == 0
    plans = json.loads(capsys.readouterr().out)
    (tmp_path / "fewer.json").write_text(json.dumps(plans[:1]))
    assert main(["targets", "delta", "--plan", str(tmp_path / "fewer.json")]) == 0
    assert capsys.readouterr().out.startswith("task: Land use (land_use, multiclass), derived by the importer: ")
    data = PackedChips.open(quick.datasets / "delta")
    assert ([task.name for task in data.tasks], data.manifest["version"], data.split_id) == (["land_use"], 2, "wide-1")

    assert main(["export", "delta", "--to", str(tmp_path / "delta.zip")]) == 0
    capsys.readouterr()
    assert main(["import", str(tmp_path / "delta.zip"), "--name", "again"]) == 0
    again = PackedChips.open(quick.datasets / "again")
    assert (again.fingerprint, again.split_id) == (data.fingerprint, "wide-1")
    capsys.readouterr()
    assert main(["import", str(tmp_path / "delta.zip")]) == 1
    refused(capsys, "There is a data set delta already")
