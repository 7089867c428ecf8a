"""Which part of the ground a map shows: one place of a data set that has several, or all of them."""

from __future__ import annotations

import streamlit as st

from spatialnet.datasets.packed import PackedChips
from spatialnet.ui.pickers import pick
from spatialnet.web.chip_columns import columns_of

Bounds = tuple[float, float, float, float]
ALL = "*"
"""The picker's value for all places; no place can be called so."""


def several_places(data: PackedChips) -> bool:
    """Whether there is a place to pick."""
    return len(data.places) > 1


def pick_place(data: PackedChips, key: str, chip: int | None = None) -> Bounds:
    """The picker, where there is more than one place.

    Args:
        data: a data set whose chips have a place on the ground.
        key: of the widget, and name of the query parameter.
        chip: the chosen chip; choosing another one leads to its place, unless all places are shown.

    Returns:
        (west, south, east, north) in degrees of what is to be seen.
    """
    if not several_places(data):
        return whole_bounds(data)
    table = columns_of(data).table
    counts = table["place"].value_counts()
    names = [str(place["name"]) for place in data.places]
    _follow(key, None if chip is None else str(table.loc[chip, "place"]), (data.name, chip), names)
    shown = {name: f"{name} ({int(counts.get(name, 0)):,})" for name in names}
    shown[ALL] = f"All places ({len(data):,})"
    return place_bounds(data, pick("Place", shown, key, help="The number of its chips stands in brackets."))


def place_bounds(data: PackedChips, name: str = "") -> Bounds:
    """Bounds in degrees of a place; of all chips for `ALL`, and of the first place where there is none of this name."""
    if name == ALL or not data.places:
        return whole_bounds(data)
    place = next((place for place in data.places if place["name"] == name), data.places[0])
    west, south, east, north = place["bounds"]
    return west, south, east, north


def whole_bounds(data: PackedChips) -> Bounds:
    """Bounds in degrees of all chips; the world where no chip has a place."""
    return data.bounds or (-180.0, -60.0, 180.0, 75.0)


def _follow(key: str, place: str | None, now: tuple[str, int | None], names: list[str]) -> None:
    """Go where a newly chosen chip is, unless a link that was just opened asks for another place."""
    if st.session_state.get(f"{key}.chip") == now:
        return
    st.session_state[f"{key}.chip"] = now
    asked = st.query_params.get(key)
    linked = asked in (*names, ALL) and asked != st.session_state.get(f"{key}.in-address")
    if place in names and not linked and st.session_state.get(key) != ALL:
        st.session_state[key] = place
