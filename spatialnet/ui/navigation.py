"""The pages: their order, addresses and icons."""

from __future__ import annotations

from typing import TYPE_CHECKING

import streamlit as st

from spatialnet.settings import REPOSITORY

if TYPE_CHECKING:
    from streamlit.navigation.page import StreamlitPage

_PAGES = {
    "home": ("Home", ":material/home:"),
    "map": ("Map", ":material/map:"),
    "label": ("Label", ":material/edit_note:"),
    "train": ("Train", ":material/model_training:"),
    "runs": ("Runs", ":material/inventory_2:"),
    "ablations": ("Ablations", ":material/science:"),
    "datasets": ("Data sets", ":material/satellite_alt:"),
}


def page(name: str) -> StreamlitPage:
    """One page, for navigation and links."""
    title, icon = _PAGES[name]
    return st.Page(
        REPOSITORY / "pages" / f"{name}.py",
        title=title,
        icon=icon,
        url_path="" if name == "home" else name,
        default=name == "home",
    )


def all_pages() -> list[StreamlitPage]:
    """Every page, in the order of the menu."""
    return [page(name) for name in _PAGES]
