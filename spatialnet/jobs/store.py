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

State = Literal["queued", "running", "done", "failed", "cancelled", "lost"]
LIVE: tuple[State, ...] = ("queued", "running")
RESUMABLE: tuple[State, ...] = ("failed", "cancelled", "lost")
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
        state: `queued` (its process waits for the device), `running`, or how it ended. `lost` = its process is gone.
        attempt: from 1; resuming adds one.
        progress: share in 0..1, what is being done, and seconds left where known.
        message: why it ended, in one sentence.
    """

    id: str
    kind: str
    title: str
    spec: dict[str, Any]
    state: State
    created_at: float
    started_at: float | None
    ended_at: float | None
    heartbeat_at: float | None
    attempt: int
    pid: int | None
    pid_started: float | None
    progress: dict[str, Any] | None
    message: str | None
    cancel_requested: bool

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
        return "Waiting for the device" if self.kind == "train" else "Starting"

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

    def add(self, kind: str, title: str, spec: Mapping[str, Any], key: str) -> Job:
        """Add a waiting job.

        Args:
            kind: what it does.
            title: what people read.
            spec: its arguments, JSON-ready.
            key: two live jobs never have the same one.

        Raises:
            JobRefused: a live job has this key.
            NotEnoughDisk: the disk is full; nothing was added.
        """
        identifier = f"{kind}-{time.strftime('%Y%m%d-%H%M%S', time.gmtime())}-{uuid.uuid4().hex[:6]}"
        row = {
            "id": identifier, "kind": kind, "title": title[:200], "spec": dict(spec), "state": "queued",
            "active_key": key[:128], "created_at": time.time(), "attempt": 1, "cancel_requested": False,
        }  # fmt: skip
        try:
            self._write(jobs.insert().values(row))
        except IntegrityError as error:
            raise JobRefused(f"The same job is already under way: {title}. Wait for it, or cancel it first.") from error
        return self.get(identifier)

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

    def begin(self, identifier: str, pid: int) -> bool:
        """The job's process has the device and starts.

        Returns:
            False where the job does not wait any more, or is another process's.
        """
        now, mine = time.time(), jobs.c.pid == pid
        return self._update(identifier, ("queued",), mine, state="running", started_at=now, heartbeat_at=now)

    def report(self, identifier: str, share: float, text: str, seconds_left: float | None = None) -> bool:
        """Note progress.

        Returns:
            Whether someone asked to cancel.
        """
        progress = {"share": min(max(share, 0.0), 1.0), "text": text, "seconds_left": seconds_left}
        self._update(identifier, LIVE, progress=progress, heartbeat_at=time.time())
        return self.get(identifier).cancel_requested

    def end(self, identifier: str, state: State, message: str = "", *, attempt: int | None = None) -> bool:
        """Note how a live job ended and free its key; what was noted first stands.

        A job that was taken for lost may still turn out done.

        Args:
            identifier: which job.
            state: how it ended.
            message: why, in one sentence.
            attempt: only if it is still at this attempt.

        Returns:
            Whether it was live until now.
        """
        ended = {"state": state, "message": message[:2000], "ended_at": time.time(), "active_key": None}
        states: Sequence[State] = (*LIVE, "lost") if state == "done" else LIVE
        return self._update(identifier, states, _at(attempt), **ended)

    def request_cancel(self, identifier: str) -> Job:
        """Ask a live job to stop at its next step; one that has ended is left as it is."""
        self._update(identifier, LIVE, cancel_requested=True)
        return self.get(identifier)

    def requeue(self, identifier: str, key: str) -> Job:
        """Make an ended job wait again, as its next attempt.

        Raises:
            JobRefused: it is live or done, or another live job has its key.
        """
        job = self.get(identifier)
        if job.state not in RESUMABLE:
            raise JobRefused(f"Job {job.title} is {job.state}; only a stopped job can be resumed.")
        waiting = {
            "state": "queued", "attempt": job.attempt + 1, "active_key": key[:128], "cancel_requested": False, "pid": None,
            "pid_started": None, "message": None, "ended_at": None, "heartbeat_at": time.time(),
        }  # fmt: skip
        try:
            again = self._update(identifier, RESUMABLE, _at(job.attempt), **waiting)
        except IntegrityError as error:
            raise JobRefused(f"The same job is already under way: {job.title}.") from error
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
        text = "Its process ended without a word: it was killed, or memory ran out. Resume it."
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
