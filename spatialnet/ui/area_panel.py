"""Predicting on the map: a place or a drawn area, what it will write, and the files when it is done."""

from __future__ import annotations

from math import cos, radians

import streamlit as st

from spatialnet.datasets.packed import PackedChips
from spatialnet.errors import PredictionRefused, SpatialNetError
from spatialnet.jobs.area_prediction import (
    STEPS,
    AreaPrediction,
    AreaRequest,
    kept_prediction,
    list_predictions,
    remove_prediction,
    request_area,
)
from spatialnet.jobs.services import services
from spatialnet.predict.area import Degrees, parse_area
from spatialnet.runs import Run
from spatialnet.ui.frame import show_error
from spatialnet.ui.live_jobs import live_fragment
from spatialnet.ui.markup import plain
from spatialnet.web import addresses

AREA = "area"
"""Name of the layer."""

_KEY, _DRAWN = "prediction", "area"
_DEGREE_KM = 111.2
_WHOLE = "whole"


def shown_prediction(data: PackedChips) -> AreaPrediction | None:
    """The prediction that the address names, if it is one of this data set."""
    found = kept_prediction(services().settings, st.query_params.get(_KEY, ""))
    return found if found and found.facts["dataset"] == data.name else None


def drawn_area() -> Degrees | None:
    """The area that the address names."""
    text = st.query_params.get(_DRAWN, "")
    try:
        return parse_area(text) if text else None
    except PredictionRefused:
        return None


def take_area(area: Degrees) -> None:
    """Put an area that was drawn into the address."""
    st.query_params[_DRAWN] = ",".join(f"{value:.5f}" for value in area)
    st.rerun()


def area_row(data: PackedChips, run: Run | None) -> None:
    """Under the map: what is drawn, and what can be done with it.

    Args:
        data: the data set.
        run: the chosen run, if there is one.
    """
    area, shown = drawn_area(), shown_prediction(data)
    row = st.container(horizontal=True, vertical_alignment="center")
    if run is not None and data.places:
        # A popover cannot be closed; one with another key is a closed one.
        key = f"area.asked.{st.session_state.get('area.asked', 0)}"
        title = "Predict the area" if area else "Predict the scene"
        with row.popover(title, icon=":material/grid_on:", width="content", key=key):
            _ask(data, run, area)
    if area:
        row.markdown(_size(area), width="content")
        if row.button("Clear the area", icon=":material/close:", key="area.clear", type="tertiary"):
            del st.query_params[_DRAWN]
            st.rerun()
    if run is not None and (made := list_predictions(services().settings, data.name, run.name)):
        with row.popover(f"Predicted areas ({len(made)})", icon=":material/folder_open:", width="content"):
            for found in made:
                _made(found, shown)
    _watch()


def _ask(data: PackedChips, run: Run, area: Degrees | None) -> None:
    names = [place["name"] for place in data.places]
    st.markdown(
        "Every task is answered over the drawn area, also between the chips." if area
        else "Every task is answered over the whole scene, also between the chips. To predict a part, draw it with ▭ on the map."
    )  # fmt: skip
    place = names[0] if len(names) == 1 else st.selectbox("Place", names, key="area.place")
    steps = st.selectbox(
        "Step between windows", list(STEPS), index=1, format_func=lambda n: STEPS[n].capitalize(), key="area.steps",
        help="Windows of one chip slide over the scene; where they overlap, their answers are blended.",
    )  # fmt: skip
    scores = st.checkbox(
        "Keep the score of every class", True, key="area.scores", help="Larger files. Without, class and confidence."
    )
    st.caption("Writes cloud-optimised GeoTIFFs with colours, for any GIS. Can be stopped and goes on where it was.")
    if not st.button("Predict", type="primary", icon=":material/play_arrow:", key="area.ask"):
        return
    request = AreaRequest(run.name, data.name, str(place), area, int(steps), bool(scores))
    try:
        found = kept_prediction(services().settings, request.key)
        if found is None or not found.finished:
            request_area(services().jobs, run, request)
            st.toast("Prediction is under way: the map shows each part as it is done.", icon=":material/grid_on:")
        _show(request.key)
    except SpatialNetError as error:
        show_error(error)


def _made(found: AreaPrediction, shown: AreaPrediction | None) -> None:
    facts = found.facts
    what = plain(str(facts["place"])) + (f", {_size(tuple(facts['area']))}" if facts["area"] else ", whole scene")
    st.markdown(
        f"**{what}**, step {STEPS[facts['steps']].split(' (')[0]}" + ("" if found.finished else ", not finished")
    )
    row = st.container(horizontal=True)
    is_shown = shown is not None and shown.key == found.key
    if row.button("On the map" if is_shown else "Show", key=f"area.show.{found.key}", disabled=is_shown):
        _show(found.key)
    if found.finished:
        for task in facts["tasks"]:
            row.link_button(
                f"{task}.tif", addresses.prediction_file(found.key, task), icon=":material/download:",
                help="Class, confidence and, if kept, the score of each class.",
            )  # fmt: skip
            row.link_button(
                "in colours", addresses.prediction_file(found.key, f"{task}-classes"), icon=":material/palette:",
                help="The class alone, with its colour table.",
            )  # fmt: skip
    if row.button("Delete", key=f"area.delete.{found.key}", icon=":material/delete:", type="tertiary"):
        remove_prediction(services().settings, found.key)
        st.rerun()


def _show(key: str) -> None:
    st.query_params[_KEY] = key
    st.session_state["area.shown"] = True
    st.session_state["area.asked"] = st.session_state.get("area.asked", 0) + 1
    st.rerun()


def take_shown() -> None:
    """Switch to the layer of a prediction that this person asked for; before any widget of the page is drawn."""
    if kept_prediction(services().settings, st.query_params.get(_KEY, "")) and st.session_state.pop(
        "area.shown", False
    ):
        st.session_state["layer"] = AREA


def _watch() -> None:
    """Draw the page again whenever a part of the shown prediction is done, so that the map shows it."""

    def seen() -> str:
        found = kept_prediction(services().settings, st.query_params.get(_KEY, ""))
        return "" if found is None or not found.facts["tasks"] else prediction_version(found, found.facts["tasks"][0])

    drawn = seen()
    if drawn.endswith(_WHOLE):
        return

    def look() -> None:
        if seen() != drawn:
            st.rerun()

    live_fragment(look, "area")


def prediction_version(found: AreaPrediction, task: str) -> str:
    """What changes whenever there is more to see."""
    return f"{found.key[:8]}-{_WHOLE if found.finished else len(found.rasters(task))}"


def _size(area: tuple[float, ...]) -> str:
    west, south, east, north = area
    wide = ((east - west) % 360) * _DEGREE_KM * cos(radians((south + north) / 2))
    tall = (north - south) * _DEGREE_KM
    return f"{wide:,.1f} × {tall:,.1f} km"
