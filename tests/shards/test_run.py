import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pandas as pd
import pytest
import rasterio
from rasterio.enums import ColorInterp
from rasterio.warp import transform
from rasterio.windows import Window

from spatialnet.datasets.packed import PackedChips
from spatialnet.errors import PredictionRefused
from spatialnet.model import load_model
from spatialnet.palette import class_colours, rgb
from spatialnet.predict.chips import embed_chips
from spatialnet.predict.scene import predict_scene
from spatialnet.settings import REPOSITORY
from spatialnet.shards.manifest import read_manifest
from spatialnet.shards.processes import run_processes
from spatialnet.shards.request import chips_manifest, scenes_manifest
from spatialnet.shards.run import finish, run_shard


def bytes_of(files):
    return {role: path.read_bytes() for role, path in files.items()}


@pytest.fixture(scope="module")
def whole(tmp_path_factory, run, scene):
    """The scene's maps as one process writes them, in one go."""
    manifest = scenes_manifest(tmp_path_factory.mktemp("whole"), "predict", run, {"here": {"landsat7": scene}})
    manifest.publish()
    run_shard(manifest, 1, 1)
    return bytes_of(finish(manifest)["here"])


def pixels_of(files):
    found = {}
    for role, path in files.items():
        with rasterio.open(path) as source:
            found[role] = source.read()
    return found


def finished_maps(manifest):
    run_shard(manifest, 1, 1)
    return finish(manifest)["here"]


def test_the_maps_are_those_of_one_call_without_a_manifest(published, run, scene, tmp_path):
    model, _ = load_model(run.folder / "model.safetensors")
    once = pixels_of(predict_scene(model, {"landsat7": scene}, tmp_path, batch=32))
    found = pixels_of(finished_maps(published("out")))
    for task, pixels in once.items():
        np.testing.assert_array_equal(found[task], pixels)
    coloured = {task for task in once if model.tasks[task].kind != "count"}
    assert found.keys() == once.keys() | {f"{task}-classes" for task in coloured}


def test_the_classes_have_their_colours_and_every_file_says_where_it_comes_from(published, run):
    files = finished_maps(published("out"))
    model, _ = load_model(run.folder / "model.safetensors")
    for task in (task for task in model.tasks.values() if task.kind != "count"):
        with rasterio.open(files[f"{task.name}-classes"]) as shown, rasterio.open(files[task.name]) as full:
            np.testing.assert_array_equal(shown.read(1), full.read(1))
            assert shown.colorinterp == (ColorInterp.palette,)
            table = shown.colormap(1)
            for index, colour in enumerate(class_colours(task)):
                assert table[index] == (*rgb(colour), 255)
            assert table[shown.nodata][3] == 0
            assert shown.tags(ns="IMAGE_STRUCTURE")["LAYOUT"] == "COG"
            for source in (shown, full):
                tags = source.tags()
                assert tags["RUN"] == "run-done"
                assert tags["TASK"] == task.name
                assert json.loads(tags["CLASSES"]) == list(task.classes)
                assert json.loads(tags["SCENES"])["landsat7"].endswith(".tif")
                assert tags["SOFTWARE"].startswith("SpatialNet")


def test_without_scores_class_and_confidence_stay_the_same(published):
    full, lean = pixels_of(finished_maps(published("full"))), pixels_of(finished_maps(published("lean", scores=False)))
    np.testing.assert_array_equal(lean["land_use"], full["land_use"][:2])


def degrees(scene, rows, columns):
    """(west, south, east, north) around some pixels of a scene."""
    with rasterio.open(scene) as source:
        corners = [source.transform @ (column, row) for row in rows for column in columns]
        longitudes, latitudes = transform(source.crs, "EPSG:4326", *zip(*corners, strict=True))
    return min(longitudes), min(latitudes), max(longitudes), max(latitudes)


