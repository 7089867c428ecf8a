"""The train page: recipe form with a time estimate, the queue, live curves, and the table of runs."""

from __future__ import annotations

from functools import partial

import streamlit as st

from spatialnet.jobs.services import services
from spatialnet.runs import list_runs
from spatialnet.ui.job_queue import draw_queue
from spatialnet.ui.learning_curves import draw_curves
from spatialnet.ui.live_jobs import live_fragment
from spatialnet.ui.navigation import page
from spatialnet.ui.pickers import pick_dataset
from spatialnet.ui.recipe_form import draw_form, run_text
from spatialnet.ui.run_table import run_frame


def draw() -> None:
    """Draw the page."""
    form, watch = st.columns([1, 1.5], gap="large")
    with form:
        data = pick_dataset()
        if data is None:
            return
        draw_form(data)
    runs = list_runs(services().settings, data.name)
    with watch:
        st.subheader("Queue", anchor=False)
        live_fragment(draw_queue, "queue")
        if runs:
            st.subheader("Learning curves", anchor=False)
            named = {run.name: run for run in runs}
            chosen = st.selectbox(
                "Curves of",
                list(named),
                format_func=lambda n: run_text(named[n]),
                key="curves",
            )
            live_fragment(partial(draw_curves, named.get(chosen or "") or runs[0]), "curves")
    if runs:
        st.subheader("Runs", anchor=False)
        st.dataframe(run_frame(runs), hide_index=True)
        st.caption(
            "Each metric is on the test split with its 95 % interval; baselines: majority answer / logistic regression on "
            "band means and standard deviations."
        )
        st.page_link(page("map"), label="See the newest run on the map", icon=":material/map:")
