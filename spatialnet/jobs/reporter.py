"""How the work of a job tells of its progress, and learns that it should stop."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from types import FrameType

from spatialnet.errors import DatabaseUnavailable, NotEnoughDisk
from spatialnet.jobs.launch import Jobs
from spatialnet.jobs.store import Job

REPORT_SECONDS = 0.5


class Cancelled(Exception):
    """Someone asked this job to stop, and it has saved what it could."""


class Reporter:
    """The line between the work and the job table.

    Attributes:
        device: what to compute on: `cpu` or `cuda:<index>`; `cpu` for work that needs none.
        stop_requested: whether to save and stop.
        trouble: why the job has to stop though nobody asked for it, as a sentence; empty where it has not.
        times: into how many times more parts each step is cut, because memory ran out; 1 = it never did.
    """

    def __init__(self, jobs: Jobs, job: Job) -> None:
        self._jobs, self._job = jobs, job
        self._last = 0.0
        self._shown: tuple[float, str, float | None] = (0.0, "", None)
        self._figures: dict[str, float] = {}
        self._writing = threading.Lock()
        self.device = "cpu"
        self.stop_requested = False
        self.trouble = ""
        self.times = max(1, job.parts)
        self.ran_out = 0
        self._chips = self._parts = 0

    def stop(self, _number: int, _frame: FrameType | None) -> None:
        """Signal handler: stop at the next report."""
        self.stop_requested = True

    def give_up(self, trouble: str) -> None:
        """Stop at the next report, as a failure that can be resumed.

        Args:
            trouble: why, and what to do about it.
        """
        self.trouble = self.trouble or trouble
        self.stop_requested = True

    def note(self, share: float, text: str, seconds_left: float | None = None, rate: float | None = None) -> None:
        """Note progress, at most twice a second, and learn whether to stop.

        Args:
            share: how much is done, 0..1.
            text: what is being done.
            seconds_left: until the end, where that is known.
            rate: chips per second, where chips are worked on.
        """
        self._shown = (share, text, seconds_left)
        if rate is None:
            self._figures.pop("rate", None)
        else:
            self._figures["rate"] = rate
        if time.monotonic() - self._last >= REPORT_SECONDS or share >= 1.0:
            self._write()

    def measured(self, figures: Mapping[str, float]) -> None:
        """Lay fresh figures of the machine beside the progress; called by the thread that watches."""
        rate = {"rate": self._figures["rate"]} if "rate" in self._figures else {}
        self._figures = {**figures, **rate}
        if time.monotonic() - self._last >= REPORT_SECONDS:
            self._write()

    def __call__(self, share: float, text: str, seconds_left: float | None = None, rate: float | None = None) -> None:
        """Note progress, and raise `Cancelled` when asked to stop."""
        if not self.stop_requested:
            self.note(share, text, seconds_left, rate)
        if self.stop_requested:
            raise Cancelled

    def cut(self, chips: int, parts: int = 1) -> int:
        """Into how many parts to cut a step so that it fits into memory.

        Work that asks here and raises `OutOfMemory` is done again with twice as many parts.

        Args:
            chips: chips in a step.
            parts: into how many parts the step is cut anyway.

        Returns:
            `parts`, doubled for each time that memory ran out; at most `chips`.
        """
        self._chips, self._parts = chips, parts
        return min(max(1, parts) * self.times, max(1, chips))

    @property
    def can_cut(self) -> bool:
        """Whether the work asks for its number of parts, and a part still holds more than one chip."""
        return self._chips > 0 and max(1, self._parts) * self.times < self._chips

    @property
    def cut_said(self) -> str:
        """How often memory ran out and what was done about it, as a sentence; empty where it never did."""
        if self.times == 1 or not self._chips:
            return ""
        parts = self.cut(self._chips, self._parts)
        often = {0: "before", 1: "once", 2: "twice"}.get(self.ran_out, f"{self.ran_out} times")
        chips = -(-self._chips // parts)
        return f"Memory ran out {often}; each step was done in {parts} parts of {chips} chip{'s' * (chips > 1)}."

    def _write(self) -> None:
        with self._writing:
            self._last = time.monotonic()
            share, text, left = self._shown
            with suppress(NotEnoughDisk, DatabaseUnavailable):  # progress that nobody sees is no reason to stop
                self.stop_requested |= self._jobs.store.report(self._job.id, share, text, left, self._figures)