def test_an_area_is_predicted_as_in_the_whole_scene_and_lies_in_its_place(published, scene, whole, tmp_path):
    rows, columns = (60, 140), (50, 130)
    files = finished_maps(published("part", area=degrees(scene, rows, columns)))
    (tmp_path / "whole.tif").write_bytes(whole["land_use"])
    with rasterio.open(files["land_use"]) as part, rasterio.open(tmp_path / "whole.tif") as source:
        assert part.crs == source.crs
        left, top = (round(value) for value in ~source.transform @ (part.transform.c, part.transform.f))
        # Two degrees' parallels and meridians are not quite the scene's axes: the box reaches a few pixels further.
        assert 50 <= top <= 60
        assert 40 <= left <= 50
        assert part.height >= 80
        everything = source.read(window=Window(left, top, part.width, part.height))
        inside = part.read()
    # At its borders the area lacks the windows that reach into it from outside.
    size = 16
    np.testing.assert_array_equal(inside[:, size:-size, size:-size], everything[:, size:-size, size:-size])


def test_an_area_outside_the_scene_is_refused_before_anything_is_written(published, tmp_path):
    with pytest.raises(PredictionRefused, match="does not meet the scene"):
        published("out", area=(-170.0, -80.0, -169.0, -79.0))
    assert not (tmp_path / "out").exists()


def test_a_part_that_is_done_lies_in_its_place_before_the_rest_is_done(published, scene):
    manifest = published("out")
    run_shard(manifest, 3, len(manifest.units))
    unit = manifest.units[2]
    with rasterio.open(manifest.part(unit) / "land_use.tif") as part, rasterio.open(scene) as source:
        assert part.crs == source.crs
        assert part.width == source.width
        column, row = ~source.transform @ (part.transform.c, part.transform.f)
        assert (column, row) == pytest.approx((0, round(row)), abs=1e-6)
        assert row > 0


@pytest.mark.parametrize("shards", [1, 2, 5])
def test_maps_are_the_same_bytes_however_many_shards_made_them_in_whatever_order(published, whole, shards):
    manifest = published("out")
    for number in reversed(range(1, shards + 1)):
        assert run_shard(manifest, number, shards)
    assert bytes_of(finish(manifest)["here"]) == whole
    assert [entry.name for entry in manifest.state.iterdir() if entry.is_dir()] == []
    assert bytes_of(finish(manifest)["here"]) == whole  # again: nothing is done anew
    assert run_shard(manifest, 1, shards)


def test_bands_that_are_done_one_by_one_come_out_the_same(published, whole):
    """Every band starts anew, and so computes the rows of windows that reach into it again."""
    manifest = published("out")
    count = len(manifest.units)
    assert count > 10
    for number in reversed(range(1, count + 1)):
        run_shard(manifest, number, count)
    assert bytes_of(finish(manifest)["here"]) == whole


def test_many_scenes_have_a_folder_each(published, whole):
    manifest = published("out", scenes=("a", "b"))
    shares = []
    run_shard(manifest, 1, 1, progress=shares.append)
    found = finish(manifest)
    assert shares == sorted(shares)
    assert shares[-1] == 1
    assert {name: bytes_of(files) for name, files in found.items()} == {"a": whole, "b": whole}
    assert sorted(entry.name for entry in manifest.folder.iterdir()) == [".shards", "a", "b"]


def test_a_process_that_is_killed_is_gone_on_from(published, whole):
    manifest = published("out", stride=8)
    command = [sys.executable, "-m", "spatialnet.shards", str(manifest.folder)]
    process = subprocess.Popen(command, cwd=REPOSITORY)
    end = time.monotonic() + 60
    while not manifest.done():
        assert time.monotonic() < end
        time.sleep(0.002)
    process.send_signal(signal.SIGKILL)
    process.wait()
    before = manifest.done()
    assert before < len(manifest.units)
    with pytest.raises(PredictionRefused, match="are still to be done"):
        finish(manifest)
    assert subprocess.run(command, cwd=REPOSITORY).returncode == 0
    assert bytes_of(finish(manifest)["here"]) == whole


