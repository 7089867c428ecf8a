"""How the work of a job tells of its progress, and learns that it should stop."""

from __future__ import annotations

import time
from contextlib import suppress
from types import FrameType

from spatialnet.errors import DatabaseUnavailable, NotEnoughDisk
from spatialnet.jobs.launch import Jobs
from spatialnet.jobs.store import Job

REPORT_SECONDS = 0.5


class Cancelled(Exception):
    """Someone asked this job to stop, and it has saved what it could."""


class Reporter:
    """The line between the work and the job table."""

    def __init__(self, jobs: Jobs, job: Job) -> None:
        self._jobs, self._job = jobs, job
        self._last = 0.0
        self.stop_requested = False

    def stop(self, _number: int, _frame: FrameType | None) -> None:
        """Signal handler: stop at the next report."""
        self.stop_requested = True

    def note(self, share: float, text: str, seconds_left: float | None = None) -> None:
        """Note progress, at most twice a second, and learn whether to stop."""
        if time.monotonic() - self._last >= REPORT_SECONDS or share >= 1.0:
            self._last = time.monotonic()
            with suppress(NotEnoughDisk, DatabaseUnavailable):  # progress that nobody sees is no reason to stop
                self.stop_requested |= self._jobs.store.report(self._job.id, share, text, seconds_left)

    def __call__(self, share: float, text: str, seconds_left: float | None = None) -> None:
        """Note progress, and raise `Cancelled` when asked to stop."""
        if not self.stop_requested:
            self.note(share, text, seconds_left)
        if self.stop_requested:
            raise Cancelled
