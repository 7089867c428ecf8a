"""Other classes for a data set that is there, from the labels that were kept with it; no chip is read again."""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pandas as pd

from spatialnet.atomic import beside, full_disk_said, put_in_place, remove
from spatialnet.datasets.packed import PackedChips, digest, fingerprint, save_array
from spatialnet.datasets.versions import alone
from spatialnet.errors import DataSetInvalid, ImportRefused
from spatialnet.importing.packing import target_sentence
from spatialnet.importing.target_plan import TargetPlan
from spatialnet.tasks import UNKNOWN_CLASS, Task


@dataclass(frozen=True)
class TaskChange:
    """What new plans would make of one task.

    Attributes:
        task: as it would be; where it is left out, as it was.
        what: `same` (not one class or chip differs), `changed`, `new` or `gone`.
        chips: how many chips get another target; a class that is only called otherwise changes no chip.
        known: how many chips have a target then.
    """

    task: Task
    what: Literal["same", "changed", "new", "gone"]
    chips: int
    known: int


def current_plans(data: PackedChips) -> tuple[TargetPlan, ...]:
    """How each task's targets follow from the labels now, as a start for changes.

    Raises:
        DataSetInvalid: the data set does not say.
    """
    try:
        return tuple(TargetPlan.from_dict(data.manifest["targets"][task.name]) for task in data.tasks)
    except (KeyError, TypeError, ValueError) as error:
        raise DataSetInvalid(
            f"Data set {data.name} does not say how its targets came about. Import it again."
        ) from error


def kept_labels(data: PackedChips) -> pd.DataFrame:
    """What the source said of each chip.

    Raises:
        DataSetInvalid: the table cannot be read.
    """
    try:
        return pd.read_parquet(data.folder / "labels.parquet")
    except (OSError, ValueError) as error:
        raise DataSetInvalid(
            f"Data set {data.name} cannot be read at labels.parquet ({error}). Import it again."
        ) from error


def retarget(data: PackedChips, plans: Sequence[TargetPlan], labelled: Collection[str] = ()) -> PackedChips:
    """Make a data set's targets anew; chips and splits stay. The folder is replaced in one step, as its next version.

    Args:
        data: the data set.
        plans: every task that it is to have; a plan without columns keeps the targets that are there.
        labelled: names of tasks that people have labelled.

    Returns:
        The data set as it is now.

    Raises:
        ImportRefused: the plans do not fit the labels, or would change the classes of a labelled task.
        NotEnoughDisk: the disk is full; nothing was changed.
    """
    with alone(data.folder), full_disk_said(f"data set {data.name}"):
        data = PackedChips.open(data.folder)
        tasks = [plan.task() for plan in plans]
        if not tasks or len({task.name for task in tasks}) < len(tasks):
            raise ImportRefused("A data set needs at least one task, and each a name of its own. Correct the list.")
        refuse_lost_labels(data, tasks, labelled)
        labels = kept_labels(data)
        hard = {plan.name: _targets(data, plan, labels) for plan in plans}
        building = beside(data.folder)
        try:
            _link(data, building, plans)
            for name, values in hard.items():
                save_array(building / "targets" / f"{name}.npy", values)
            manifest = _manifest(data, building, plans)
            (building / "dataset.json").write_text(json.dumps(manifest, indent=1), encoding="utf-8")
            put_in_place(building, data.folder)
        finally:
            remove(building)
        return PackedChips.open(data.folder)


def changes(data: PackedChips, plans: Sequence[TargetPlan], labels: pd.DataFrame) -> tuple[TaskChange, ...]:
    """What `retarget` would change, task by task; nothing is written.

    Args:
        data: the data set.
        plans: every task that it is to have.
        labels: its `kept_labels`.

    Raises:
        ImportRefused: a plan does not fit the labels.
    """
    before, found = {task.name: task for task in data.tasks}, []
    for plan in plans:
        task, old = plan.task(), before.pop(plan.name, None)
        values = _per_class(task, _targets(data, plan, labels))
        known = int(np.isfinite(values).any(axis=1).sum())
        if old is None:
            found.append(TaskChange(task, "new", known, known))
            continue
        chips = int(_differ(old, _per_class(old, data.targets(old.name)), task, values).sum())
        found.append(TaskChange(task, "changed" if chips or old != task else "same", chips, known))
    for old in before.values():
        chips = int(np.isfinite(_per_class(old, data.targets(old.name))).any(axis=1).sum())
        found.append(TaskChange(old, "gone", chips, 0))
    return tuple(found)


