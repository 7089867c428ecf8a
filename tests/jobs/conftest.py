from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator

import psutil
import pytest
import sqlalchemy as sa

from spatialnet.jobs import launch
from spatialnet.jobs.launch import Jobs
from spatialnet.jobs.store import Job, JobStore
from spatialnet.settings import Settings


@pytest.fixture
def store(engine: sa.Engine) -> JobStore:
    return JobStore(engine)


@pytest.fixture
def jobs(settings: Settings, engine: sa.Engine) -> Iterator[Jobs]:
    """The workspace's jobs; whatever still runs at the end of the test is killed."""
    jobs = Jobs(settings, engine)
    yield jobs
    for child in launch._children.values():
        if child.poll() is None:
            os.killpg(child.pid, signal.SIGKILL)
        child.wait()
    launch._children.clear()


@pytest.fixture
def until(jobs: Jobs) -> Callable[..., Job]:
    """`until(job, what)` waits until `what(job)` is true of the job as it stands, and gives it."""

    def wait(job: Job, what: Callable[[Job], object], seconds: float = 90) -> Job:
        end = time.monotonic() + seconds
        while True:
            jobs.reconcile()
            now = jobs.store.get(job.id)
            if what(now):
                return now
            assert time.monotonic() < end, f"waited in vain: {now}\n{jobs.log(job.id)}"
            assert now.live or what(now), f"ended: {now}\n{jobs.log(job.id)}"
            time.sleep(0.05)

    return wait


def kill(job: Job) -> None:
    """As the kernel does when memory runs out."""
    assert job.pid is not None
    os.kill(job.pid, signal.SIGKILL)
    end = time.monotonic() + 10
    while psutil.pid_exists(job.pid) and psutil.Process(job.pid).status() != psutil.STATUS_ZOMBIE:
        assert time.monotonic() < end
        time.sleep(0.01)
