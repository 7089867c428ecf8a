"""One run: its metrics, where it comes from, what was noted, and what can be done with it."""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st

from spatialnet.evaluate.comparison import recipe_of
from spatialnet.jobs.registry import data_state
from spatialnet.jobs.services import services
from spatialnet.runs import Run, current_run
from spatialnet.runs.lineage import family
from spatialnet.runs.publishing import publications
from spatialnet.ui.learning_curves import draw_curves
from spatialnet.ui.live_jobs import when
from spatialnet.ui.markup import plain
from spatialnet.ui.missing_sensors_table import draw as draw_missing_sensors
from spatialnet.ui.navigation import page
from spatialnet.ui.run_actions import actions, marks, note_panel
from spatialnet.ui.run_captions import captions_panel

_DATA = {
    "as trained": "as it was when the run was trained",
    "changed": "**not** as it was when the run was trained (another split, other chips or targets), or another one of this name",
    "not here": "**not in this workspace**: the metrics can be read, the map cannot be drawn",
}


def detail(run: Run, runs: Sequence[Run]) -> None:
    """Draw one run.

    Args:
        run: which run.
        runs: all runs.
    """
    with st.container(horizontal=True, vertical_alignment="center"):
        st.subheader(plain(run.title), anchor=False, width="content")
        st.badge(plain(marks(run)), color="green" if run.done else "gray")
    known = (run.name, f"started {when(run.created_at)}", run.info.get("preset"), run.info.get("weights"))
    st.caption(plain(" · ".join(str(part) for part in known if part)))
    actions(run)
    left, right = st.columns([1.4, 1], gap="large")
    with left:
        draw_curves(run)
        for dataset in run.datasets:
            draw_missing_sensors(run.report_on(dataset), run.tasks, dataset if len(run.datasets) > 1 else "")
        _compare(run, runs)
    with right:
        _lineage(run, runs)
        captions_panel(run)
        note_panel(run)
        _history(run)
        recipe = recipe_of(run)
        with st.expander("Recipe", icon=":material/receipt_long:"):
            st.code(recipe.to_toml() if recipe else "The recipe cannot be read.", language="toml")


def _lineage(run: Run, runs: Sequence[Run]) -> None:
    st.subheader("Where it comes from", anchor=False)
    for dataset in run.datasets:
        state = _DATA[data_state(services().settings, run, dataset)]
        st.markdown(f"Data set **{plain(dataset)}**, fingerprint {run.fingerprint(dataset) or 'unknown'}: {state}.")
        now = current_run(services().settings, dataset)
        if now is not None and now.name == run.name:
            st.caption("It is the current run: map, label page and commands use it.")
    corrections = run.info.get("corrections", 0)
    st.markdown(
        f"Labels up to event {run.info.get('label_version', 0):,}: {corrections:,} correction{'s' * (corrections != 1)}."
    )
    if came := run.info.get("imported"):
        st.markdown(plain(f"Imported from {came['from']} on {when(came['at'])}, where it was called {came['name']}."))
    kin = family(run, runs)
    if len(kin) == 1:
        st.caption("It started from no other run, and no run started from it.")
        return
    for each in kin:
        with st.container(horizontal=True, vertical_alignment="center", gap="small"):
            st.space(1 + 18 * min(each.depth, 8))
            if each.run is None:
                st.caption(plain(f"{each.name} (not here any more)"))
            elif each.name == run.name:
                st.markdown(f"**{plain(each.run.title)}** (this run)")
            else:
                st.page_link(page("runs"), label=plain(each.run.title), query_params={"run": each.name})


def _compare(run: Run, runs: Sequence[Run]) -> None:
    others = {other.name: other for other in runs if other.name != run.name}
    if not others:
        return
    chosen = st.multiselect(
        "Compare with", list(others), format_func=lambda name: f"{others[name].title} · {name}", key=f"compare.{run.name}",
        default=[run.parent] if run.parent in others else [],
    )  # fmt: skip
    if st.button("Compare", icon=":material/compare:", disabled=not chosen, key="run.compare"):
        st.query_params.pop("run", None)
        st.query_params["compare"] = ",".join([run.name, *chosen])
        st.rerun()


def _history(run: Run) -> None:
    steps = [(dataset, step) for dataset in run.datasets for step in publications(services().settings, dataset)]
    if not steps:
        return
    with st.expander("What was published", icon=":material/history:"):
        for dataset, step in steps:
            what = "published" if step.kind == "publish" else "taken back"
            st.caption(plain(f"{when(step.at)} · {dataset}: {step.run} {what} by {step.person or 'someone'}"))
