from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import redirect_stderr, redirect_stdout

import psutil
import pytest
import sqlalchemy as sa

from spatialnet.jobs import launch
from spatialnet.jobs.launch import Jobs
from spatialnet.jobs.store import Job, JobStore
from spatialnet.jobs.worker import work
from spatialnet.settings import Settings
from tests.importing.transfer.test_download import host  # noqa: F401 (a fixture)


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


class HereJobs(Jobs):
    """Jobs whose work is done at once, in this process: quick, and what tests replace is replaced for it too."""

    def _start(self, job: Job) -> Job:
        handlers = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
        folder = self.settings.jobs / job.id
        folder.mkdir(parents=True, exist_ok=True)
        try:
            with (folder / "log.txt").open("a") as log, redirect_stdout(log), redirect_stderr(log):
                work(self.settings, job.id)
        finally:
            for number, handler in handlers.items():
                signal.signal(number, handler)
        return self.store.get(job.id)


@pytest.fixture
def here(settings: Settings, engine: sa.Engine) -> HereJobs:
    """The workspace's jobs without processes of their own."""
    return HereJobs(settings, engine)


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
