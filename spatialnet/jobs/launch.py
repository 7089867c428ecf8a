"""Starts, pauses, cancels and resumes jobs. Each job is a process of its own session: it outlives the app that started it."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

import psutil
import sqlalchemy as sa

from spatialnet.atomic import full_disk_said
from spatialnet.errors import ClusterUnavailable, NotEnoughDisk
from spatialnet.jobs.kinds import CLUSTER, needs_device
from spatialnet.jobs.machine import candidates, check_disk
from spatialnet.jobs.store import Job, JobStore
from spatialnet.settings import REPOSITORY, Settings

CANCEL_GRACE_SECONDS = 20.0
"""How long a cancelled job may take to save its state before it is killed."""

_QUEUEING = {"run", "priority", "device", "seconds", "disk_bytes", "checkpoint_bytes"}
"""Entries of a job's spec that do not tell what is done."""

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

        Args:
            kind: what it does, see `spatialnet.jobs.kinds`.
            title: what people read.
            spec: its arguments, JSON-ready. These are read here too: `priority` (-1, 0, 1), `device` (`auto`, `cpu`,
                `cuda:<index>`, `ray`), `seconds` (how long it will take), `disk_bytes` (what it writes) and `checkpoint_bytes`
                (how large one checkpoint is).

        Raises:
            JobRefused: the same job (kind and spec, but for the run's folder and what only says how it queues) waits,
                runs or is paused, or no process can be started.
            NotEnoughDisk: what it writes would not fit; nothing was started.
            DeviceUnavailable: this machine has no such device.
            ClusterUnavailable: it is to run on a cluster, and the settings name none.
        """
        if needs_device(kind):
            self._check_device(str(spec.get("device") or "auto"))
        check_disk(self.settings.workspace, float(spec.get("disk_bytes") or 0.0))
        job = self.store.add(kind, title, spec, _key(kind, spec), int(spec.get("priority") or 0))
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

    def pause(self, identifier: str) -> Job:
        """Ask a job to save its state and give the device free; it keeps its place as a job that is under way.

        Raises:
            JobRefused: it does not wait or run.
        """
        job = self.store.request_pause(identifier)
        _signal(job, signal.SIGTERM)
        return job

    def resume(self, identifier: str, device: str | None = None) -> Job:
        """Start a paused or stopped job again, at the end of the queue; training goes on from its last checkpoint.

        Args:
            identifier: which job.
            device: another device from now on.

        Raises:
            JobRefused: it is live or done.
            DeviceUnavailable: this machine has no such device.
        """
        job = self.store.get(identifier)
        changes = {} if device is None else {"device": device}
        if device is not None:
            self._check_device(device)
        return self._start(self.store.requeue(identifier, _key(job.kind, job.spec), **changes))

    def set_priority(self, identifier: str, priority: int) -> Job:
        """Move a job that waits in the queue; see `JobStore.set_priority`."""
        return self.store.set_priority(identifier, priority)

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

    def log_bytes(self, identifier: str) -> bytes:
        """A job's whole log, to be kept elsewhere; empty where nothing was written."""
        path = self.settings.jobs / self.store.get(identifier).id / "log.txt"
        return path.read_bytes() if path.exists() else b""

    def search_log(self, identifier: str, text: str, lines: int = 1000) -> tuple[int, list[str]]:
        """Lines of a job's log that hold a text, upper and lower case alike.

        Args:
            identifier: which job.
            text: what to look for; empty finds every line.
            lines: at most this many are given, the last ones.

        Returns:
            How many lines hold it, and the last of these.
        """
        path = self.settings.jobs / self.store.get(identifier).id / "log.txt"
        if not path.exists():
            return 0, []
        wanted, hits, kept = text.casefold(), 0, deque[str](maxlen=lines)
        with path.open(encoding="utf-8", errors="replace") as file:
            for line in file:
                if wanted in line.casefold():
                    hits += 1
                    kept.append(line.rstrip("\n"))
        return hits, list(kept)

    def _check_device(self, device: str) -> None:
        if device != CLUSTER:
            candidates(device)
        elif not self.settings.ray:
            raise ClusterUnavailable(
                "No Ray cluster is named. Set SPATIALNET_RAY to its address and start again, or choose another device."
            )

    def _start(self, job: Job) -> Job:
        environment = {
            **os.environ,
            "SPATIALNET_DATA": str(self.settings.workspace),
            "SPATIALNET_DATABASE": self.settings.database_url,
            "PYTHONUNBUFFERED": "1",
            # Threads that wait by spinning starve the app, and each other, on a machine of few cores.
            "OMP_WAIT_POLICY": "PASSIVE",
            # The driver counts GPUs in this order; by default CUDA puts the fastest first.
            "CUDA_DEVICE_ORDER": "PCI_BUS_ID",
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
    # Each request to train makes a new run folder, so its name says nothing about sameness; nor does how it queues.
    same = {name: value for name, value in spec.items() if name not in _QUEUEING}
    return f"{kind}:{hashlib.sha256(json.dumps(same, sort_keys=True).encode()).hexdigest()[:32]}"
