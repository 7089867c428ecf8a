"""What leaks between the splits of a data set: a sentence, the map, and the pairs side by side."""

from __future__ import annotations

import pandas as pd
import streamlit as st

from spatialnet.datasets.leaks import CAP
from spatialnet.datasets.packed import PackedChips
from spatialnet.ui import address, markup
from spatialnet.ui.pickers import pick
from spatialnet.ui.shown import sensor_pictures
from spatialnet.web.chip_columns import columns_of
from spatialnet.web.colours import LEAK_COLOURS, OTHER_LEAK_COLOUR

SHOWN_PAIRS = 50
"""Pairs in the table."""

_MEANS = {
    "shared ground": "shared ground (their footprints overlap)",
    "exact duplicate": "exact duplicates (the same pixels)",
    "near duplicate": "near duplicates (almost the same pixels)",
}
_ANY = "any"


def leak_text(leaks: dict[str, int]) -> str:
    """The number of pairs by kind, such as `3 pairs of chips with shared ground`."""
    return ", ".join(f"{n:,} {'pair' if n == 1 else 'pairs'} of {_MEANS.get(kind, kind)}" for kind, n in leaks.items())


def leaks_panel(data: PackedChips) -> bool:
    """Say what leaks in the split that is in use.

    Returns:
        Whether the map is to show the chips that leak.
    """
    leaks = {kind: n for kind, n in data.manifest["split"].get("leaks", {}).items() if n}
    if not leaks:
        st.caption(":material/verified: No chip of one split shares ground or pixels with a chip of another.")
        return False
    total = sum(leaks.values())
    many = "One pair of chips leaks" if total == 1 else f"{total:,} pairs of chips leak"
    kinds = leak_text(leaks) if len(leaks) > 1 else _MEANS.get(next(iter(leaks)), next(iter(leaks)))
    st.warning(
        f"{many} between splits: {markup.plain(kinds)}. The model is tested on what it was trained on there, so a test score flatters.",
        icon=":material/water_drop:",
    )
    shown = address.switch("Show the leaking chips on the map", "show-leaks") if data.has_ground else False
    with st.expander("The leaking pairs, side by side", icon=":material/compare:"):
        _pairs(data, leaks)
    return shown


def leak_legend(data: PackedChips) -> str:
    """The colours of the map's leaks."""
    leaks = data.manifest["split"].get("leaks", {})
    return markup.swatches([(LEAK_COLOURS.get(k, OTHER_LEAK_COLOUR), f"{k} ({n:,})") for k, n in leaks.items() if n])


def _pairs(data: PackedChips, leaks: dict[str, int]) -> None:
    pairs = columns_of(data).leaks()
    if len(leaks) > 1:
        kind = pick("Kind of leak", {_ANY: "Any kind", **{kind: kind.capitalize() for kind in leaks}}, "leak-kind")
        pairs = pairs if kind == _ANY else pairs[pairs["kind"] == kind]
    first = next(iter(sensor_pictures(data).values()))
    rows = pairs.head(SHOWN_PAIRS)
    frame = pd.DataFrame({
        "picture_a": [first.chip(data, int(chip), 128) for chip in rows["a"]],
        "picture_b": [first.chip(data, int(chip), 128) for chip in rows["b"]],
        "kind": rows["kind"].to_numpy(),
        "chip_a": [_page(data, chip) for chip in rows["a"]], "split_a": rows["split_a"].astype(str).to_numpy(),
        "chip_b": [_page(data, chip) for chip in rows["b"]], "split_b": rows["split_b"].astype(str).to_numpy(),
    })  # fmt: skip
    number = r"chip=(\d+)"
    st.dataframe(
        frame, hide_index=True, row_height=84, height=min(460, 40 + 84 * max(1, len(frame))), key="leak-pairs",
        column_config={
            "picture_a": st.column_config.ImageColumn("One", width=90),
            "picture_b": st.column_config.ImageColumn("The other", width=90), "kind": "Kind",
            "chip_a": st.column_config.LinkColumn("Chip", display_text=number, width="small"),
            "chip_b": st.column_config.LinkColumn("Chip ", display_text=number, width="small"),
            "split_a": st.column_config.TextColumn("Split", width="small"),
            "split_b": st.column_config.TextColumn("Split ", width="small"),
        },
    )  # fmt: skip
    parts = [f"The first {len(frame):,} of {len(pairs):,} listed pairs." if len(pairs) > len(frame) else ""]
    if max(leaks.values()) > CAP:
        parts.append(f"All pairs are counted; {CAP:,} of each kind are listed, on the map too.")
    if any(parts):
        st.caption(" ".join(part for part in parts if part))


def _page(data: PackedChips, chip: int) -> str:
    return f"/datasets?dataset={data.name}&chip={int(chip)}"
