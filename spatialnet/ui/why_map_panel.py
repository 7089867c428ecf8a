"""The Why-map on the page: asked for beside a chip, shown as a layer, and what the bands and sensors brought over its area."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import streamlit as st

from spatialnet.datasets.packed import PackedChips
from spatialnet.errors import SpatialNetError
from spatialnet.explain.methods import METHODS
from spatialnet.jobs.services import services
from spatialnet.jobs.why_map import WHOLE_PLACE, WhyMapRequest, is_quick, kept_why_map, request_why_map
from spatialnet.runs import Run
from spatialnet.ui.area_panel import drawn_area
from spatialnet.ui.frame import show_error
from spatialnet.ui.markup import plain

WHY = "why"
"""Name of the layer."""

_DRAWN = -2
_AREAS = {1: "3 x 3 chips", 3: "7 x 7 chips", 7: "15 x 15 chips", WHOLE_PLACE: "whole scene", _DRAWN: "drawn area"}
_ASKED = "why-map.asked"


def take_why_map() -> None:
    """Show a Why-map that this person asked for as soon as it is there; before any widget of the page is drawn."""
    key = st.session_state.get(_ASKED)
    if key and kept_why_map(services().settings, key):
        del st.session_state[_ASKED]
        st.query_params["why"] = key
        st.session_state["layer"] = WHY


def shown_why_map(data: PackedChips) -> dict[str, Any] | None:
    """The Why-map that the address names, if it is one of this data set."""
    facts = kept_why_map(services().settings, st.query_params.get("why", ""))
    return facts if facts and facts["dataset"] == data.name else None


def why_map_key() -> str:
    """The key of the Why-map that the address names."""
    return st.query_params.get("why", "")


def ask_why_map(data: PackedChips, run: Run, place: pd.Series, reason: dict[str, Any]) -> None:
    """The choice of an area, and the button that explains it.

    Args:
        data: the data set.
        run: the chosen run.
        place: the row of the chosen chip in the chip table.
        reason: the explanation of this chip, whose task, class and method the map takes.
    """
    scene = next((entry for entry in data.places if entry["name"] == place["place"]), None)
    if scene is None:
        return
    row = st.container(horizontal=True, vertical_alignment="bottom")
    area = drawn_area()
    areas = [known for known in _AREAS if known != _DRAWN or area]
    around = row.selectbox(
        "Why-map over", areas, format_func=_AREAS.__getitem__, key="why-map.around", width=150, persist_state="session",
        help="The same reason for every chip of the area, half a chip apart and blended without seams, as a layer of the map.",
    )  # fmt: skip
    request = WhyMapRequest(
        run.name, data.name, int(reason["chip"]),
        0 if around == _DRAWN else int(around), reason["task"], int(reason["class_index"]), reason["method"],
        reason.get("against"), area if around == _DRAWN else None,
    )  # fmt: skip
    if not row.button("Explain the area", key="why-map.ask", icon=":material/map_search:"):
        return
    try:
        if kept_why_map(services().settings, request.key) is None:
            if is_quick(data, scene, request):
                with st.spinner("Explaining the area…", show_time=True):
                    services().compute.why_map(request)
            else:
                request_why_map(services().jobs, run, request)
                st.toast("The area is explained in the background; the map shows it when it is done.")
        st.session_state[_ASKED] = request.key
    except SpatialNetError as error:
        show_error(error)
        return
    st.rerun()


def why_map_note(data: PackedChips, facts: dict[str, Any]) -> str:
    """What the layer shows, in one line."""
    task, method = data.task(facts["task"]), METHODS[facts["method"]]
    other = facts.get("against")
    asked = task.classes[facts["class_index"]] + ("" if other is None else f" rather than {task.classes[other]}")
    what = f"{task.label}: evidence for {asked} by run {facts['title']}, {method.title}"
    trust = f"{facts['faithful']} of {facts['tested']} tested chips are explained faithfully"
    return f"{what}; {facts['windows']:,} overlapping chips, {trust}."


def why_map_shares(data: PackedChips, facts: dict[str, Any]) -> None:
    """A bar for each band and sensor: its share of the evidence over the area."""
    sensors = {sensor.name: sensor for sensor in data.sensors}
    rows = [
        {"sensor": sensors[name].label, "band": sensors[name].bands[index], "share": 100 * share}
        for name, shares in facts["bands"].items() if name in sensors
        for index, share in enumerate(shares)
    ]  # fmt: skip
    if not rows:
        st.caption("This method does not tell bands apart.")
        return
    table = pd.DataFrame(rows)
    if table["sensor"].nunique() > 1:
        sums = table.groupby("sensor", sort=False)["share"].sum()
        st.caption("; ".join(f"{plain(name)} {share:.0f} %" for name, share in sums.items()))
    largest = table.loc[int(np.argmax(table["share"]))]
    st.caption(f"Most of the evidence: {plain(str(largest['band']))}, {largest['share']:.0f} %.")
    st.bar_chart(table, x="band", y="share", color="sensor" if table["sensor"].nunique() > 1 else None, height=240,
                 x_label="band", y_label="share in %", sort=False)  # fmt: skip
