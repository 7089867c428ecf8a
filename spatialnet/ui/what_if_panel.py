"""The what-if probe on the page: take a place, a band or a sensor away, and see every head answer again."""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st

from spatialnet.datasets.packed import PackedChips
from spatialnet.errors import SpatialNetError
from spatialnet.jobs.probes import SIDE, ProbeRequest
from spatialnet.jobs.services import services
from spatialnet.palette import class_colours
from spatialnet.runs import Run
from spatialnet.summary import count_text
from spatialnet.tasks import Task
from spatialnet.ui import markup
from spatialnet.ui.brush import brush
from spatialnet.ui.frame import show_error
from spatialnet.web import addresses

_FILLS = {"blur": "its surroundings", "mean": "the training mean", "neighbour": "a neighbouring chip"}


def what_if(data: PackedChips, run: Run, chip: int) -> None:
    """Draw the probe of a chip; only it is drawn again while it is used.

    Args:
        data: the data set.
        run: the chosen run.
        chip: the chip.
    """
    with st.expander("What if a part were not there?", icon=":material/ink_eraser:", key="what-if"):
        st.fragment(_probe)(data, run, chip)


def _probe(data: PackedChips, run: Run, chip: int) -> None:
    st.caption("Brush over places to remove them; brush over removed ones to restore them. Escape restores all.")
    again = int(st.session_state.get("what-if.again", 0))
    left, right = st.columns(2)
    with left:
        picture = addresses.chip_picture(data.name, chip, version=data.fingerprint)
        gone = brush(picture, SIDE, key="what-if.brush", name=str(again))
    there = [sensor for sensor in data.sensors if data.present(sensor.name)[chip]]
    with right:
        fill = st.selectbox("Fill with", list(_FILLS), format_func=_FILLS.__getitem__, key="what-if.fill")
        names = {
            (s.name, i): f"{band} ({s.label})" if len(there) > 1 else band
            for s in there
            for i, band in enumerate(s.bands)
        }
        bands = st.multiselect(
            "Leave out bands", list(names), format_func=names.__getitem__, key=f"what-if.bands.{data.name}.{again}"
        )
        labels = {sensor.name: sensor.label for sensor in there}
        sensors: list[str] = []
        if len(there) > 1:
            sensors = st.multiselect(
                "Leave out sensors", list(labels), format_func=labels.__getitem__, key=f"what-if.sensors.{data.name}.{again}",
                max_selections=len(there) - 1,
            )  # fmt: skip
        if st.button(
            "Restore all", icon=":material/restart_alt:", disabled=not (gone or bands or sensors), key="what-if.restore"
        ):
            st.session_state["what-if.again"] = again + 1
            st.rerun(scope="fragment")
    if not (gone or bands or sensors):
        return
    try:
        found = services().compute.probe(
            ProbeRequest(run.name, data.name, chip, gone, fill, tuple(bands), tuple(sensors))
        )
    except SpatialNetError as error:
        show_error(error)
        return
    if found["neighbour"] is not None and gone:
        st.caption(f"Filled with the pixels of chip {found['neighbour']}.")
    st.caption("Bars: the answer now. Lines: where it was.")
    for task in data.tasks:
        if task.name in found["before"]:
            _compared(task, found["before"][task.name], found["after"][task.name])


def _compared(task: Task, before: Sequence[float], after: Sequence[float]) -> None:
    if task.kind == "count":
        pairs = zip(task.classes, before, after, strict=True)
        st.html(markup.head(task.label, "; ".join(f"{count_text(n, a)}, without: {b:.1f}" for n, a, b in pairs)))
        return
    changed = max(range(len(before)), key=lambda i: abs(after[i] - before[i]))
    moved = 100 * (after[changed] - before[changed])
    said = f"{task.classes[changed]} {moved:+.0f} points" if abs(moved) >= 0.5 else "does not change"
    st.html(markup.head(task.label, said) + markup.compared_rows(task.classes, before, after, class_colours(task)))
