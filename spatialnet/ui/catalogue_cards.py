"""The catalogue: every data set of the workspace as a card, with licence, size and what it holds."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import streamlit as st

from spatialnet.datasets.catalogue import size_on_disk
from spatialnet.datasets.packed import PackedChips
from spatialnet.ui import markup
from spatialnet.ui.navigation import page
from spatialnet.ui.shown import sensor_pictures
from spatialnet.web.addresses import SHEET_COLUMNS

_WIDTH = 324  # pixels: two cards beside the menu on a screen of 1024 pixels, three on one of 1440


@st.cache_data(max_entries=256, show_spinner=False, hash_funcs={PackedChips: lambda d: (str(d.folder), d.fingerprint)})
def disk_text(data: PackedChips) -> str:
    """The size of a data set's files, such as `1.2 GB`."""
    size = float(size_on_disk(data))
    for unit in ("B", "kB", "MB", "GB"):
        if size < 1000:
            return f"{size:.0f} {unit}" if unit in ("B", "kB") or size >= 100 else f"{size:.1f} {unit}"
        size /= 1000
    return f"{size:.1f} TB"


def catalogue(found: Sequence[PackedChips]) -> None:
    """Draw the cards, as many in a row as there is room for."""
    with st.container(horizontal=True, key="catalogue"):
        for data in found:
            with st.container(border=True, width=_WIDTH, height="stretch"):
                _card(data)


def _card(data: PackedChips) -> None:
    manifest = data.manifest
    st.html(markup.strip(_sheet(data), f"Some chips of {data.title}"))
    st.page_link(
        page("datasets"),
        label=f"**{markup.plain(data.title)}**",
        icon=":material/satellite_alt:",
        query_params={"dataset": data.name},
    )
    marks = ["Synthetic: this landscape is generated"] if manifest["synthetic"] else []
    marks += ["Targets derived"] if manifest.get("derived") else []
    ground = [] if data.has_ground else ["no place on the ground"]
    st.html(markup.tags([*(s.label for s in data.sensors), *(task.label for task in data.tasks), *ground], marks))
    sizes = f"{data.chip_size} px" + (f" ({data.chip_size * data.gsd_m:,.0f} m)" if data.gsd_m else "")
    licence = manifest["licence"] or "not given"
    st.caption(markup.plain(f"{len(data):,} chips of {sizes} · {disk_text(data)} · Licence: {licence}"))


def _sheet(data: PackedChips) -> str:
    """One row of chips, spread over the data set."""
    first = next(iter(sensor_pictures(data).values()))
    chips = np.unique(np.linspace(0, len(data) - 1, SHEET_COLUMNS).astype(int)).tolist()
    return first.sheet(data, chips, 64)
