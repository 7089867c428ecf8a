"""What the pre-scan of a source found: files, bands, values, classes, and what would be left out."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from typing import Any

import pandas as pd
import streamlit as st

from spatialnet.importing.listing import Note, Pixels
from spatialnet.importing.prescan.scan import Storage
from spatialnet.jobs.importing import Prescan
from spatialnet.jobs.services import services
from spatialnet.ui.live_jobs import duration
from spatialnet.ui.markup import plain

_SHOWN = 200
_VALUES = {"Lowest": "low", "2 %": "p2", "98 %": "p98", "Highest": "high"}
_NOTES: Mapping[str, tuple[str, str]] = {
    "refuse": ("block", "red"), "drop": ("remove_circle", "orange"), "note": ("info", "gray"),
}  # fmt: skip


def found(prescan: Prescan) -> None:
    """Draw what was found."""
    scan, facts = prescan.scan, prescan.scan.facts
    with st.container(horizontal=True, vertical_alignment="center"):
        st.subheader(plain(scan.listing.origin.title), anchor=False, width="content")
        st.badge(prescan.importer.title, icon=":material/description:", color="gray")
    st.caption(plain(f"{prescan.source} · {prescan.reason}"))
    if scan.listing.origin.synthetic:
        st.warning("Synthetic: these chips are generated.", icon=":material/science:")
    cells = st.columns(3)
    files = sum(facts.get("files", {}).values())
    kinds = ", ".join(
        f"{count:,} {suffix or 'without suffix'}" for suffix, count in list(facts.get("files", {}).items())[:3]
    )
    cells[0].metric("Chips", f"{len(scan.listing):,}", border=True)
    cells[1].metric("Files", f"{files:,}", border=True, help=plain(kinds) or None)
    cells[2].metric("Sensors", str(len(scan.listing.pixels)), border=True)
    free = shutil.disk_usage(services().settings.workspace).free
    told = f"The import takes about {duration(max(scan.seconds, 1))} and {_bytes(scan.bytes)} of disk; {_bytes(free)} are free."
    if scan.bytes > 0.95 * free:
        st.error(
            f"The data set needs {_bytes(scan.bytes)} and {_bytes(free)} are free. Free some space first.",
            icon=":material/hard_drive:",
        )
    elif not scan.refused:
        st.caption(told)
    _notes(scan.notes)
    if facts.get("unreadable"):
        with st.expander(f"Files that cannot be read ({len(facts['unreadable']):,})", icon=":material/broken_image:"):
            st.dataframe(
                pd.DataFrame(facts["unreadable"][:5000], columns=["File", "Why"]), hide_index=True, height="auto"
            )
    if scan.storage:
        with st.expander("Bands, sizes and values", icon=":material/layers:", expanded=len(scan.listing.pixels) < 3):
            for pixels in scan.listing.pixels:
                _sensor(pixels, scan.storage[pixels.sensor.name], len(scan.listing), facts)
            _ground(facts)


def _notes(notes: tuple[Note, ...]) -> None:
    for severity, (icon, colour) in _NOTES.items():
        for note in (n for n in notes if n.severity == severity):
            text = f":{colour}[:material/{icon}:] {plain(note.text)}"
            if all(name in note.text for name in note.names):
                st.markdown(text)
                continue
            with st.container(horizontal=True, vertical_alignment="center"):
                st.markdown(text, width="content")
                with st.popover(f"{len(note.names):,} named", type="tertiary"):
                    more = len(note.names) - _SHOWN
                    st.code(
                        "\n".join([*note.names[:_SHOWN], *([f"and {more:,} more"] if more > 0 else [])]), language=None
                    )


def _sensor(pixels: Pixels, storage: Storage, chips: int, facts: Mapping[str, Any]) -> None:
    name, there = pixels.sensor.name, int(pixels.present.sum())
    sizes, dtypes = (
        ", ".join(f"{key} ({n:,})" for key, n in list(facts[part].get(name, {}).items())[:4])
        for part in ("sizes", "dtypes")
    )
    missing = "" if there == chips else f" · missing for {chips - there:,} chips"
    nodata = "none" if storage.nodata is None else f"{storage.nodata:g}"
    st.markdown(f"**{plain(pixels.sensor.label)}** · {there:,} chips{missing}")
    st.caption(plain(
        f"found {sizes} pixels of {dtypes}; kept as {storage.size} x {storage.size} {storage.dtype} · no-data {nodata}"
    ))  # fmt: skip
    values = facts.get("values", {}).get(name) or {}
    if not values.get("bands"):
        return
    descriptions = facts.get("bands", {}).get(name, {}).get("found", [])
    order = pixels.bands or tuple(range(1, len(pixels.sensor.bands) + 1))
    known = [(i, band, values["bands"][band]) for i, band in enumerate(pixels.sensor.bands) if band in values["bands"]]
    table = pd.DataFrame([
        {"Band": band, "File band": _file_band(order, descriptions, i), **{title: v[part] for title, part in _VALUES.items()}}
        for i, band, v in known
    ])  # fmt: skip
    number = st.column_config.NumberColumn(format="%.4g")
    st.dataframe(
        table,
        hide_index=True,
        height="content" if len(table) < 14 else "auto",
        column_config=dict.fromkeys(_VALUES, number),
    )
    st.caption(f"Percentiles are of {values['chips']:,} chips.")


def _file_band(order: tuple[int, ...], descriptions: list[str], index: int) -> str:
    number = order[index] if index < len(order) else index + 1
    text = descriptions[number - 1] if number <= len(descriptions) else ""
    return f"{number} {text}".strip()


def _ground(facts: Mapping[str, Any]) -> None:
    systems = [f"{name or 'none'} ({count:,})" for name, count in list(facts.get("crs", {}).items())[:6]]
    twice, shared = facts.get("duplicates", {}), facts.get("shared_ground", 0)
    st.caption(plain(
        f"Coordinate systems: {', '.join(systems)} · same pixels: {twice.get('exact', 0):,} pairs · nearly the same: "
        f"{twice.get('near', 0):,} pairs · chips that share ground: {shared:,} pairs"
    ))  # fmt: skip


def _bytes(size: float) -> str:
    return f"{size / 1e9:,.1f} GB" if size >= 1e9 else f"{max(size, 1e5) / 1e6:,.1f} MB"
