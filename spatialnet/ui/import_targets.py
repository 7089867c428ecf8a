"""The last step of an import: tasks and classes, the split, name and licence, and one button."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import replace

import streamlit as st

from spatialnet.errors import SpatialNetError
from spatialnet.importing.import_plan import ImportPlan
from spatialnet.importing.target_plan import TargetPlan
from spatialnet.importing.wording import counted
from spatialnet.jobs.importing import Prescan, check_import, request_import
from spatialnet.jobs.services import services
from spatialnet.ui.frame import show_error
from spatialnet.ui.import_split import choose_split
from spatialnet.ui.target_table import Labelled, add_task, task_tables


def decide(prescan: Prescan) -> None:
    """Draw the step; the import starts with its button."""
    key = f"import.{prescan.id}"
    st.subheader("Tasks", anchor=False)
    listing = prescan.scan.listing
    facts = prescan.scan.facts.get("tasks", {})
    source = Labelled(
        prescan.id, listing.labels, listing.rules.get("sentences", {}),
        {name: values.get("classes", {}) for name, values in facts.items()},
    )  # fmt: skip
    try:
        plans = task_tables(source, listing.targets, key)
    except SpatialNetError as error:
        show_error(error)
        return
    add_task(source, key)
    left, right = st.columns(2, gap="large")
    try:
        with left:
            split = choose_split(prescan, plans, key)
        with right:
            decided = _identity(prescan, plans, key)
        _import(prescan, replace(decided, split=split))
    except SpatialNetError as error:
        show_error(error)


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
        drop = st.toggle(
            f"Leave out chips with the very same pixels as another ({counted(exact, 'pair')})", key=f"{key}.drop"
        )
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
        f"Import {counted(chips, 'chip')}",
        type="primary",
        icon=":material/download_done:",
        key="import.start",
        width="stretch",
    ):
        request_import(services().jobs, prescan, plan)
        st.query_params.pop("again", None)
        st.rerun()
