"""The choice of a split, with a preview of what it gives and what it lets leak."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace

import streamlit as st

from spatialnet.datasets.leaks import find_leaks, leak_counts
from spatialnet.datasets.split_options import split_options
from spatialnet.datasets.split_plans import SplitPlan, make_split
from spatialnet.datasets.split_store import strata
from spatialnet.datasets.splits import split_counts
from spatialnet.errors import SpatialNetError
from spatialnet.importing.packing import make_targets
from spatialnet.importing.target_plan import TargetPlan
from spatialnet.jobs.importing import Prescan
from spatialnet.ui.frame import show_error
from spatialnet.ui.markup import plain, swatches
from spatialnet.web.colours import SPLIT_COLOURS

PREVIEW_CHIPS = 20_000
"""Above this the split is made by the job alone."""

_TITLES = {
    "official": "As the source says", "blocks": "Blocks of ground", "groups": "Whole groups", "regions": "Whole regions",
    "random": "At random",
}  # fmt: skip


def choose_split(prescan: Prescan, targets: Sequence[TargetPlan], key: str) -> SplitPlan:
    """Draw the choice and its preview.

    Args:
        prescan: what was found.
        targets: the tasks as they are now; classes are made alike in all splits.
        key: of the widgets.
    """
    st.subheader("Split", anchor=False)
    proposed = prescan.split
    options = {_title(plan): plan for plan in split_options(prescan.scan.table(), proposed)}
    title = st.selectbox("How chips are divided", list(options), key=f"{key}.split")
    plan = options[title]
    if plan.kind == "blocks" or plan.column == "longitude":
        left, right = st.columns(2)
        if plan.kind == "blocks":
            block = left.number_input("Side of a block (m)", 1.0, 1e6, float(plan.block_m), key=f"{key}.block.{title}")
            plan = replace(plan, block_m=float(block))
        guard = right.number_input(
            "Guard band (m)", 0.0, 1e6, float(plan.guard_m), key=f"{key}.guard.{title}",
            help="Chips of different splits are at least this far apart; those between are used by none.",
        )  # fmt: skip
        plan = replace(plan, guard_m=float(guard))
    st.caption(plain(plan.sentence()) + (f" {plain(plan.reason)}" if plan.reason else ""))
    if len(prescan.scan.listing) > PREVIEW_CHIPS:
        st.caption("The counts are known when the import has divided the chips.")
    elif targets:
        _preview(prescan, targets, plan)
    return plan


def _title(plan: SplitPlan) -> str:
    return _TITLES[plan.kind] + (f", by {plan.column}" if plan.column and plan.kind in ("groups", "regions") else "")


def _preview(prescan: Prescan, targets: Sequence[TargetPlan], plan: SplitPlan) -> None:
    try:
        counts, leaks = _previewed(
            prescan.id, json.dumps(plan.to_dict(), sort_keys=True),
            json.dumps([target.to_dict() for target in targets], sort_keys=True), prescan,
        )  # fmt: skip
    except SpatialNetError as error:
        show_error(error)
        return
    st.html(swatches([(SPLIT_COLOURS[name], f"{name} ({counts[name]:,})") for name in SPLIT_COLOURS if name in counts]))
    leaking = [f"{count:,} pairs of chips: {kind}" for kind, count in leaks.items() if count]
    if leaking:
        st.warning(
            f"This split leaks: {'; '.join(leaking)}. A test on such chips says little about new ground.",
            icon=":material/water_drop:",
        )
    else:
        st.caption(":material/verified: No ground and no picture is shared between splits, as far as can be told.")


@st.cache_data(max_entries=16, show_spinner="Trying the split")
def _previewed(scan: str, plan: str, targets: str, _prescan: Prescan) -> tuple[dict[str, int], dict[str, int]]:  # noqa: ARG001
    found = _prescan.scan
    plans = [TargetPlan.from_dict(values) for values in json.loads(targets)]
    split, table = SplitPlan.from_dict(json.loads(plan)), found.table()
    hard = make_targets(found.listing, plans)
    splits, _ = make_split(split, table, strata([p.task() for p in plans], hard), found.duplicates)
    return split_counts(splits), leak_counts(find_leaks(splits, table, found.duplicates))
