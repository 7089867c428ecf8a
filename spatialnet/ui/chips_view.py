"""The chips of a data set: filters that stand in the address, and one selection as grid, map and table."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd
import streamlit as st

from spatialnet.datasets.catalogue import chip_at
from spatialnet.datasets.packed import SPLITS, PackedChips
from spatialnet.jobs.services import services
from spatialnet.palette import NONE_PRESENT_COLOUR, class_colours
from spatialnet.tasks import Task
from spatialnet.ui import address, markup
from spatialnet.ui.chip_grid import SHEET_SIDES, chip_grid
from spatialnet.ui.frame import draw_again
from spatialnet.ui.maps import draw_map, fresh
from spatialnet.ui.pickers import pick, pick_task
from spatialnet.ui.places import pick_place
from spatialnet.ui.shown import Shown, pick_stretched
from spatialnet.ui.views_panel import views_panel
from spatialnet.web import addresses
from spatialnet.web.chip_columns import ChipColumns, columns_of
from spatialnet.web.chip_filter import ChipFilter, choices_of, chosen
from spatialnet.web.colours import SPLIT_COLOURS

PAGE = 96
"""Chips on one page of the grid and of the table."""

_SHORT = 12
"""A legend of at most so many entries stands above the chips, a longer one below them."""

_WAYS = {"grid": ":material/grid_view: Grid", "map": ":material/map: Map", "table": ":material/table_rows: Table"}
_EDGES = {"target": "Target", "split": "Split"}


@dataclass(frozen=True)
class _Selection:
    """What grid, map and table all show."""

    data: PackedChips
    columns: ChipColumns
    asked: ChipFilter
    task: Task
    chips: npt.NDArray[np.int64]
    edge: str
    shown: Shown
    first: int

    @property
    def page(self) -> list[int]:
        return self.chips[self.first : self.first + PAGE].tolist()


@st.fragment
def chips_view(data: PackedChips) -> None:
    """Draw filters and the chosen view; only this part runs again when one of them changes."""
    columns = columns_of(data)
    task, asked = _filters(data, columns)
    mask = chosen(columns, asked, services().labels)
    chips = np.flatnonzero(mask)
    way, edge, shown = _bar(data, asked, len(chips))
    if not len(chips):
        st.info("No chip fits these filters. Take one of them away.", icon=":material/filter_alt_off:")
        return
    selection = _Selection(data, columns, asked, task, chips, edge, shown, _first(asked, len(chips)))
    legend = _legend(selection)
    st.caption(markup.plain(f"{shown.text}."))
    if len(legend) <= _SHORT:
        st.html(markup.swatches(legend))
    if way == "map":
        _map(selection)
    elif way == "table":
        _table(selection)
    else:
        _grid(selection)
    if way != "map":
        _turn(len(chips))
    if len(legend) > _SHORT:
        st.html(markup.swatches(legend))
    _picked(selection)


def _filters(data: PackedChips, columns: ChipColumns) -> tuple[Task, ChipFilter]:
    # Boxes of fixed width that wrap: columns would cut their content on a narrow screen.
    with st.container(horizontal=True, vertical_alignment="bottom", key="filters"):
        with st.container(width="content"):
            counts = data.manifest["split"]["counts"]
            named = {name: name for name in SPLITS if counts.get(name)}
            split = address.pick_many("Split", named, "split", look="pills")
        with st.container(width=185):
            task = pick_task(data.tasks)
        with st.container(width=230):
            target = address.pick_many(
                "Class",
                {name: name for name in choices_of(task)},
                "class",
                help="Chips whose target holds any of these classes.",
            )
        with st.container(width=185):
            key = address.type_text("Name holds", "key", placeholder="part of a file name")
        with st.popover("More filters", icon=":material/tune:", width="content", key="more-filters"):
            place, region, sensor, leaks, corrected = _more(data, columns)
    return task, ChipFilter(split, task.name, target, place, region, sensor, key, leaks, corrected)


def _more(
    data: PackedChips, columns: ChipColumns
) -> tuple[tuple[str, ...], tuple[str, ...], tuple[str, ...], bool, bool]:
    place: tuple[str, ...] = ()
    region: tuple[str, ...] = ()
    sensor: tuple[str, ...] = ()
    if len(columns.values("place")) > 1:
        place = address.pick_many("Place", {name: name for name in columns.values("place")}, "place")
    if columns.values("region"):
        region = address.pick_many("Region", {name: name for name in columns.values("region")}, "region")
    if len(data.sensors) > 1:
        named = {s.name: s.label for s in data.sensors}
        sensor = address.pick_many("Has the sensor", named, "sensor", help="Chips that have any of these sensors.")
    number = sum(data.manifest["split"].get("leaks", {}).values())
    leaks = address.switch(
        f"Only leaks ({number:,} pairs)", "leaks", help="Chips of different splits that share ground or pixels."
    )
    corrected = address.switch("Only corrected by people", "corrected")
    return place, region, sensor, leaks, corrected


def _bar(data: PackedChips, asked: ChipFilter, found: int) -> tuple[str, str, Shown]:
    with st.container(horizontal=True, vertical_alignment="center", key="chips-bar"):
        way = address.one_of("View", {n: t for n, t in _WAYS.items() if n != "map" or data.has_ground}, "show")
        total = f" of {len(data):,}" if not asked.empty else ""
        st.markdown(f"**{found:,}**{total} chip{'s' * (found != 1)}", width="content")
        st.space("stretch")
        with st.popover("Picture", icon=":material/palette:", width="content", key="picture-settings"):
            shown = pick_stretched(data)
            edge = pick("Colours say", _EDGES, "edge")
        views_panel(data)
    if not data.has_ground:
        st.caption("These chips have no place on the ground, so there is no map of them.")
    return way, edge, shown


def _first(asked: ChipFilter, found: int) -> int:
    """Position of the page's first chip; another filter begins at page 1."""
    if st.session_state.setdefault("chips.asked", asked) != asked:
        st.session_state["chips.asked"] = asked
        address.put("page", "")
    return (address.number("page", 1, -(-found // PAGE)) - 1) * PAGE


def _turn(found: int) -> None:
    pages = -(-found // PAGE)
    if pages < 2:
        return
    now = address.number("page", 1, pages)
    with st.container(horizontal_alignment="center"):
        chosen_page = st.pagination(pages, default=now, key=f"chips.page.{now}.{pages}")
    if chosen_page != now:
        address.put("page", str(chosen_page) if chosen_page > 1 else "")
        draw_again()


def _grid(selection: _Selection) -> None:
    chips, columns = np.asarray(selection.page), selection.columns
    side = int(np.clip(selection.data.manifest["sizes"][selection.shown.sensor.name], *SHEET_SIDES))
    answer = chip_grid(
        selection.page, selection.shown.sheet(selection.data, selection.page, side), about=_about(selection, chips),
        edges=_edge_colours(selection, chips), picked=address.held_chips("picked", len(columns.data)), key="chip-grid",
    )  # fmt: skip
    if answer.picked is not None:
        address.hold_chips("picked", [chip for chip in answer.picked if chip < len(columns.data)])
    if answer.opened is not None and answer.opened < len(columns.data):
        open_chip(answer.opened)


def _about(selection: _Selection, chips: npt.NDArray[np.int64]) -> list[str]:
    columns, task = selection.columns, selection.task
    splits, keys = columns.splits()[chips], columns.table["key"].to_numpy()[chips]
    return [
        f"Chip {chip} · {task.label}: {text} · {SPLITS[split]} · {key}"
        for chip, text, split, key in zip(chips, columns.texts(task, chips), splits, keys, strict=True)
    ]


def _edge_colours(selection: _Selection, chips: npt.NDArray[np.int64]) -> list[str]:
    if selection.edge == "split" or selection.task.kind == "count":
        return [SPLIT_COLOURS[SPLITS[split]] for split in selection.columns.splits()[chips]]
    targets, colours = selection.columns.targets(selection.task)[chips], class_colours(selection.task)
    values = targets.reshape(len(chips), -1)
    if selection.task.kind == "multilabel":
        none = np.where(np.isfinite(values).all(axis=1), NONE_PRESENT_COLOUR, "")
        return [
            colours[int(np.argmax(row > 0))] if (row > 0).any() else str(n) for row, n in zip(values, none, strict=True)
        ]
    return [colours[int(value)] if np.isfinite(value) and value >= 0 else "" for value in values[:, 0]]


def _map(selection: _Selection) -> None:
    data, asked = selection.data, selection.asked.to_query()
    if selection.edge == "split" or selection.task.kind == "count":
        tiles = addresses.split_tiles(data.name, data.fingerprint, asked)
    else:
        tiles = addresses.target_tiles(data.name, selection.task.name, version=data.fingerprint, chosen=asked)
    table, held = selection.columns.table, address.held_chips("picked", len(data))
    outlines = [
        ((row.south, row.west), (row.north, row.east))
        for row in table.loc[list(held[:100]), ["south", "west", "north", "east"]].itertuples()
        if np.isfinite(row.south)
    ]
    if selection.asked.place or selection.asked.region:
        bounds = _around(table.loc[selection.chips])
    else:
        with st.container(width=260):
            bounds = pick_place(data, "where")
    tiles_below = selection.shown.tiles(data, asked)
    clicked = fresh(
        draw_map(tiles_below, bounds, overlay=tiles, selected=outlines, key="chips-map", height=560), "chips-map"
    ).click
    if clicked is not None:
        chip = chip_at(table.loc[selection.chips], clicked.longitude, clicked.latitude, clicked.reach)
        if chip is None:
            st.toast("None of the chosen chips is here.", icon=":material/info:")
        else:
            address.hold_chips("picked", [chip])
            draw_again()


def _around(table: pd.DataFrame) -> tuple[float, float, float, float]:
    """Bounds in degrees of some chips; the world where none of them has a place."""
    found = table[["west", "south", "east", "north"]]
    west, south, east, north = (float(v) for v in (*found.min().iloc[:2], *found.max().iloc[2:]))
    return (west, south, east, north) if np.isfinite(west) else (-180.0, -60.0, 180.0, 75.0)


def _table(selection: _Selection) -> None:
    data, chips = selection.data, np.asarray(selection.page)
    rows = selection.columns.table.loc[chips]
    held = address.held_chips("picked", len(data))
    frame = pd.DataFrame({
        "picture": [selection.shown.chip(data, int(chip), 64) for chip in chips], "chip": chips, "key": rows["key"],
        "split": rows["split"], **{task.name: selection.columns.texts(task, chips) for task in data.tasks},
        "place": rows["place"], "region": rows["region"], "latitude": rows["latitude"], "longitude": rows["longitude"],
        "open": [f"/datasets?dataset={data.name}&view=chips&chip={chip}" for chip in chips],
    })  # fmt: skip
    empty = [name for name in ("place", "region") if not (frame[name] != "").any()]
    empty += [] if data.has_ground else ["latitude", "longitude"]
    order = [name for name in frame.columns if name not in empty]
    answer = st.dataframe(
        frame, hide_index=True, height=560, row_height=52, column_order=order, on_select="rerun", selection_mode="multi-row",
        selection_default={"selection": {"rows": [i for i, chip in enumerate(chips) if int(chip) in held]}},
        key=f"chip-table.{data.fingerprint}.{hash(selection.asked)}.{selection.first}",
        column_config={
            "picture": st.column_config.ImageColumn("Chip", width="small"),
            "chip": st.column_config.NumberColumn("Number", format="%d", width="small"),
            "key": "Name", "split": "Split", "place": "Place", "region": "Region",
            **{task.name: task.label for task in data.tasks},
            "latitude": st.column_config.NumberColumn("Latitude", format="%.4f"),
            "longitude": st.column_config.NumberColumn("Longitude", format="%.4f"),
            "open": st.column_config.LinkColumn("Its page", display_text="Open", width="small"),
        },
    )  # fmt: skip
    here = set(chips.tolist())
    picked = [chip for chip in held if chip not in here]
    picked += [int(chips[row]) for row in answer["selection"]["rows"] if row < len(chips)]
    if set(picked) != set(held):
        address.hold_chips("picked", picked)


def _legend(selection: _Selection) -> list[tuple[str, str]]:
    if selection.edge == "split" or selection.task.kind == "count":
        counts = selection.data.manifest["split"]["counts"]
        return [(colour, name) for name, colour in SPLIT_COLOURS.items() if counts.get(name)]
    entries = list(zip(class_colours(selection.task), selection.task.classes, strict=True))
    return [*entries, (NONE_PRESENT_COLOUR, "none present")] if selection.task.kind == "multilabel" else entries


def _picked(selection: _Selection) -> None:
    """What is picked, in every view the same, and what can be done with it."""
    held = address.held_chips("picked", len(selection.data))
    if not held:
        return
    with st.container(horizontal=True, vertical_alignment="center", key="picked-bar"):
        several = f"{len(held)} chips picked" if len(held) > 1 else f"Chip {held[0]} picked"
        st.markdown(f"**{several}**", width="content")
        if st.button(f"Open chip {held[0]}", icon=":material/open_in_full:", key="picked.open"):
            open_chip(held[0])
        if st.button("Drop", icon=":material/close:", type="tertiary", key="picked.drop", help="Pick no chip"):
            address.put("picked", "")
            draw_again()
    sheet = [selection.shown.chip(selection.data, chip, 64) for chip in held[:12]]
    st.html(markup.thumbnails([(picture, f"Chip {chip}") for picture, chip in zip(sheet, held, strict=False)]))


def open_chip(chip: int) -> None:
    """Go to a chip's own page."""
    st.query_params["chip"] = str(chip)
    st.rerun()
