"""A training as a real job: it waits for the device, is killed, resumed and ends with everything that a run has."""

import fcntl
import json
import os
import re
import subprocess
import sys
import time
import uuid
from types import SimpleNamespace

import numpy as np
import pytest
import rasterio

from spatialnet.datasets.catalogue import chip_table
from spatialnet.datasets.class_raster import NO_CLASS
from spatialnet.datasets.packed import PackedChips
from spatialnet.errors import DataSetInvalid, JobRefused
from spatialnet.jobs import training
from spatialnet.jobs.explaining import explain
from spatialnet.jobs.explanations import ExplanationRequest
from spatialnet.jobs.launch import Jobs
from spatialnet.jobs.requests import request_training
from spatialnet.jobs.training import train_run
from spatialnet.joint import JointTasks, model_of, part_of
from spatialnet.label import LabelEvent, LabelStore
from spatialnet.model import load_model
from spatialnet.predict.table import read_predictions
from spatialnet.recipe import Recipe
from spatialnet.runs import create_run, open_run
from spatialnet.settings import REPOSITORY
from tests.data_sets import pictures_only, two_places
from tests.jobs.conftest import kill

LIMIT = 260 * 2**20
"""Memory that a training may take beyond what its process takes anyway, where it is to run out."""

RECIPE = Recipe(name="first", preset="nano", patch=8, epochs=6, batch_size=64, correction_weight=3.0)


def say(engine, **fields) -> None:
    event = {"uuid": str(uuid.uuid4()), "person": "Ann", "kind": "label", "dataset": "landscape"} | fields
    LabelStore(engine).append([LabelEvent(**event)])


def test_a_training_survives_kill_9_and_learns_from_corrections(jobs, until, engine, in_workspace):
    data = in_workspace
    train = data.in_split("train")
    wrong = int((data.targets("land_use")[train[0]] + 1) % 6)
    say(engine, chip=int(train[0]), task="land_use", value=wrong)
    say(engine, chip=int(train[1]), task="presence", value=[1, None, 0, None, None, None])
    version = LabelStore(engine).version()
    say(engine, chip=int(train[2]), task="land_use", value=0)  # after the version that the run is asked to use

    with (jobs.settings.locks / "cpu.lock").open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        job = request_training(jobs, data, RECIPE, label_version=version, corrections=2)
        assert until(job, lambda j: "Waiting for another job" in j.text).state == "queued"
    run = open_run(jobs.settings, job.spec["run"])
    until(job, lambda _: (run.folder / "checkpoint.safetensors").exists())
    kill(jobs.store.get(job.id))
    assert until(job, lambda j: not j.live).state == "lost"
    before = run.history()[-1]["step"]
    assert not run.done

    jobs.resume(job.id)
    done = until(job, lambda j: not j.live)
    assert (done.state, done.attempt) == ("done", 2)
    assert "Land use: macro f1 0." in done.text
    assert "(baseline 0." in done.text

    log = (run.folder / "log.txt").read_text()
    assert "going on at step" in log  # it did not begin anew
    ends = [line["epoch"] for line in run.history() if "validation" in line]
    assert ends == list(range(1, 7))
    steps = [line["step"] for line in run.history()]
    assert steps == sorted(set(steps))
    assert steps[-1] > before

    corrected, weights = (np.load(run.folder / part / "land_use.npy") for part in ("targets", "weights"))
    derived = data.targets("land_use")
    assert corrected[train[0]] == wrong
    assert np.flatnonzero(corrected != derived).tolist() == [train[0]]
    assert np.flatnonzero(weights == 3).tolist() == [train[0]]
    assert (np.delete(weights, train[0]) == 1).all()
    presence, known = np.load(run.folder / "targets" / "presence.npy")[train[1]], data.targets("presence")[train[1]]
    assert presence.tolist() == [1, known[1], 0, *known[3:].tolist()]  # what the person left open stays as derived

    assert_it_has_everything(open_run(jobs.settings, run.name), data)


