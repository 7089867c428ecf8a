"""What a pre-scan says of a source in numbers, JSON-ready.

`files` by suffix; `chips`; `pairs` (chips that have each sensor, and `all` sensors); `bands` (names and descriptions found);
`sizes`, `dtypes`, `crs` (how many chips of each); `values` (per sensor and band `low`, `high`, `p2`, `p98`, and how many
`chips` they are from); `tasks` (`found` in the labels, `classes` that result, `unknown` chips); `bytes_on_disk`;
`duplicates` (`exact`, `near` pairs); `shared_ground` pairs; `unreadable` files ([name, reason]).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from spatialnet.errors import SpatialNetError
from spatialnet.importing.listing import Listing
from spatialnet.importing.prescan.checking import Seen
from spatialnet.importing.target_plan import TargetPlan

SeenChips = Mapping[str, Mapping[int, Seen]]


def gather_facts(
    listing: Listing, seen: SeenChips, ground: pd.DataFrame, duplicates: pd.DataFrame, shared: int,
    unreadable: list[list[str]], sizes: Mapping[str, int],
) -> dict[str, Any]:  # fmt: skip
    """Numbers of a source (see the module's text).

    Args:
        listing: the usable chips.
        seen: per sensor name, chip number to what was seen.
        ground: where chips lie.
        duplicates: equal pictures.
        shared: pairs of chips that share ground.
        unreadable: names and reasons of files that were left out.
        sizes: side of the stored chips per sensor name.
    """
    files = sorted({path for p in listing.pixels for path in (p.files[i] for i in np.unique(p.file[p.file >= 0]))})
    present = np.stack([p.present for p in listing.pixels])
    kinds = Counter(duplicates["kind"])
    return {
        "chips": len(listing),
        "files": _counted(path.suffix.lower() for path in files),
        "bytes_on_disk": sum(path.stat().st_size for path in files if path.exists()),
        "pairs": {p.sensor.name: int(p.present.sum()) for p in listing.pixels}
        | {"all": int(present.all(axis=0).sum())},
        "bands": {
            p.sensor.name: {"names": list(p.sensor.bands), "found": _descriptions(seen[p.sensor.name])}
            for p in listing.pixels
        },
        "sizes": {name: _counted(f"{c.width} x {c.height}" for c in chips.values()) for name, chips in seen.items()},
        "stored_sizes": dict(sizes),
        "dtypes": {name: _counted(c.dtype for c in chips.values()) for name, chips in seen.items()},
        "crs": _counted(ground["crs"]),
        "values": {p.sensor.name: _values(p.sensor.bands, seen[p.sensor.name]) for p in listing.pixels},
        "tasks": {plan.name: task_facts(listing, plan) for plan in listing.targets},
        "duplicates": {"exact": kinds["exact"], "near": kinds["near"]},
        "shared_ground": shared,
        "unreadable": unreadable,
    }


def task_facts(listing: Listing, plan: TargetPlan) -> dict[str, Any]:
    """What the labels hold and which classes result: `found`, `classes`, `unknown`, and `error` where they cannot be read."""
    try:
        ready = listing.ready.get(plan.name)
        found = {} if ready is not None else plan.found(listing.labels)
        targets = ready.hard if ready is not None else plan.make(listing.labels)
    except SpatialNetError as error:
        return {"found": {}, "classes": {}, "unknown": len(listing), "error": str(error)}
    counts, unknown = class_counts(plan, targets)
    return {"found": found, "classes": counts, "unknown": unknown}


def class_counts(plan: TargetPlan, targets: npt.NDArray[Any]) -> tuple[dict[str, int], int]:
    """How many chips each class has, and of how many nothing is known."""
    if plan.kind == "multiclass":
        return {c: int((targets == i).sum()) for i, c in enumerate(plan.classes)}, int((targets < 0).sum())
    if plan.kind == "binary":
        counts = {c: int((targets == i).sum()) for i, c in enumerate(plan.classes)}
        return counts, int(np.isnan(targets).sum())
    counts = {c: int((targets[:, i] > 0).sum()) for i, c in enumerate(plan.classes)}
    return counts, int(np.isnan(targets).all(axis=1).sum())


def _counted(values: Iterable[Any]) -> dict[str, int]:
    return {str(value): count for value, count in Counter(values).most_common()}


def _descriptions(chips: Mapping[int, Seen]) -> list[str]:
    for chip in chips.values():
        if any(chip.header.descriptions):
            return [text[:80] for text in chip.header.descriptions[:64]]
    return []


def _values(bands: tuple[str, ...], chips: Mapping[int, Seen]) -> dict[str, Any]:
    sampled = [c for c in chips.values() if c.values is not None]
    if not sampled:
        return {}
    low = np.stack([c.low for c in chips.values()])
    high = np.stack([c.high for c in chips.values()])
    values = np.concatenate([c.values for c in sampled if c.values is not None], axis=1)
    result: dict[str, Any] = {"chips": len(sampled), "bands": {}}
    for i, band in enumerate(bands):
        known = values[i][np.isfinite(values[i])]
        if not len(known):
            continue
        p2, p98 = np.percentile(known, [2, 98])
        result["bands"][band] = {
            "low": float(np.nanmin(low[:, i])), "high": float(np.nanmax(high[:, i])), "p2": float(p2), "p98": float(p98),
        }  # fmt: skip
    return result
