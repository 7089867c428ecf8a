"""Jobs on the page: progress that refreshes itself while something runs, and only then."""

from __future__ import annotations

import time
from collections.abc import Callable

import streamlit as st

from spatialnet.jobs.services import services
from spatialnet.jobs.store import Job
from spatialnet.ui.markup import plain

POLL_SECONDS = 1.0


def live_fragment(draw: Callable[[], None], key: str) -> None:
    """Draw something now, again every second while any job is live, and the whole page once when jobs begin or end.

    Args:
        draw: draws it.
        key: tells fragments apart.
    """

    def board() -> None:
        draw()
        now = [job.id for job in services().jobs.store.live()]
        if now != st.session_state.setdefault(f"{key}.live", now):
            st.session_state[f"{key}.live"] = now
            st.rerun()

    st.session_state[f"{key}.live"] = [job.id for job in services().jobs.store.live()]
    st.fragment(board, run_every=POLL_SECONDS if st.session_state[f"{key}.live"] else None)()


def sidebar_jobs() -> None:
    """The jobs under way, in the sidebar; and a notice, once, when one that was seen here has ended."""
    _tell_ended()

    def draw() -> None:
        for job in services().jobs.store.live():
            st.progress(job.share, text=progress_text(job))

    live_fragment(draw, "sidebar")


_NOTICES = {
    "done": ("is done", ":material/check_circle:"),
    "failed": ("failed", ":material/error:"),
    "cancelled": ("was cancelled", ":material/cancel:"),
    "paused": ("is paused", ":material/pause_circle:"),
    "lost": ("was lost", ":material/help:"),
}


def _tell_ended() -> None:
    """Say how jobs ended that were under way when this browser session looked last.

    This runs with the whole page, which every live fragment draws again when jobs begin or end: a notice that a fragment
    gave itself would be gone with the page that it belonged to.
    """
    live = [job.id for job in services().jobs.store.live()]
    for identifier in st.session_state.get("jobs.seen", []):
        if identifier in live:
            continue
        job = services().jobs.store.get(identifier)
        outcome, icon = _NOTICES.get(job.state, ("ended", ":material/info:"))
        detail = f" {plain(job.text)}" if job.text else ""
        st.toast(f"**{plain(job.title)}** {outcome}.{detail}", icon=icon, duration="long")
    st.session_state["jobs.seen"] = live


def progress_text(job: Job) -> str:
    """Title, what is being done, and time left where known."""
    left = (job.progress or {}).get("seconds_left")
    parts = [job.title, job.text, f"{duration(float(left))} left" if left else ""]
    return plain(" · ".join(part for part in parts if part))


def duration(seconds: float) -> str:
    """Seconds in words: `45 s`, `3 min`, `2 h 5 min`."""
    seconds = max(0.0, seconds)
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60} min"


def when(timestamp: float) -> str:
    """Day and time of this machine, with the year where it is another; unlike `ago` it may stand in a picker's options."""
    then = time.localtime(timestamp)
    return time.strftime("%d %b %H:%M" if then.tm_year == time.localtime().tm_year else "%d %b %Y %H:%M", then)


def ago(timestamp: float) -> str:
    """How long ago, in words."""
    return f"{duration(time.time() - timestamp)} ago"
