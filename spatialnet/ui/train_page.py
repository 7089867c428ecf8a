"""The train page: recipe form with a time estimate, the queue, live curves, and the table of runs."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import altair as alt
import pandas as pd
import streamlit as st

from spatialnet.datasets.packed import PackedChips
from spatialnet.errors import SpatialNetError
from spatialnet.jobs.estimate import estimate_seconds
from spatialnet.jobs.requests import request_training
from spatialnet.jobs.services import services
from spatialnet.jobs.store import RESUMABLE, Job
from spatialnet.presets import PRESETS, preset_for
from spatialnet.recipe import Recipe, sample_recipe
from spatialnet.runs import Run, list_runs
from spatialnet.ui.corrections import correction_count
from spatialnet.ui.frame import show_error
from spatialnet.ui.live_jobs import ago, duration, live_fragment, progress_text, when
from spatialnet.ui.markup import plain
from spatialnet.ui.navigation import page
from spatialnet.ui.pickers import pick_dataset
from spatialnet.ui.run_table import metric_cards, run_frame

_WEIGHTS = {
    "none": "None: start from random weights",
    "dinov2-saliency": "DINOv2-S derivative fine-tuned for saliency (fetched from the package index)",
    "timm": "A timm model from the Hugging Face hub",
    "file": "A safetensors file in the workspace's weights folder",
}
_ICONS = {
    "queued": "schedule",
    "running": "play_circle",
    "done": "check_circle",
    "failed": "error",
    "cancelled": "cancel",
    "lost": "help",
}


def draw() -> None:
    """Draw the page."""
    form, watch = st.columns([1, 1.5], gap="large")
    with form:
        data = pick_dataset()
        if data is None:
            return
        _form(data)
    runs = list_runs(services().settings, data.name)
    with watch:
        st.subheader("Queue", anchor=False)
        live_fragment(partial(_queue, data), "queue")
        if runs:
            st.subheader("Learning curves", anchor=False)
            named = {run.name: run for run in runs}
            chosen = st.selectbox(
                "Curves of",
                list(named),
                format_func=lambda n: _run_text(named[n]),
                key="curves",
            )
            live_fragment(partial(_curves, named.get(chosen or "") or runs[0]), "curves")
    if runs:
        st.subheader("Runs", anchor=False)
        st.dataframe(run_frame(runs), hide_index=True)
        st.caption(
            "Each metric is on the blocked test split with its 95 % interval; baselines: majority answer / logistic regression on "
            "band means and standard deviations."
        )
        st.page_link(page("map"), label="See the newest run on the map", icon=":material/map:")


def _form(data: PackedChips) -> None:
    runs = {run.name: run for run in list_runs(services().settings, data.name) if run.done}
    basis = sample_recipe()
    st.subheader("New run", anchor=False)
    parent = st.selectbox(
        "Start from", ["", *runs], format_func=lambda n: _run_text(runs[n]) if n else "Scratch or pretrained weights",
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


def _run_text(run: Run) -> str:
    return f"{run.title} · {when(run.created_at)}"


def _queue(data: PackedChips) -> None:
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


def _curves(run: Run) -> None:
    history = run.history()
    if not history:
        st.caption("The first report comes within seconds of the start.")
        return
    loss = pd.DataFrame([{"epoch": h["step"] / max(h["steps"], 1) * h["epochs"], "loss": h["loss"]} for h in history])
    metrics = pd.DataFrame(
        [
            {
                "epoch": h["epoch"],
                "metric": t.label,
                "value": h["validation"][t.name][t.main_metric],
            }
            for h in history
            if h.get("validation")
            for t in run.tasks
            if t.main_metric in h["validation"].get(t.name, {})
        ]
    )
    left, right = st.columns(2)
    left.altair_chart(
        alt.Chart(loss)
        .mark_line()
        .encode(
            x=alt.X("epoch:Q", axis=alt.Axis(tickMinStep=1)),
            y=alt.Y("loss:Q", title="training loss", scale=alt.Scale(zero=False)),
        )
        .properties(height=300)
    )
    if len(metrics):
        legend = alt.Legend(orient="bottom", columns=2, labelLimit=320)
        right.altair_chart(
            alt.Chart(metrics)
            .mark_line(point=True)
            .encode(
                x=alt.X("epoch:Q", axis=alt.Axis(tickMinStep=1)),
                y=alt.Y("value:Q", title="main metric, validation", scale=alt.Scale(zero=False)),
                color=alt.Color("metric:N", title=None, legend=legend),
            )
            .properties(height=300)
        )
    last = history[-1]
    left_text = f" · {duration(last['eta_seconds'])} left" if last.get("eta_seconds") and not run.done else ""
    st.caption(
        f"Epoch {last['epoch']} of {last['epochs']} · {last['chips_per_second']:,.0f} chips per second{left_text}"
    )
    if run.done:
        metric_cards(run)
