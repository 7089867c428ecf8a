"""Tasks and what their classes are made from, as tables that people edit: for an import, and for a data set that is there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import pandas as pd
import streamlit as st

from spatialnet.errors import SpatialNetError
from spatialnet.importing.target_edits import from_columns, mapped, own_names
from spatialnet.importing.target_plan import TargetPlan, identifier
from spatialnet.importing.vocabulary import suggest
from spatialnet.importing.wording import counted
from spatialnet.tasks import TaskKind
from spatialnet.ui.frame import show_error
from spatialnet.ui.markup import plain

_KINDS: dict[TaskKind, str] = {
    "multiclass": "One class per chip", "multilabel": "Any number of classes", "binary": "No or yes", "count": "Counts",
}  # fmt: skip


@dataclass(frozen=True)
class Labelled:
    """What tasks are made from.

    Attributes:
        id: tells one source in one state from every other.
        labels: what the source says, one row per chip.
        sentences: how tasks without columns came about.
        counts: chips per class of tasks without columns.
        in_use: the plans are those of a data set, so their class names are as people left them.
        word: on the switch that leaves a task out.
    """

    id: str
    labels: pd.DataFrame
    sentences: Mapping[str, str] = field(default_factory=dict)
    counts: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    in_use: bool = False
    word: str = "Import"


def task_tables(source: Labelled, proposed: Sequence[TargetPlan], key: str) -> list[TargetPlan]:
    """Draw a table for each task, and for those that were added.

    Args:
        source: what they are made from.
        proposed: the tasks as they are proposed, or as they are in use.
        key: of the widgets.

    Returns:
        The tasks as people want them.

    Raises:
        SpatialNetError: what was chosen makes no task.
    """
    st.caption(
        "What a model learns to answer for a chip. Values with the same class name become one class; an empty name leaves a value "
        "out, and chips that have no other are unknown."
    )
    tasks = [(plan, source) for plan in proposed]
    tasks += [(plan, replace(source, in_use=False)) for plan in _added(source, key)]
    plans = [_task(own, plan, f"{key}.task{number}") for number, (plan, own) in enumerate(tasks)]
    return [plan for plan in plans if plan is not None]


def _task(source: Labelled, proposed: TargetPlan, key: str) -> TargetPlan | None:
    with st.container(border=True):
        head = st.columns([2.2, 1.6, 1.6, 0.9], vertical_alignment="bottom")
        on = head[3].toggle(source.word, True, key=f"{key}.on")
        title = head[0].text_input(
            "Task", proposed.title or proposed.name, key=f"{key}.title", max_chars=60, disabled=not on
        )
        name = head[1].text_input(
            "Name in files", proposed.name, key=f"{key}.name", max_chars=40, disabled=not on,
            help="Lower-case letters, digits and underscores.",
        )  # fmt: skip
        kind = head[2].selectbox(
            "Kind",
            _kinds(proposed),
            format_func=lambda k: _KINDS[k],
            key=f"{key}.kind",
            disabled=not on or not proposed.columns,
        )
        if not on:
            return None
        plan = proposed
        if proposed.columns:
            plan = _columns(source, proposed, kind, key)
        else:
            _ready(source, proposed)
        if proposed.columns and proposed.derived:
            st.caption(f"Derived: {plain(proposed.derived)}")
        plan = replace(
            plan,
            name=identifier(name or proposed.name) if proposed.columns else proposed.name,
            title=title or proposed.title,
        )
        if plan.columns:
            as_it_is = source.in_use and plan.columns == proposed.columns and kind == proposed.kind
            plan = _classes(plan, source.labels, f"{key}.{kind}.{','.join(plan.columns)}", as_it_is=as_it_is)
        plan.task()
    return plan


def _ready(source: Labelled, plan: TargetPlan) -> None:
    """Targets that the importer computed itself: how, and how often each class is there."""
    sentence, counts = plan.derived or source.sentences.get(plan.name, ""), source.counts.get(plan.name, {})
    st.caption(plain(f"Derived: {sentence.rstrip('.') or 'by the importer'}. Its classes are fixed."))
    there = {name: count for name, count in counts.items() if count}
    if there:
        table = pd.DataFrame({"Class": list(there), "Chips": list(there.values())})
        st.dataframe(table, hide_index=True, height=_height(len(table)), column_config={"Chips": _bars(there)})
    if absent := [name for name in counts if name not in there]:
        st.caption(plain(f"On no chip: {', '.join(absent)}."))


def _bars(counts: Mapping[str, int]) -> Any:
    return st.column_config.ProgressColumn("Chips", format="%d", min_value=0, max_value=max(1, *counts.values(), 1))


def _height(rows: int) -> Literal["content", "auto"]:
    return "content" if rows < 14 else "auto"


def _kinds(plan: TargetPlan) -> list[TaskKind]:
    """The kinds that its columns may have, the proposed one first."""
    if not plan.columns:
        return [plan.kind]
    if plan.column_per_class:
        others: Sequence[TaskKind] = ("multilabel", "count")
    else:
        others = ("multiclass", "binary", "multilabel", "count")
    return [plan.kind, *(kind for kind in others if kind != plan.kind)]


def _columns(source: Labelled, proposed: TargetPlan, kind: TaskKind, key: str) -> TargetPlan:
    labels = source.labels
    known = [str(column) for column in labels.columns]
    columns = list(proposed.columns)
    if len(known) > 1:
        columns = st.multiselect(
            "Label columns", known, [c for c in proposed.columns if c in known], key=f"{key}.columns",
            help="One column of values, or one column per class.",
        ) or list(proposed.columns)  # fmt: skip
    if kind == proposed.kind and tuple(columns) == proposed.columns:
        return proposed
    return _proposed(source.id, kind, proposed.title or proposed.name, tuple(columns), proposed.separator, labels)


@st.cache_data(max_entries=32, show_spinner="Reading the labels")
def _proposed(
    scan: str,  # noqa: ARG001 (what makes it out of date)
    kind: TaskKind,
    title: str,
    columns: tuple[str, ...],
    separator: str,
    _labels: pd.DataFrame,
) -> TargetPlan:
    return from_columns(kind, title, columns, _labels, separator)


def _classes(plan: TargetPlan, labels: pd.DataFrame, key: str, *, as_it_is: bool) -> TargetPlan:
    """The table of found values and the classes they mean."""
    own, shared = own_names(plan), suggest(plan)
    named = plan if as_it_is else shared
    if not as_it_is and own.mapping != shared.mapping:
        renamed = sum(own.mapping[value] != name for value, name in shared.mapping.items())
        use = st.toggle(
            f"Shared names for {counted(renamed, 'class')}", True, key=f"{key}.shared",
            help="Names that other data sets use too, so that runs and labels can be compared. Off: the source's own names.",
        )  # fmt: skip
        named = shared if use else own
        key = f"{key}.{use}"
    counts = _found(f"{key}.{plan.separator}", plan, labels)
    table = pd.DataFrame({
        "Found": list(counts), "Chips": list(counts.values()), "Class": [named.mapping.get(value, "") for value in counts],
    })  # fmt: skip
    edited = st.data_editor(
        table, key=f"{key}.mapping", hide_index=True, num_rows="fixed", disabled=["Found", "Chips"],
        height=_height(len(table)),
        column_config={
            "Chips": _bars(counts),
            "Class": st.column_config.TextColumn("Class", max_chars=60, help="Empty: left out."),
        },
    )  # fmt: skip
    said = {str(value): str(name or "").strip() for value, name in zip(edited["Found"], edited["Class"], strict=True)}
    plan = mapped(named, said)
    left_out = sum(count for value, count in counts.items() if not said.get(value))
    st.caption(
        f"{counted(len(plan.classes), 'class')} from {counted(len(counts), 'value')}"
        + (f"; {counted(left_out, 'mention', 'is')} left out." if left_out else ".")
    )
    return plan


@st.cache_data(max_entries=64, show_spinner="Counting labels")
def _found(key: str, _plan: TargetPlan, _labels: pd.DataFrame) -> dict[str, int]:  # noqa: ARG001 (what makes it out of date)
    return _plan.found(_labels)


def _added(source: Labelled, key: str) -> list[TargetPlan]:
    labels = source.labels
    return [
        _proposed(source.id, kind, title, columns, "", labels)
        for kind, title, columns in st.session_state.get(f"{key}.added", [])
    ]


def add_task(source: Labelled, key: str) -> None:
    """A button that proposes one more task from label columns."""
    columns = [str(column) for column in source.labels.columns]
    if not columns:
        return
    with st.popover("Add a task from a label column", icon=":material/add:"):
        chosen = st.multiselect("Label columns", columns, key=f"{key}.add.columns")
        kind = st.selectbox("Kind", list(_KINDS), format_func=lambda k: _KINDS[k], key=f"{key}.add.kind")
        title = st.text_input("Task", ", ".join(chosen)[:60], key=f"{key}.add.title", max_chars=60)
        if st.button("Add", type="primary", key=f"{key}.add", disabled=not chosen):
            try:
                _proposed(source.id, kind, title or chosen[0], tuple(chosen), "", source.labels)
            except SpatialNetError as error:
                show_error(error)
                return
            added = st.session_state.setdefault(f"{key}.added", [])
            added.append((kind, title or chosen[0], tuple(chosen)))
            st.rerun()
