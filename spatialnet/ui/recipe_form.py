"""The form that writes a recipe and starts a run."""

from __future__ import annotations

from dataclasses import replace

import streamlit as st

from spatialnet.datasets.packed import PackedChips
from spatialnet.errors import SpatialNetError
from spatialnet.jobs.estimate import estimate_seconds
from spatialnet.jobs.requests import request_training
from spatialnet.jobs.services import services
from spatialnet.presets import PRESETS, preset_for
from spatialnet.recipe import Recipe, sample_recipe
from spatialnet.runs import Run, list_runs
from spatialnet.ui.corrections import correction_count
from spatialnet.ui.frame import show_error
from spatialnet.ui.live_jobs import duration, when

_WEIGHTS = {
    "none": "None: start from random weights",
    "dinov2-saliency": "DINOv2-S derivative fine-tuned for saliency (fetched from the package index)",
    "timm": "A timm model from the Hugging Face hub",
    "file": "A safetensors file in the workspace's weights folder",
}


def draw_form(data: PackedChips) -> None:
    """Draw the form for a new run on a data set."""
    runs = {run.name: run for run in list_runs(services().settings, data.name) if run.done}
    basis = sample_recipe()
    st.subheader("New run", anchor=False)
    parent = st.selectbox(
        "Start from", ["", *runs], format_func=lambda n: run_text(runs[n]) if n else "Scratch or pretrained weights",
        key="train.parent", help="A run goes on from another's weights in a third of its epochs.",
    )  # fmt: skip
    fresh = not parent
    if parent:
        basis = Recipe.load(runs[parent].folder / "recipe.toml").continued(parent)
    name = st.text_input("Name", basis.name if fresh else "continued", key=f"train.name.{parent}", max_chars=60)
    left, right = st.columns(2)
    preset = left.selectbox(
        "Model size",
        list(PRESETS),
        format_func=lambda n: PRESETS[n].title,
        key="train.preset",
        disabled=not fresh,
        help="`nano` suits small chips and two cores.",
    )
    epochs = right.number_input("Epochs", 1, 1000, basis.epochs, key=f"train.epochs.{parent}")
    weights = "none"
    if fresh:
        source = (
            st.selectbox("Pretrained weights", list(_WEIGHTS), format_func=_WEIGHTS.__getitem__, key="train.weights")
            or "none"
        )
        weights = source
        if source in ("timm", "file"):
            weights = f"{source}:{st.text_input('Model or file name', key='train.weights.name', max_chars=120)}"
    decided = preset_for(weights, preset)
    if fresh and decided != preset:
        st.caption(f"These weights decide the model size: {decided}.")
    corrections = correction_count(data)
    use = st.toggle(
        f"Use people's corrections ({corrections})", True, key="train.corrections", disabled=not corrections
    )
    with st.expander("More choices", icon=":material/tune:"):
        rate = st.number_input(
            "Learning rate", 1e-6, 1e-1, basis.learning_rate, format="%.1e", key=f"train.rate.{parent}"
        )
        batch = st.number_input("Batch size", 1, 4096, basis.batch_size, key="train.batch")
        weighting = st.selectbox("Weighting of the tasks", ["static", "uncertainty"], key="train.weighting")
        soft = st.toggle(
            "Soft targets (class shares) where the data set has them", basis.soft_targets, key="train.soft"
        )
        flips = st.toggle("Turn and mirror chips", basis.flips, key="train.flips")
        seed = st.number_input("Seed", 0, 2**31 - 1, basis.seed, key="train.seed")
    try:
        recipe = replace(
            basis, name=name.strip() or "run", epochs=int(epochs), learning_rate=float(rate), batch_size=int(batch), weighting=weighting,
            soft_targets=bool(soft), flips=bool(flips), seed=int(seed),
            preset=preset if fresh else basis.preset, weights=weights if fresh else basis.weights,
        )  # fmt: skip
        seconds = estimate_seconds(recipe, data, list(runs.values()))
        st.caption(
            f"About {duration(seconds)} on this machine." if seconds else "No run here yet to estimate the time from."
        )
        if st.button("Start", type="primary", icon=":material/play_arrow:", key="train.start", width="stretch"):
            version = services().labels.version() if use and corrections else 0
            request_training(
                services().jobs, data, recipe, label_version=version, corrections=corrections if use else 0
            )
            st.rerun()
    except SpatialNetError as error:
        show_error(error)


def run_text(run: Run) -> str:
    """A run in a picker."""
    return f"{run.title} · {when(run.created_at)}"
