"""On what a metric was measured, in words: a split at random says nothing about new ground, and has to say so."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from spatialnet.datasets.packed import PackedChips


def ground(data: PackedChips, split: str = "test") -> dict[str, Any]:
    """What `ground_sentence` needs to know of the chips of one split.

    Returns:
        JSON-ready: `chips`; `blocks`, the groups that were kept together and are drawn for intervals; `split_kind`, as
        `spatialnet.datasets.split_plans` names it; `leaks`, pairs of chips of different splits that share ground or are alike.
    """
    chips = data.in_split(split)
    made = data.manifest["split"]
    return {
        "chips": len(chips), "blocks": len(np.unique(data.blocks[chips])), "split_kind": str(made.get("kind", "")),
        "leaks": int(sum((made.get("leaks") or {}).values())),
    }  # fmt: skip


def ground_sentence(known: Mapping[str, Any]) -> str:
    """How many chips, and whether they lie on ground that training never saw.

    Args:
        known: what `ground` gave; of reports from before it was kept, `chips` and `blocks` only.
    """
    chips, blocks, kind = f"{known['chips']:,} chips", f"{known['blocks']:,}", known.get("split_kind")
    if kind == "blocks":
        told = f"{chips} in {blocks} blocks of ground that training never saw"
    elif kind == "regions":
        told = f"{chips} in {blocks} regions that training never saw"
    elif kind == "random":
        told = f"{chips}, drawn at random"
    elif kind == "official":
        told = f"{chips}, as the source splits them"
    else:
        told = f"{chips} in {blocks} groups that were kept together"
    if leaks := known.get("leaks"):
        told += f"; {leaks:,} pairs of chips share ground or are alike between the splits, so values on new ground may be lower"
    return told
