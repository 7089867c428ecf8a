"""The form that starts an ablation: which recipe, which questions, how many seeds, and how long it will take."""

from __future__ import annotations

from collections.abc import Mapping

import streamlit as st

from spatialnet.datasets.packed import PackedChips
from spatialnet.errors import SpatialNetError
from spatialnet.evaluate.arms import DEFAULT_QUESTIONS, MAX_SEEDS, QUESTIONS, planned_runs
from spatialnet.jobs.ablation import estimate_ablation, plan_for, request_ablation
from spatialnet.jobs.services import services
from spatialnet.recipe import Recipe, sample_recipe
from spatialnet.runs import Run, list_runs
from spatialnet.ui.frame import show_error
from spatialnet.ui.live_jobs import duration, when
from spatialnet.ui.markup import plain


def draw_form(data: PackedChips) -> None:
    """Draw the form for a new ablation on a data set."""
    runs = {run.name: run for run in list_runs(services().settings, data.name) if run.done}
    st.subheader("New ablation", anchor=False)
    chosen = st.selectbox(
        "Recipe to take apart", [*runs, ""], format_func=lambda name: _run_text(runs, name), key="ablation.recipe",
        help="Every part is taken out of this recipe, one at a time. All runs have its epochs and see the same chips.",
    )  # fmt: skip
    questions = st.pills(
        "Questions", list(QUESTIONS), selection_mode="multi", default=list(DEFAULT_QUESTIONS), format_func=QUESTIONS.__getitem__,
        key="ablation.questions", wrap=True,
    )  # fmt: skip
    seeds = st.number_input(
        "Seeds", 1, MAX_SEEDS, 3, key="ablation.seeds", help="Everything is trained this often; the intervals need at least two."
    )  # fmt: skip
    controls = st.toggle(
        "Linear controls", True, key="ablation.controls", help="Logistic regression on band statistics and on frozen features."
    )  # fmt: skip
    paper = st.toggle(
        "The paper's code", False, key="ablation.paper",
        help="512 wide, 12 blocks, 256 px, 50 epochs: with its own budget, and slow without a GPU.",
    )  # fmt: skip
    try:
        recipe = Recipe.load(runs[chosen].folder / "recipe.toml") if chosen else sample_recipe()
        plan = plan_for(data, recipe, questions, paper=paper, controls=controls)
        count = len(planned_runs(plan, int(seeds)))
        for note in plan.notes:
            st.caption(plain(note))
        seconds = estimate_ablation(plan, int(seeds), data, list(runs.values()))
        took = f"about {duration(seconds)} on this machine" if seconds else "no run here yet to estimate the time from"
        st.caption(f"{count} trainings: {took}. Corrections are left out.")
        if st.button("Start", type="primary", icon=":material/play_arrow:", key="ablation.start", width="stretch"):
            job = request_ablation(services().jobs, data, plan, seeds=int(seeds))
            st.query_params["ablation"] = str(job.spec["run"])
            st.rerun()
    except SpatialNetError as error:
        show_error(error)


def _run_text(runs: Mapping[str, Run], name: str | None) -> str:
    return f"{runs[name].title} · {when(runs[name].created_at)}" if name else "The sample's recipe"