def assert_it_has_everything(run, data) -> None:
    assert run.done
    scores = read_predictions(run.folder / "predictions.parquet", data.tasks)
    assert {name: len(values) for name, values in scores.items()} == {task.name: len(data) for task in data.tasks}
    table = chip_table(data)
    assert set(run.report["tasks"]) == {task.name for task in data.tasks}
    for task in data.tasks:
        values = run.report["tasks"][task.name]
        assert {"run", "majority", "band_statistics", "margin"} <= values.keys()
        with (
            rasterio.open(run.folder / "maps" / "landscape" / f"{task.name}.tif") as source,
            rasterio.open(data.scene_path("landscape", "landsat7")) as scene,
        ):
            assert (source.shape, source.crs, source.transform) == (scene.shape, scene.crs, scene.transform)
            if task.kind in ("multiclass", "binary"):
                band = source.read(1)
                assert (band != NO_CLASS).all()
                middle = band[table["row"] + 8, table["column"] + 8]
                assert (middle == scores[task.name].argmax(axis=1)).mean() > 0.5  # blended, but of the same chips
    assert not [entry for entry in run.folder.rglob("*") if "partial" in entry.name or "checkpoint" in entry.name]


def test_a_cancelled_training_keeps_its_state(jobs, until, in_workspace):
    job = request_training(jobs, in_workspace, Recipe(preset="nano", patch=8, epochs=5000), label_version=0)
    folder = jobs.settings.runs / job.spec["run"]
    until(job, lambda j: j.state == "running" and j.share > 0 and (folder / "checkpoint.safetensors").exists())
    running = jobs.store.get(job.id)
    assert running.text.startswith("Epoch ")
    assert running.progress["seconds_left"] > 0
    asked = time.monotonic()
    jobs.cancel(job.id)
    ended = until(job, lambda j: not j.live)
    assert ended.state == "cancelled"
    assert "go on from its last checkpoint" in ended.text
    assert time.monotonic() - asked < 15
    assert (folder / "checkpoint.safetensors").exists()
    assert not (folder / "report.json").exists()
    last = json.loads((folder / "history.jsonl").read_text().splitlines()[-1])
    stopped = int((folder / "log.txt").read_text().rsplit("stopped at step ", 1)[1])
    assert stopped >= last["step"]


def test_a_paused_training_goes_on_to_the_same_model(jobs, until, in_workspace):
    recipe = Recipe(name="whole", preset="nano", patch=8, epochs=15, batch_size=64)
    job = request_training(jobs, in_workspace, recipe, label_version=0)
    run = open_run(jobs.settings, job.spec["run"])
    until(job, lambda j: j.state == "running" and (run.folder / "checkpoint.safetensors").exists())
    jobs.pause(job.id)
    paused = until(job, lambda j: not j.live)
    assert (paused.state, paused.text) == ("paused", "Paused. Resume it to go on from its last checkpoint.")
    stopped = int((run.folder / "log.txt").read_text().rsplit("stopped at step ", 1)[1])
    assert not (run.folder / "model.safetensors").exists()
    with pytest.raises(JobRefused, match="same job is paused"):
        request_training(jobs, in_workspace, recipe, label_version=0)

    jobs.resume(job.id)
    done = until(job, lambda j: not j.live)
    assert (done.state, done.attempt) == ("done", 2), jobs.log(job.id)
    log = (run.folder / "log.txt").read_text()
    assert f"going on at step {stopped} of" in log
    ends = [line["epoch"] for line in run.history() if "validation" in line]
    assert ends == list(range(1, 16))
    assert_it_has_everything(open_run(jobs.settings, run.name), in_workspace)


SHORT_OF_MEMORY = """
import resource, sys
from pathlib import Path
import psutil
import torch._dynamo  # what is imported later must not be what memory runs out for
from spatialnet.jobs import training
from spatialnet.jobs.worker import work
from spatialnet.settings import load_settings

whole, free = training.train, psutil.Process().memory_info().vms + int(sys.argv[3])

def train(*arguments, **options):
    resource.setrlimit(resource.RLIMIT_AS, (free, resource.RLIM_INFINITY))
    try:
        return whole(*arguments, **options)
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))

training.train = train
sys.exit(work(load_settings(Path(sys.argv[1])), sys.argv[2]))
"""


