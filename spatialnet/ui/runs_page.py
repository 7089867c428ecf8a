"""The runs page: the list with its filters, one run, or several side by side; the address says which."""

from __future__ import annotations

import streamlit as st

from spatialnet.jobs.registry import runs_in_use
from spatialnet.jobs.services import services
from spatialnet.runs import Run, list_runs
from spatialnet.runs.notes import notes
from spatialnet.runs.publishing import published_for
from spatialnet.ui import address
from spatialnet.ui.markup import plain
from spatialnet.ui.navigation import page
from spatialnet.ui.run_actions import trash_panel, undo_bar
from spatialnet.ui.run_comparison import comparison
from spatialnet.ui.run_detail import detail
from spatialnet.ui.run_import import import_panel
from spatialnet.ui.run_table import run_frame

_STATES = {"done": "Done", "published": "Published", "working": "Under way", "stopped": "Not finished"}


def draw() -> None:
    """Draw the page."""
    runs = {run.name: run for run in list_runs(services().settings)}
    undo_bar()
    asked = [name for name in st.query_params.get("compare", "").split(",") if name]
    chosen = [runs[name] for name in dict.fromkeys(asked) if name in runs]
    if asked:
        _back()
        if len(chosen) < len(set(asked)):
            st.warning("A run of this address is not here (any more).", icon=":material/help:")
        if len(chosen) > 1:
            comparison(chosen)
            return
    elif name := st.query_params.get("run"):
        _back()
        if name in runs:
            detail(runs[name], list(runs.values()))
            return
        st.warning(f"There is no run {plain(name[:64])} here. It may be in the trash.", icon=":material/help:")
    if runs:
        _list(list(runs.values()))
    else:
        st.subheader("No run yet", anchor=False)
        st.write("A run is one training: its recipe, its curves, its metrics beside baselines, and its map.")
        st.page_link(page("train"), label="Train a first run", icon=":material/model_training:")
    import_panel()
    trash_panel()


def _back() -> None:
    if st.button("All runs", icon=":material/arrow_back:", type="tertiary", key="runs.back"):
        for name in ("run", "compare"):
            st.query_params.pop(name, None)
        st.rerun()


def _list(runs: list[Run]) -> None:
    published = {run.name for run in runs if published_for(services().settings, run)}
    working = runs_in_use(services().jobs)
    with st.container(horizontal=True, vertical_alignment="bottom"):
        with st.container(width=300):
            text = address.type_text("Name or note holds", "q", placeholder="Any")
        with st.container(width=300):
            names = sorted({dataset for run in runs for dataset in run.datasets})
            sets = address.pick_many("Data sets", {name: name for name in names}, "on")
        with st.container(width="content"):
            states = address.pick_many("State", _STATES, "state", look="pills")
    shown = [
        run for run in runs
        if text.casefold() in _words(run).casefold()
        and (not sets or set(sets) & set(run.datasets))
        and (not states or set(states) & _states(run, published, working))
    ]  # fmt: skip
    if not shown:
        st.info("No run fits these filters. Take one away.", icon=":material/filter_alt_off:")
        return
    st.caption(
        f"{len(shown)} of {len(runs)} runs, newest first. A click on a column's head sorts by it. Tick runs to open or compare."
    )
    answer = st.dataframe(
        run_frame(shown, published), hide_index=True, on_select="rerun", selection_mode="multi-row",
        key=f"runs.table.{hash(tuple(run.name for run in shown))}",
    )  # fmt: skip
    ticked = [shown[row] for row in answer["selection"]["rows"] if row < len(shown)]
    with st.container(horizontal=True, vertical_alignment="bottom"):
        with st.container(width=400):
            more = st.multiselect(
                "Runs to open or compare", [run.name for run in shown], default=[run.name for run in ticked],
                format_func=lambda name: next(f"{run.title} · {run.name}" for run in runs if run.name == name),
                key=f"runs.chosen.{hash(tuple(run.name for run in ticked))}", placeholder="Tick them above, or choose here",
            )  # fmt: skip
        if st.button("Open", icon=":material/open_in_full:", disabled=len(more) != 1, key="runs.open"):
            st.query_params["run"] = more[0]
            st.rerun()
        if st.button("Compare", icon=":material/compare:", type="primary", disabled=len(more) < 2, key="runs.compare"):
            st.query_params["compare"] = ",".join(more)
            st.rerun()


def _words(run: Run) -> str:
    """What the search looks through."""
    return " ".join([run.name, run.title, *(note.text for note in notes(run))])


def _states(run: Run, published: set[str], working: frozenset[str]) -> set[str]:
    if run.done:
        return {"done", "published"} if run.name in published else {"done"}
    return {"working"} if run.name in working else {"stopped"}
