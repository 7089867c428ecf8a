"""Real processes: what is submitted runs apart from this one, can be killed, cancelled and resumed."""

import fcntl
import os
import subprocess
import sys
import time

import psutil
import pytest

from spatialnet.datasets.packed import PackedChips
from spatialnet.errors import JobRefused
from spatialnet.jobs.requests import request_sample
from spatialnet.jobs.store import is_alive
from spatialnet.runs import create_run
from spatialnet.settings import REPOSITORY
from tests.jobs.conftest import kill

LANDSCAPE_RUN = {"dataset": "landscape", "title": "so that the sample starts no training", "tasks": []}


@pytest.fixture
def no_first_run(settings):
    create_run(settings, LANDSCAPE_RUN, "")


def visible(folder):
    """Names in a folder without what a build keeps beside a data set: its lock, and what it can go on from."""
    return [entry.name for entry in folder.iterdir() if not entry.name.startswith(".")]


def test_the_sample_survives_kill_9_and_is_resumed_to_its_end(jobs, until, no_first_run):
    job = request_sample(jobs, "landscape")
    assert psutil.Process(job.pid).create_time() == pytest.approx(job.pid_started, abs=2)
    assert os.getsid(job.pid) == job.pid  # a session of its own: it outlives us
    with pytest.raises(JobRefused, match="already under way"):
        request_sample(jobs, "landscape")
    kill(until(job, lambda j: j.state == "running"))
    lost = until(job, lambda j: not j.live)
    assert lost.state == "lost"
    assert not (jobs.settings.datasets / "landscape").exists()
    again = jobs.resume(job.id)
    assert (again.attempt, again.pid != lost.pid) == (2, True)
    with pytest.raises(JobRefused, match="only a stopped job"):
        jobs.resume(job.id)
    done = until(job, lambda j: not j.live)
    assert (done.state, done.text) == ("done", "Generated landscape (synthetic): 2,209 chips.")
    data = PackedChips.open(jobs.settings.datasets / "landscape")
    assert len(data) == 2209
    assert visible(jobs.settings.datasets) == ["landscape"]
    log = jobs.log(job.id)
    assert "attempt 1: Prepare the sample" in log
    assert "attempt 2: Prepare the sample" in log
    assert log.splitlines()[-1].endswith("done: Generated landscape (synthetic): 2,209 chips.")
    assert jobs.log(job.id, lines=1) == log.splitlines()[-1]


def test_the_prepared_sample_gets_its_first_run_which_waits_for_the_device(jobs, until, in_workspace):
    with (jobs.settings.locks / "cpu.lock").open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        done = until(request_sample(jobs, "landscape"), lambda j: not j.live)
        assert done.state == "done"
        (training,) = jobs.store.live()
        assert (training.kind, training.spec["dataset"]) == ("train", "landscape")
        waiting = until(training, lambda j: "Waiting for another job" in j.text)
        assert waiting.state == "queued"
        jobs.cancel(training.id)
        ended = until(training, lambda j: not j.live, seconds=10)
        assert ended.state == "cancelled"
    end = time.monotonic() + 10
    while is_alive(ended):
        assert time.monotonic() < end
        time.sleep(0.02)


def test_a_job_cancelled_at_once_is_cancelled_and_not_lost(jobs, until, no_first_run):
    job = request_sample(jobs, "landscape")
    jobs.cancel(job.id)  # its process has not even begun to listen
    assert until(job, lambda j: not j.live).state == "cancelled"
    jobs.cancel(job.id)
    assert jobs.store.get(job.id).state == "cancelled"
    assert not (jobs.settings.datasets / "landscape").exists()


