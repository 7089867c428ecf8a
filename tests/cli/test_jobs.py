"""The commands about jobs, on jobs of every state."""

import os

import psutil
import pytest

from spatialnet.cli import main
from spatialnet.jobs.services import services
from tests.cli.test_cli import refused, workspace  # noqa: F401 (a fixture)


@pytest.fixture
def store(workspace):  # noqa: F811
    return services().jobs.store


def running(store):
    job = store.add("train", "Train: first", {"device": "cpu"}, "first")
    store.set_process(job.id, os.getpid(), psutil.Process().create_time())
    store.begin(job.id, os.getpid(), "cpu")
    figures = {"rate": 1234.0, "cpu": 0.87, "cores": 2.0, "memory": 1.5 * 2**30}
    store.report(job.id, 0.4, "Epoch 2 of 5", 90.0, figures)
    return job


def test_the_list_tells_places_times_and_what_is_used(store, capsys):
    first = running(store)
    second = store.add("train", "Train: second", {"device": "cpu", "seconds": 60}, "second")
    third = store.add("train", "Train: third", {"device": "cpu"}, "third")
    assert main(["jobs"]) == 0
    lines = [line.split("\t") for line in capsys.readouterr().out.splitlines()]
    assert [line[0] for line in lines] == [third.id, second.id, first.id]
    assert lines[2][4] == "Epoch 2 of 5 · 1,234 chips/s · CPU 87 % of 2 cores · memory 1.5 GiB"
    assert lines[1][4] == "Waiting for the device · 1st of 2 waiting, starts in about 90 s" or "89 s" in lines[1][4]
    assert lines[0][4].startswith("Waiting for the device · 2nd of 2 waiting, starts in about 2 min")
    assert main(["jobs", "priority", third.id, "high"]) == 0
    assert capsys.readouterr().out.startswith("Train: third: high priority, 1st of 2 waiting, starts in about ")


def test_one_job_is_shown_with_the_end_of_its_log(store, capsys):
    job = running(store)
    folder = services().settings.jobs / job.id
    folder.mkdir()
    (folder / "log.txt").write_text("Epoch 1 of 5\nsomething else\nEPOCH 2 of 5\n")
    assert main(["jobs", "show", job.id]) == 0
    out = capsys.readouterr().out
    assert "device\tcpu\n" in out
    assert "uses\t1,234 chips/s" in out
    assert out.endswith("EPOCH 2 of 5\n")
    assert main(["jobs", "log", job.id, "--search", "epoch"]) == 0
    assert capsys.readouterr().out == "Epoch 1 of 5\nEPOCH 2 of 5\n"
    assert main(["jobs", "log", job.id, "--search", "epoch", "--lines", "1"]) == 0
    assert capsys.readouterr().out == "EPOCH 2 of 5\n"
    assert main(["jobs", "log", job.id, "--search", "(.*"]) == 1
    assert capsys.readouterr().out == ""


def test_what_cannot_be_done_is_one_sentence(store, capsys):
    job = running(store)
    store.end(job.id, "done", "fine")
    for arguments, said in (
        (["pause", job.id], "is done; only a job that waits or runs can be paused"),
        (["pause", "none"], "There is no job 'none'"),
        (["jobs", "priority", job.id, "high"], "only a job that waits has a place in the queue"),
        (["jobs", "show", "../x"], "There is no job '../x'"),
        (["jobs", "log", job.id, "--lines", "0"], "at least one line is wanted"),
        (["resume", job.id], "only a stopped job can be resumed"),
        (["resume", job.id, "--device", "cuda:99"], "no device cuda:99"),
    ):
        assert main(arguments) == 1, arguments
        refused(capsys, said)


def test_a_paused_job_is_cancelled_without_a_process(store, capsys):
    job = running(store)
    store.request_pause(job.id)
    store.end(job.id, "paused", "Paused.")
    assert main(["cancel", job.id]) == 0
    assert store.get(job.id).state == "cancelled"
