"""The label page: which chips, the keyboard labeller, and what comes of it."""

from __future__ import annotations

from typing import Any

import numpy as np
import streamlit as st

from spatialnet.datasets.packed import PackedChips
from spatialnet.jobs.services import services
from spatialnet.label.queues import Strategy, build_queue
from spatialnet.predict.table import Scores, answer, uncertainty
from spatialnet.runs import Run, current_run
from spatialnet.tasks import Task
from spatialnet.ui.corrections import retrain_button
from spatialnet.ui.frame import person
from spatialnet.ui.inspector import run_scores
from spatialnet.ui.labeller import QueueItem, labeller, labeller_data
from spatialnet.ui.pickers import pick_dataset, pick_task

_STRATEGIES: dict[Strategy, str] = {
    "uncertain": "Least sure first",
    "disagrees": "Model and target differ",
    "random": "Random (a control)",
}
_SPLITS = {
    "train": "Training ground: the model learns from these",
    "validation": "Validation ground",
    "test": "Test ground: makes the measure truer",
}


def draw() -> None:
    """Draw the page."""
    pickers = st.columns([1.5, 1, 1.2, 1.5])
    with pickers[0]:
        data = pick_dataset()
    if data is None:
        return
    with pickers[1]:
        task = pick_task(data.tasks)
    run = current_run(services().settings, data.name)
    with pickers[2]:
        strategy = st.selectbox(
            "Queue",
            list(_STRATEGIES),
            format_func=_STRATEGIES.__getitem__,
            key="queue",
            persist_state="session",
            disabled=run is None,
        )
    with pickers[3]:
        split = st.selectbox(
            "Where", list(_SPLITS), format_func=_SPLITS.__getitem__, key="where", persist_state="session"
        )
    if run is None:
        st.info("No run has finished yet, so the queue is in random order.", icon=":material/hourglass_empty:")
    known = _queue_data(data, run, task, strategy, split)
    if not known["queue"]:
        st.success(
            "Every chip of this queue has an answer. Choose another queue, task or place.", icon=":material/task_alt:"
        )
    else:
        labeller(known, key="labeller")
    _counts(data, run)


def _queue_data(data: PackedChips, run: Run | None, task: Task, strategy: Strategy, split: str) -> dict[str, Any]:
    """The labeller's data; made once per choice, so that a rerun does not reorder what the person works on."""
    choice = (data.fingerprint, run.name if run else None, task.name, strategy, split, person())
    if st.session_state.get("label.choice") != choice:
        labels = services().labels
        scores = run_scores(run, data) if run else {}
        queue = build_queue(
            *_signals(data, task, scores),
            data.in_split(split),
            list(labels.current(data.name, task.name)),
            strategy=strategy,
        )
        items = [
            QueueItem(chip.chip, chip.why, {name: values[chip.chip].tolist() for name, values in scores.items()})
            for chip in queue
        ]
        st.session_state["label.data"] = labeller_data(
            data, labels, items, person=person(), task=task.name, run=run.name if run else None
        )
        st.session_state["label.choice"] = choice
    known: dict[str, Any] = st.session_state["label.data"]
    return known


def _signals(data: PackedChips, task: Task, scores: Scores) -> tuple[Any, Any]:
    """How unsure the run is of each chip, and where its answer is not the target."""
    if task.name not in scores:
        return None, None
    said, targets = answer(task, scores[task.name]), data.targets(task.name)
    wrong = (said != targets) & (np.isfinite(targets) if task.kind != "multiclass" else targets >= 0)
    return uncertainty(task, scores[task.name]), wrong if wrong.ndim == 1 else wrong.any(axis=1)


def _counts(data: PackedChips, run: Run | None) -> None:
    columns = st.columns([*([1] * len(data.tasks)), 1.4], vertical_alignment="center")
    for column, task in zip(columns, data.tasks, strict=False):
        counts = services().labels.counts(data.name, task.name)
        column.metric(
            f"{task.label}: answered",
            f"{counts.labelled:,}",
            f"{counts.unsure} unsure",
            delta_color="off",
            delta_arrow="off",
        )
    with columns[-1]:
        if run:
            retrain_button(data, run)
