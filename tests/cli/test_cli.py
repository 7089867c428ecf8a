"""The command line, in this process where that is the same, and as a real command where it is not."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
import uuid
from pathlib import Path

import numpy as np
import pytest
import rasterio

from spatialnet.cli import main
from spatialnet.database import open_database
from spatialnet.datasets.catalogue import open_dataset
from spatialnet.jobs.services import services
from spatialnet.jobs.store import JobStore
from spatialnet.label import LabelEvent, LabelStore
from spatialnet.predict.table import read_predictions
from spatialnet.runs import create_run, list_runs
from spatialnet.settings import REPOSITORY, Settings, load_settings
from spatialnet.summary import chip_summary

COMMANDS = (
    "sample", "importers", "scan", "import", "download", "export", "split", "targets", "train", "ablate", "predict",
    "explain", "caption", "labels",
    "datasets", "runs", "jobs", "pause", "cancel", "resume", "worker",
)  # fmt: skip


@pytest.fixture
def workspace(settings, monkeypatch):
    """An empty workspace that the commands of this process use."""
    yield from use(settings, monkeypatch)


@pytest.fixture
def full(finished, tmp_path, monkeypatch):
    """A workspace with a data set and a finished run, free to be changed."""
    shutil.copytree(finished.workspace, tmp_path / "full")
    yield from use(load_settings(tmp_path / "full"), monkeypatch)


def use(settings: Settings, monkeypatch):
    monkeypatch.setenv("SPATIALNET_DATA", str(settings.workspace))
    monkeypatch.delenv("SPATIALNET_DATABASE", raising=False)
    services.cache_clear()
    yield settings
    services().engine.dispose()
    services.cache_clear()


def command(settings: Settings, *arguments: str, **options) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "spatialnet", *arguments], cwd=REPOSITORY, capture_output=True, text=True,
        env={**os.environ, "SPATIALNET_DATA": str(settings.workspace)}, **options,
    )  # fmt: skip


# Help


def test_help_teaches_a_first_session(capsys):
    with pytest.raises(SystemExit) as ended:
        main(["--help"])
    assert ended.value.code == 0
    text = capsys.readouterr().out
    assert "a first session:" in text
    for name in COMMANDS:
        assert re.search(rf"^    {name}\b", text, re.MULTILINE), name
    for line in re.findall(r"python -m spatialnet (\w+)", text):
        assert line in COMMANDS


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_help(name, capsys):
    with pytest.raises(SystemExit) as ended:
        main([name, "--help"])
    assert ended.value.code == 0
    text = capsys.readouterr().out
    assert text.startswith(f"usage: python -m spatialnet {name}")
    for example in re.findall(r"example: python -m spatialnet (.*)", text):
        assert example.split()[0] == name


@pytest.mark.parametrize(
    "arguments", [[], ["none"], ["train", "--epochs", "many"], ["explain"], ["explain", "--chip", "1", "--method", "x"]]
)
def test_wrong_usage_is_status_two(arguments, capsys):
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 2
    assert "usage:" in capsys.readouterr().err


def test_help_needs_no_torch():
    code = "import sys, spatialnet.cli; sys.exit('torch' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=REPOSITORY)


# Errors


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["train"], "There is: none; `python -m spatialnet sample` makes one"),
        (["train", "--dataset", "none"], "No data set called none"),
        (["train", "--dataset", "../runs"], "not a valid name"),
        (["train", "--parent", "none"], "Choose a listed run"),
        (["labels"], "Name a data set with --dataset"),
        (["explain", "--chip", "1"], "No run has finished yet"),
        (["explain", "--chip", "1", "--run", "{{7*7}}"], "not a valid name"),
        (["cancel", "none"], "There is no job 'none'"),
        (["resume", "none"], "There is no job 'none'"),
        (["worker", "<script>"], "There is no job '<script>'"),
        (["predict", "--scene", "landsat7=x.tif", "--out", "o"], "No run has finished yet"),
    ],
)
def test_errors_on_an_empty_workspace_are_one_sentence(workspace, arguments, said, capsys):
    assert main(arguments) == 1
    refused(capsys, said)


def refused(capsys, said: str) -> None:
    output = capsys.readouterr()
    assert output.out == ""
    assert output.err.startswith("spatialnet: ")
    assert said in output.err
    assert output.err.count("\n") == 1
    assert "Traceback" not in output.err


def test_errors_on_a_full_workspace_are_one_sentence(full, capsys, tmp_path, write_scene):
    (tmp_path / "broken.toml").write_text("epochs = ")
    (tmp_path / "file").write_text("in the way")
    six, wrong_bands = write_scene("six.tif"), write_scene("three.tif", np.ones((3, 40, 48), np.uint8))
    out = ["--out", str(tmp_path / "maps")]
    for arguments, said in (
        (["train", "--epochs", "0"], "epochs and head_epochs are both 0"),
        (["train", "--preset", "huge"], "no preset 'huge'"),
        (["train", "--name", ""], "1 to 120 characters"),
        (["train", "--recipe", str(tmp_path / "none.toml")], "none.toml cannot be read"),
        (["train", "--recipe", str(tmp_path / "broken.toml")], "not valid TOML"),
        (["explain", "--chip", "100000"], "There is no chip 100000"),
        (["explain", "--chip", "1", "--task", "none"], "has no task 'none'"),
        (["explain", "--chip", "1", "--class", "<b>"], "has no class '<b>'"),
        (["predict", "--scene", "six.tif", *out], "names no sensor"),
        (["predict", "--scene", f"landsat7={tmp_path / 'none.tif'}", *out], "There is no file 'none.tif'"),
        (["predict", "--scene", "landsat7=https://example.org/x.tif", *out], "is an address"),
        (["predict", "--scene", f"naip={six}", *out], "knows no sensor 'naip'; it has landsat7"),
        (["predict", "--scene", f"landsat7={wrong_bands}", *out], "has 3 bands"),
        (["predict", "--scene", f"landsat7={six}", "--stride", "-2", *out], "Choose 1 to 16"),
        (["predict", "--scene", f"landsat7={six}", "--out", str(tmp_path / "file")], "File exists"),
        (["predict", "--scene", f"landsat7={six}", "--out", str(tmp_path / "file" / "below")], "Not a directory"),
        (["predict", "--run", "none", "--scene", f"landsat7={six}", *out], "Choose a listed run"),
    ):
        assert main(arguments) == 1, arguments
        refused(capsys, said)
    assert len(list_runs(full)) == 1
    assert not list((tmp_path / "maps").iterdir())


def test_a_workspace_that_cannot_be_used_is_one_sentence(tmp_path):
    (tmp_path / "file").write_text("in the way")
    done = subprocess.run(
        [sys.executable, "-m", "spatialnet", "runs"], cwd=REPOSITORY, capture_output=True, text=True,
        env={**os.environ, "SPATIALNET_DATA": str(tmp_path / "file")},
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("spatialnet: The workspace ")
    assert done.stderr.count("\n") == 1


# Lists


def test_lists_of_an_empty_workspace_are_empty(workspace, capsys):
    for name in ("datasets", "runs", "jobs"):
        assert main([name]) == 0
    assert capsys.readouterr().out == ""


def test_lists_of_a_full_workspace(full, capsys):
    store = JobStore(open_database(full.database_url))
    job = store.add("train", "Train: {{7*7}}", {}, "k")
    store.end(job.id, "failed", "It is no use.")
    assert main(["datasets"]) == 0
    assert capsys.readouterr().out == "landscape\t529 chips of 16 px\tGenerated landscape (synthetic) (synthetic)\n"
    create_run(full, {"title": "young", "dataset": "landscape", "tasks": []}, "")
    assert main(["runs"]) == 0
    young, done, *metrics = capsys.readouterr().out.splitlines()
    assert young.split("\t")[1:] == ["young", "landscape", "not finished"]
    assert done.split("\t") == ["run-done", "done {{7*7}} <b>", "landscape", "done"]
    assert len(metrics) == 4
    pattern = r"  land_use: macro_f1 \d\.\d{3} \[\d\.\d{3}, \d\.\d{3}\], best baseline \w+ \d\.\d{3}, n = \d+"
    assert re.fullmatch(pattern, metrics[0])
    assert main(["jobs"]) == 0
    assert capsys.readouterr().out == f"{job.id}\tfailed\t0 %\tTrain: {{{{7*7}}}}\tIt is no use.\n"
    store._engine.dispose()


def test_metrics_that_are_not_defined_do_not_break_the_list(full, capsys):
    path = full.runs / "run-done" / "report.json"
    report = json.loads(path.read_text())
    report["tasks"]["land_use"]["run"] |= {"value": float("nan"), "low": None, "high": None}
    path.write_text(json.dumps(report))
    assert main(["runs"]) == 0
    assert "land_use: macro_f1 nan, best baseline" in capsys.readouterr().out


def test_labels_as_counts_and_as_json_lines(full, capsys):
    labels = services().labels
    assert isinstance(labels, LabelStore)

    def say(chip, task, value, kind="label"):
        event = LabelEvent(str(uuid.uuid4()), "Zoë צ", kind, "landscape", chip, task, value)
        labels.append([event])

    say(7, "land_use", 2)
    say(3, "land_use", 1)
    say(7, "land_use", 4)
    say(9, "land_use", None, "unsure")
    say(3, "presence", [1, 0, None, 0, 0, 0])
    assert main(["labels"]) == 0
    assert capsys.readouterr().out.splitlines()[:2] == [
        "Land use: 2 labelled, 1 unsure, 0 skipped of 529 chips",
        "Object presence: 1 labelled, 0 unsure, 0 skipped of 529 chips",
    ]
    assert main(["labels", "--json", "--dataset", "landscape"]) == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [(x["task"], x["chip"], x["value"], x["kind"], x["person"]) for x in lines] == [
        ("land_use", 3, 1, "label", "Zoë צ"),
        ("land_use", 7, 4, "label", "Zoë צ"),
        ("land_use", 9, None, "unsure", "Zoë צ"),
        ("presence", 3, [1, 0, None, 0, 0, 0], "label", "Zoë צ"),
    ]
    assert {x["dataset"] for x in lines} == {"landscape"}


def test_a_reader_that_stops_early_is_no_error(full):
    code = f"{sys.executable} -m spatialnet runs | head -c 1"
    done = subprocess.run(
        ["bash", "-o", "pipefail", "-c", code], cwd=REPOSITORY, capture_output=True, text=True,
        env={**os.environ, "SPATIALNET_DATA": str(full.workspace), "PYTHONUNBUFFERED": "1"},
    )  # fmt: skip
    assert done.stderr == ""


# Work


def test_predict_writes_a_map_per_task(full, capsys, tmp_path):
    data = open_dataset(full, "landscape")
    scene = data.scene_path(data.places[0]["name"], "landsat7")
    assert (
        main(["predict", "--scene", f"landsat7={scene}", "--out", str(tmp_path / "a" / "maps"), "--stride", "16"]) == 0
    )
    lines = dict(line.split("\t") for line in capsys.readouterr().out.splitlines())
    coloured = [f"{task}-classes" for task in ("land_use", "presence", "rural_urban")]
    assert sorted(lines) == sorted(["land_use", "presence", "rural_urban", "buildings", *coloured])
    for name, path in lines.items():
        with rasterio.open(path) as source, rasterio.open(scene) as given:
            assert (source.shape, source.crs) == (given.shape, given.crs), name


def test_predict_takes_an_area_and_leaves_scores_out(full, capsys, tmp_path):
    data = open_dataset(full, "landscape")
    place = data.places[0]
    scene = data.scene_path(place["name"], "landsat7")
    west, south, east, north = place["bounds"]
    area = f"--area={west},{(south + north) / 2},{(west + east) / 2},{north}"
    assert main(["predict", "--scene", f"landsat7={scene}", area, "--no-scores", "--out", str(tmp_path / "part")]) == 0
    lines = dict(line.split("\t") for line in capsys.readouterr().out.splitlines())
    with rasterio.open(lines["land_use"]) as source, rasterio.open(scene) as given:
        assert source.count == 2
        assert source.width < 0.7 * given.width
        assert (source.transform.c, source.transform.f) == pytest.approx((given.transform.c, given.transform.f), abs=90)
    for wrong in ("--area=1,2,3", "--area=100,10,101,11"):
        assert main(["predict", "--scene", f"landsat7={scene}", wrong, "--out", str(tmp_path / "none")]) == 1
        assert "area" in capsys.readouterr().err


def test_explain_says_score_faithfulness_and_picture(full, capsys):
    assert (
        main(["explain", "--chip", "9", "--task", "presence", "--class", "forest", "--method", "attention_rollout"])
        == 0
    )
    said, score, faithfulness, picture = capsys.readouterr().out.splitlines()
    data = open_dataset(full, "landscape")
    scores = read_predictions(full.runs / "run-done" / "predictions.parquet", data.tasks)
    assert said == chip_summary(data.tasks, scores, 9) != ""
    assert re.fullmatch(r"Object presence = forest: [01]\.\d{3}", score)
    assert re.match(r"faithfulness: (faithful|weak|no better than chance) \(margin -?\d+\.\d\)\. \w", faithfulness)
    assert picture.startswith(f"picture: {full.cache}")
    assert Path(picture.removeprefix("picture: ")).stat().st_size > 0
    assert services().compute.pid is None


def test_the_sample_is_prepared_and_waited_for(workspace, capsys):
    create_run(workspace, {"dataset": "landscape", "title": "so that no training starts", "tasks": []}, "")
    done = command(workspace, "sample", "--source", "landscape")
    assert (done.returncode, done.stderr) == (0, "done: Generated landscape (synthetic): 2,209 chips.\n")
    assert main(["sample", "--source", "landscape", "--no-wait"]) == 0
    job = capsys.readouterr().out.strip()
    wait_until(lambda: not services().jobs.store.get(job).live)
    services().jobs.reconcile()
    assert services().jobs.store.get(job).state == "done"
    assert main(["cancel", job]) == 1
    refused(capsys, f"Job {job} is done already; there is nothing to stop.")
    assert main(["resume", job]) == 1
    refused(capsys, "only a stopped job can be resumed")


def wait_until(what, seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < end
        time.sleep(0.05)


def test_ctrl_c_leaves_the_job_running_and_cancel_ends_it(full, capsys):
    follower = subprocess.Popen(
        [sys.executable, "-m", "spatialnet", "train", "--epochs", "5000", "--name", "long"], cwd=REPOSITORY, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        env={**os.environ, "SPATIALNET_DATA": str(full.workspace), "PYTHONUNBUFFERED": "1"},
    )  # fmt: skip
    job = follower.stdout.readline().split()[-1]
    follower.send_signal(signal.SIGINT)
    _, said = follower.communicate(timeout=30)
    assert follower.returncode == 130
    assert said == "spatialnet: stopped; jobs that were started go on. `python -m spatialnet jobs` lists them.\n"
    assert main(["jobs"]) == 0
    assert re.match(rf"{job}\t(queued|running)\t0 %\tTrain: long\t", capsys.readouterr().out)
    assert main(["cancel", job]) == 0
    assert capsys.readouterr().err.startswith("cancelled: Cancelled")
    assert main(["jobs"]) == 0
    assert f"{job}\tcancelled\t" in capsys.readouterr().out
