"""The map page: pickers above, the map on the left, the inspector on the right."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
import streamlit as st

from spatialnet.datasets.catalogue import chip_at
from spatialnet.datasets.packed import PackedChips
from spatialnet.errors import RunNotFound
from spatialnet.jobs.services import services
from spatialnet.runs import Run, open_run
from spatialnet.tasks import Task
from spatialnet.ui.address import pick_some
from spatialnet.ui.area_panel import area_row, drawn_area, take_area, take_shown
from spatialnet.ui.band_values_panel import take_spot
from spatialnet.ui.inspector import inspect, no_chip
from spatialnet.ui.layers import CHANGE, Layer, pick_beside, pick_layer
from spatialnet.ui.live_jobs import live_fragment, progress_text
from spatialnet.ui.maps import Click, View, draw_map, fresh, view_of
from spatialnet.ui.markup import plain
from spatialnet.ui.navigation import page
from spatialnet.ui.pickers import pick_dataset, pick_run, pick_task
from spatialnet.ui.places import pick_place, several_places
from spatialnet.ui.shown import pick_shown
from spatialnet.ui.why_map_panel import take_why_map, why_map_key, why_map_shares
from spatialnet.web import addresses
from spatialnet.web.chip_columns import columns_of

_MAP_KEY = "scene-map"


def draw() -> None:
    """Draw the page."""
    _take_new_run()
    take_why_map()
    take_shown()
    pickers = st.container(horizontal=True, vertical_alignment="bottom", key="map-pickers")
    with pickers, st.container(width=195):
        data = pick_dataset()
    if data is None:
        return
    with pickers, st.container(width=170):
        run = pick_run(data)
        if run is None:
            st.selectbox("Run", ["No finished run yet"], disabled=True)
    with pickers, st.container(width=150):
        task = pick_task(data.tasks)
    chip, table = _chosen_chip(data), columns_of(data).table
    if data.bounds is None:
        _without_ground(data, run, task, chip, table)
        return
    bounds = data.bounds
    if several_places(data):
        with pickers, st.container(width=180):
            bounds = pick_place(data, "place", chip)
    with pickers, st.container(width=140):
        layer = pick_layer(data, run, task, _parent(run, data.name))
    with pickers, st.container(width=165 if several_places(data) else 250):
        shown = pick_shown(data)
    _marks(data, run)
    place, side = st.columns([2.15, 1], gap="medium")
    with side, st.container(height=700, border=False, key="inspector"):
        picture = None
        if chip is None:
            no_chip()
        else:
            picture = inspect(data, run, task, chip, table.loc[chip])
    with place:
        selected = []
        if chip is not None and np.isfinite(table.loc[chip, "west"]):
            row = table.loc[chip]
            selected = [((row["south"], row["west"]), (row["north"], row["east"]))]
        above, below = st.container(), st.container()
        with below:
            beside, only = _legend_row(data, run, task, layer)
        with above:
            answer = draw_map(
                shown.tiles(data),
                bounds,
                overlay=_switched(layer, only),
                beside=None if beside is None else _switched(beside, only) or "",
                picture=None if layer.why else picture,
                selected=selected,
                area=drawn_area(),
                at=_first_view(bounds),
                tools=True,
                key=_MAP_KEY,
            )
        with below:
            said = layer.note if beside is None else f"Left: {layer.note} Right: {beside.note}"
            st.caption(plain(f"{said} Bands: {shown.text}. Hold H to see the image alone."))
            if layer.why:
                _why_map_row(data, layer.why)
            area_row(data, run)
    now = fresh(answer, _MAP_KEY)
    if now.area is not None:
        take_area(now.area)
    if now.click is not None:
        _choose(table, now.click)


def _legend_row(data: PackedChips, run: Run | None, task: Task, layer: Layer) -> tuple[Layer | None, tuple[int, ...]]:
    """Legend, the layer to compare with, and class switches; gives that layer, and the classes that are on (none = all)."""
    if layer.legend:
        st.html(layer.legend)
    row = st.container(horizontal=True, vertical_alignment="bottom")
    with row, st.container(width=170):
        beside = pick_beside(data, run, task, _parent(run, data.name))
    only: tuple[int, ...] = ()
    if layer.classes or (beside and beside.classes):
        with row:
            only = pick_some("Only these classes", task.classes, "classes")
    if beside is not None and beside.legend and beside.legend != layer.legend:
        st.html(beside.legend)
    return beside, only


def _switched(layer: Layer, only: tuple[int, ...]) -> str | None:
    return addresses.only_classes(layer.tiles, only) if layer.tiles and layer.classes else layer.tiles


def _first_view(bounds: Sequence[float]) -> View | None:
    """The view that the address named when this map was first opened; another ground begins with all of it."""
    key = f"{_MAP_KEY}.first"
    first = st.session_state.setdefault(key, (tuple(bounds), view_of(st.query_params.get("at", ""))))
    return first[1] if first[0] == tuple(bounds) else None


def _why_map_row(data: PackedChips, facts: dict[str, Any]) -> None:
    row = st.container(horizontal=True)
    with row.popover("Bands and sensors over the area", icon=":material/bar_chart:", width="content"):
        why_map_shares(data, facts)
    row.link_button(
        "GeoTIFF", addresses.why_map_file(why_map_key()), icon=":material/download:",
        help="The evidence as numbers, on the scene's own grid, for any GIS.",
    )  # fmt: skip


def _without_ground(data: PackedChips, run: Run | None, task: Task, chip: int | None, table: pd.DataFrame) -> None:
    """The inspector alone: these chips are nowhere on a map."""
    _marks(data, run)
    st.info(
        "The chips of this data set have no place on the ground, so there is no map of them. Choose one among its chips.",
        icon=":material/wrong_location:",
    )
    query = {"dataset": data.name, "view": "chips"}
    st.page_link(page("datasets"), label="Look at the chips", icon=":material/grid_view:", query_params=query)
    if chip is not None:
        with st.container(width=620):
            inspect(data, run, task, chip, table.loc[chip])


def _choose(table: pd.DataFrame, click: Click) -> None:
    chip = chip_at(table, click.longitude, click.latitude, click.reach)
    if chip is None:
        st.toast("There is no chip here: the scene ends, or has no data.", icon=":material/info:")
        return
    st.query_params["chip"] = str(chip)
    take_spot(click.latitude, click.longitude)
    st.rerun()


def _chosen_chip(data: PackedChips) -> int | None:
    text = st.query_params.get("chip", "")
    return int(text) if text.isascii() and text.isdigit() and len(text) < 10 and int(text) < len(data) else None


def _parent(run: Run | None, dataset: str) -> Run | None:
    """The run to compare with: the one that this run started from."""
    if run is None or not run.parent:
        return None
    try:
        parent = open_run(services().settings, run.parent)
    except RunNotFound:
        return None
    return parent if parent.done and dataset in parent.datasets else None


def _take_new_run() -> None:
    """When the retraining that this person asked for is done, show it and what it changed."""
    name = st.session_state.get("retraining")
    if not name:
        return
    run = open_run(services().settings, name)
    if run.done:
        del st.session_state["retraining"]
        st.session_state["run"] = name
        st.session_state["layer"] = CHANGE
        st.toast(f"Run {plain(run.title)} is ready: the map shows what changed.", icon=":material/check_circle:")


def _marks(data: PackedChips, run: Run | None) -> None:
    """What must be said above the map: synthetic data, and work under way."""
    if data.manifest["synthetic"]:
        st.warning(
            "Synthetic: this landscape is generated. It stands in for the real sample.", icon=":material/science:"
        )

    def progress() -> None:
        for job in services().jobs.store.live():
            if job.kind in ("train", "why-map", "predict-area") and job.spec.get("dataset") == data.name:
                st.progress(job.share, text=progress_text(job))

    live_fragment(progress, "map")
    if run is None and not services().jobs.store.live():
        st.info(
            "No run has finished on this data set yet. Start one on the Train page.", icon=":material/model_training:"
        )
    elif run is not None and run.info.get("fingerprint") != data.fingerprint:
        st.info(
            "This run was trained on another state of the data set (another split or other targets). Its scores hold for "
            "that one: the chips of today's test split may have trained it.",
            icon=":material/history:",
        )
