"""The queue on the train page: what runs, waits and ended, with cancel, resume and log."""

from __future__ import annotations

import streamlit as st

from spatialnet.datasets.packed import PackedChips
from spatialnet.errors import SpatialNetError
from spatialnet.jobs.services import services
from spatialnet.jobs.store import RESUMABLE, Job
from spatialnet.ui.frame import show_error
from spatialnet.ui.live_jobs import ago, progress_text
from spatialnet.ui.markup import plain

_ICONS = {
    "queued": "schedule",
    "running": "play_circle",
    "done": "check_circle",
    "failed": "error",
    "cancelled": "cancel",
    "lost": "help",
}


def draw_queue(data: PackedChips) -> None:
    """Draw the jobs under way and those of a data set that ended last."""
    jobs = [
        job for job in services().jobs.store.all(limit=40)
        if job.live or (job.kind in ("train", "sample") and job.spec.get("dataset") in (None, data.name))
    ]  # fmt: skip
    if not jobs:
        st.caption("Nothing runs and nothing waits. Start a run on the left.")
    for job in jobs[:8]:
        _job(job)


def _job(job: Job) -> None:
    row = st.container(horizontal=True, vertical_alignment="center")
    with row, st.container():
        if job.live:
            st.progress(job.share, text=progress_text(job))
        else:
            st.markdown(
                f":material/{_ICONS[job.state]}: {plain(job.title)} · {job.state} {ago(job.ended_at or job.created_at)}"
            )
            if job.state != "done" and job.message:
                st.caption(plain(job.message))
    with row:
        if job.live and st.button("Cancel", key=f"cancel.{job.id}", disabled=job.cancel_requested):
            services().jobs.cancel(job.id)
        if job.state in RESUMABLE and st.button("Resume", key=f"resume.{job.id}"):
            try:
                services().jobs.resume(job.id)
                st.rerun()
            except SpatialNetError as error:
                show_error(error)
    with row, st.popover("Log", key=f"log.{job.id}", width="content"):
        st.code(services().jobs.log(job.id, 60) or "Nothing was written yet.", language=None)
