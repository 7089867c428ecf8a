"""One chip: every sensor, every target with its origin, people's corrections, and its place on the map."""

from __future__ import annotations

import numpy as np
import pandas as pd
import streamlit as st

from spatialnet.datasets.catalogue import target_facts, target_text
from spatialnet.datasets.packed import SPLITS, PackedChips
from spatialnet.errors import SpatialNetError
from spatialnet.jobs.requests import newest_done
from spatialnet.jobs.services import services
from spatialnet.runs import list_runs
from spatialnet.summary import chip_summary
from spatialnet.ui import markup
from spatialnet.ui.corrections import split_note
from spatialnet.ui.frame import show_error
from spatialnet.ui.inspector import run_caption, run_scores
from spatialnet.ui.maps import draw_map
from spatialnet.ui.navigation import page
from spatialnet.ui.pickers import pick
from spatialnet.ui.shown import Shown, composites, shown
from spatialnet.web.chip_columns import columns_of
from spatialnet.web.chip_filter import ChipFilter, chosen

_STRETCHES = {
    "percentiles": "The data set's percentiles",
    "sd2": "Mean ± 2 standard deviations",
    "chip": "This chip's own",
}
_OWN = (2.0, 98.0)
_MARGIN = 6  # how many chip widths around the chip the small map shows at first


def chip_page(data: PackedChips, chip: int) -> None:
    """Draw one chip's page.

    Args:
        data: the data set.
        chip: one of its chips.
    """
    columns = columns_of(data)
    row = columns.table.loc[chip]
    _steps(data, chip)
    st.subheader(f"Chip {chip}", anchor=False)
    parts = [
        str(row["key"]),
        f"place {row['place']}" if row["place"] else "",
        f"region {row['region']}" if row["region"] else "",
    ]
    st.caption(markup.plain(" · ".join(part for part in parts if part)))
    left, right = st.columns([1.55, 1], gap="large")
    with left:
        _sensors(data, chip)
    with right:
        _said(data, chip)
        _targets(data, chip)
        _split(data, chip)
        _ground(data, chip, row)


def _steps(data: PackedChips, chip: int) -> None:
    asked = ChipFilter.from_query(st.query_params.get_all)
    chips = np.flatnonzero(chosen(columns_of(data), asked, services().labels))
    at = int(np.searchsorted(chips, chip))
    there = at < len(chips) and chips[at] == chip
    before = int(chips[at - 1]) if at > 0 else None
    after = next((int(c) for c in chips[at + there : at + there + 1]), None)
    with st.container(horizontal=True, vertical_alignment="center", key="chip-steps"):
        if st.button("All chips", icon=":material/arrow_back:", key="chip.back", shortcut="Esc"):
            st.query_params.pop("chip", None)
            st.query_params["view"] = "chips"
            st.rerun()
        for label, other, icon, key in (
            ("Previous", before, ":material/chevron_left:", "Left"), ("Next", after, ":material/chevron_right:", "Right"),
        ):  # fmt: skip
            if (
                st.button(label, icon=icon, disabled=other is None, key=f"chip.{label}", shortcut=key)
                and other is not None
            ):
                st.query_params["chip"] = str(other)
                st.rerun()
        if there:
            st.caption(f"{at + 1:,} of {len(chips):,} chosen chips")
        st.space("stretch")
        query = {"dataset": data.name, "chip": str(chip)}
        st.page_link(page("map"), label="Model and reasons", icon=":material/map:", query_params=query, width="content")


def _sensors(data: PackedChips, chip: int) -> None:
    stretch = pick("Stretch", _STRETCHES, "chip-stretch")
    named: dict[str, list[Shown]] = {}
    for identifier, (sensor, _, _) in composites(data).items():
        named.setdefault(sensor.name, []).append(shown(data, identifier, stretch))
    columns = columns_of(data)
    for sensor in data.sensors:
        st.markdown(f"**{markup.plain(sensor.label)}**")
        if not columns.present(sensor.name)[chip]:
            st.caption("This chip does not have this sensor.")
            continue
        pictures = [_own(data, chip, one) if stretch == "chip" else one for one in named[sensor.name]]
        for column, one in zip(st.columns(max(2, len(pictures))), pictures, strict=False):
            with column:
                st.html(markup.picture(one.chip(data, chip, 512), f"Chip {chip}, {one.name}"))
                st.caption(markup.plain(one.text.partition(", ")[2]))