def _per_class(task: Task, targets: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
    """Targets of any kind as (chips, classes): 1 where the class holds, else 0, or how many; NaN where unknown."""
    if targets.ndim == 2:
        return targets
    codes = np.where(targets == UNKNOWN_CLASS, np.nan, targets)[:, None]
    return np.where(np.isnan(codes), np.nan, codes == np.arange(len(task.classes))).astype(np.float32)


def _differ(
    old: Task, before: npt.NDArray[np.float32], new: Task, after: npt.NDArray[np.float32]
) -> npt.NDArray[np.bool_]:
    """Which chips do not mean the same any more: (chips,)."""
    if (old.kind == "count") != (new.kind == "count"):
        return np.ones(len(before), bool)
    left, result = dict(enumerate(old.classes)), np.zeros(len(before), bool)
    unnamed = []
    for column, name in enumerate(new.classes):
        if name in old.classes:
            was = old.classes.index(name)
            del left[was]
            result |= _unequal(before[:, was], after[:, column])
        else:
            unnamed.append(column)
    for column in unnamed:
        same = [was for was in left if not _unequal(before[:, was], after[:, column]).any()]
        if same:
            del left[same[0]]  # the class has another name now
        else:
            result |= after[:, column] > 0
    for was in left:
        result |= before[:, was] > 0
    return result


def _unequal(one: npt.NDArray[np.float32], other: npt.NDArray[np.float32]) -> npt.NDArray[np.bool_]:
    return (one != other) & ~(np.isnan(one) & np.isnan(other))


def refuse_lost_labels(data: PackedChips, tasks: Sequence[Task], labelled: Collection[str]) -> None:
    """Refuse tasks in which what people said would mean something else: a label names a class by its number.

    Raises:
        ImportRefused: a labelled task would be gone, or have other classes.
    """
    new = {task.name: task for task in tasks}
    for task in data.tasks:
        after = new.get(task.name)
        if task.name in labelled and (after is None or (after.kind, after.classes) != (task.kind, task.classes)):
            raise ImportRefused(
                f"People have labelled {task.label[:60]!r} in data set {data.name}; with other classes their labels would mean "
                "something else. Keep this task as it is, or import under another name."
            )


def _targets(data: PackedChips, plan: TargetPlan, labels: pd.DataFrame) -> npt.NDArray[Any]:
    if plan.columns:
        return plan.make(labels)
    if plan.task() not in data.tasks:
        raise ImportRefused(
            f"Task {plan.name} names no label column, and its targets were computed for other classes. Choose a column."
        )
    return data.targets(plan.name)


def _link(data: PackedChips, building: Path, plans: Sequence[TargetPlan]) -> None:
    """Everything but targets under a second name; files of a data set are only ever replaced, so both stay whole."""
    soft = {f"{plan.name}.npy" for plan in plans if not plan.columns}

    def left_out(folder: str, names: list[str]) -> set[str]:
        place = Path(folder).relative_to(data.folder).as_posix()
        if place == "soft":
            return set(names) - soft
        return {"targets": set(names), ".": {"dataset.json"}}.get(place, set())

    try:
        shutil.copytree(data.folder, building, ignore=left_out, copy_function=os.link)
    except (shutil.Error, OSError):  # a file system without hard links
        remove(building)
        shutil.copytree(data.folder, building, ignore=left_out)
    (building / "targets").mkdir(exist_ok=True)


def _manifest(data: PackedChips, building: Path, plans: Sequence[TargetPlan]) -> dict[str, Any]:
    kept = {
        name: value
        for name, value in data.manifest["digests"].items()
        if not name.startswith(("targets/", "soft/")) or (name.startswith("soft/") and (building / name).exists())
    }
    digests = kept | {f"targets/{plan.name}.npy": digest(building / "targets" / f"{plan.name}.npy") for plan in plans}
    rules = data.manifest["rules"]
    return data.manifest | {
        "version": int(data.manifest["version"]) + 1, "tasks": [plan.task().to_dict() for plan in plans],
        "targets": {plan.name: plan.to_dict() | {"sentence": target_sentence(rules, plan)} for plan in plans},
        "derived": all(plan.derived or not plan.columns for plan in plans), "digests": digests,
        "fingerprint": fingerprint(digests, data.split_id, [plan.task() for plan in plans]), "created_at": time.time(),
    }  # fmt: skip