def test_a_training_whose_memory_runs_out_goes_on_in_smaller_parts_and_says_so(jobs, in_workspace, monkeypatch):
    monkeypatch.setattr(jobs, "_start", lambda job: job)
    recipe = Recipe(name="large", preset="nano", patch=2, epochs=1, batch_size=128, precision="float32")
    job = request_training(jobs, in_workspace, recipe, label_version=0)
    command = [sys.executable, "-c", SHORT_OF_MEMORY, str(jobs.settings.workspace), job.id, str(LIMIT)]
    # What is let go of is given back at once, and no thread sets address space aside.
    malloc = {"MALLOC_ARENA_MAX": "1", "MALLOC_MMAP_THRESHOLD_": "65536"}
    environment = {**os.environ, "OMP_NUM_THREADS": "1", **malloc}
    log = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, timeout=120, env=environment)
    done = jobs.store.get(job.id)
    assert done.state == "done", (done, log.stdout, log.stderr)
    assert done.parts > 1
    assert re.search(
        rf"Memory ran out (once|twice|3 times); each step was done in {done.parts} parts of \d+ chips", done.text
    )
    assert "Memory ran out; going on with each step in 2 times as many parts" in log.stdout
    assert "Traceback" not in log.stderr
    run = open_run(jobs.settings, job.spec["run"])
    assert_it_has_everything(run, in_workspace)
    assert [line["epoch"] for line in run.history() if "validation" in line] == [1]


def test_a_joint_run_gives_each_data_set_everything_in_its_own_classes(jobs, until, in_workspace):
    first, second = in_workspace, two_places(jobs.settings.datasets / "two")
    recipe = Recipe(name="both", preset="nano", patch=4, epochs=2, batch_size=32, accumulate=2, head_epochs=1)
    job = request_training(jobs, first, recipe, label_version=0, others=[second])
    done = until(job, lambda j: not j.live)
    assert done.state == "done", jobs.log(job.id)
    assert done.text.startswith(f"{first.title}: ")
    assert f". {second.title}: " in done.text
    run = open_run(jobs.settings, job.spec["run"])
    joint = JointTasks.load(run.folder)
    land = next(task for task in joint.tasks if task.name == "land_use")
    assert set(land.classes) > set(second.task("land_use").classes)
    presence = next(task for task in joint.tasks if task.name == "presence")
    assert len(presence.classes) > max(len(data.task("presence").classes) for data in (first, second))
    for data in (first, second):
        part = part_of(run.folder, data.name)
        report = json.loads((part / "report.json").read_text())
        assert set(report["tasks"]) == {task.name for task in data.tasks}
        for values in report["tasks"].values():
            assert {"run", "majority", "band_statistics", "margin"} <= values.keys()
            assert values["controls"]["frozen_features"]["value"] >= 0
        scores = read_predictions(part / "predictions.parquet", data.tasks)
        features = np.load(part / "features.npy")
        assert (features.dtype, len(features)) == (np.float16, len(data))
        model, extra = load_model(model_of(run.folder, data.name))
        assert extra["dataset"] == data.name
        assert set(model.sensors) >= {sensor.name for sensor in data.sensors}
        assert {name: task.classes for name, task in model.tasks.items()} == {t.name: t.classes for t in data.tasks}
        for task in data.tasks:
            assert scores[task.name].shape == (len(data), max(2 if task.kind == "binary" else 1, len(task.classes)))
        places = {f"{place['name']}/{task.name}.tif" for place in data.places for task in data.tasks}
        assert {path.relative_to(part / "maps").as_posix() for path in (part / "maps").rglob("*.*")} == places
        sensors = [sensor.name for sensor in data.sensors]
        assert set(report["without"]) == set(report["alone"]) == set(sensors if len(sensors) > 1 else [])
        facts = explain(
            jobs.settings, ExplanationRequest(run.name, 3, "land_use", 1, "integrated_gradients", dataset=data.name)
        )
        assert facts["info"]["probability"][0] == pytest.approx(scores["land_use"][3, 1], abs=1e-3)
        assert set(facts["bands"]) == {s.name for s in data.sensors if data.present(s.name)[3]}
    assert not (run.folder / "checkpoint.safetensors").exists()


