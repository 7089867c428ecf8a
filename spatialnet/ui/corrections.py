"""Corrections: what a person says a chip is, stored as label events, and the retraining that learns from them."""

from __future__ import annotations

import uuid
from dataclasses import replace
from typing import Any

import streamlit as st

from spatialnet.datasets.packed import SPLITS, PackedChips
from spatialnet.errors import SpatialNetError
from spatialnet.jobs.requests import request_training
from spatialnet.jobs.services import services
from spatialnet.label.events import LabelEvent
from spatialnet.label.validation import check_events
from spatialnet.recipe import Recipe
from spatialnet.runs import Run
from spatialnet.tasks import Task
from spatialnet.ui.frame import person, show_error

_SPLIT_MEANS = {
    "train": "The model learns from corrections here.",
    "validation": "Corrections here help to choose the best epoch; the model does not learn from them.",
    "test": "Corrections here make the measure truer; the model never learns from them.",
    "guard": "This chip lies in the guard band between splits: corrections are kept, and used by no split.",
}


def split_note(data: PackedChips, chip: int) -> str:
    """Which split a chip is in, and what a correction does there."""
    split = SPLITS[int(data.splits[chip])]
    return f"{split}: {_SPLIT_MEANS[split]}"


def correction_buttons(data: PackedChips, run: Run | None, task: Task, chip: int, standing: Any) -> None:
    """One button and one number key per class; a press is stored at once.

    Args:
        data: the data set.
        run: the run whose answer is on the screen.
        task: the task to correct.
        chip: the chip.
        standing: what counts now in the form of a label value, or None.
    """
    if task.kind == "count":
        st.caption("Counts are corrected on the Label page.")
        return
    for index, name in enumerate(task.classes):
        if task.kind == "multilabel":
            held = bool(standing and standing[index])
            value: Any = [int(bool(standing and standing[i])) for i in range(len(task.classes))]
            value[index] = int(not held)
        else:
            held, value = standing == index, index
        st.button(
            name, key=f"correct.{task.name}.{index}", shortcut=str(index + 1) if index < 9 else None,
            type="primary" if held else "secondary", on_click=store_label, args=(data, run, task, chip, value),
        )  # fmt: skip


def store_label(data: PackedChips, run: Run | None, task: Task, chip: int, value: Any) -> None:
    """Append a label event for the person at this browser; a refusal becomes a sentence on the page."""
    event = LabelEvent(
        uuid=str(uuid.uuid4()), person=person(), kind="label", dataset=data.name, chip=chip, task=task.name, value=value,
        run=run.name if run else None,
    )  # fmt: skip
    _store(data, event)


def undo_label(data: PackedChips, task: Task, chip: int) -> None:
    """Take back the label that counts for a chip."""
    answer = services().labels.current(data.name, task.name).get(chip)
    if answer is None:
        return
    event = LabelEvent(
        uuid=str(uuid.uuid4()),
        person=person(),
        kind="undo",
        dataset=data.name,
        chip=chip,
        task=task.name,
        undoes=answer.uuid,
    )
    _store(data, event)


def _store(data: PackedChips, event: LabelEvent) -> None:
    try:
        check_events([event], data)
        services().labels.append([event])
    except SpatialNetError as error:
        st.session_state["correction.error"] = error


def shown_refusal() -> None:
    """The last refusal of a correction, where the person acted."""
    error = st.session_state.pop("correction.error", None)
    if error is not None:
        show_error(error)


def correction_count(data: PackedChips, after: int = 0) -> int:
    """How many chip answers people gave after a label version, over all tasks."""
    labels = services().labels
    return sum(
        sum(1 for a in labels.current(data.name, task.name).values() if a.kind == "label" and a.event > after)
        for task in data.tasks
    )


def retrain_button(data: PackedChips, run: Run) -> None:
    """Start a run that goes on from this one with all corrections as targets."""
    fresh = correction_count(data, int(run.info["label_version"]))
    label = (
        f"Retrain with {fresh} new correction{'s' if fresh != 1 else ''}" if fresh else "Retrain with my corrections"
    )
    same = run.info.get("fingerprint") == data.fingerprint
    if fresh and not same:
        st.caption("This run was trained on another split or other targets. Train a new run before you retrain one.")
    pressed = st.button(
        label, key="retrain", type="primary" if fresh and same else "secondary", icon=":material/model_training:",
        disabled=not (fresh and same),
        width="stretch", help="Goes on from this run with corrected targets counting more; the map then shows what changed.",
    )  # fmt: skip
    if pressed:
        try:
            total = correction_count(data)
            recipe = Recipe.load(run.folder / "recipe.toml").continued(run.name)
            job = request_training(
                services().jobs,
                data,
                _named(recipe, total),
                label_version=services().labels.version(),
                corrections=total,
            )
            st.session_state["retraining"] = job.spec["run"]
            st.rerun()
        except SpatialNetError as error:
            show_error(error)


def _named(recipe: Recipe, corrections: int) -> Recipe:
    return replace(recipe, name=f"with {corrections} correction{'s' if corrections != 1 else ''}")
