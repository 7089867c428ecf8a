"""Splits on disk: each is named and versioned, none is ever changed, and the manifest says which one is in use."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from spatialnet.atomic import replacing
from spatialnet.datasets.leaks import leak_counts
from spatialnet.datasets.packed import SPLITS, save_array
from spatialnet.tasks import Task


def write_split(
    folder: Path, plan: Mapping[str, Any], name: str, version: int, sentence: str, splits: npt.NDArray[np.int8],
    blocks: npt.NDArray[np.int32], leaks: pd.DataFrame,
) -> dict[str, Any]:  # fmt: skip
    """Write a split into a data-set folder.

    Args:
        folder: the data-set folder, or the one that becomes it.
        plan: the split's plan, JSON-ready.
        name: what the split is called.
        version: from 1; one more for each split of this name.
        sentence: the plan in plain words.
        splits: (chips,) index into `SPLITS`.
        blocks: (chips,) unit of ground, or group, that a chip shares with chips like it.
        leaks: what `find_leaks` found.

    Returns:
        What the manifest says of it.
    """
    identifier = f"{name}-{version}"
    save_array(folder / "splits" / f"{identifier}.npy", splits)
    save_array(folder / "splits" / f"{identifier}.blocks.npy", blocks)
    with replacing(folder / "splits" / f"{identifier}.leaks.parquet") as partial:
        leaks.to_parquet(partial, index=False)
    return {
        "id": identifier, "name": name, "version": version, "kind": plan["kind"], "plan": dict(plan), "sentence": sentence,
        "counts": {split: int((splits == index).sum()) for index, split in enumerate(SPLITS)},
        "leaks": {kind: count for kind, count in leak_counts(leaks).items() if count},
        "created_at": time.time(),
    }  # fmt: skip


def strata(tasks: Sequence[Task], targets: Mapping[str, npt.NDArray[Any]]) -> npt.NDArray[np.float32]:
    """What should be alike in every split: (chips, k) class shares of every task; unknown counts as the first class.

    Args:
        tasks: of the data set.
        targets: per task as the packed store keeps them.
    """
    columns = []
    for task in tasks:
        hard = targets[task.name]
        if task.kind == "multiclass":
            columns.append(np.eye(len(task.classes), dtype=np.float32)[np.maximum(hard, 0)])
        elif task.kind != "count":
            columns.append(hard.reshape(len(hard), -1))
    if not columns:
        return np.zeros((len(next(iter(targets.values()))), 1), np.float32)
    return np.nan_to_num(np.concatenate(columns, axis=1)).astype(np.float32)
