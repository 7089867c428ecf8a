"""The end of the form for a new run: what it will need, where and when it works, and the button that starts it."""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st

from spatialnet.datasets.packed import PackedChips
from spatialnet.jobs.estimate import estimate_memory, estimate_seconds, memory_warning
from spatialnet.jobs.machine import GIB, Device, devices
from spatialnet.jobs.requests import request_training
from spatialnet.jobs.services import services
from spatialnet.jobs.store import PRIORITIES
from spatialnet.recipe import Recipe
from spatialnet.runs import Run
from spatialnet.ui.corrections import correction_count
from spatialnet.ui.live_jobs import duration
from spatialnet.ui.markup import plain


def draw_start(data: PackedChips, others: Sequence[PackedChips], recipe: Recipe, runs: Sequence[Run]) -> None:
    """Draw it.

    Args:
        data: the run's first data set.
        others: further data sets of the same model.
        recipe: what the form says.
        runs: finished runs of the first data set, newest first; the time is estimated from them.
    """
    corrections = correction_count(data)
    use = st.toggle(
        f"Use people's corrections ({corrections})", True, key="train.corrections", disabled=not corrections
    )
    found = devices()
    device = _device(found)
    priority = st.segmented_control(
        "Priority", list(PRIORITIES), default=0, format_func=lambda p: PRIORITIES[p].capitalize(), key="train.priority", required=True,
        width="stretch", help="Who goes first where several jobs wait for the same device.",
    )  # fmt: skip
    _needs(data, others, recipe, runs, next((d for d in found if d.name == device), found[0]))
    if st.button("Start", type="primary", icon=":material/play_arrow:", key="train.start", width="stretch"):
        request_training(
            services().jobs, data, recipe, label_version=services().labels.version() if use and corrections else 0,
            corrections=corrections if use else 0, others=others, device=device, priority=priority or 0,
        )  # fmt: skip
        st.rerun()


def _device(found: Sequence[Device]) -> str:
    """Which device; a choice only where there is one."""
    if len(found) == 1:
        st.caption(plain(f"No GPU that PyTorch can use: it trains on the {found[0].title}."))
        return "auto"
    named = {
        device.name: f"{device.title} ({device.name}), {device.free_gib:.0f} of {device.total_gib:.0f} GiB free"
        for device in found
    }
    chosen = st.selectbox(
        "Device", ["auto", *named], format_func=lambda name: named.get(name, "Whichever GPU is free first"), key="train.device",
        help="A GPU is used by one job at a time; the others wait.",
    )  # fmt: skip
    return chosen if chosen in named else "auto"


def _needs(
    data: PackedChips, others: Sequence[PackedChips], recipe: Recipe, runs: Sequence[Run], device: Device
) -> None:
    seconds = estimate_seconds(recipe, data, runs, others)
    memory = max(estimate_memory(recipe, each) for each in (data, *others))
    took = f"About {duration(seconds)}" if seconds else "No run here yet to estimate the time from"
    st.caption(f"{took} · about {memory / GIB:.1f} GiB of memory, {device.free_gib:.1f} GiB free")
    if warning := memory_warning(memory, device):
        st.warning(plain(warning), icon=":material/memory:")
