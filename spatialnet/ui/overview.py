"""The overview of a data set: facts, licence, how its targets came about, balance, split and sensors in numbers."""

from __future__ import annotations

import altair as alt
import numpy as np
import pandas as pd
import streamlit as st

from spatialnet.datasets.catalogue import target_facts
from spatialnet.datasets.packed import SPLITS, PackedChips
from spatialnet.tasks import Task
from spatialnet.ui import markup, retarget_panel
from spatialnet.ui.catalogue_cards import disk_text
from spatialnet.ui.leaks_panel import leak_legend, leaks_panel
from spatialnet.ui.maps import draw_map
from spatialnet.ui.pickers import pick_task
from spatialnet.ui.places import pick_place
from spatialnet.ui.shown import sensor_pictures
from spatialnet.ui.splits_panel import splits_panel
from spatialnet.web import addresses
from spatialnet.web.chip_columns import columns_of
from spatialnet.web.colours import SPLIT_COLOURS

_SHOWN_CLASSES = 30


def overview(data: PackedChips) -> None:
    """Draw the overview."""
    if retarget_panel.is_open():
        retarget_panel.draw(data)
        return
    left, right = st.columns(2, gap="large")
    with left:
        _facts(data)
        _targets(data)
        st.subheader("Balance", anchor=False)
        task = pick_task(data.tasks)
        _balance(data, task)
    with right:
        splits_panel(data)
        _split(data)
    st.subheader("Sensors", anchor=False)
    _sensors(data)


def _facts(data: PackedChips) -> None:
    manifest = data.manifest
    st.write(markup.plain(manifest["description"] or "No description was given."))
    ground = f"{data.gsd_m:g} m per pixel" if data.gsd_m else "pixel size on the ground not known"
    how = f"windows every {manifest['stride']} px" if manifest["stride"] else "files"
    places = f" · {len(data.places)} places" if len(data.places) > 1 else ""
    st.caption(
        f"{len(data):,} chips of {data.chip_size} px from {how} · {ground}{places} · {disk_text(data)} · "
        f"version {manifest['version']} · fingerprint {data.fingerprint}"
    )
    st.markdown(
        f"**Licence:** {markup.plain(manifest['licence'] or 'not given: ask the source before you share anything')}"
    )
    st.caption(markup.plain(f"Cite as: {manifest['citation'] or 'not given'}. Source: {manifest['source']}."))


def _targets(data: PackedChips) -> None:
    lines = []
    for task in data.tasks:
        derived, sentence = target_facts(data, task)
        mark = " (derived)" if derived else ""
        lines.append(f"- **{markup.plain(task.label)}**{mark}: {markup.plain(sentence)}")
    st.markdown("\n".join(lines))
    retarget_panel.opener()


def _split(data: PackedChips) -> None:
    """Which chips are in which split, what leaks, and where both are."""
    leaking = leaks_panel(data)
    if data.bounds is None:
        st.caption("These chips have no place on the ground, so the split cannot be shown on a map.")
        return
    bounds = pick_place(data, "where")
    tiles = addresses.split_tiles(data.name, data.fingerprint)
    if leaking:
        tiles = addresses.leak_tiles(data.name, data.split_id, data.fingerprint)
    base = next(iter(sensor_pictures(data).values())).tiles(data)
    draw_map(base, bounds, overlay=tiles, key="split-map", height=400)
    counts = data.manifest["split"]["counts"]
    st.html(
        leak_legend(data)
        if leaking
        else markup.swatches([(SPLIT_COLOURS[n], n) for n in SPLIT_COLOURS if counts.get(n)])
    )


