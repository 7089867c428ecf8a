"""The queue: what runs, what waits and for how long, what is paused or ended; with every action on a job, and its log."""

from __future__ import annotations

from collections.abc import Callable
from textwrap import shorten

import streamlit as st

from spatialnet.errors import SpatialNetError
from spatialnet.jobs.machine import said
from spatialnet.jobs.queue import Place, places
from spatialnet.jobs.services import services
from spatialnet.jobs.store import PRIORITIES, RESUMABLE, Job
from spatialnet.ui.frame import show_error
from spatialnet.ui.live_jobs import ago, progress_text
from spatialnet.ui.markup import plain

ENDED_SHOWN = 6
LOG_LINES = 200

_ICONS = {
    "paused": "pause_circle",
    "done": "check_circle",
    "failed": "error",
    "cancelled": "cancel",
    "lost": "help",
}


def draw_queue() -> None:
    """Draw the jobs of every kind: those that run, those that wait, and those that ended last."""
    jobs = services().jobs.store.all(limit=60)
    running = [job for job in jobs if job.state == "running"]
    found = places([job for job in jobs if job.live])
    waiting = sorted((j for j in jobs if j.state == "queued"), key=lambda j: getattr(found.get(j.id), "position", 0))
    paused = [job for job in jobs if job.state == "paused"]
    ended = [job for job in jobs if not job.live and job.state != "paused"][:ENDED_SHOWN]
    if not jobs:
        st.caption(
            "Nothing runs and nothing waits. What is started on any page appears here, with its progress and log."
        )
    for title, part in (("Running", running), ("Waiting", waiting), ("Paused", paused), ("Ended last", ended)):
        if part:
            st.markdown(f"**{title}**")
        for job in part:
            _job(job, found.get(job.id))


def _job(job: Job, place: Place | None) -> None:
    with st.container(border=True, key=f"job-{job.id}"):
        if job.state == "running":
            st.progress(job.share, text=progress_text(job))
            told = [job.device or "", said(job.figures), "stopping" if job.stopping else ""]
        elif job.live:
            st.markdown(f":material/schedule: {plain(job.title)} · {plain(place.text if place else job.text)}")
            told = [f"{PRIORITIES[job.priority]} priority" if place else "", "stopping" if job.stopping else ""]
        else:
            since = ago(job.ended_at or job.created_at)
            with st.container(horizontal=True, vertical_alignment="center"):
                st.markdown(f":material/{_ICONS[job.state]}: {plain(job.title)} · {job.state} {since}", width="stretch")
                if job.state != "paused":
                    _actions(job, ranked=False)
            told = [shorten(job.message or "", 170, placeholder=" …") if job.state == "done" else job.message or ""]
        if text := " · ".join(part for part in told if part):
            st.caption(plain(text))
        if job.live or job.state == "paused":
            with st.container(horizontal=True):
                _actions(job, ranked=place is not None)
        if st.session_state.get("queue.log") == job.id:
            _log(job)


def _actions(job: Job, *, ranked: bool) -> None:
    shared = services().jobs
    if job.live:
        _act("Pause", "pause", job, lambda: shared.pause(job.id), disabled=job.stopping)
    if ranked or job.state == "paused":
        _act(
            "Sooner", "keyboard_arrow_up", job, lambda: shared.set_priority(job.id, job.priority + 1),
            disabled=job.priority >= max(PRIORITIES),
        )  # fmt: skip
        _act(
            "Later", "keyboard_arrow_down", job, lambda: shared.set_priority(job.id, job.priority - 1),
            disabled=job.priority <= min(PRIORITIES),
        )  # fmt: skip
    if job.state in RESUMABLE:
        _act("Resume", "play_arrow", job, lambda: shared.resume(job.id))
    if job.live or job.state == "paused":
        _act("Cancel", "close", job, lambda: shared.cancel(job.id), disabled=job.cancel_requested)
    shown = st.session_state.get("queue.log") == job.id
    if st.button("Hide log" if shown else "Log", icon=":material/article:", key=f"log.{job.id}", type="tertiary"):
        st.session_state["queue.log"] = None if shown else job.id
        st.rerun()


def _act(label: str, icon: str, job: Job, act: Callable[[], object], *, disabled: bool = False) -> None:
    """A button that does something to a job and draws the queue again; what is refused is said beside it."""
    if st.button(label, icon=f":material/{icon}:", key=f"{label.lower()}.{job.id}", type="tertiary", disabled=disabled):
        try:
            act()
        except SpatialNetError as error:
            show_error(error)
        else:
            st.rerun()


def _log(job: Job) -> None:
    """The job's log: its last lines, or those that hold a text."""
    find, load = st.columns([4, 1], vertical_alignment="bottom")
    text = find.text_input("Find in the log", key=f"find.{job.id}", max_chars=200, placeholder="epoch")
    hits, lines = services().jobs.search_log(job.id, text.strip(), LOG_LINES)
    load.download_button(
        "Download", lambda: services().jobs.log_bytes(job.id), file_name=f"{job.id}.txt", mime="text/plain", key=f"load.{job.id}",
        icon=":material/download:", on_click="ignore", width="stretch",
    )  # fmt: skip
    what = f"{hits:,} line{'s' * (hits != 1)}" + (" hold this text" if hits != 1 else " holds this text") * bool(
        text.strip()
    )
    st.caption(f"{what}; the last {LOG_LINES} are shown." if hits > LOG_LINES else f"{what}.")
    st.code(
        "\n".join(lines) or ("No line holds this text." if text.strip() else "Nothing was written yet."),
        language=None,
        height=260 if len(lines) > 8 else "content",
        wrap_lines=True,
    )
