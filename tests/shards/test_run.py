import os
import signal
import subprocess
import sys
import time

import numpy as np
import pandas as pd
import pytest

from spatialnet.datasets.packed import PackedChips
from spatialnet.errors import PredictionRefused
from spatialnet.model import load_model
from spatialnet.predict.chips import embed_chips
from spatialnet.predict.scene import predict_scene
from spatialnet.settings import REPOSITORY
from spatialnet.shards.manifest import read_manifest
from spatialnet.shards.processes import run_processes
from spatialnet.shards.request import chips_manifest
from spatialnet.shards.run import finish, run_shard


def bytes_of(files):
    return {role: path.read_bytes() for role, path in files.items()}


@pytest.fixture(scope="module")
def whole(tmp_path_factory, run, scene):
    """The scene's maps as one call writes them, without a manifest."""
    model, _ = load_model(run.folder / "model.safetensors")
    return bytes_of(predict_scene(model, {"landsat7": scene}, tmp_path_factory.mktemp("whole"), batch=32))


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
