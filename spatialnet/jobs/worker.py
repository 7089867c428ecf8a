"""What a job's process does: take the device, do the work, write how it ended."""

from __future__ import annotations

import fcntl
import os
import signal
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import psutil

from spatialnet.database import open_database
from spatialnet.errors import JobRefused, SpatialNetError
from spatialnet.jobs.launch import Jobs
from spatialnet.jobs.reporter import Cancelled, Reporter
from spatialnet.jobs.store import Job, is_alive
from spatialnet.settings import Settings

_NEEDS_DEVICE = {"train"}


def _work_of(kind: str) -> Callable[[Jobs, Job, Reporter], str]:
    # Imported here: bringing data in needs no torch, and torch takes seconds to import.
    if kind == "sample":
        from spatialnet.jobs.preparing import prepare_sample

        return prepare_sample
    if kind == "train":
        from spatialnet.jobs.training import train_run

        return train_run
    if kind == "scan":
        from spatialnet.jobs.importing import scan_source

        return scan_source
    if kind == "import":
        from spatialnet.jobs.importing import import_dataset

        return import_dataset
    raise JobRefused(f"There is no work of kind {kind[:40]!r}.")


def work(settings: Settings, identifier: str) -> int:
    """Do one job in this process.

    Returns:
        The process's exit status: 0 done or cancelled, 1 failed.

    Raises:
        JobRefused: there is no such job, or it does not wait for a process.
    """
    jobs = Jobs(settings, open_database(settings.database_url))
    job = jobs.store.get(identifier)
    if job.state != "queued" or (job.pid not in (None, os.getpid()) and is_alive(job)):
        raise JobRefused(f"Job {job.id} does not wait for a process: it is {job.state}. `resume` starts a stopped one.")
    jobs.store.set_process(job.id, os.getpid(), psutil.Process().create_time())
    reporter = Reporter(jobs, job)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, reporter.stop)
    print(f"{_now()} attempt {job.attempt}: {job.title}", flush=True)
    try:
        with _device(settings, job, reporter):
            if not jobs.store.begin(job.id, os.getpid()):
                print(f"{_now()} left alone: another process has it", flush=True)
                return 1
            message = _work_of(job.kind)(jobs, job, reporter)
        jobs.store.end(job.id, "done", message)
        print(f"{_now()} done: {message}", flush=True)
        return 0
    except Cancelled:
        jobs.store.end(job.id, "cancelled", "Cancelled. Resume it to go on from its last checkpoint.")
        return 0
    except SpatialNetError as error:
        jobs.store.end(job.id, "failed", str(error))
        print(f"{_now()} failed: {error}", file=sys.stderr, flush=True)
    except Exception as error:  # the log keeps the traceback; people get one sentence
        traceback.print_exc()
        jobs.store.end(job.id, "failed", f"It stopped with {type(error).__name__}. The log tells more; then resume it.")
    return 1


@contextmanager
def _device(settings: Settings, job: Job, reporter: Reporter) -> Iterator[None]:
    """Hold the lock of the device for jobs that compute. The kernel frees it when the process dies, however it dies."""
    if job.kind not in _NEEDS_DEVICE:
        yield
        return
    with (settings.locks / "device.lock").open("w") as file:
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                reporter(0.0, "Waiting for another job on this device")
                time.sleep(0.3)
        yield


def _now() -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S")
