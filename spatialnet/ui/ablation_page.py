"""The ablations page: start one, watch it, and read what each part is worth."""

from __future__ import annotations

from functools import partial

import pandas as pd
import streamlit as st

from spatialnet.errors import SpatialNetError
from spatialnet.evaluate.ablation_table import HEAD, Row, markdown, measured_on, table_rows, verdicts
from spatialnet.jobs.ablation import Ablation, job_of, list_ablations, open_ablation
from spatialnet.jobs.services import services
from spatialnet.jobs.store import RESUMABLE
from spatialnet.ui.ablation_chart import draw_chart
from spatialnet.ui.ablation_form import draw_form
from spatialnet.ui.frame import show_error
from spatialnet.ui.live_jobs import live_fragment, progress_text, when
from spatialnet.ui.markup import plain
from spatialnet.ui.pickers import pick, pick_dataset
from spatialnet.ui.run_table import METRIC_NAMES

_EMPTY = (
    "An ablation trains the same recipe with and without each of its parts, several times, and compares them on ground that no "
    "training saw. Its answer is a table and a plot: what each part is worth, how sure that is, and *no difference* where there is none."
)


def draw() -> None:
    """Draw the page."""
    asked = _asked()
    form, shown = st.columns([1, 2], gap="large")
    with form:
        data = pick_dataset()
        if data is None:
            return
        draw_form(data)
    with shown:
        found = {a.name: f"{a.title} · {when(a.created_at)}" for a in list_ablations(services().settings, data.name)}
        if asked is not None and asked not in found:
            st.warning("The address names an ablation of another data set, or none.", icon=":material/link_off:")
            st.query_params.pop("ablation", None)
        if not found:
            st.subheader("No ablation yet", anchor=False)
            st.write(_EMPTY)
            return
        live_fragment(partial(_one, pick("Ablation", found, "ablation")), "ablation")


def _asked() -> str | None:
    """The ablation of the address, whose data set is then the one to show."""
    name = st.query_params.get("ablation")
    if not name:
        return None
    try:
        dataset = str(open_ablation(services().settings, name).info["dataset"])
    except SpatialNetError:
        return name
    if not st.query_params.get("dataset"):
        st.query_params["dataset"] = dataset
    return name


def _one(name: str) -> None:
    ablation = open_ablation(services().settings, name)
    if not ablation.done:
        _progress(ablation)
    for note in ablation.info["notes"]:
        st.caption(plain(note))
    rows = table_rows(ablation.info["arms"], ablation.results, ablation.tasks, METRIC_NAMES)
    if not rows:
        st.caption("The first comparison comes when the second run is done.")
        return
    draw_chart(rows)
    st.caption(plain(measured_on(ablation.info)))
    _verdicts(rows)
    frame = pd.DataFrame([row.cells for row in rows], columns=list(HEAD))
    st.dataframe(frame, hide_index=True, alt="What each part is worth on each task")
    st.download_button(
        "Table as Markdown", f"{markdown(rows)}\n\n{measured_on(ablation.info)}\n", f"{ablation.name}.md", "text/markdown",
        icon=":material/download:", on_click="ignore", key="ablation.markdown",
    )  # fmt: skip


def _verdicts(rows: list[Row]) -> None:
    with st.expander("In words", expanded=True, icon=":material/notes:"):
        st.markdown("\n".join(f"- {plain(said)}" for said in verdicts(rows)))


def _progress(ablation: Ablation) -> None:
    """How far it is, with cancel and resume."""
    job = job_of(services().jobs, ablation)
    if job is None:
        st.caption(
            f"{ablation.done_runs} of {len(ablation.info['runs'])} runs are done; its job is gone. Start it anew."
        )
        return
    with st.container(horizontal=True, vertical_alignment="center"):
        with st.container():
            if job.live:
                st.progress(job.share, text=progress_text(job))
            else:
                st.warning(plain(f"{job.state.capitalize()}: {job.text}"), icon=":material/pause_circle:")
        if job.live and st.button("Cancel", key="ablation.cancel", disabled=job.cancel_requested):
            services().jobs.cancel(job.id)
        if job.state in RESUMABLE and st.button("Resume", key="ablation.resume"):
            try:
                services().jobs.resume(job.id)
                st.rerun()
            except SpatialNetError as error:
                show_error(error)