def test_a_data_set_that_was_built_anew_is_not_trained_on(settings, engine, in_workspace):
    info = {"dataset": "landscape", "title": "old", "tasks": [], "label_version": 0, "fingerprint": "0123456789abcdef"}
    run = create_run(settings, info, RECIPE.to_toml())
    job = SimpleNamespace(spec={"run": run.name})
    with pytest.raises(DataSetInvalid, match=r"was built anew since this run was asked for\. Start a new run"):
        train_run(Jobs(settings, engine), job, None)
    assert sorted(path.name for path in run.folder.iterdir()) == ["recipe.toml", "run.json"]


def trained(here, data):
    """A run of one epoch on a data set of the workspace, in this process."""
    recipe = Recipe(name="short", preset="nano", patch=8, epochs=1, batch_size=32)
    job = request_training(here, data, recipe, label_version=0)
    assert job.state == "done", here.log(job.id)
    return open_run(here.settings, job.spec["run"]), job.text


def test_a_data_set_of_two_places_gives_maps_of_both(here, settings):
    data = two_places(settings.datasets / "two")
    run, _ = trained(here, data)
    assert run.done
    assert set(run.report["without"]) == set(run.report["alone"]) == {"sentinel2_l2a", "sentinel1"}
    assert set(run.report["without"]["sentinel1"]) == {task.name for task in data.tasks}
    assert run.report["without"]["sentinel1"]["land_use"]["change"]["value"] == 0  # no test chip has it
    scores, table = read_predictions(run.folder / "predictions.parquet", data.tasks), chip_table(data)
    wanted = {f"{place['name']}/{task.name}.tif" for place in data.places for task in data.tasks}
    maps = run.folder / "maps"
    assert {path.relative_to(maps).as_posix() for path in maps.rglob("*.*")} == wanted
    for place in data.places:
        own = table[table["place"] == place["name"]]
        with (
            rasterio.open(maps / place["name"] / "land_use.tif") as source,
            rasterio.open(data.scene_path(place["name"], "sentinel2_l2a")) as scene,
        ):
            assert (source.shape, source.crs, source.transform) == (scene.shape, scene.crs, scene.transform)
            band = source.read(1)
            assert ((band == NO_CLASS) == (scene.read() == 0).any(axis=0)).mean() > 0.95
        middle = band[own["row"] + 8, own["column"] + 8]
        assert (middle == scores["land_use"][own.index].argmax(axis=1)).mean() > 0.5


def test_a_map_is_predicted_where_the_chips_are_whichever_sensor_comes_first(settings, monkeypatch):
    """Windows and their positions are counted in pixels of the finest scene of a place."""
    data = two_places(settings.datasets / "two")
    asked = []
    monkeypatch.setattr(training, "predict_scene", lambda _model, _scenes, _folder, **more: asked.append(more))
    manifest = data.manifest | {"sizes": {"sentinel2_l2a": 8, "sentinel1": 16}}
    chips = chip_table(data)
    for place in ("west-bank", "east-bank"):
        own = chips["place"] == place
        chips.loc[own, "c"] += 30.0  # three pixels of ten metres
        chips.loc[own, "f"] -= 20.0
    chips.drop(columns=["split", "block"]).to_parquet(data.folder / "chips.parquet")
    moved = PackedChips(data.folder, manifest)
    model = SimpleNamespace(sensors={"sentinel2_l2a": None, "sentinel1": None})
    training._map_scenes(settings.runs, moved, model, lambda _share: None)
    west, east = ({k: more[k] for k in ("size", "stride", "origin")} for more in asked)
    assert west == {"size": 16, "stride": 8, "origin": (4, 6)}  # in pixels of the radar, twice as fine
    assert east == {"size": 8, "stride": 4, "origin": (2, 3)}  # where there is no radar


def test_a_data_set_without_ground_trains_and_has_no_maps(here, settings):
    data = pictures_only(settings.datasets / "pictures")
    run, told = trained(here, data)
    assert run.done
    assert told.startswith("Land use: macro f1 ")
    assert len(read_predictions(run.folder / "predictions.parquet", data.tasks)["land_use"]) == len(data)
    assert {"run", "majority", "band_statistics", "margin"} <= run.report["tasks"]["land_use"].keys()
    assert not (run.folder / "maps").exists()
