"""Importing a data set: choose a source, look at it, decide what becomes of it. The address holds where a person is."""

from __future__ import annotations

from functools import partial

import streamlit as st

from spatialnet.errors import SpatialNetError
from spatialnet.jobs.importing import Prescan, is_scanned, read_prescan
from spatialnet.jobs.services import services
from spatialnet.jobs.store import RESUMABLE, Job
from spatialnet.ui.frame import show_error
from spatialnet.ui.import_bands import band_tables
from spatialnet.ui.import_found import found
from spatialnet.ui.import_source import choose
from spatialnet.ui.import_targets import decide
from spatialnet.ui.live_jobs import ago, live_fragment, progress_text
from spatialnet.ui.markup import plain

_STEPS = ("Choose a source", "Look at it", "Decide and import")


def draw() -> None:
    """Draw the step that the address names."""
    identifier = st.query_params.get("scan", "")
    if not identifier:
        _steps(0)
        choose()
        return
    try:
        job = services().jobs.store.get(identifier)
        if job.state == "done" and is_scanned(services().settings, job.id):
            _decide(job)
        else:
            _steps(1)
            _looking(job)
    except SpatialNetError as error:
        show_error(error)
        start_again("Choose a source")


def start_again(label: str, key: str = "import.again") -> None:
    """A button that leads back to the first step."""
    if st.button(label, icon=":material/arrow_back:", key=key):
        st.query_params.from_dict({"import": "1"})
        st.rerun()


def _steps(current: int) -> None:
    text = " &nbsp;›&nbsp; ".join(
        f"**{n + 1} · {name}**" if n == current else f":gray[{n + 1} · {name}]" for n, name in enumerate(_STEPS)
    )
    st.markdown(text)


def _looking(job: Job) -> None:
    st.subheader(plain(job.title), anchor=False)
    if job.live:
        st.caption(
            "Every file is opened once, to say what it holds. Nothing is imported yet, and this page may be closed."
        )
        live_fragment(partial(_progress, job.id), "import.scan")
        return
    _ended(job)
    if job.state == "failed":
        band_tables(job.spec)
    start_again("Change the answers, or choose another source")


def _decide(job: Job) -> None:
    imports = [j for j in services().jobs.store.all(kind="import", limit=200) if j.spec.get("scan") == job.id]
    newest = imports[0] if imports else None
    if newest is not None and newest.live:
        _steps(2)
        st.subheader(plain(newest.title), anchor=False)
        st.caption(
            "The import goes on by itself, also when this page is closed. The data set appears when all of it is there."
        )
        live_fragment(partial(_progress, newest.id), "import.build")
        return
    if newest is not None and newest.state == "done" and st.query_params.get("again") != "1":
        _steps(2)
        _imported(newest)
        return
    _steps(2 if not (prescan := _prescan(job)).scan.refused else 1)
    if newest is not None and newest.state in RESUMABLE:
        _ended(newest)
    found(prescan)
    band_tables(job.spec)
    if prescan.scan.refused:
        start_again("Change the answers, or choose another source")
    else:
        decide(prescan)


def _imported(job: Job) -> None:
    st.success(plain(job.text), icon=":material/check_circle:")
    with st.container(horizontal=True):
        if st.button("Open the data set", type="primary", icon=":material/dataset:", key="import.open-result"):
            st.query_params.from_dict({"dataset": str(job.spec["dataset"])})
            st.rerun()
        if st.button("Import it again with other choices", icon=":material/tune:", key="import.differently"):
            st.query_params["again"] = "1"
            st.rerun()
        start_again("Import something else")


def _progress(identifier: str) -> None:
    job = services().jobs.store.get(identifier)
    bar, act = st.columns([6, 1], vertical_alignment="center")
    bar.progress(job.share, text=progress_text(job))
    if act.button("Cancel", key=f"cancel.{job.id}", disabled=job.cancel_requested, width="stretch"):
        services().jobs.cancel(job.id)


def _ended(job: Job) -> None:
    """How a job ended that did not end well, and a button to go on."""
    if job.state in ("cancelled", "paused"):
        st.info(f"{job.state.capitalize()} {ago(job.ended_at or job.created_at)}.", icon=":material/cancel:")
    else:
        st.error(plain(job.text), icon=":material/error:")
    label = "Go on where it stopped" if job.kind == "import" else "Look again"
    if job.state in RESUMABLE and st.button(label, icon=":material/play_arrow:", key=f"resume.{job.id}"):
        try:
            services().jobs.resume(job.id)
            st.rerun()
        except SpatialNetError as error:
            show_error(error)


def _prescan(job: Job) -> Prescan:
    return _read(str(services().settings.workspace), job.id, job.attempt)


@st.cache_resource(max_entries=4, show_spinner="Reading what was found")
def _read(workspace: str, identifier: str, attempt: int) -> Prescan:  # noqa: ARG001 (what makes it out of date)
    return read_prescan(services().settings, identifier)
