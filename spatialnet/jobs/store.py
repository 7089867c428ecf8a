"""The job table: who waits, runs, ended, and how. Each job is one detached process that writes its own end state."""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal

import psutil
import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError, OperationalError

from spatialnet.database import jobs
from spatialnet.errors import DatabaseUnavailable, JobRefused, NotEnoughDisk
from spatialnet.jobs.kinds import needs_device

State = Literal["queued", "running", "paused", "done", "failed", "cancelled", "lost"]
LIVE: tuple[State, ...] = ("queued", "running")
RESUMABLE: tuple[State, ...] = ("paused", "failed", "cancelled", "lost")
PRIORITIES = {-1: "low", 0: "normal", 1: "high"}
MOST_PARTS = 64
"""A step is never cut into more times its own parts than this."""
SCARCE = 0.06
"""Free memory below this share of all of it, when a job was last seen, explains why it was killed."""
START_SECONDS = 60
"""A job whose process never reported within this time is lost."""


@dataclass(frozen=True)
class Job:
    """One row of the job table.

    Attributes:
        id: identifier and name of the job's folder.
        kind: what it does; see `spatialnet.jobs.worker`.
        title: what people read.
        spec: its arguments.
        state: `queued` (its process waits for the device), `running`, `paused` (it saved its state, has no process, and
            counts as under way), or how it ended. `lost` = its process is gone.
        queued_at: since when it waits, in seconds since 1970; of two jobs of one priority the older is first.
        priority: -1 low, 0 normal, 1 high.
        attempt: from 1; resuming adds one.
        progress: share in 0..1, what is being done, seconds left where known, and `figures` (see
            `spatialnet.jobs.machine.Meter`).
        message: why it ended, in one sentence.
        device: what it computes on, once it does.
        parts: into how many times more parts each step is cut because memory ran out; 1 = it never did.
    """

    id: str
    kind: str
    title: str
    spec: dict[str, Any]
    state: State
    created_at: float
    queued_at: float
    priority: int
    started_at: float | None
    ended_at: float | None
    heartbeat_at: float | None
    attempt: int
    pid: int | None
    pid_started: float | None
    progress: dict[str, Any] | None
    message: str | None
    cancel_requested: bool
    pause_requested: bool
    device: str | None
    parts: int

    @property
    def live(self) -> bool:
        """Whether it waits or runs."""
        return self.state in LIVE

    @property
    def share(self) -> float:
        """How much is done, 0..1."""
        return float((self.progress or {}).get("share", 0.0))

    @property
    def _waiting(self) -> str:
        if self.state != "queued":
            return ""
        return "Waiting for the device" if needs_device(self.kind, self.spec.get("device")) else "Starting"

    @property
    def stopping(self) -> bool:
        """Whether someone asked it to stop, for now or for good."""
        return self.live and (self.cancel_requested or self.pause_requested)

    @property
    def figures(self) -> dict[str, float]:
        """What was measured of it last, see `spatialnet.jobs.machine.Meter`; empty where nothing was."""
        return dict((self.progress or {}).get("figures") or {})

    @property
    def text(self) -> str:
        """What is being done, or why it ended."""
        if not self.live:
            return self.message or ""
        return str((self.progress or {}).get("text") or self._waiting)


