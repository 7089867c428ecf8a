"""A thread beside the work of a job: it measures what the job uses, and stops it before the disk is full."""

from __future__ import annotations

import threading
from contextlib import suppress
from pathlib import Path
from types import TracebackType

from spatialnet.jobs.machine import GIB, LEAST_FREE, Meter, free_disk
from spatialnet.jobs.reporter import Reporter

WATCH_SECONDS = 2.0


class Watch:
    """Looks every two seconds while its block runs.

    Args:
        reporter: is told what was measured, and to stop.
        folder: where the job writes.
        device: what the job computes on, or None.
        floor: bytes that the job's next checkpoint takes.
    """

    def __init__(self, reporter: Reporter, folder: Path, device: str | None, floor: float = 0.0) -> None:
        self._reporter, self._folder, self._floor = reporter, folder, LEAST_FREE + floor
        self._meter = Meter(device)
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Watch:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        self._thread.join(timeout=10)

    def _run(self) -> None:
        while not self._over.wait(WATCH_SECONDS):
            self.look()

    def look(self) -> None:
        """Measure once."""
        with suppress(OSError):
            free = free_disk(self._folder)
            if free < self._floor:
                self._reporter.give_up(
                    f"Only {free / GIB:.2f} GiB are left on the workspace's disk, so the job saved its state and stopped. "
                    "Free some space, then resume it."
                )
        self._reporter.measured(self._meter.read())
