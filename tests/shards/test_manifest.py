import json
import os

import pytest

from spatialnet.errors import PathRefused, PredictionRefused
from spatialnet.shards.__main__ import main, parse_shard
from spatialnet.shards.manifest import read_manifest
from spatialnet.shards.request import scenes_manifest


def test_shards_hold_every_unit_once_and_neighbours_together(published):
    manifest = published("out", scenes=("a", "b", "c"))
    for shards in (1, 2, 5, 7, 1000):
        units = [unit for number in range(1, shards + 1) for unit in manifest.shard(number, shards)]
        assert units == list(manifest.units)
    sizes = [len(manifest.shard(number, 5)) for number in range(1, 6)]
    assert max(sizes) - min(sizes) <= 1


def test_a_manifest_reads_back_and_may_be_published_again(published):
    manifest = published("out")
    assert read_manifest(manifest.folder).to_dict() == manifest.to_dict()
    manifest.publish()


@pytest.mark.parametrize("text", ["3/2", "0/2", "1/0", "2", "a/b", "-1/2", "1/2/3", "", "1.0/2", "²/3"])
def test_a_shard_that_cannot_be_is_refused(text):
    with pytest.raises(PredictionRefused, match=r"no shard|is no shard"):
        parse_shard(text)


@pytest.mark.parametrize(
    ("options", "said"), [({"stride": 4}, "other options"), ({"scenes": ("b",)}, "1 items"), ({"kind": "embed"}, "another kind")]
)  # fmt: skip
def test_a_folder_with_other_work_is_refused(published, options, said):
    published("out")
    with pytest.raises(PredictionRefused, match=f"'out' holds other work: .*{said}.*Choose another folder"):
        published("out", **options)


def test_a_scene_that_changed_is_other_work(tmp_path, run, scene):
    copy = tmp_path / "copy.tif"
    copy.write_bytes(scene.read_bytes())
    scenes_manifest(tmp_path / "out", "predict", run, {"a": {"landsat7": copy}}).publish()
    os.utime(copy, (1, 1))
    with pytest.raises(PredictionRefused, match="because a file changed since"):
        scenes_manifest(tmp_path / "out", "predict", run, {"a": {"landsat7": copy}}).publish()


def test_what_cannot_be_predicted_is_refused_before_anything_is_written(tmp_path, run, scene):
    out = tmp_path / "out"
    for scenes, options, said in (
        ({}, {}, "No scene"),
        ({"a": {"naip": scene}}, {}, "knows no sensor 'naip'"),
        ({"a": {"landsat7": scene}}, {"stride": 17}, "Choose 1 to 16"),
        ({"a": {"landsat7": scene}}, {"batch": 0}, "batch of 0"),
        ({"a/b": {"landsat7": scene}, "a b": {"landsat7": scene}}, {}, "Two scenes are called 'a-b'"),
    ):
        with pytest.raises(PredictionRefused, match=said):
            scenes_manifest(out, "predict", run, scenes, **options)
    assert not out.exists()


def test_a_folder_that_cannot_be_written_to_is_refused(tmp_path, run, scene):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(PathRefused, match="'out' cannot be written to"):
        scenes_manifest(tmp_path / "file" / "out", "predict", run, {"a": {"landsat7": scene}}).publish()


OUTSIDE = {"name": "../x", "units": 1, "files": {}, "stamps": {}}
EMPTY = {"format": 1, "kind": "predict", "model": "", "model_stamp": "", "options": {}}


@pytest.mark.parametrize(
    "text",
    ["", "{", "[]", '{"format": 9}', json.dumps(EMPTY | {"kind": "dig"}), json.dumps(EMPTY | {"items": [OUTSIDE]})],
)
def test_a_manifest_of_anything_is_one_sentence(tmp_path, text, capsys):
    (tmp_path / ".shards").mkdir()
    (tmp_path / ".shards" / "manifest.json").write_text(text)
    assert main([str(tmp_path)]) == 1
    said = capsys.readouterr().err
    assert "cannot be read" in said
    assert said.count("\n") == 1


def test_a_folder_without_work_is_one_sentence(tmp_path, capsys):
    assert main([str(tmp_path), "--shard", "1/2"]) == 1
    assert "holds no work to share" in capsys.readouterr().err
