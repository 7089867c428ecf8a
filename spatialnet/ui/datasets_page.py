"""The data-sets page: the catalogue, and of the chosen data set an overview, its chips, and one chip."""

from __future__ import annotations

import streamlit as st

from spatialnet.datasets.catalogue import list_datasets
from spatialnet.datasets.packed import PackedChips
from spatialnet.jobs.services import services
from spatialnet.ui import address, import_panel, markup
from spatialnet.ui.catalogue_cards import catalogue
from spatialnet.ui.chip_page import chip_page
from spatialnet.ui.chips_view import chips_view
from spatialnet.ui.overview import overview
from spatialnet.ui.pickers import empty_workspace

_VIEWS = {"overview": "Overview", "chips": "Chips"}


def draw() -> None:
    """Draw the page."""
    if st.query_params.get("import") == "1":
        _import()
        return
    found = {data.name: data for data in list_datasets(services().settings)}
    data = found.get(st.query_params.get("dataset", ""))
    if data is not None:
        _one(data)
        return
    if found:
        with st.container(horizontal=True, vertical_alignment="center"):
            st.markdown(f"**{len(found)}** data set{'s' * (len(found) != 1)}", width="content")
            st.space("stretch")
            _import_button()
        catalogue(list(found.values()))
    else:
        empty_workspace()
        _import_button()


def _one(data: PackedChips) -> None:
    # What the other pages show when the person goes there.
    st.session_state["dataset"] = data.name
    text = st.query_params.get("chip", "")
    chip = int(text) if text.isascii() and text.isdigit() and len(text) < 10 and int(text) < len(data) else None
    part = "overview"
    with st.container(horizontal=True, vertical_alignment="center", key="dataset-head"):
        if st.button("All data sets", icon=":material/arrow_back:", type="tertiary", key="datasets.back"):
            st.query_params.clear()
            st.rerun()
        st.subheader(markup.plain(data.title), anchor=False, width="content")
        if data.manifest["synthetic"]:
            st.badge("Synthetic: this landscape is generated", icon=":material/science:", color="orange")
        if chip is None:
            address.put("chip", "")
            st.space("stretch")
            part = address.one_of("Part", _VIEWS, "view")
    if chip is not None:
        chip_page(data, chip)
    elif part == "chips":
        chips_view(data)
    else:
        overview(data)


def _import_button() -> None:
    if st.button("Import a data set", icon=":material/upload_file:", type="primary", key="import.open"):
        st.query_params.from_dict({"import": "1"})
        st.rerun()


def _import() -> None:
    if st.button("All data sets", icon=":material/arrow_back:", type="tertiary", key="datasets.back"):
        st.query_params.clear()
        st.rerun()
    import_panel.draw()