def test_two_processes_at_the_same_shard_do_no_harm(published, whole):
    manifest = published("out")
    command = [sys.executable, "-m", "spatialnet.shards", str(manifest.folder), "--shard", "1/1"]
    both = [subprocess.Popen(command, cwd=REPOSITORY, env={**os.environ, "OMP_NUM_THREADS": "1"}) for _ in range(2)]
    assert [process.wait() for process in both] == [0, 0]
    assert bytes_of(finish(manifest)["here"]) == whole


def test_local_processes_share_the_work_and_a_killed_one_is_started_again(published, whole, monkeypatch):
    manifest = published("out")
    killed = []
    original = subprocess.Popen

    def started(*arguments, **options):
        process = original(*arguments, **options)
        if not killed:
            killed.append(process.pid)
            process.send_signal(signal.SIGKILL)
        return process

    monkeypatch.setattr(subprocess, "Popen", started)
    assert run_processes(manifest, 2, threads=1)
    assert killed
    assert bytes_of(finish(manifest)["here"]) == whole


def test_what_a_process_says_when_it_gives_up_is_told(published, run):
    manifest = published("out")
    values = (manifest.state / "manifest.json").read_text()
    (manifest.state / "manifest.json").write_text(values.replace("landsat7.tif", "none.tif"))
    with pytest.raises(PredictionRefused, match=r"gave up: There is no file 'none\.tif'"):
        run_processes(read_manifest(manifest.folder), 2, threads=1)


def test_a_shard_that_is_asked_to_stop_keeps_what_is_done(published):
    manifest = published("out")
    assert not run_shard(manifest, 1, 1, should_stop=lambda: manifest.done() >= 3)
    assert manifest.done() == 3
    assert run_shard(manifest, 1, 1)


def test_a_run_that_was_trained_anew_is_refused(published, run, tmp_path):
    manifest = published("out")
    path = tmp_path / "run" / "model.safetensors"
    path.parent.mkdir()
    path.write_bytes((run.folder / "model.safetensors").read_bytes())
    values = (manifest.state / "manifest.json").read_text()
    (manifest.state / "manifest.json").write_text(values.replace(str(run.folder.resolve()), str(path.parent)))
    with pytest.raises(PredictionRefused, match="changed since the work began"):
        run_shard(read_manifest(manifest.folder), 1, 1)


# Embeddings


def test_embeddings_of_chips_are_those_of_the_model(tmp_path, run, landscape: PackedChips, monkeypatch):
    monkeypatch.setattr("spatialnet.shards.embeddings.CHIPS_PER_UNIT", 128)
    monkeypatch.setattr("spatialnet.shards.request.CHIPS_PER_UNIT", 128)
    manifest = chips_manifest(tmp_path / "out", run, landscape)
    manifest.publish()
    for number in (2, 1, 3):
        run_shard(manifest, number, 3)
    files = finish(manifest)["landscape"]
    features = np.load(files["features"])
    model, _ = load_model(run.folder / "model.safetensors")
    assert features.dtype == np.float16
    assert np.array_equal(features, embed_chips(model, landscape, batch=32))
    positions = pd.read_parquet(files["positions"])
    assert positions["chip"].tolist() == list(range(len(landscape)))


def test_embeddings_of_a_scene_have_their_place_on_the_ground(published):
    manifest = published("out", "embed")
    for number in (3, 1, 2):
        run_shard(manifest, number, 3)
    files = finish(manifest)["here"]
    features, positions = np.load(files["features"]), pd.read_parquet(files["positions"])
    assert len(features) == len(positions) == 12 * 12  # 192 px in windows of 16
    assert (positions["row"].iloc[:12] == 0).all()
    assert positions["column"].iloc[:3].tolist() == [0, 16, 32]
    assert positions["latitude"].iloc[0] > positions["latitude"].iloc[-1]
    assert np.isfinite(features).all()
    assert len(np.unique(features, axis=0)) > 100
