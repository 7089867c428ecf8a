"""Changes to a data set that is there: further splits, and which split is in use. What was there before stays readable."""

from __future__ import annotations

import fcntl
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from spatialnet.atomic import full_disk_said, replacing
from spatialnet.datasets.catalogue import chip_table
from spatialnet.datasets.leaks import find_leaks, leak_counts
from spatialnet.datasets.packed import PackedChips, digest, fingerprint
from spatialnet.datasets.split_plans import SplitPlan, make_split
from spatialnet.datasets.split_store import strata, write_split
from spatialnet.datasets.splits import split_counts
from spatialnet.datasets.statistics import band_statistics
from spatialnet.errors import DataSetInvalid, ImportRefused

Progress = Callable[[float, str], None]


@contextmanager
def alone(folder: Path) -> Iterator[None]:
    """Hold a data set against every other process that would build or change it.

    Raises:
        ImportRefused: another process holds it.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    with folder.with_name(f".{folder.name}.lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise ImportRefused(
                f"Data set {folder.name} is being built already. Wait for it, or cancel that job."
            ) from error
        yield


def add_split(
    data: PackedChips, plan: SplitPlan, *, use: bool = False, progress: Progress = lambda _share, _text: None
) -> PackedChips:
    """Divide a data set's chips anew, as one more split beside those it has.

    Args:
        data: the data set.
        plan: how; where the data set has a split of its name, this becomes the next version of it.
        use: take the new split into use.
        progress: called with a share in 0..1 and what is being done.

    Returns:
        The data set as it is now.

    Raises:
        DataSetInvalid: the table of chips lacks what the plan needs.
        NothingToRead: too little ground, or too few groups, for three splits.
        ImportRefused: another process changes this data set.
        NotEnoughDisk: the disk is full; nothing was changed.
    """
    with alone(data.folder), full_disk_said(f"split {plan.name}"):
        data = PackedChips.open(data.folder)
        progress(0.05, f"Splitting {len(data):,} chips")
        table, duplicates = split_table(data), _duplicates(data)
        splits, blocks = make_split(plan, table, _strata(data), duplicates)
        progress(0.5, "Looking for leaks")
        leaks = find_leaks(splits, table, duplicates)
        version = 1 + max((int(s["version"]) for s in data.manifest["splits"] if s["name"] == plan.name), default=0)
        split = write_split(data.folder, plan.to_dict(), plan.name, version, plan.sentence(), splits, blocks, leaks)
        files = [f"splits/{split['id']}.npy", f"splits/{split['id']}.blocks.npy"]
        digests = data.manifest["digests"] | {name: digest(data.folder / name) for name in files}
        changed = data.manifest | {"splits": [*data.manifest["splits"], split], "digests": digests}
        progress(0.8, "Writing")
        return _write(data, changed if not use else _using(replace(data, manifest=changed), split))


def use_split(data: PackedChips, identifier: str) -> PackedChips:
    """Take another of a data set's splits into use; band statistics are taken anew from its training chips.

    Raises:
        DataSetInvalid: the data set has no such split.
        ImportRefused: another process changes this data set.
    """
    with alone(data.folder), full_disk_said("the manifest"):
        data = PackedChips.open(data.folder)
        found = [split for split in data.manifest["splits"] if split["id"] == identifier]
        if not found:
            known = ", ".join(str(split["id"]) for split in data.manifest["splits"])
            raise DataSetInvalid(f"Data set {data.name} has no split {identifier[:60]!r}; it has {known}.")
        return _write(data, _using(data, found[0]))


def try_split(data: PackedChips, plan: SplitPlan) -> tuple[dict[str, int], dict[str, int]]:
    """How many chips each split would get, and how many pairs of each kind would leak; nothing is written.

    Raises:
        DataSetInvalid: the table of chips lacks what the plan needs.
        NothingToRead: too little ground, or too few groups, for three splits.
    """
    table, duplicates = split_table(data), _duplicates(data)
    splits, _ = make_split(plan, table, _strata(data), duplicates)
    return split_counts(splits), leak_counts(find_leaks(splits, table, duplicates))


def split_table(data: PackedChips) -> pd.DataFrame:
    """One row per chip with what a split plan may ask for; `split` is the source's own."""
    table = chip_table(data)
    said = table["source_split"].fillna("") if "source_split" in table else ""
    return table.assign(split=said).drop(columns=["block"])


def _strata(data: PackedChips) -> npt.NDArray[np.float32]:
    return strata(data.tasks, {task.name: data.targets(task.name) for task in data.tasks})


def _duplicates(data: PackedChips) -> pd.DataFrame:
    path = data.folder / "duplicates.parquet"
    if not path.exists():
        return pd.DataFrame({"a": np.zeros(0, np.int64), "b": np.zeros(0, np.int64), "kind": np.zeros(0, object)})
    try:
        return pd.read_parquet(path)
    except (OSError, ValueError) as error:
        raise DataSetInvalid(
            f"Data set {data.name} cannot be read at duplicates.parquet ({error}). Build it again."
        ) from error


def _using(data: PackedChips, split: dict[str, Any]) -> dict[str, Any]:
    splits: npt.NDArray[np.int8] = replace(data, manifest=data.manifest | {"split": split}).splits
    statistics = {s.name: band_statistics(data.images(s.name), splits, data.present(s.name)) for s in data.sensors}
    return data.manifest | {
        "split": split, "statistics": statistics, "fingerprint": fingerprint(data.manifest["digests"], split["id"], data.tasks),
    }  # fmt: skip


def _write(data: PackedChips, manifest: dict[str, Any]) -> PackedChips:
    """The manifest is replaced last and in one step: whoever reads it meanwhile sees the old state or the new one."""
    with replacing(data.folder / "dataset.json") as partial:
        partial.write_text(json.dumps(manifest, indent=1), encoding="utf-8")
    return PackedChips.open(data.folder)
