"""What a job's process does when memory, disk or device fail it. Real processes, each with a limit of its own."""

import os
import signal
import subprocess
import sys
import time

import pytest

from spatialnet.errors import JobRefused, NotEnoughDisk
from spatialnet.jobs.kinds import KINDS, Kind, work_of
from spatialnet.jobs.machine import LEAST_FREE, free_disk
from spatialnet.jobs.reporter import Reporter
from spatialnet.settings import REPOSITORY

WORK = """
import resource, sys
from pathlib import Path
from spatialnet.jobs import watch
from spatialnet.jobs.kinds import KINDS, Kind
from spatialnet.jobs.worker import work
from spatialnet.settings import load_settings

watch.WATCH_SECONDS = 0.1
for name in ("eat", "eat_at_once", "wait", "lose_the_gpu"):
    KINDS[name] = Kind("tests.jobs.hungry", name)
settings = load_settings(Path(sys.argv[1]))
if limit := int(sys.argv[3]):
    from spatialnet.jobs import preparing  # what is imported later must not be what memory runs out for
    import psutil
    used = psutil.Process().memory_info().vms
    resource.setrlimit(resource.RLIMIT_AS, (used + limit, used + limit))
sys.exit(work(settings, sys.argv[2]))
"""


def start(settings, job, limit=0) -> subprocess.Popen[bytes]:
    folder = settings.jobs / job.id
    folder.mkdir(exist_ok=True)
    with (folder / "log.txt").open("ab") as log:
        return subprocess.Popen(
            [sys.executable, "-c", WORK, str(settings.workspace), job.id, str(limit)], cwd=REPOSITORY, stdout=log,
            stderr=log, start_new_session=True, env={**os.environ, "OMP_NUM_THREADS": "1"},
        )  # fmt: skip


def ended(jobs, job, process):
    process.wait(timeout=60)
    return jobs.store.get(job.id)


def until(what, seconds=30):
    end = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < end
        time.sleep(0.02)


def test_work_that_runs_out_of_memory_is_done_again_in_smaller_parts(jobs, settings):
    job = jobs.store.add("eat", "Eat", {}, "k")
    job = ended(jobs, job, start(settings, job, limit=450 * 2**20))
    log = jobs.log(job.id)
    assert (job.state, job.parts) == ("done", 4), log
    assert job.text == "Ate 256 MiB. Memory ran out twice; each step was done in 4 parts of 16 chips."
    assert [line for line in log.splitlines() if line.startswith("trying")] == [
        "trying 1 parts", "trying 2 parts", "trying 4 parts"
    ]  # fmt: skip
    assert "Memory ran out; going on with each step in 4 times as many parts" in log
    assert "Traceback" not in log


def test_a_resumed_job_begins_with_the_parts_that_worked(jobs, settings):
    job = jobs.store.add("eat", "Eat", {}, "k")
    jobs.store.set_parts(job.id, 8)
    jobs.store.end(job.id, "lost")
    job = jobs.store.requeue(job.id, "k")
    job = ended(jobs, job, start(settings, job))
    assert job.text == "Ate 128 MiB. Memory ran out before; each step was done in 8 parts of 8 chips."
    assert "trying 8 parts" in jobs.log(job.id)


def test_work_that_cannot_be_cut_fails_with_a_sentence(jobs, settings):
    job = jobs.store.add("eat_at_once", "Eat", {}, "k")
    job = ended(jobs, job, start(settings, job))
    assert job.state == "failed"
    assert job.text.startswith("Memory ran out. Choose a smaller model")
    assert "Traceback" not in jobs.log(job.id)


def test_a_part_of_one_chip_is_not_cut_further(jobs, settings):
    job = jobs.store.add("eat", "Eat", {"mib": 1024}, "k")
    job = ended(jobs, job, start(settings, job, limit=450 * 2**20))
    assert (job.state, job.parts) == ("failed", 64)
    assert "Memory ran out" in job.text