class JobStore:
    """Rows of the job table. Safe for many processes; knows nothing of how a job is started."""

    def __init__(self, engine: sa.Engine) -> None:
        self._engine = engine

    def add(self, kind: str, title: str, spec: Mapping[str, Any], key: str, priority: int = 0) -> Job:
        """Add a waiting job.

        Args:
            kind: what it does.
            title: what people read.
            spec: its arguments, JSON-ready.
            key: two jobs that wait, run or are paused never have the same one.
            priority: -1 low, 0 normal, 1 high.

        Raises:
            JobRefused: a job that waits, runs or is paused has this key.
            NotEnoughDisk: the disk is full; nothing was added.
        """
        identifier = f"{kind}-{time.strftime('%Y%m%d-%H%M%S', time.gmtime())}-{uuid.uuid4().hex[:6]}"
        now = time.time()
        row = {
            "id": identifier, "kind": kind, "title": title[:200], "spec": dict(spec), "state": "queued",
            "active_key": key[:128], "created_at": now, "queued_at": now, "attempt": 1,
            "cancel_requested": False, "pause_requested": False, "priority": _in_range(priority), "parts": 1,
        }  # fmt: skip
        try:
            self._write(jobs.insert().values(row))
        except IntegrityError as error:
            raise self._under_way(key[:128], title) from error
        return self.get(identifier)

    def _under_way(self, key: str, title: str) -> JobRefused:
        same = self._read(sa.select(jobs).where(jobs.c.active_key == key))
        if same and same[0].state == "paused":
            return JobRefused(f"The same job is paused: {title}. Resume it, or cancel it first.")
        return JobRefused(f"The same job is already under way: {title}. Wait for it, or cancel it first.")

    def get(self, identifier: str) -> Job:
        """One job.

        Raises:
            JobRefused: none of this identifier.
        """
        found = self._read(sa.select(jobs).where(jobs.c.id == identifier))
        if not found:
            raise JobRefused(f"There is no job {identifier[:64]!r}. Choose a listed one.")
        return found[0]

    def all(self, *, kind: str | None = None, limit: int = 50) -> list[Job]:
        """Jobs, newest first."""
        query = sa.select(jobs).order_by(jobs.c.created_at.desc()).limit(limit)
        return self._read(query if kind is None else query.where(jobs.c.kind == kind))

    def live(self) -> list[Job]:
        """Jobs that wait or run, oldest first: the queue."""
        return self._read(sa.select(jobs).where(jobs.c.state.in_(LIVE)).order_by(jobs.c.created_at))

    def set_process(self, identifier: str, pid: int, started: float) -> None:
        """Note which process works on a job. `started` tells the process from a later one with the same number."""
        self._update(identifier, LIVE, pid=pid, pid_started=started, heartbeat_at=time.time())

    def begin(self, identifier: str, pid: int, device: str | None = None) -> bool:
        """The job's process has the device and starts.

        Returns:
            False where the job does not wait any more, or is another process's.
        """
        now, mine = time.time(), jobs.c.pid == pid
        began: dict[str, Any] = {
            "state": "running",
            "started_at": now,
            "heartbeat_at": now,
            "device": device,
            "progress": None,
        }
        return self._update(identifier, ("queued",), mine, **began)

    def report(
        self,
        identifier: str,
        share: float,
        text: str,
        seconds_left: float | None = None,
        figures: Mapping[str, float] | None = None,
    ) -> bool:
        """Note progress.

        Returns:
            Whether someone asked it to stop, for now or for good.
        """
        progress = {"share": min(max(share, 0.0), 1.0), "text": text, "seconds_left": seconds_left}
        if figures:
            progress["figures"] = dict(figures)
        self._update(identifier, LIVE, progress=progress, heartbeat_at=time.time())
        return self.get(identifier).stopping

    def set_parts(self, identifier: str, parts: int) -> None:
        """Note into how many times more parts each step is cut, so that a later attempt begins with them."""
        self._update(identifier, LIVE, parts=parts)

    def set_priority(self, identifier: str, priority: int) -> Job:
        """Move a job that waits or is paused in the queue.

        Raises:
            JobRefused: it does not wait, or there is no such priority.
        """
        if not self._update(identifier, ("queued", "paused"), priority=_in_range(priority)):
            job = self.get(identifier)
            raise JobRefused(f"Job {job.title} is {job.state}; only a job that waits has a place in the queue.")
        return self.get(identifier)

    def end(self, identifier: str, state: State, message: str = "", *, attempt: int | None = None) -> bool:
        """Note how a live job ended and free its key, which a paused one keeps; what was noted first stands.

        A job that was taken for lost may still turn out done.

        Args:
            identifier: which job.
            state: how it ended.
            message: why, in one sentence.
            attempt: only if it is still at this attempt.

        Returns:
            Whether it was live until now.
        """
        ended: dict[str, Any] = {"state": state, "message": message[:2000], "ended_at": time.time()}
        if state != "paused":
            ended["active_key"] = None
        states: Sequence[State] = (*LIVE, "lost") if state == "done" else LIVE
        return self._update(identifier, states, _at(attempt), **ended)

    def request_cancel(self, identifier: str) -> Job:
        """Ask a live job to stop at its next step; a paused one ends now, one that has ended is left as it is."""
        self._update(identifier, LIVE, cancel_requested=True)
        ended: dict[str, Any] = {
            "state": "cancelled",
            "message": "Cancelled while it was paused.",
            "ended_at": time.time(),
        }
        self._update(identifier, ("paused",), active_key=None, **ended)
        return self.get(identifier)

    def request_pause(self, identifier: str) -> Job:
        """Ask a live job to save its state and give the device free.

        Raises:
            JobRefused: it does not wait or run, or it is to be cancelled.
        """
        wanted = jobs.c.cancel_requested == sa.false()
        if not self._update(identifier, LIVE, wanted, pause_requested=True):
            job = self.get(identifier)
            is_now = "being cancelled" if job.live else job.state
            raise JobRefused(f"Job {job.title} is {is_now}; only a job that waits or runs can be paused.")
        return self.get(identifier)

    def requeue(self, identifier: str, key: str, **changes: object) -> Job:
        """Make a stopped job wait again, as its next attempt.

        Args:
            identifier: which job.
            key: as for `add`.
            changes: entries of its `spec` that are other from now on.

        Raises:
            JobRefused: it is live or done, or another live job has its key.
        """
        job = self.get(identifier)
        if job.state not in RESUMABLE:
            raise JobRefused(f"Job {job.title} is {job.state}; only a stopped job can be resumed.")
        now = time.time()
        waiting = {
            "state": "queued", "attempt": job.attempt + 1, "active_key": key[:128], "cancel_requested": False,
            "pause_requested": False, "pid": None, "pid_started": None, "message": None, "ended_at": None, "device": None,
            "queued_at": now, "heartbeat_at": now, "spec": {**job.spec, **changes},
        }  # fmt: skip
        try:
            again = self._update(identifier, RESUMABLE, _at(job.attempt), **waiting)
        except IntegrityError as error:
            raise self._under_way(key[:128], job.title) from error
        if not again:
            raise JobRefused(f"Job {job.title} was resumed by someone else just now.")
        return self.get(identifier)

    def reconcile(self) -> list[Job]:
        """Mark live jobs whose process is gone as `lost`, or as `cancelled` where that was asked for.

        Returns:
            The jobs that were marked.
        """
        return [job for job in self.live() if not is_alive(job) and self._mark_gone(job)]

    def _mark_gone(self, job: Job) -> bool:
        # Between the look at the table and the look at the process the job may have ended well, or begun anew.
        if job.cancel_requested:
            return self.end(job.id, "cancelled", "Cancelled before it could save its state.", attempt=job.attempt)
        if job.pause_requested:
            text = "Paused; its process ended before it could save. Resume it to go on from its last checkpoint."
            return self.end(job.id, "paused", text, attempt=job.attempt)
        free, total = job.figures.get("free_memory"), job.figures.get("all_memory", 0.0)
        if free is not None and free < SCARCE * total and job.parts < MOST_PARTS:
            self._update(job.id, LIVE, _at(job.attempt), parts=job.parts * 2)
            text = (
                f"Its process was killed when only {free / 2**30:.1f} GiB of memory were free: memory ran out. Resume it; "
                "each step is then done in twice as many parts."
            )
            return self.end(job.id, "lost", text, attempt=job.attempt)
        text = (
            "Its process ended without a word: it was killed, or memory ran out. Resume it; if that happens again, start "
            "it anew with smaller batches."
        )
        return self.end(job.id, "lost", text, attempt=job.attempt)

    def _update(
        self, identifier: str, states: Sequence[State], also: sa.ColumnElement[bool] | None = None, **values: object
    ) -> bool:
        """Change a job that is in one of these states (and fulfils one more condition); False where it is not."""
        change = jobs.update().where(jobs.c.id == identifier, jobs.c.state.in_(states))
        return self._write((change if also is None else change.where(also)).values(**values)) == 1

    def _write(self, statement: sa.Insert | sa.Update) -> int:
        """How many rows a statement changed."""
        with _trouble_said(), self._engine.begin() as connection:
            return connection.execute(statement).rowcount

    def _read(self, query: sa.Select[Any]) -> list[Job]:
        with _trouble_said(), self._engine.connect() as connection:
            rows = connection.execute(query).mappings().all()
        return [Job(**{name: value for name, value in row.items() if name != "active_key"}) for row in rows]


