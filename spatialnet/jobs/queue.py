"""The queue of the devices: who is next, when that will be, and how a job's process takes its turn."""

from __future__ import annotations

import fcntl
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import IO

from spatialnet.errors import DatabaseUnavailable, DeviceUnavailable
from spatialnet.jobs.kinds import needs_device
from spatialnet.jobs.machine import candidates
from spatialnet.jobs.store import Job, JobStore, is_alive, rank
from spatialnet.settings import Settings

POLL_SECONDS = 0.3


@dataclass(frozen=True)
class Place:
    """Where a waiting job stands.

    Attributes:
        position: from 1, among the jobs that wait for a device.
        waiting: how many these are.
        seconds: until its turn, where something is known.
        at_least: whether some job ahead has no estimate, so that it may take longer.
    """

    position: int
    waiting: int
    seconds: float | None
    at_least: bool

    @property
    def text(self) -> str:
        """The place in words: `2nd of 3 waiting, starts in about 12 min`."""
        ends = {1: "st", 2: "nd", 3: "rd"}
        end = "th" if 10 <= self.position % 100 <= 20 else ends.get(self.position % 10, "th")
        text = f"{self.position}{end} of {self.waiting} waiting"
        if self.seconds is None:
            return text
        minutes = round(self.seconds / 60)
        long = f"{minutes // 60} h {minutes % 60} min" if minutes >= 90 else f"{minutes} min"
        when = long if self.seconds >= 90 else f"{self.seconds:.0f} s"
        return f"{text}, starts in {'at least' if self.at_least else 'about'} {when}"


def places(live: Sequence[Job], now: float | None = None) -> dict[str, Place]:
    """Where every job stands that waits for a device, by its identifier.

    Each device is thought to take the next job when the one before has ended: what runs by its `seconds_left`, what
    waits by `spec["seconds"]`.

    Args:
        live: jobs that wait or run.
        now: seconds since 1970; default: now.
    """
    now = time.time() if now is None else now
    waiting = sorted(
        (job for job in live if job.state == "queued" and needs_device(job.kind, job.spec.get("device"))), key=rank
    )
    free: dict[str, tuple[float, bool]] = {}
    for job in live:
        if job.state == "running" and job.device is not None:
            left = seconds_left(job, now)
            busy, vague = free.get(job.device, (0.0, False))
            free[job.device] = (busy + (left or 0.0), vague or left is None)
    found = {}
    for number, job in enumerate(waiting, 1):
        names = _fitting(job)
        chosen = min(names, key=lambda name: free.get(name, (0.0, False)), default=None)
        begin, vague = free.get(chosen or "", (0.0, chosen is None))
        found[job.id] = Place(number, len(waiting), begin if begin or not vague else None, vague)
        if chosen is not None:
            takes = job.spec.get("seconds")
            free[chosen] = (begin + float(takes or 0.0), vague or not takes)
    return found


def seconds_left(job: Job, now: float | None = None) -> float | None:
    """How long a running job still takes: by its own word, else by its estimate, else by its share; None = unknown."""
    now = time.time() if now is None else now
    said = (job.progress or {}).get("seconds_left")
    if said is not None:
        return max(0.0, float(said) - (now - (job.heartbeat_at or now)))
    ran = max(0.0, now - (job.started_at or now))
    if job.spec.get("seconds"):
        return max(0.0, float(job.spec["seconds"]) - ran)
    return ran * (1 - job.share) / job.share if job.share > 0.05 else None


@contextmanager
def device_for(settings: Settings, store: JobStore, job: Job, wait: Callable[[str], None]) -> Iterator[str | None]:
    """Hold a device for a job that computes; others wait. The kernel frees it when the process dies, however it dies.

    Args:
        settings: the workspace; locks are kept in it.
        store: the queue.
        job: the job of this process.
        wait: told again and again why nothing happens yet; may raise to give up.

    Yields:
        The device's name; None where the job needs none.

    Raises:
        DeviceUnavailable: this machine has no such device.
    """
    if not needs_device(job.kind, job.spec.get("device")):
        yield None
        return
    names = candidates(str(job.spec.get("device") or "auto"))
    while (found := _taken(settings, store, job, names)) is None:
        wait("Waiting for another job on this device" if len(names) == 1 else "Waiting for a free device")
        time.sleep(POLL_SECONDS)
    name, held = found
    with held:
        yield name


def _taken(settings: Settings, store: JobStore, job: Job, names: Sequence[str]) -> tuple[str, IO[str]] | None:
    try:
        live = store.live()
    except DatabaseUnavailable:
        return None
    mine = next((other for other in live if other.id == job.id), job)
    for name in names:
        better = (
            other for other in live
            if other.state == "queued" and needs_device(other.kind, other.spec.get("device")) and rank(other) < rank(mine)
            and not other.stopping and name in _fitting(other) and is_alive(other)
        )  # fmt: skip
        if next(better, None) is None and (held := _lock(settings, name)) is not None:
            return name, held
    return None


def _lock(settings: Settings, name: str) -> IO[str] | None:
    file = (settings.locks / f"{name.replace(':', '-')}.lock").open("w")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.close()
        return None
    return file


def _fitting(job: Job) -> list[str]:
    try:
        return candidates(str(job.spec.get("device") or "auto"))
    except DeviceUnavailable:
        return []
