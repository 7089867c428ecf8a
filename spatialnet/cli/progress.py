"""Progress of jobs in a terminal."""

from __future__ import annotations

import sys
import time

from spatialnet.jobs.services import Services
from spatialnet.jobs.store import Job


def follow(shared: Services, job: Job) -> int:
    """Show a job's progress until it ends.

    Returns:
        0 where it is done, else 1.
    """
    while True:
        shared.jobs.reconcile()
        now = shared.jobs.store.get(job.id)
        if not now.live:
            print(over_bar(f"{now.state}: {now.text}"), file=sys.stderr)
            return 0 if now.state == "done" else 1
        left = (now.progress or {}).get("seconds_left")
        bar(now.share, f"{now.text}, {left:.0f} s left" if left else now.text)
        time.sleep(0.5)


def over_bar(text: str) -> str:
    """A line that takes the place of the progress bar where there is one."""
    return f"\r{text.ljust(78)}" if sys.stderr.isatty() else text


def bar(share: float, text: str = "") -> None:
    """Draw the progress bar anew, on a terminal."""
    if sys.stderr.isatty():
        print(f"\r{100 * share:3.0f} % {text}".ljust(79)[:79], end="", file=sys.stderr, flush=True)


def clear_bar() -> None:
    """Take the progress bar off the terminal."""
    if sys.stderr.isatty():
        print(f"\r{' ' * 79}\r", end="", file=sys.stderr, flush=True)
