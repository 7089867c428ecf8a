"""What a job's process does: take the device, do the work, write how it ended."""

from __future__ import annotations

import gc
import os
import signal
import sys
import time
import traceback

import psutil

from spatialnet.database import open_database
from spatialnet.errors import DeviceUnavailable, JobRefused, OutOfMemory, SpatialNetError
from spatialnet.jobs.kinds import work_of
from spatialnet.jobs.launch import Jobs
from spatialnet.jobs.machine import check_disk
from spatialnet.jobs.queue import device_for
from spatialnet.jobs.reporter import Cancelled, Reporter
from spatialnet.jobs.store import MOST_PARTS, Job, is_alive
from spatialnet.jobs.watch import Watch
from spatialnet.settings import Settings


def work(settings: Settings, identifier: str) -> int:
    """Do one job in this process.

    Returns:
        The process's exit status: 0 done, paused or cancelled, 1 failed.

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
    _log(f"attempt {job.attempt}: {job.title}")
    try:
        with device_for(settings, jobs.store, job, lambda text: reporter(0.0, text)) as device:
            if not jobs.store.begin(job.id, os.getpid(), device):
                _log("left alone: another process has it")
                return 1
            reporter.device = device or "cpu"
            check_disk(settings.workspace, float(job.spec.get("disk_bytes") or 0.0))
            with Watch(reporter, settings.workspace, device, float(job.spec.get("checkpoint_bytes") or 0.0)):
                message = _done(jobs, job, reporter)
        jobs.store.end(job.id, "done", message)
        _log(f"done: {message}")
        return 0
    except Cancelled:
        return _stopped(jobs, job, reporter)
    except SpatialNetError as error:
        jobs.store.end(job.id, "failed", str(error))
        print(f"{_now()} failed: {error}", file=sys.stderr, flush=True)
    except Exception as error:  # the log keeps the traceback; people get one sentence
        traceback.print_exc()
        jobs.store.end(job.id, "failed", f"It stopped with {type(error).__name__}. The log tells more; then resume it.")
    return 1


def _done(jobs: Jobs, job: Job, reporter: Reporter) -> str:
    """Do the work; where memory runs out, again in smaller parts. Gives the job's result."""
    do = work_of(job.kind)
    if reporter.times > 1:
        _log(f"memory ran out in an earlier attempt: each step is cut into {reporter.times} times as many parts")
    while True:
        try:
            message = do(jobs, job, reporter)
        except (SpatialNetError, MemoryError, RuntimeError) as error:
            trouble = _trouble(error, reporter.device)
            if trouble is None:
                raise
            if not isinstance(trouble, OutOfMemory) or not reporter.can_cut or reporter.times >= MOST_PARTS:
                raise trouble from error
        else:
            return f"{message} {reporter.cut_said}".strip()
        # Only here, behind the block above, has Python let go of what the failed attempt held.
        reporter.times *= 2
        reporter.ran_out += 1
        jobs.store.set_parts(job.id, reporter.times)
        gc.collect()
        if "torch" in sys.modules:
            sys.modules["torch"].cuda.empty_cache()
        again = f"Memory ran out; going on with each step in {reporter.times} times as many parts"
        _log(again)
        reporter(0.0, again)


def _trouble(error: Exception, device: str) -> SpatialNetError | None:
    """What an error of the machine means for people; None where it is none, or says so itself."""
    if isinstance(error, OutOfMemory):
        return error
    text = str(error).lower()
    if isinstance(error, MemoryError) or "out of memory" in text or "can't allocate memory" in text:
        return OutOfMemory(
            "Memory ran out. Choose a smaller model, smaller batches or checkpointing, or another device."
        )
    if isinstance(error, RuntimeError) and device != "cpu" and ("cuda" in text or "nvidia driver" in text):
        first = str(error).strip().splitlines()[0] if text.strip() else type(error).__name__
        return DeviceUnavailable(
            f"The GPU {device} stopped answering ({first[:160]}). See with nvidia-smi whether it is there; then resume the "
            "job, or resume it on another device."
        )
    return None


def _stopped(jobs: Jobs, job: Job, reporter: Reporter) -> int:
    """Write why the work stopped before its end."""
    now = jobs.store.get(job.id)
    if now.cancel_requested:
        jobs.store.end(job.id, "cancelled", "Cancelled. Resume it to go on from its last checkpoint.")
    elif reporter.trouble:
        jobs.store.end(job.id, "failed", reporter.trouble)
        print(f"{_now()} failed: {reporter.trouble}", file=sys.stderr, flush=True)
        return 1
    elif now.pause_requested:
        jobs.store.end(job.id, "paused", "Paused. Resume it to go on from its last checkpoint.")
        _log("paused")
    else:
        jobs.store.end(
            job.id, "cancelled", "Its process was told to stop. Resume it to go on from its last checkpoint."
        )
    return 0


def _log(text: str) -> None:
    print(f"{_now()} {text}", flush=True)


def _now() -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S")
