"""Other tasks and classes for a data set that is there: the tables of an import, what would change, and one button."""

from __future__ import annotations

import json
from collections.abc import Sequence

import numpy as np
import pandas as pd
import streamlit as st

from spatialnet.datasets.packed import PackedChips
from spatialnet.errors import SpatialNetError
from spatialnet.importing.retarget import TaskChange, changes, current_plans, kept_labels, refuse_lost_labels, retarget
from spatialnet.importing.target_plan import TargetPlan
from spatialnet.importing.wording import counted
from spatialnet.jobs.services import services
from spatialnet.runs import list_runs
from spatialnet.ui.frame import show_error
from spatialnet.ui.markup import plain
from spatialnet.ui.target_table import Labelled, add_task, task_tables

_WORDS = {"same": "as it is", "changed": "changed", "new": "new", "gone": "left out from now on"}


def is_open() -> bool:
    """Whether the address asks for the panel."""
    return st.query_params.get("edit") == "targets"


def opener() -> None:
    """The button that opens the panel."""
    if st.button("Change tasks and classes", icon=":material/edit:", key="retarget.open"):
        st.query_params["edit"] = "targets"
        st.rerun()


def draw(data: PackedChips) -> None:
    """Draw the panel; the data set changes with its button only."""
    with st.container(horizontal=True, vertical_alignment="center"):
        st.subheader("Tasks and classes", anchor=False, width="content")
        st.space("stretch")
        if st.button("Leave them as they are", icon=":material/close:", key="retarget.close"):
            _close()
    st.caption(
        "Targets are made anew from the labels that are kept with the data set. Chips, splits and what people said stay."
    )
    state = f"{data.name}.{data.fingerprint}.{data.manifest['version']}"
    labelled = services().labels.labelled_tasks(data.name)
    _warn(data, labelled)
    try:
        now = current_plans(data)
        source = _source(state, data)
        plans = task_tables(source, now, f"retarget.{state}")
        add_task(source, f"retarget.{state}")
        found = _changes(state, json.dumps([plan.to_dict() for plan in plans]), data, plans, source.labels)
        _told(found)
        refuse_lost_labels(data, [plan.task() for plan in plans], labelled)
        _change(data, plans, found, labelled)
    except SpatialNetError as error:
        show_error(error)


def _close() -> None:
    st.query_params.pop("edit", None)
    st.rerun()


def _warn(data: PackedChips, labelled: set[str]) -> None:
    """What people did with the tasks as they are."""
    named = [task.label for task in data.tasks if task.name in labelled]
    if named:
        several = len(named) > 1
        st.info(
            plain(f"People have labelled {', '.join(named)}. ")
            + f"{'These tasks keep their' if several else 'This task keeps its'} classes; values may still move between them.",
            icon=":material/lock:",
        )
    runs = len(list_runs(services().settings, data.name))
    if runs:
        st.info(
            f"{runs} run{'s were' if runs > 1 else ' was'} trained on the tasks as they are, and keep{'s' * (runs == 1)} "
            "those. Train a new run to learn what you change here.",
            icon=":material/model_training:",
        )


@st.cache_resource(max_entries=2, show_spinner="Reading the labels")
def _source(state: str, _data: PackedChips) -> Labelled:
    manifest, counts = _data.manifest["targets"], {}
    for task in _data.tasks:
        if not manifest[task.name].get("columns"):
            values = _data.targets(task.name)
            per_class = (values > 0) if values.ndim == 2 else values[:, None] == np.arange(len(task.classes))
            counts[task.name] = dict(zip(task.classes, per_class.sum(axis=0).tolist(), strict=True))
    sentences = {name: str(facts.get("sentence", "")) for name, facts in manifest.items()}
    return Labelled(state, kept_labels(_data), sentences, counts, in_use=True, word="Keep")


@st.cache_data(max_entries=16, show_spinner="Counting what changes")
def _changes(
    state: str,  # noqa: ARG001 (what makes it out of date)
    wanted: str,  # noqa: ARG001 (the plans, as a key)
    _data: PackedChips,
    _plans: Sequence[TargetPlan],
    _labels: pd.DataFrame,
) -> tuple[TaskChange, ...]:
    return changes(_data, _plans, _labels)


def _told(found: Sequence[TaskChange]) -> None:
    st.subheader("What changes", anchor=False)
    table = pd.DataFrame({
        "Task": [change.task.label for change in found],
        "It is": [_WORDS[change.what] for change in found],
        "Chips with another target": [change.chips for change in found],
        "Chips with a target": [change.known for change in found],
        "Classes": [", ".join(change.task.classes) for change in found],
    })  # fmt: skip
    st.dataframe(table, hide_index=True, height="content" if len(table) < 14 else "auto")


def _change(data: PackedChips, plans: Sequence[TargetPlan], found: Sequence[TaskChange], labelled: set[str]) -> None:
    if all(change.what == "same" for change in found):
        st.caption("Nothing is changed yet.")
        return
    chips = max(change.chips for change in found)
    label = f"Change the targets of {counted(chips, 'chip')}" if chips else "Change names only"
    if not st.button(label, type="primary", icon=":material/check:", key="retarget.change"):
        return
    with st.spinner("Making the targets anew"):
        new = retarget(data, plans, labelled)
    st.toast(
        f"The targets were made anew: this is version {new.manifest['version']} of the data set.",
        icon=":material/check_circle:",
    )
    _close()
