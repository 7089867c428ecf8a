"""Whose turn it is on a device: real processes that take it, and positions with times."""

import fcntl
import os
import subprocess
import sys
import time
from itertools import pairwise

import psutil
import pytest

from spatialnet.errors import DeviceUnavailable, JobRefused
from spatialnet.jobs.queue import places, seconds_left
from spatialnet.settings import REPOSITORY

HOLD = """
import os, sys, time
from pathlib import Path
import psutil
from spatialnet.database import open_database
from spatialnet.jobs.queue import device_for
from spatialnet.jobs.store import JobStore
from spatialnet.settings import load_settings

settings = load_settings(Path(sys.argv[1]))
store = JobStore(open_database(settings.database_url))
job = store.get(sys.argv[2])
store.set_process(job.id, os.getpid(), psutil.Process().create_time())
print("here", flush=True)
with device_for(settings, store, job, lambda text: None) as device:
    begin = time.monotonic()
    store.begin(job.id, os.getpid(), device)
    print("has it", device, flush=True)
    time.sleep(float(sys.argv[3]))
    store.end(job.id, "done")
    print(begin, time.monotonic(), flush=True)
"""


def hold(settings, job, seconds: float) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(settings.workspace), job.id, str(seconds)],
        stdout=subprocess.PIPE, text=True, cwd=REPOSITORY,
    )  # fmt: skip
    assert process.stdout.readline() == "here\n"
    return process


def waiting(store, name, *, priority=0, seconds=None, device="cpu"):
    spec = {"run": name, "device": device} | ({} if seconds is None else {"seconds": seconds})
    return store.add("train", name, spec, name, priority)


def test_jobs_take_the_device_one_by_one_by_priority_then_age(settings, store):
    with (settings.locks / "cpu.lock").open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        old, young, low, high = (
            waiting(store, name, priority=priority)
            for name, priority in (("old", 0), ("young", 0), ("low", 1), ("high", 0))
        )
        processes = {job.id: hold(settings, job, 0.1) for job in (low, young, high, old)}
        store.set_priority(low.id, -1)  # priorities may change while they wait
        store.set_priority(high.id, 1)
        time.sleep(0.6)
        assert all(process.poll() is None for process in processes.values())
    spans = {}
    for name, process in processes.items():
        output, _ = process.communicate(timeout=60)
        assert output.startswith("has it cpu\n")
        spans[name] = tuple(map(float, output.splitlines()[-1].split()))
    assert sorted(spans, key=spans.get) == [high.id, old.id, young.id, low.id]
    for (_, end), (begin, _) in pairwise(sorted(spans.values())):
        assert end <= begin  # never two together


def test_a_killed_holder_frees_the_device_and_a_killed_waiter_stops_nobody(settings, store):
    first, better, last = (waiting(store, name, priority=p) for name, p in (("a", 1), ("b", 1), ("c", 0)))
    holder = hold(settings, first, 600)
    assert holder.stdout.readline() == "has it cpu\n"
    dead, next_one = hold(settings, better, 600), hold(settings, last, 0)
    dead.kill()
    dead.communicate()
    assert next_one.poll() is None
    holder.kill()
    holder.communicate()
    output, _ = next_one.communicate(timeout=30)
    assert output.startswith("has it cpu\n")


def test_work_that_computes_nothing_waits_for_nobody(settings, store):
    with (settings.locks / "cpu.lock").open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        process = hold(settings, store.add("sample", "Sample", {}, "k"), 0)
        output, _ = process.communicate(timeout=30)
    assert output.startswith("has it None\n")


def test_places_add_up_what_is_ahead(store):
    running = waiting(store, "running")
    store.set_process(running.id, os.getpid(), psutil.Process().create_time())
    store.begin(running.id, os.getpid(), "cpu")
    store.report(running.id, 0.5, "Epoch 1", 40.0)
    a, b, c = waiting(store, "a", seconds=100), waiting(store, "b", seconds=10), waiting(store, "c")
    store.set_priority(b.id, 1)
    store.add("sample", "Sample", {}, "s")
    found = places(store.live())
    assert {name: (place.position, place.waiting) for name, place in found.items()} == {
        b.id: (1, 3), a.id: (2, 3), c.id: (3, 3)
    }  # fmt: skip
    for job, seconds in ((b, 40), (a, 50), (c, 150)):
        assert found[job.id].seconds == pytest.approx(seconds, abs=1)
        assert not found[job.id].at_least


def test_a_job_ahead_without_an_estimate_is_said(store):
    a, b, c = waiting(store, "a"), waiting(store, "b", seconds=10), waiting(store, "c")
    found = places(store.live())
    assert (found[a.id].seconds, found[a.id].at_least) == (0.0, False)
    assert (found[b.id].seconds, found[b.id].at_least) == (None, True)
    assert (found[c.id].seconds, found[c.id].at_least) == (10, True)


def test_seconds_left_come_from_the_job_the_estimate_or_the_share(store):
    job = waiting(store, "a", seconds=100)
    store.set_process(job.id, os.getpid(), 0.0)
    store.begin(job.id, os.getpid(), "cpu")
    job = store.get(job.id)
    assert seconds_left(job, job.started_at + 30) == pytest.approx(70)
    store.report(job.id, 0.25, "", 12.0)
    job = store.get(job.id)
    assert seconds_left(job, job.heartbeat_at + 2) == pytest.approx(10)
    other = waiting(store, "b")
    store.set_process(other.id, os.getpid(), 0.0)
    store.begin(other.id, os.getpid(), "cpu")
    store.report(other.id, 0.25, "")
    other = store.get(other.id)
    assert seconds_left(other, other.started_at + 10) == pytest.approx(30)
    store.report(other.id, 0.0, "")
    assert seconds_left(store.get(other.id)) is None


def test_only_what_waits_has_a_place_in_the_queue(store):
    job = waiting(store, "a")
    with pytest.raises(JobRefused, match="no priority 7"):
        store.set_priority(job.id, 7)
    store.end(job.id, "done")
    with pytest.raises(JobRefused, match="is done; only a job that waits"):
        store.set_priority(job.id, 1)


def test_a_device_that_is_not_there_is_a_sentence_before_anything_starts(jobs):
    for name, said in (("cuda:63", "no device cuda:63 now; it has"), ("{{7*7}}", "is no device")):
        with pytest.raises(DeviceUnavailable, match=said):
            jobs.submit("train", "Train", {"device": name})
    assert jobs.store.all() == []
