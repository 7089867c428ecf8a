"""The last step of an import: tasks and classes, the split, name and licence, and one button."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Literal

import pandas as pd
import streamlit as st

from spatialnet.errors import SpatialNetError
from spatialnet.importing.import_plan import ImportPlan
from spatialnet.importing.target_edits import from_columns, mapped, own_names
from spatialnet.importing.target_plan import TargetPlan, identifier
from spatialnet.importing.vocabulary import suggest
from spatialnet.jobs.importing import Prescan, check_import, request_import
from spatialnet.jobs.services import services
from spatialnet.tasks import TaskKind
from spatialnet.ui.frame import show_error
from spatialnet.ui.import_split import choose_split
from spatialnet.ui.markup import plain

_KINDS: dict[TaskKind, str] = {
    "multiclass": "One class per chip", "multilabel": "Any number of classes", "binary": "No or yes", "count": "Counts",
}  # fmt: skip


def decide(prescan: Prescan) -> None:
    """Draw the step; the import starts with its button."""
    key = f"import.{prescan.id}"
    st.subheader("Tasks", anchor=False)
    st.caption(
        "What a model learns to answer for a chip. Values with the same class name become one class; an empty name leaves a value "
        "out, and chips that have no other are unknown."
    )
    plans: list[TargetPlan] = []
    try:
        for number, proposed in enumerate((*prescan.scan.listing.targets, *_added(prescan, key))):
            plan = _task(prescan, proposed, f"{key}.task{number}")
            if plan is not None:
                plans.append(plan)
    except SpatialNetError as error:
        show_error(error)
        return
    _add(prescan, key)
    left, right = st.columns(2, gap="large")
    try:
        with left:
            split = choose_split(prescan, plans, key)
        with right:
            decided = _identity(prescan, plans, key)
        _import(prescan, replace(decided, split=split))
    except SpatialNetError as error:
        show_error(error)


def _task(prescan: Prescan, proposed: TargetPlan, key: str) -> TargetPlan | None:
    labels = prescan.scan.listing.labels
    with st.container(border=True):
        head = st.columns([2.2, 1.6, 1.6, 0.9], vertical_alignment="bottom")
        on = head[3].toggle("Import", True, key=f"{key}.on")
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
            plan = _columns(prescan, proposed, kind, key)
        else:
            _ready(prescan, proposed)
        if proposed.columns and proposed.derived:
            st.caption(f"Derived: {plain(proposed.derived)}")
        plan = replace(
            plan,
            name=identifier(name or proposed.name) if proposed.columns else proposed.name,
            title=title or proposed.title,
        )
        if plan.columns:
            plan = _classes(plan, labels, f"{key}.{kind}.{','.join(plan.columns)}")
        plan.task()
    return plan


def _ready(prescan: Prescan, plan: TargetPlan) -> None:
    """Targets that the importer computed itself: how, and how often each class is there."""
    sentence = plan.derived or str(prescan.scan.listing.rules.get("sentences", {}).get(plan.name, ""))
    counts = prescan.scan.facts.get("tasks", {}).get(plan.name, {}).get("classes", {})
    st.caption(plain(f"Derived: {sentence or 'by the importer'}. Its classes are those of the source."))
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


def _columns(prescan: Prescan, proposed: TargetPlan, kind: TaskKind, key: str) -> TargetPlan:
    labels = prescan.scan.listing.labels
    known = [str(column) for column in labels.columns]
    columns = list(proposed.columns)
    if len(known) > 1:
        columns = st.multiselect(
            "Label columns", known, [c for c in proposed.columns if c in known], key=f"{key}.columns",
            help="One column of values, or one column per class.",
        ) or list(proposed.columns)  # fmt: skip
    if kind == proposed.kind and tuple(columns) == proposed.columns:
        return proposed
    return _proposed(prescan.id, kind, proposed.title or proposed.name, tuple(columns), proposed.separator, labels)


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


def _classes(plan: TargetPlan, labels: pd.DataFrame, key: str) -> TargetPlan:
    """The table of found values and the classes they mean."""
    own, shared = own_names(plan), suggest(plan)
    named = shared
    if own.mapping != shared.mapping:
        renamed = sum(own.mapping[value] != name for value, name in shared.mapping.items())
        use = st.toggle(
            f"Shared names for {renamed} class{'es' * (renamed != 1)}", True, key=f"{key}.shared",
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
        f"{len(plan.classes)} classes from {len(counts)} values"
        + (f"; {left_out:,} mentions are left out." if left_out else ".")
    )
    return plan


@st.cache_data(max_entries=64, show_spinner="Counting labels")
def _found(key: str, _plan: TargetPlan, _labels: pd.DataFrame) -> dict[str, int]:  # noqa: ARG001 (what makes it out of date)
    return _plan.found(_labels)


def _added(prescan: Prescan, key: str) -> list[TargetPlan]:
    labels = prescan.scan.listing.labels
    return [
        _proposed(prescan.id, kind, title, columns, "", labels)
        for kind, title, columns in st.session_state.get(f"{key}.added", [])
    ]


def _add(prescan: Prescan, key: str) -> None:
    columns = [str(column) for column in prescan.scan.listing.labels.columns]
    if not columns:
        return
    with st.popover("Add a task from a label column", icon=":material/add:"):
        chosen = st.multiselect("Label columns", columns, key=f"{key}.add.columns")
        kind = st.selectbox("Kind", list(_KINDS), format_func=lambda k: _KINDS[k], key=f"{key}.add.kind")
        title = st.text_input("Task", ", ".join(chosen)[:60], key=f"{key}.add.title", max_chars=60)
        if st.button("Add", type="primary", key=f"{key}.add", disabled=not chosen):
            try:
                _proposed(prescan.id, kind, title or chosen[0], tuple(chosen), "", prescan.scan.listing.labels)
            except SpatialNetError as error:
                show_error(error)
                return
            added = st.session_state.setdefault(f"{key}.added", [])
            added.append((kind, title or chosen[0], tuple(chosen)))
            st.rerun()


def _identity(prescan: Prescan, plans: Sequence[TargetPlan], key: str) -> ImportPlan:
    """Name, title, licence and citation."""
    st.subheader("Name and licence", anchor=False)
    origin = prescan.scan.listing.origin
    stem = re.sub(r"(\.tar)?\.\w+$", "", prescan.source.name)
    proposed = re.sub(r"[^a-z0-9]+", "-", stem.lower()).strip("-")[:40].strip("-") or prescan.importer.name
    title = st.text_input("Title", origin.title, key=f"{key}.title", max_chars=120)
    name = st.text_input(
        "Name in addresses and files",
        proposed,
        key=f"{key}.name",
        max_chars=64,
        help="Lower-case letters, digits and hyphens.",
    )
    licence = st.text_input("Licence", origin.licence, key=f"{key}.licence", max_chars=300)
    citation = st.text_area("How to cite it", origin.citation, key=f"{key}.citation", max_chars=2000, height=80)
    drop = False
    exact = int((prescan.scan.duplicates["kind"] == "exact").sum()) if len(prescan.scan.duplicates) else 0
    if exact:
        drop = st.toggle(f"Leave out chips with the very same pixels as another ({exact:,} pairs)", key=f"{key}.drop")
    keep = True
    if prescan.scan.listing.places:
        keep = st.toggle("Keep the scenes with the data set, for its map", True, key=f"{key}.keep")
    said = replace(
        origin,
        title=(title or origin.title).strip(),
        licence=(licence or "").strip(),
        citation=(citation or "").strip(),
    )
    return ImportPlan((name or "").strip(), said, tuple(plans), prescan.split, drop, keep)


def _import(prescan: Prescan, plan: ImportPlan) -> None:
    scan = prescan.scan
    check_import(services().jobs, scan, plan)
    there = (services().settings.datasets / plan.name / "dataset.json").is_file()
    chips = len(scan.without_duplicates().listing) if plan.drop_duplicates else len(scan.listing)
    if there:
        version = json.loads((services().settings.datasets / plan.name / "dataset.json").read_text())["version"]
        st.info(
            f"There is a data set {plan.name} already; this import takes its place as version {version + 1}.",
            icon=":material/history:",
        )
    if st.button(
        f"Import {chips:,} chips", type="primary", icon=":material/download_done:", key="import.start", width="stretch"
    ):
        request_import(services().jobs, prescan, plan)
        st.query_params.pop("again", None)
        st.rerun()
