"""The compute process, as the app sees it: one real process, asked, killed and asked again."""

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import asdict, replace

import numpy as np
import pandas as pd
import psutil
import pytest
import rasterio
from PIL import Image
from scipy.stats import spearmanr

from spatialnet.datasets.catalogue import chip_table, open_dataset
from spatialnet.errors import ComputeUnavailable, ExplanationFailed
from spatialnet.jobs.compute import Compute
from spatialnet.jobs.explanations import ExplanationRequest, explanation_file
from spatialnet.jobs.probes import ProbeRequest
from spatialnet.predict.table import read_predictions
from spatialnet.settings import REPOSITORY


def request(chip: int = 5, **changes) -> ExplanationRequest:
    return ExplanationRequest(
        **{"run": "run-done", "chip": chip, "task": "presence", "class_index": 1, "method": "gradient_attention"}
        | changes
    )


NOISE = """
import os, sys, threading, time

def print_for_ever():
    while True:
        print("a library prints", flush=True)
        os.write(1, b"its native part too\\n")
        time.sleep(0.02)

if any("compute_server" in argument for argument in sys.orig_argv):
    print("a library prints before anything was imported", flush=True)
    threading.Thread(target=print_for_ever, daemon=True).start()
"""

APP = """
import json, sys
from pathlib import Path
from spatialnet.jobs.compute import Compute
from spatialnet.jobs.explanations import ExplanationRequest
from spatialnet.settings import load_settings

compute = Compute(load_settings(Path(sys.argv[1])))
facts = compute.explain(ExplanationRequest(**json.loads(sys.argv[2])))
print(json.dumps([compute.pid, facts]), flush=True)
sys.stdin.read()
"""


@pytest.fixture(scope="module")
def app(finished, tmp_path_factory) -> Iterator[tuple[subprocess.Popen[bytes], int, dict]]:
    """Another process that has asked for an explanation; its compute process, which is noisy; and the answer."""
    noise = tmp_path_factory.mktemp("noise")
    (noise / "sitecustomize.py").write_text(NOISE)
    environment = {**os.environ, "PYTHONPATH": str(noise)}
    command = [sys.executable, "-c", APP, str(finished.workspace), json.dumps(asdict(request()))]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=REPOSITORY, env=environment
    ) as app:
        pid, facts = json.loads(app.stdout.readline())
        yield app, pid, facts
        app.kill()


@pytest.fixture(scope="module")
def compute(finished) -> Iterator[Compute]:
    compute = Compute(finished)
    yield compute
    compute.stop()
    assert compute.pid is None


def test_an_explanation_lies_where_the_chip_is(app, finished):
    _, _, facts = app
    assert (facts["run"], facts["chip"], facts["task"], facts["class_index"]) == ("run-done", 5, "presence", 1)
    assert facts["faithfulness"]["verdict"] in ("faithful", "weak", "no better than chance")
    assert 0 <= facts["info"]["probability"][0] <= 1
    folder = explanation_file(finished, request()).parent
    with Image.open(folder / f"{facts['picture']}.png") as picture:
        assert (picture.mode, picture.size) == ("RGBA", (16, 16))
    with Image.open(folder / f"{facts['overlay']}.png") as picture:
        alpha = np.asarray(picture)[..., 3]
        assert alpha.max() > 0
    data = open_dataset(finished, "landscape")
    place = chip_table(data).loc[5]
    with rasterio.open(data.scene_path("landscape", "landsat7")) as source:
        corners = [source.transform @ (place["column"] + dx, place["row"] + dy) for dx in (0, 16) for dy in (0, 16)]
        longitudes, latitudes = rasterio.warp.transform(source.crs, "EPSG:4326", *zip(*corners, strict=True))
    (south, west), (north, east) = facts["bounds"]
    # A chip's picture is upright on the map and holds its corners: never inside them, never far outside.
    pixel = 30 / 111_320
    assert west <= min(longitudes) + pixel / 10
    assert west == pytest.approx(min(longitudes), abs=pixel)
    assert east == pytest.approx(max(longitudes), abs=pixel)
    assert south == pytest.approx(min(latitudes), abs=pixel)
    assert north == pytest.approx(max(latitudes), abs=pixel)


