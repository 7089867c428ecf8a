"""Starts, cancels and resumes jobs. Each job is a process of its own session: it outlives the app that started it."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

import psutil
import sqlalchemy as sa

from spatialnet.atomic import full_disk_said
from spatialnet.errors import NotEnoughDisk
from spatialnet.jobs.store import Job, JobStore
from spatialnet.settings import REPOSITORY, Settings

CANCEL_GRACE_SECONDS = 20.0
"""How long a cancelled job may take to save its state before it is killed."""

_children: dict[int, subprocess.Popen[bytes]] = {}
"""Processes that this one started, by process id, until they have ended."""


class Jobs:
    """The jobs of a workspace."""

    def __init__(self, settings: Settings, engine: sa.Engine) -> None:
        self.settings = settings
        self.engine = engine
        self.store = JobStore(engine)

    def submit(self, kind: str, title: str, spec: Mapping[str, Any]) -> Job:
        """Add a job and start its process.

        Raises:
            JobRefused: the same job (kind and spec, but for the run's folder) is waiting or running, or no process can
                be started.
            NotEnoughDisk: the disk is full; nothing was started.
        """
        job = self.store.add(kind, title, spec, _key(kind, spec))
        return self._start(job)

    def cancel(self, identifier: str) -> None:
        """Ask a job to save its state and stop; kill it when it does not within the grace period."""
        job = self.store.request_cancel(identifier)
        if not job.live:
            return
        _signal(job, signal.SIGTERM)
        timer = threading.Timer(CANCEL_GRACE_SECONDS, self._kill, [job])
        timer.daemon = True
        timer.start()

    def resume(self, identifier: str) -> Job:
        """Start a stopped job again; training goes on from its last checkpoint.

        Raises:
            JobRefused: it is live or done.
        """
        job = self.store.get(identifier)
        return self._start(self.store.requeue(identifier, _key(job.kind, job.spec)))

    def reconcile(self) -> list[Job]:
        """Mark jobs whose process is gone as lost; see `JobStore.reconcile`."""
        for pid, child in list(_children.items()):
            if child.poll() is not None:  # also takes the zombie off the process table
                del _children[pid]
        return self.store.reconcile()

    def log(self, identifier: str, lines: int = 200) -> str:
        """The last lines of a job's log."""
        path = self.settings.jobs / self.store.get(identifier).id / "log.txt"
        if not path.exists():
            return ""
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - 200 * lines))
            return "\n".join(file.read().decode("utf-8", "replace").splitlines()[-lines:])

    def _start(self, job: Job) -> Job:
        environment = {
            **os.environ,
            "SPATIALNET_DATA": str(self.settings.workspace),
            "SPATIALNET_DATABASE": self.settings.database_url,
            "PYTHONUNBUFFERED": "1",
            # Threads that wait by spinning starve the app, and each other, on a machine of few cores.
            "OMP_WAIT_POLICY": "PASSIVE",
        }
        folder = self.settings.jobs / job.id
        try:
            with full_disk_said("the job's log"):
                folder.mkdir(parents=True, exist_ok=True)
                with (folder / "log.txt").open("ab") as log:
                    child = subprocess.Popen(
                        [sys.executable, "-m", "spatialnet", "worker", job.id],
                        stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT, close_fds=True,
                        start_new_session=True, cwd=REPOSITORY, env=environment,
                    )  # fmt: skip
        except (OSError, NotEnoughDisk) as error:
            self.store.end(job.id, "failed", f"Its process could not be started: {error}")
            raise
        _children[child.pid] = child
        with suppress(psutil.Error):  # it may have ended already; it then wrote its own end
            self.store.set_process(job.id, child.pid, psutil.Process(child.pid).create_time())
        return self.store.get(job.id)

    def _kill(self, asked: Job) -> None:
        job = self.store.get(asked.id)
        if job.live and job.cancel_requested and job.attempt == asked.attempt:
            _signal(job, signal.SIGKILL)
            self.store.end(job.id, "cancelled", "It did not stop by itself and was killed.", attempt=job.attempt)


def _signal(job: Job, number: signal.Signals) -> None:
    if job.pid is None or job.pid_started is None:
        return
    with suppress(psutil.Error, ProcessLookupError, PermissionError):
        if abs(psutil.Process(job.pid).create_time() - job.pid_started) < 2:
            os.killpg(job.pid, number)


def _key(kind: str, spec: Mapping[str, Any]) -> str:
    # Each request to train makes a new run folder, so its name says nothing about sameness.
    same = {name: value for name, value in spec.items() if name != "run"}
    return f"{kind}:{hashlib.sha256(json.dumps(same, sort_keys=True).encode()).hexdigest()[:32]}"
