"""The splits of a data set: which there are, which one is in use, and how a new one would divide its chips."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import streamlit as st

from spatialnet.datasets.packed import PackedChips
from spatialnet.datasets.split_options import split_options
from spatialnet.datasets.split_plans import SplitPlan, propose_split
from spatialnet.datasets.versions import add_split, split_table, try_split, use_split
from spatialnet.errors import SpatialNetError
from spatialnet.ui import markup
from spatialnet.ui.frame import show_error
from spatialnet.ui.leaks_panel import leak_text
from spatialnet.web.colours import SPLIT_COLOURS

MOST_CHIPS = 200_000
"""Above this a new split takes longer than a page may; the command line makes it."""

TITLES = {
    "official": "As the source says", "blocks": "Blocks of ground", "groups": "Whole groups", "regions": "Whole regions",
    "random": "At random",
}  # fmt: skip
_MAKING = "splits.making"


def splits_panel(data: PackedChips) -> None:
    """Draw the list of splits and the making of a new one."""
    splits: list[dict[str, Any]] = data.manifest["splits"]
    with st.container(horizontal=True, vertical_alignment="center"):
        st.subheader("Splits", anchor=False, width="content")
        st.caption(f"{len(splits)} kept" if len(splits) > 1 else "", width="content")
        st.space("stretch")
        making = st.session_state.get(_MAKING) == data.name
        if st.button(
            "Close" if making else "New split",
            icon=":material/close:" if making else ":material/call_split:",
            key="splits.new",
        ):
            st.session_state[_MAKING] = None if making else data.name
            st.rerun()
    # The one in use first, then the newest.
    for split in sorted(splits, key=lambda s: (s["id"] != data.split_id, -float(s.get("created_at", 0)))):
        _split(data, split)
    if making:
        with st.container(border=True, key="new-split"):
            _new(data)


def _split(data: PackedChips, split: dict[str, Any]) -> None:
    used = split["id"] == data.split_id
    with st.container(border=True):
        with st.container(horizontal=True, vertical_alignment="center"):
            st.markdown(f"**{markup.plain(str(split['name']))}**, version {split['version']}", width="content")
            if used:
                st.badge("In use", icon=":material/check:", color="green")
            else:
                st.space("stretch")
                if st.button("Use this one", key=f"splits.use.{split['id']}"):
                    _use(data, str(split["id"]))
        counts, leaks = split["counts"], {kind: n for kind, n in split.get("leaks", {}).items() if n}
        st.html(markup.swatches([(SPLIT_COLOURS[n], f"{n} {counts[n]:,}") for n in SPLIT_COLOURS if counts.get(n)]))
        how = str(split.get("sentence") or TITLES.get(str(split.get("kind")), "")).strip().rstrip(".")
        st.caption(markup.plain(f"{how}."))
        if leaks and not used:
            st.caption(f":material/water_drop: Leaks: {markup.plain(leak_text(leaks))}.")


def _use(data: PackedChips, identifier: str) -> None:
    try:
        with st.spinner("Taking the split into use: band statistics are taken anew from its training chips"):
            use_split(data, identifier)
    except SpatialNetError as error:
        show_error(error)
        return
    st.toast("The split is in use. Runs that were trained before keep theirs.", icon=":material/check_circle:")
    st.rerun()


def _new(data: PackedChips) -> None:
    if len(data) > MOST_CHIPS:
        st.caption(f"For {len(data):,} chips a split is made on the command line:")
        st.code(f"python -m spatialnet split {data.name} --kind blocks --use", language="bash")
        return
    try:
        plan = _plan(data)
        if plan is None:
            return
        counts, leaks = _tried(str(data.folder), data.fingerprint, json.dumps(plan.to_dict(), sort_keys=True), data)
    except SpatialNetError as error:
        show_error(error)
        return
    st.html(markup.swatches([(SPLIT_COLOURS[n], f"{n} {counts[n]:,}") for n in SPLIT_COLOURS if counts.get(n)]))
    if leaks:
        st.warning(f"This split would leak: {markup.plain(leak_text(leaks))}.", icon=":material/water_drop:")
    else:
        st.caption(":material/verified: No ground and no picture would be shared between splits.")
    with st.container(horizontal=True, vertical_alignment="center"):
        pressed = st.button("Create this split", type="primary", icon=":material/call_split:", key="splits.create")
        use = st.toggle(
            "and use it", True, key="splits.create-use", help="Runs that were trained before keep their split."
        )
    if pressed:
        _create(data, plan, use=use)


def _create(data: PackedChips, plan: SplitPlan, *, use: bool) -> None:
    try:
        with st.spinner("Dividing the chips and looking for leaks"):
            add_split(data, plan, use=use)
    except SpatialNetError as error:
        show_error(error)
        return
    st.session_state[_MAKING] = None
    st.toast(f"Split {plan.name} is made.", icon=":material/check_circle:")
    st.rerun()


def _plan(data: PackedChips) -> SplitPlan | None:
    """What the person asks for; None while the name cannot be used."""
    options = {_title(plan): plan for plan in _options(str(data.folder), data.fingerprint, data)}
    left, right = st.columns([1.4, 1])
    title = left.selectbox("How chips are divided", list(options), key="splits.kind")
    name = right.text_input(
        "Name", "main", max_chars=40, key="splits.name", help="Of a name that is there, this becomes the next version."
    )
    plan = options[title]
    if plan.kind == "blocks" or plan.column == "longitude":
        left, right = st.columns(2)
        if plan.kind == "blocks":
            block = left.number_input("Side of a block (m)", 1.0, 1e6, float(plan.block_m), key="splits.block")
            plan = replace(plan, block_m=float(block))
        guard = right.number_input(
            "Guard band (m)", 0.0, 1e6, float(plan.guard_m), key=f"splits.guard.{plan.kind}",
            help="Chips of different splits are at least this far apart; those between are used by none.",
        )  # fmt: skip
        plan = replace(plan, guard_m=float(guard))
    elif plan.kind == "random":
        plan = replace(plan, seed=int(st.number_input("Seed", 0, 10_000, 0, key="splits.seed")))
    plan = replace(plan, name=(name or "").strip() or "main")
    st.caption(markup.plain(f"{plan.sentence()} {plan.reason}".strip()))
    return plan


def _title(plan: SplitPlan) -> str:
    return TITLES[plan.kind] + (f", by {plan.column}" if plan.column and plan.kind in ("groups", "regions") else "")


@st.cache_data(max_entries=8, show_spinner=False)
def _options(folder: str, fingerprint: str, _data: PackedChips) -> tuple[SplitPlan, ...]:  # noqa: ARG001 - the cache's key
    table = split_table(_data)
    return split_options(table, propose_split(table, int(_data.manifest["stride"])))


@st.cache_data(max_entries=16, show_spinner="Trying the split")
def _tried(folder: str, fingerprint: str, plan: str, _data: PackedChips) -> tuple[dict[str, int], dict[str, int]]:  # noqa: ARG001
    counts, leaks = try_split(_data, SplitPlan.from_dict(json.loads(plan)))
    return counts, {kind: n for kind, n in leaks.items() if n}