def test_what_was_computed_once_is_read_from_its_files(app, compute):
    _, _, facts = app
    assert compute.explain(request()) == facts
    assert compute.pid is None


def test_a_chip_without_a_place_is_explained_on_its_own_pixels_only(compute, finished):
    """The same run on a data set whose chips lie nowhere."""
    data = open_dataset(finished, "landscape")
    folder, run = finished.datasets / "nowhere", finished.runs / "run-nowhere"
    shutil.copytree(data.folder, folder)
    shutil.copytree(finished.runs / "run-done", run)
    try:
        table = pd.read_parquet(folder / "chips.parquet").drop(columns=[*"abcdef", "crs", "west", "longitude"])
        table.to_parquet(folder / "chips.parquet")
        info = json.loads((run / "run.json").read_text())
        (run / "run.json").write_text(json.dumps(info | {"dataset": "nowhere"}))
        asked = request(run="run-nowhere", method="attention_rollout")
        facts = compute.explain(asked)
        assert (facts["overlay"], facts["bounds"]) == (None, None)
        pictures = explanation_file(finished, asked).parent
        with Image.open(pictures / f"{facts['picture']}.png") as picture:
            assert (picture.mode, picture.size) == ("RGBA", (16, 16))
        assert not (pictures / f"{asked.key}.png").exists()
        placed = compute.explain(request(method="attention_rollout"))
        assert (placed["overlay"], placed["faithfulness"]) == (
            request(method="attention_rollout").key,
            facts["faithfulness"],
        )
    finally:
        shutil.rmtree(folder)
        shutil.rmtree(run)


def test_a_chip_is_asked_about_without_a_part_of_it(compute, finished):
    asked = ProbeRequest("run-done", "landscape", 33)
    same = compute.probe(asked)
    data = open_dataset(finished, "landscape")
    scores = read_predictions(finished.runs / "run-done" / "predictions.parquet", data.tasks)
    for task in data.tasks:
        assert same["before"][task.name] == pytest.approx(scores[task.name][33].tolist(), abs=2e-3)
    assert same["after"] == same["before"]
    without = compute.probe(replace(asked, cells=tuple(range(32)), fill="neighbour", bands=(("landsat7", 3),)))
    assert without["before"] == same["before"]
    assert without["after"] != same["before"]
    table = chip_table(data)
    here, there = table.loc[33], table.loc[without["neighbour"]]
    assert max(abs(here["row"] - there["row"]), abs(here["column"] - there["column"])) >= 16
    with pytest.raises(ExplanationFailed, match="Every sensor was taken away"):
        compute.probe(replace(asked, sensors=("landsat7",)))


def test_two_reasons_stand_beside_each_other_with_their_difference(compute, finished):
    first, second = (
        request(chip=33, method="corrected_gradient"),
        request(chip=33, method="corrected_gradient", class_index=2),
    )
    found = compute.compare(first, second)
    assert (found["first"]["class_index"], found["second"]["class_index"]) == (1, 2)
    folder = explanation_file(finished, first).parent
    maps = [np.load(folder / f"{one.key}.npy", allow_pickle=False) for one in (first, second)]
    assert found["agreement"] == pytest.approx(spearmanr(*(values.ravel() for values in maps)).statistic, abs=1e-6)
    with Image.open(folder / f"{found['picture']}.png") as picture:
        assert (picture.mode, picture.size) == ("RGBA", (16, 16))
    same = compute.compare(first, first)
    assert same["agreement"] == pytest.approx(1.0)
    with Image.open(folder / f"{same['picture']}.png") as picture:
        assert np.asarray(picture)[..., 3].max() == 0
    (folder / f"{first.key}.npy").unlink()
    assert compute.compare(first, second)["agreement"] == found["agreement"]
    with pytest.raises(ExplanationFailed, match="same chip only"):
        compute.compare(first, request(chip=34))