def test_a_job_that_does_not_stop_is_killed(jobs, monkeypatch):
    monkeypatch.setattr("spatialnet.jobs.launch.CANCEL_GRACE_SECONDS", 0.3)
    deaf = subprocess.Popen(
        [sys.executable, "-c", "import signal; signal.signal(15, signal.SIG_IGN); print('deaf', flush=True); input()"],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True,
    )  # fmt: skip
    deaf.stdout.readline()
    job = jobs.store.add("train", "Train", {}, "k")
    jobs.store.set_process(job.id, deaf.pid, psutil.Process(deaf.pid).create_time())
    assert jobs.store.begin(job.id, deaf.pid)
    jobs.cancel(job.id)
    assert deaf.wait(timeout=10) == -9
    end = time.monotonic() + 5
    while jobs.store.get(job.id).live:
        assert time.monotonic() < end
        time.sleep(0.02)
    assert jobs.store.get(job.id).state == "cancelled"
    deaf.stdin.close()
    deaf.stdout.close()


def test_a_process_that_only_has_the_jobs_number_is_not_signalled(jobs):
    innocent = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE, start_new_session=True)
    job = jobs.store.add("train", "Train", {}, "k")
    jobs.store.set_process(job.id, innocent.pid, psutil.Process(innocent.pid).create_time() - 60)
    jobs.cancel(job.id)
    time.sleep(0.2)
    assert innocent.poll() is None
    innocent.communicate(b"\n", timeout=10)
    assert innocent.returncode == 0
    jobs.reconcile()
    assert jobs.store.get(job.id).state == "cancelled"


def test_work_of_an_unknown_kind_fails_with_a_sentence(jobs, until):
    job = until(jobs.submit("dig", "Dig", {}), lambda j: not j.live)
    assert (job.state, job.text) == ("failed", "There is no work of kind 'dig'.")
    assert "Traceback" not in jobs.log(job.id)


def test_an_unexpected_error_is_a_sentence_for_people_and_a_traceback_in_the_log(jobs, until):
    job = until(jobs.submit("train", "Train", {}), lambda j: not j.live)  # a request without its run
    assert job.state == "failed"
    assert job.text == "It stopped with KeyError. The log tells more; then resume it."
    assert "Traceback" in jobs.log(job.id)


def test_a_place_that_cannot_be_written_to_is_a_sentence(jobs, until):
    (jobs.settings.datasets / "landscape").symlink_to("nowhere")
    job = until(request_sample(jobs, "landscape"), lambda j: not j.live)
    assert job.state == "failed"
    assert "'datasets' cannot be written to" in job.text
    assert "Traceback" not in jobs.log(job.id)
    assert visible(jobs.settings.datasets) == ["landscape"]


def test_a_job_that_has_a_process_or_has_ended_is_not_done_by_another(jobs, settings):
    job = jobs.store.add("sample", "Prepare the sample", {"source": "landscape"}, "k")
    jobs.store.set_process(job.id, os.getpid(), psutil.Process().create_time())

    def work_by_hand() -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "spatialnet", "worker", job.id], capture_output=True, text=True, cwd=REPOSITORY,
            env={**os.environ, "SPATIALNET_DATA": str(settings.workspace)},
        )  # fmt: skip

    for state in ("queued", "done"):
        if state == "done":
            jobs.store.end(job.id, "done")
        by_hand = work_by_hand()
        assert by_hand.returncode == 1
        assert by_hand.stderr == (
            f"spatialnet: Job {job.id} does not wait for a process: it is {state}. `resume` starts a stopped one.\n"
        )
    assert jobs.store.get(job.id).state == "done"


def test_a_log_of_anything_is_text(jobs):
    job = jobs.store.add("train", "Train", {}, "k")
    assert jobs.log(job.id) == ""
    folder = jobs.settings.jobs / job.id
    folder.mkdir()
    (folder / "log.txt").write_bytes(b"\xff\xfe broken\n" + b"x" * 100_000 + b"\nlast \xc3\xa9\n")
    assert jobs.log(job.id, lines=2).endswith("last é")
    with pytest.raises(JobRefused):
        jobs.log("../../etc")
