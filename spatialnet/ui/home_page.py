"""The home page: the loop in four steps, the first run's progress, and the newest run in numbers."""

from __future__ import annotations

import numpy as np
import streamlit as st

from spatialnet.datasets.catalogue import list_datasets
from spatialnet.datasets.packed import PackedChips
from spatialnet.jobs.services import services
from spatialnet.runs import current_run
from spatialnet.ui import markup
from spatialnet.ui.live_jobs import live_fragment, progress_text
from spatialnet.ui.maps import draw_map
from spatialnet.ui.markup import plain
from spatialnet.ui.navigation import page
from spatialnet.ui.pickers import empty_workspace
from spatialnet.ui.places import place_bounds, several_places
from spatialnet.ui.run_table import metric_cards
from spatialnet.ui.shown import sensor_pictures
from spatialnet.web import addresses

_STEPS = (
    ("map", "See", "Every place, three tasks, one map.", ":material/map:"),
    ("map", "Ask why", "Click a place: the evidence, and how far to trust it.", ":material/help:"),
    ("label", "Correct", "One key per chip, nothing lost.", ":material/edit_note:"),
    ("train", "Learn", "Retrain, and the map shows what changed.", ":material/model_training:"),
)


_PICTURES = 48
"""Chips shown where there is no map."""


def draw() -> None:
    """Draw the page."""
    _steps()
    found = list_datasets(services().settings)
    if not found:
        empty_workspace()
        return
    data = _first(found)

    def progress() -> None:
        for job in services().jobs.store.live():
            st.progress(job.share, text=progress_text(job))

    live_fragment(progress, "home")
    left, right = st.columns([1.2, 1], gap="large")
    with left:
        _scene(data)
    with right:
        _numbers(data)


def _steps() -> None:
    for column, (target, title, text, icon) in zip(st.columns(4), _STEPS, strict=True):
        with column.container(border=True, height="stretch"):
            st.page_link(page(target), label=f"**{title}**", icon=icon)
            st.caption(text)


def _first(found: list[PackedChips]) -> PackedChips:
    """The data set of the newest run, else the first."""
    run = current_run(services().settings)
    return next((data for data in found if run and data.name == run.dataset), found[0])


def _scene(data: PackedChips) -> None:
    st.subheader(plain(data.title), anchor=False)
    if data.manifest["synthetic"]:
        st.warning(
            "Synthetic: this landscape is generated. It stands in for the real sample.", icon=":material/science:"
        )
    sensor, first = data.sensors[0], next(iter(sensor_pictures(data).values()))
    if data.bounds is None:
        chips = np.unique(np.linspace(0, len(data) - 1, _PICTURES).astype(int)).tolist()
        st.html(markup.thumbnails([(first.chip(data, chip, 64), f"Chip {chip}") for chip in chips]))
        st.caption(plain(f"{sensor.label}. These chips have no place on the ground. {data.manifest['description']}"))
        return
    done = current_run(services().settings, data.name)
    multiclass = next((task for task in data.tasks if task.kind == "multiclass"), None)
    overlay, what = None, ""
    if done and multiclass and data.places:
        overlay = addresses.run_tiles(done.name, multiclass.name)
        what = f", {multiclass.label.lower()} by run {done.title} over it"
    elif any(place.get("land_cover") for place in data.places):
        overlay, what = addresses.land_cover_tiles(data.name, data.fingerprint), ", land cover over it"
    if several_places(data):
        what += f"; place {data.places[0]['name']}, one of {len(data.places)}"
    draw_map(first.tiles(data), place_bounds(data), overlay=overlay, key="home-map", height=420)
    derived = " Targets are derived." if data.manifest.get("derived") else ""
    st.caption(plain(f"{sensor.label}{what}. {data.manifest['description']}{derived}"))


def _numbers(data: PackedChips) -> None:
    run = current_run(services().settings, data.name)
    if run is None:
        st.subheader("No run has finished yet", anchor=False)
        if services().jobs.store.live():
            st.write(
                "The first run trains by itself; its metrics and its map appear here. You can look at the scene meanwhile."
            )
            return
        st.write("Its metrics beside the baselines, and its map, appear here.")
        query = {"dataset": data.name}
        st.page_link(page("train"), label="Train a first run", icon=":material/model_training:", query_params=query)
        st.page_link(
            page("datasets"),
            label="Look at its chips",
            icon=":material/grid_view:",
            query_params={**query, "view": "chips"},
        )
        return
    st.subheader(f"Current run: {plain(run.title)}", anchor=False)
    metric_cards(run)
    st.page_link(page("map"), label="Open the map", icon=":material/map:")
    st.page_link(page("label"), label="Label the chips that the model is least sure of", icon=":material/edit_note:")