def test_it_ends_with_the_app_however_the_app_ends(app):
    owner, pid, _ = app
    process = psutil.Process(pid)
    assert process.is_running()
    owner.kill()
    process.wait(timeout=10)


def test_killed_in_the_middle_it_says_so_and_answers_the_next_time(compute):
    assert compute.explain(request(6))["chip"] == 6
    first = compute.pid
    os.kill(first, signal.SIGSTOP)  # so that it is surely in the middle
    killer = threading.Timer(0.05, os.kill, [first, signal.SIGKILL])
    killer.start()
    with pytest.raises(ComputeUnavailable, match="stopped before it answered"):
        compute.explain(request(7))
    killer.join()
    second = compute.pid
    assert second not in (None, first)  # started again, as the sentence says
    assert compute.explain(request(7))["chip"] == 7
    assert compute.pid == second


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"chip": 10**6}, "There is no chip 1000000"),
        ({"chip": -1}, "There is no chip -1"),
        ({"task": "none"}, "no task 'none'"),
        ({"class_index": 99}, "classes 0 to 5"),
        ({"method": "guess"}, "no method 'guess'"),
        ({"run": "none"}, "Choose a listed run"),
        ({"run": "../datasets"}, "not a valid name"),
        ({"chip": "five"}, "stopped with TypeError"),
    ],
)
def test_what_cannot_be_explained_is_one_sentence_and_the_process_lives_on(compute, changes, said):
    compute.warm_up()
    before = compute.pid
    with pytest.raises(ExplanationFailed, match=said) as error:
        compute.explain(request(**changes))
    assert "\n" not in str(error.value)
    assert compute.pid == before


def test_many_who_ask_at_once_all_get_their_own_answer(compute):
    chips, answers = list(range(20, 26)), {}

    def ask(chip: int) -> None:
        answers[chip] = compute.explain(request(chip, method="attention_rollout"))["chip"]

    threads = [threading.Thread(target=ask, args=(chip,)) for chip in chips]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answers == {chip: chip for chip in chips}


def test_a_run_that_is_not_trained_yet_is_one_sentence(compute, finished):
    folder = finished.runs / "run-untrained"
    folder.mkdir()
    try:
        (folder / "run.json").write_text(json.dumps({"dataset": "landscape", "title": "young", "created_at": 0}))
        with pytest.raises(ExplanationFailed, match="Run young is not trained yet"):
            compute.explain(request(run="run-untrained"))
    finally:
        shutil.rmtree(folder)


def test_every_line_gets_one_answer(compute):
    """What comes in may be anything; what goes out is one line of JSON for each."""
    compute.warm_up()
    process = compute._process
    lines = [
        "",
        "no json",
        "[]",
        "{}",
        '{"ask": "shutdown"}',
        '{"ask": "explain"}',
        '{"ask": "explain", "run": "x", "code": "1"}',
    ]
    process.stdin.write("".join(f"{line}\n" for line in lines).encode())
    process.stdin.flush()
    answers = [json.loads(compute._answers.get(timeout=60)) for _ in lines]
    assert all(list(answer) == ["error"] and answer["error"].endswith(".") for answer in answers)
    assert compute.explain(request(8))["chip"] == 8
    assert compute._process is process


def test_nothing_that_is_printed_gets_between_the_answers(app, finished):
    """The other process's libraries and their native parts printed all the time, from before anything was imported."""
    _, _, facts = app
    assert facts["chip"] == 5
    log = (finished.cache / "compute.log").read_text()
    assert log.count("a library prints") > 10
    assert log.count("its native part too") > 10