@st.cache_data(max_entries=64, show_spinner=False, hash_funcs={PackedChips: lambda d: (str(d.folder), d.fingerprint)})
def balance(data: PackedChips, name: str) -> pd.DataFrame:
    """Shares of a task's classes in each split: columns `class`, `split`, `chips`, `share` (of the chips that are known)."""
    task, columns = data.task(name), columns_of(data)
    targets, splits, rows = columns.targets(task), columns.splits(), []
    values = targets.reshape(len(targets), -1).astype(np.float64)
    if task.kind == "multiclass":
        values[values < 0] = np.nan
    for index, split in enumerate(SPLITS[:3]):
        here = values[splits == index]
        for position, title in enumerate(task.classes):
            column = here[:, 0] if task.kind in ("multiclass", "binary") else here[:, position]
            known = column[np.isfinite(column)]
            held = int((known == position).sum() if task.kind in ("multiclass", "binary") else (known > 0).sum())
            share = held / len(known) if len(known) else np.nan
            rows.append(
                {"class": title, "split": split, "chips": held, "share": share, "unknown": len(column) - len(known)}
            )
    return pd.DataFrame(rows)


def _balance(data: PackedChips, task: Task) -> None:
    frame = balance(data, task.name)
    order = list(task.classes)
    if len(order) > _SHOWN_CLASSES:
        totals = frame.groupby("class")["chips"].sum().sort_values(ascending=False)
        order = list(totals.index[:_SHOWN_CLASSES])
        st.caption(f"The {_SHOWN_CLASSES} most frequent of {len(totals)} classes; all are in the table below.")
    shown = frame[frame["class"].isin(order) & frame["share"].notna()]
    used = [split for split in SPLITS[:3] if (shown["split"] == split).any()]
    chart = (
        alt.Chart(shown)
        .mark_bar()
        .encode(
            y=alt.Y("class:N", sort=order, title=None, axis=alt.Axis(labelLimit=180)),
            x=alt.X("share:Q", axis=alt.Axis(format="%"), title="share of the split's known chips"),
            yOffset=alt.YOffset("split:N", sort=used),
            color=alt.Color(
                "split:N", sort=used, title=None, legend=alt.Legend(orient="top"),
                scale=alt.Scale(domain=used, range=[SPLIT_COLOURS[s] for s in used]),
            ),
            tooltip=["class", "split", "chips", alt.Tooltip("share:Q", format=".1%")],
        )
        .properties(height=min(48, max(14, 560 // len(order))) * len(order) + 110)
    )  # fmt: skip
    st.altair_chart(chart)
    unknown = frame.groupby("split")["unknown"].max()
    if unknown.sum():
        parts = ", ".join(f"{split} {number:,}" for split, number in unknown.items() if number)
        st.caption(f"Unknown, and left out of the shares: {parts}.")
    with st.expander("In numbers", icon=":material/table_rows:"):
        table = frame.pivot_table(index="class", columns="split", values="chips", sort=False).reindex(columns=used)
        st.dataframe(table.astype("Int64"))


def _sensors(data: PackedChips) -> None:
    for sensor in data.sensors:
        facts, storage = data.manifest["statistics"][sensor.name], data.manifest["storage"][sensor.name]
        present = int(columns_of(data).present(sensor.name).sum())
        there = "every chip" if present == len(data) else f"{present:,} of {len(data):,} chips"
        low, high = facts["percentiles"]
        st.markdown(
            f"**{markup.plain(sensor.label)}** · {sensor.kind} · {data.manifest['sizes'][sensor.name]} px · {there}"
        )
        table = pd.DataFrame({
            "Band": sensor.bands, "Wavelength (nm)": [w or None for w in sensor.wavelengths_nm], "Mean": facts["mean"],
            "Standard deviation": facts["std"], f"Percentile {low:g}": facts["low"], f"Percentile {high:g}": facts["high"],
        })  # fmt: skip
        numbers = {name: st.column_config.NumberColumn(format="%.5g") for name in table.columns[1:]}
        st.dataframe(table, hide_index=True, column_config=numbers, height="content" if len(table) < 16 else 420)
        nodata = "none" if storage["nodata"] is None else f"{storage['nodata']:g}"
        st.caption(
            f"Statistics over {facts['sampled_chips']:,} chips of the training split, without no-data. "
            f"Stored as {storage['dtype']}, no-data {nodata}."
        )