def _own(data: PackedChips, chip: int, one: Shown) -> Shown:
    """The same bands between the chip's own percentiles."""
    values = data.images(one.sensor.name)[chip][list(one.bands)].reshape(3, -1)
    if not np.isfinite(values).any(axis=1).all():
        return one
    low, high = np.nanpercentile(values, _OWN, axis=1)
    high = np.maximum(high, low + 1e-6 * np.maximum(1, np.abs(low)))
    parts = dict.fromkeys(
        f"{one.sensor.bands[b]} {x:.4g} to {y:.4g}" for b, x, y in zip(one.bands, low, high, strict=True)
    )
    text = f"{one.sensor.label}, {one.name.lower()}: {', '.join(parts)} (this chip's percentiles {_OWN[0]:g} to {_OWN[1]:g})"
    return Shown(one.sensor, one.name, one.bands, tuple(low.tolist()), tuple(high.tolist()), text)


def _said(data: PackedChips, chip: int) -> None:
    """What the newest finished run says of the chip, in one sentence."""
    run = newest_done(list_runs(services().settings, data.name))
    if run is None:
        return
    try:
        text = chip_summary(data.tasks, run_scores(run, data), chip)
    except SpatialNetError as error:
        show_error(error)
        return
    caption = run_caption(run, data, chip)
    for line in (markup.plain(text), f"*{markup.plain(caption)}*" if caption else ""):
        if line:
            st.write(line)
    if text or caption:
        st.caption(f"As run {markup.plain(run.title)} sees it.")


def _targets(data: PackedChips, chip: int) -> None:
    columns = columns_of(data)
    for task in data.tasks:
        derived, sentence = target_facts(data, task)
        text = target_text(task, columns.targets(task)[chip])
        st.html(markup.head(f"{task.label}: {text}", "derived target" if derived else "from the source"))
        st.caption(markup.plain(sentence))
    said = [event for event in services().labels.history(data.name, chip) if not event.undone]
    for stored in said[-10:]:
        event = stored.event
        about = next((t for t in data.tasks if t.name == event.task), None)
        if about is None or event.kind == "undo":
            continue
        value = [np.nan if v is None else v for v in event.value] if isinstance(event.value, list) else event.value
        answer = target_text(about, value) if event.kind == "label" else event.kind
        st.markdown(
            f":material/edit_note: **{markup.plain(event.person)}** on {markup.plain(about.label.lower())}: {markup.plain(answer)}"
        )


def _split(data: PackedChips, chip: int) -> None:
    st.caption(split_note(data, chip))
    pairs = columns_of(data).leaks()
    touching = pairs[(pairs["a"] == chip) | (pairs["b"] == chip)]
    for pair in touching.head(5).itertuples():
        other, split = (pair.b, pair.split_b) if pair.a == chip else (pair.a, pair.split_a)
        name = SPLITS[int(split)] if isinstance(split, int | np.integer) else str(split)
        left, right = st.columns([3, 1], vertical_alignment="center")
        left.warning(f"{str(pair.kind).capitalize()} with chip {other} of split {name}.", icon=":material/water_drop:")
        if right.button(f"Chip {other}", key=f"leak.{other}.{pair.kind}"):
            st.query_params["chip"] = str(other)
            st.rerun()


def _ground(data: PackedChips, chip: int, row: pd.Series) -> None:
    if not np.isfinite(row["west"]):
        st.caption("This chip has no place on the ground, so there is no map of it.")
        return
    west, south, east, north = (float(row[name]) for name in ("west", "south", "east", "north"))
    wide, tall = (east - west) * _MARGIN / 2, (north - south) * _MARGIN / 2
    first = next(iter(composites(data)))
    draw_map(
        shown(data, first, "percentiles").tiles(data), (west - wide, south - tall, east + wide, north + tall),
        selected=[((south, west), (north, east))], key=f"chip-map-{chip}", height=300,
    )  # fmt: skip
    side = f" · {(north - south) * 111.32:,.2f} km from south to north" if north > south else ""
    st.caption(f"{row['latitude']:.5f}, {row['longitude']:.5f} · {row['crs'] or 'coordinate system not known'}{side}")