def test_a_gpu_that_vanishes_is_a_sentence(jobs, settings):
    job = jobs.store.add("lose_the_gpu", "Train", {}, "k")
    job = ended(jobs, job, start(settings, job))
    assert job.state == "failed"
    assert job.text.startswith("The GPU cuda:0 stopped answering (CUDA error: unspecified launch failure).")
    assert "Traceback" not in jobs.log(job.id)


def test_a_disk_that_fills_stops_the_job_which_can_be_resumed(jobs, settings):
    free = free_disk(settings.workspace)
    job = jobs.store.add("wait", "Wait", {"checkpoint_bytes": free * 2}, "k")
    job = ended(jobs, job, start(settings, job))
    assert job.state == "failed"
    assert "are left on the workspace's disk, so the job saved its state and stopped" in job.text
    assert jobs.store.requeue(job.id, "k").attempt == 2


def test_what_would_not_fit_on_the_disk_does_not_begin(jobs, settings):
    needed = free_disk(settings.workspace) - LEAST_FREE // 2
    with pytest.raises(NotEnoughDisk, match="This writes about"):
        jobs.submit("train", "Train", {"disk_bytes": needed})
    assert jobs.store.all() == []
    job = jobs.store.add("wait", "Wait", {"disk_bytes": needed}, "k")
    job = ended(jobs, job, start(settings, job))
    assert (job.state, "Free some space first" in job.text) == ("failed", True)


def test_a_paused_job_frees_its_process_keeps_its_key_and_goes_on(jobs, settings):
    job = jobs.store.add("wait", "Wait", {}, "k")
    process = start(settings, job)
    until(lambda: "cpu" in jobs.store.get(job.id).figures)
    figures = jobs.store.get(job.id).figures
    assert figures["rate"] == 12.0
    assert 0 <= figures["cpu"] <= 1
    assert 10 * 2**20 < figures["memory"] < figures["all_memory"]
    jobs.pause(job.id)
    paused = ended(jobs, job, process)
    assert (paused.state, paused.live, paused.text) == (
        "paused", False, "Paused. Resume it to go on from its last checkpoint."
    )  # fmt: skip
    with pytest.raises(JobRefused, match=r"same job is paused: Wait\. Resume it"):
        jobs.store.add("wait", "Wait", {}, "k")
    with pytest.raises(JobRefused, match="is paused; only a job that waits or runs"):
        jobs.pause(job.id)
    assert jobs.store.requeue(job.id, "k").attempt == 2
    process = start(settings, job)
    until(lambda: jobs.store.get(job.id).state == "running")
    jobs.pause(job.id)
    assert ended(jobs, job, process).state == "paused"
    jobs.cancel(job.id)
    assert jobs.store.get(job.id).state == "cancelled"
    assert jobs.store.add("wait", "Wait", {}, "k").state == "queued"


def test_a_job_killed_when_memory_was_short_is_resumed_in_twice_the_parts(jobs, settings):
    job = jobs.store.add("wait", "Wait", {}, "k")
    process = start(settings, job)
    until(lambda: jobs.store.get(job.id).figures)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    jobs.store.report(job.id, 0.1, "", None, {"free_memory": 2**27, "all_memory": 2**34})
    jobs.reconcile()
    job = jobs.store.get(job.id)
    assert (job.state, job.parts) == ("lost", 2)
    assert job.text.startswith("Its process was killed when only 0.1 GiB of memory were free: memory ran out.")


@pytest.mark.parametrize(
    ("chips", "own", "times", "parts"), [(64, 1, 1, 1), (64, 1, 4, 4), (64, 4, 4, 16), (3, 1, 8, 3), (1, 0, 1, 1)]
)
def test_steps_are_cut_into_at_most_as_many_parts_as_chips(here, chips, own, times, parts):
    job = here.store.add("train", "Train", {}, "k")
    here.store.set_parts(job.id, times)
    assert Reporter(here, here.store.get(job.id)).cut(chips, own) == parts


def test_every_kind_has_its_work():
    for name, kind in KINDS.items():
        assert isinstance(kind, Kind)
        assert callable(work_of(name)), name
