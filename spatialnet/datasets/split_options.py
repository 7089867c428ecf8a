"""Which splits a set of chips allows, with numbers that fit its ground. Pure."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd

from spatialnet.datasets.split_ground import METRES_PER_DEGREE, has_ground
from spatialnet.datasets.split_plans import SplitKind, SplitPlan

MOST_BLOCK_M = 20_000.0
BLOCKS_ACROSS = 10


def split_options(table: pd.DataFrame, proposed: SplitPlan) -> tuple[SplitPlan, ...]:
    """The plans that people can choose from: the proposed one first, then one of each other kind that the chips allow.

    Args:
        table: one row per chip; see `make_split`.
        proposed: what is proposed for these chips.
    """
    ground = has_ground(table)
    side = proposed.block_m or _block_m(table[ground])
    guard = proposed.guard_m or (_chip_m(table[ground]) / 2)
    options = [proposed]
    said = set(_texts(table, "split"))
    if "train" in said and said & {"validation", "test"}:
        options.append(SplitPlan("official"))
    if ground.any() and side > 0:
        options.append(SplitPlan("blocks", block_m=side, guard_m=guard))
    for kind, column in (("groups", "group"), ("groups", "place"), ("regions", "region")):
        if len(set(_texts(table, column)) - {""}) >= 3:
            options.append(SplitPlan(kind, column=column))  # type: ignore[arg-type]
    if ground.any() and len(np.unique(table.loc[ground, "longitude"])) >= 3:
        options.append(SplitPlan("regions", column="longitude", guard_m=guard))
    options.append(SplitPlan("random"))
    seen: dict[tuple[str, str], SplitPlan] = {}
    for plan in options:
        seen.setdefault((plan.kind, plan.column if plan.kind in ("groups", "regions") else ""), plan)
    return tuple(seen.values())


def split_of_kind(table: pd.DataFrame, proposed: SplitPlan, kind: SplitKind) -> SplitPlan:
    """The plan of one kind, with numbers that fit; where the chips do not allow it, `make_split` says why."""
    for plan in split_options(table, proposed):
        if plan.kind == kind:
            return plan
    return SplitPlan(kind, block_m=10_000.0 if kind == "blocks" else 0.0)


def _block_m(table: pd.DataFrame) -> float:
    """Side of blocks so that about ten lie across the ground, in round metres."""
    if not len(table):
        return 0.0
    latitude = np.radians(table["latitude"].mean())
    width = (table["longitude"].max() - table["longitude"].min()) * METRES_PER_DEGREE * np.cos(latitude)
    height = (table["latitude"].max() - table["latitude"].min()) * METRES_PER_DEGREE
    across = math.sqrt(max(width, 1.0) * max(height, 1.0)) / BLOCKS_ACROSS
    return _round(min(max(across, 2 * _chip_m(table), 1.0), MOST_BLOCK_M))


def _chip_m(table: pd.DataFrame) -> float:
    if not len(table) or "north" not in table:
        return 0.0
    side = float((table["north"] - table["south"]).median()) * METRES_PER_DEGREE
    return _round(side) if np.isfinite(side) and side > 0 else 0.0


def _round(metres: float) -> float:
    digits = max(0, math.floor(math.log10(metres)) - 1) if metres > 0 else 0
    return float(round(metres / 10**digits) * 10**digits)


def _texts(table: pd.DataFrame, column: str) -> list[str]:
    return [str(value) for value in table[column].dropna().unique()] if column in table else []