@contextmanager
def _trouble_said() -> Iterator[None]:
    """Say in our own words why the database did not answer."""
    try:
        yield
    except OperationalError as error:
        if "disk is full" in str(error.orig) or "No space left" in str(error.orig):
            raise NotEnoughDisk("The disk is full: the list of jobs was not changed. Free some space.") from error
        raise DatabaseUnavailable(f"The list of jobs is busy or away ({error.orig}). Try again in a moment.") from error


def rank(job: Job) -> tuple[int, float, str]:
    """The order in which waiting jobs get a device: by priority, then by age."""
    return -job.priority, job.queued_at, job.id


def _in_range(priority: int) -> int:
    if priority not in PRIORITIES:
        raise JobRefused(f"There is no priority {priority!r}. Use -1 (low), 0 (normal) or 1 (high).")
    return int(priority)


def _at(attempt: int | None) -> sa.ColumnElement[bool] | None:
    return None if attempt is None else jobs.c.attempt == attempt


def is_alive(job: Job) -> bool:
    """Whether the process that works on a job is there; a process that was started just now counts as there."""
    if job.pid is None or job.pid_started is None:
        return time.time() - max(job.created_at, job.heartbeat_at or 0.0) < START_SECONDS
    try:
        process = psutil.Process(job.pid)
        return abs(process.create_time() - job.pid_started) < 2 and process.status() != psutil.STATUS_ZOMBIE
    except psutil.Error:
        return False
