"""Two reasons for the same chip beside each other: of two tasks, two classes or two runs, and where they differ."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import streamlit as st

from spatialnet.datasets.packed import PackedChips
from spatialnet.errors import SpatialNetError
from spatialnet.jobs.explanations import ExplanationRequest
from spatialnet.jobs.services import services
from spatialnet.runs import Run, list_runs
from spatialnet.ui import markup
from spatialnet.ui.frame import show_error
from spatialnet.ui.live_jobs import when
from spatialnet.web import addresses

ALIKE, UNLIKE = 0.5, 0.1
"""Rank correlations from which two maps mark mostly the same places, and below which they have little in common."""


def two_reasons(data: PackedChips, run: Run, first: dict[str, Any]) -> None:
    """Draw the comparison; only it is drawn again while it is used.

    Args:
        data: the data set.
        run: the chosen run.
        first: the explanation that is shown already.
    """
    with st.expander(
        "Compare with another reason", icon=":material/compare:", key="two-reasons", on_change="rerun"
    ) as panel:
        if panel.open:
            st.fragment(_compare)(data, run, first)


def _compare(data: PackedChips, run: Run, first: dict[str, Any]) -> None:
    runs = {r.name: r for r in list_runs(services().settings, data.name) if r.done}
    chosen_run = st.selectbox(
        "Run", [run.name, *(name for name in runs if name != run.name)], key=f"two-reasons.run.{run.name}",
        format_func=lambda name: f"{runs[name].title} · {when(runs[name].created_at)}" if name in runs else name,
    )  # fmt: skip
    left, right = st.columns(2)
    known = {task.name: task for task in data.tasks}
    # Another task of the same run, or the same task of another run: what a person most likely wants to see.
    others = [name for name in known if (name == first["task"]) == (chosen_run != run.name)] or list(known)
    order = others + [name for name in known if name not in others]
    name = left.selectbox(
        "Task", order, format_func=lambda n: known[n].label, key=f"two-reasons.task.{first['task']}.{chosen_run == run.name}"
    )  # fmt: skip
    task = known[name]
    same = name == first["task"]
    start = int(first["class_index"]) if same else int(task.kind == "binary")  # the second class of these is "yes"
    index = right.selectbox(
        "Class", range(len(task.classes)), index=start,
        format_func=lambda i: task.classes[i], key=f"two-reasons.class.{name}",
    )  # fmt: skip
    one = ExplanationRequest(
        first["run"], int(first["chip"]), first["task"], int(first["class_index"]), first["method"], first["dataset"], first.get("against"),
        first.get("baseline", "mean"),
    )  # fmt: skip
    other = replace(one, run=chosen_run, task=name, class_index=int(index), against=None)
    if one == other:
        st.caption("This is the same reason. Choose another run, task or class.")
        return
    try:
        with st.spinner("Comparing…", show_time=True):
            found = services().compute.compare(one, other)
    except SpatialNetError as error:
        show_error(error)
        return
    _shown(data, found, other)


def _shown(data: PackedChips, found: dict[str, Any], other: ExplanationRequest) -> None:
    picture = addresses.chip_picture(data.name, other.chip, version=data.fingerprint)
    names = [_name(data, facts) for facts in (found["first"], found["second"])]
    st.html(
        markup.pictures([
            ([picture, addresses.overlay(found["first"]["picture"])], names[0], f"Evidence for {names[0]}"),
            ([picture, addresses.overlay(found["second"]["picture"])], names[1], f"Evidence for {names[1]}"),
        ])
        + markup.pictures([([picture, addresses.overlay(found["picture"])], "Difference", "Where the two differ")])
    )  # fmt: skip
    st.html(markup.ramp(found["legend"]["colours"], f"more for {names[1]}", f"more for {names[0]}"))
    agreement = found["agreement"]
    if agreement >= ALIKE:
        said = "Both mark mostly the same places"
    elif agreement >= UNLIKE:
        said = "Both share some of their places"
    elif agreement > -UNLIKE:
        said = "The two have little in common"
    else:
        said = "What speaks for one speaks against the other"
    st.write(f"{said} (rank correlation {agreement:.2f}).")
    badge = found["second"]["faithfulness"]
    st.html(markup.head(names[1]) + markup.badge(badge["verdict"], badge["sentence"]))


def _name(data: PackedChips, facts: dict[str, Any]) -> str:
    task, other = data.task(facts["task"]), facts.get("against")
    name = task.classes[facts["class_index"]]
    return f"{task.label}: {name}" + ("" if other is None else f" rather than {task.classes[other]}")
