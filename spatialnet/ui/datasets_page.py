"""The data-sets page: facts and licence, splits on the map, class balance, chips as a table of pictures."""

from __future__ import annotations

import altair as alt
import numpy as np
import pandas as pd
import streamlit as st

from spatialnet.datasets.catalogue import chip_table, target_text
from spatialnet.datasets.packed import SPLITS, PackedChips
from spatialnet.tasks import Task
from spatialnet.ui import markup
from spatialnet.ui.layers import pick_bands
from spatialnet.ui.maps import draw_map
from spatialnet.ui.pickers import pick_dataset, pick_task
from spatialnet.web import addresses
from spatialnet.web.colours import SPLIT_COLOURS

_ROWS = 200


def draw() -> None:
    """Draw the page."""
    pickers = st.columns([1.6, 1, 1])
    with pickers[0]:
        data = pick_dataset()
    if data is None:
        return
    with pickers[1]:
        task = pick_task(data.tasks)
    with pickers[2]:
        base, stretch = pick_bands(data)
    if data.manifest["synthetic"]:
        st.warning(
            "Synthetic: this landscape is generated. It stands in for the real sample.", icon=":material/science:"
        )
    left, right = st.columns([1.15, 1], gap="large")
    with left:
        st.subheader("Splits on the ground", anchor=False)
        _split_map(data, base, stretch)
    with right:
        _facts(data)
        st.subheader(f"{task.label}: balance per split", anchor=False)
        _balance(data, task)
    st.subheader("Chips", anchor=False)
    _chips(data, task)


def _split_map(data: PackedChips, base: str, stretch: str) -> None:
    tiles = addresses.split_tiles(data.name, data.fingerprint)
    draw_map(base, data.manifest["scene"]["bounds"], overlay=tiles, key="split-map", height=440)
    plan, counts = data.manifest["split"], data.manifest["split"]["counts"]
    st.html(markup.swatches([(SPLIT_COLOURS[name], f"{name} ({counts[name]:,})") for name in SPLIT_COLOURS]))
    st.caption(
        f"Blocks of {plan['block_px'] * data.gsd_m:,.0f} m. Chips nearer than {plan['guard_px'] * data.gsd_m:,.0f} m to another "
        f"split are guard and used by none, so that the test ground is new to the model. Bands: {stretch}."
    )


def _facts(data: PackedChips) -> None:
    manifest = data.manifest
    st.subheader(markup.plain(data.title), anchor=False)
    st.write(markup.plain(manifest["description"]))
    sensors = "; ".join(f"{s.label} ({', '.join(s.bands)})" for s in data.sensors)
    st.caption(
        f"{len(data):,} chips of {data.chip_size} px ({data.chip_size * data.gsd_m:,.0f} m), one every {manifest['stride']} px · "
        f"{sensors} · {manifest['scene']['crs']}, {data.gsd_m:g} m per pixel"
    )
    with st.expander("Targets are derived by rules", icon=":material/rule:"):
        st.caption(manifest["rules"]["title"])
        for task in data.tasks:
            sentence = manifest["rules"]["sentences"].get(task.name, "counted exactly when the landscape was generated")
            st.write(f"**{task.label}**: {sentence}.")
    with st.expander("Licence and citation", icon=":material/license:"):
        st.write(markup.plain(manifest["licence"]))
        st.caption(
            markup.plain(f"{manifest['citation']}. Source: {manifest['source']}. Fingerprint {data.fingerprint}.")
        )


def _balance(data: PackedChips, task: Task) -> None:
    targets, rows = data.targets(task.name), []
    for index, split in enumerate(SPLITS[:3]):
        chosen = targets[data.splits == index]
        for position, name in enumerate(task.classes):
            if task.kind == "multilabel":
                share = float(np.nanmean(chosen[:, position]))
            elif task.kind == "count":
                share = float(np.nanmean(chosen[:, position] > 0))
            else:
                share = float(np.mean(chosen == position))
            rows.append({"class": name, "split": split, "share": share, "order": index})
    chart = (
        alt.Chart(pd.DataFrame(rows))
        .mark_bar()
        .encode(
            y=alt.Y("class:N", sort=list(task.classes), title=None),
            x=alt.X("share:Q", axis=alt.Axis(format="%"), title="share of the split's chips"),
            yOffset=alt.YOffset("split:N", sort=list(SPLITS)),
            color=alt.Color(
                "split:N", sort=list(SPLITS), title=None,
                scale=alt.Scale(domain=list(SPLITS[:3]), range=[SPLIT_COLOURS[s] for s in SPLITS[:3]]),
                legend=alt.Legend(orient="top"),
            ),
            tooltip=["class", "split", alt.Tooltip("share:Q", format=".1%")],
        )
        .properties(height=34 * len(task.classes) + 60)
    )  # fmt: skip
    st.altair_chart(chart)


def _chips(data: PackedChips, task: Task) -> None:
    left, middle, right = st.columns([1, 1, 1.2])
    splits = left.pills("Split", SPLITS, selection_mode="multi", key="split_filter", persist_state="session")
    wanted = middle.text_input("Target holds", key="target_filter", placeholder=task.classes[0], max_chars=60)
    table = chip_table(data)
    targets = data.targets(task.name)
    table["target"] = [target_text(task, target) for target in targets]
    if splits:
        table = table[table["split"].isin(list(splits))]
    if wanted:
        table = table[table["target"].str.contains(wanted, case=False, regex=False)]
    pages = max(1, -(-len(table) // _ROWS))
    number = (
        right.number_input(f"Page of {pages} ({len(table):,} chips)", 1, pages, 1, key="chip_page") if pages > 1 else 1
    )
    shown = table.iloc[(int(number) - 1) * _ROWS : int(number) * _ROWS]
    pictures = [
        addresses.chip_picture(data.name, int(chip), size=64, version=data.fingerprint) for chip in shown["chip"]
    ]
    shown = shown.assign(picture=pictures, where=[f"/map?dataset={data.name}&chip={chip}" for chip in shown["chip"]])
    st.dataframe(
        shown, hide_index=True, height=420, row_height=56,
        column_order=["picture", "chip", "split", "target", "latitude", "longitude", "where"],
        column_config={
            "picture": st.column_config.ImageColumn("Chip", width="small"),
            "chip": st.column_config.NumberColumn("Number", format="%d"),
            "split": "Split",
            "target": f"{task.label} (derived)",
            "latitude": st.column_config.NumberColumn("Latitude", format="%.4f"),
            "longitude": st.column_config.NumberColumn("Longitude", format="%.4f"),
            "where": st.column_config.LinkColumn("On the map", display_text="Open"),
        },
    )  # fmt: skip
