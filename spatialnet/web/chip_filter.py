"""Which chips are chosen: read from an address, written to one, and answered on columns in memory.

The data-sets page and the map tiles use the same filter, so that grid, map and table always show one selection.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np

from spatialnet.datasets.catalogue import NONE, UNKNOWN
from spatialnet.datasets.packed import SPLITS
from spatialnet.label import LabelStore
from spatialnet.tasks import Task
from spatialnet.web.chip_columns import ChipColumns, Mask

MAX_TEXT = 80
_LISTS = ("split", "class", "place", "region", "sensor")
_FLAGS = ("leaks", "corrected")


@dataclass(frozen=True)
class ChipFilter:
    """A choice of chips. Parts that are empty choose all; several values of one part choose any of them.

    Attributes:
        split: split names.
        task: the task that `target` speaks of.
        target: class names, or `unknown`, or `none` (a multilabel target without any class).
        place: names of places (stacks).
        region: names of regions.
        sensor: sensors of which the chip has at least one.
        text: part of the chip's key, in any case.
        leaks: only chips that leak from one split into another.
        corrected: only chips about which a person said something.
    """

    split: tuple[str, ...] = ()
    task: str = ""
    target: tuple[str, ...] = ()
    place: tuple[str, ...] = ()
    region: tuple[str, ...] = ()
    sensor: tuple[str, ...] = ()
    text: str = ""
    leaks: bool = False
    corrected: bool = False

    @classmethod
    def from_query(cls, get_all: Callable[[str], Sequence[str]]) -> ChipFilter:
        """The filter that an address names; what makes no sense there chooses nothing and does no harm.

        Args:
            get_all: gives every value of a query parameter.
        """

        def first(name: str) -> str:
            return next(iter(get_all(name)), "")[:MAX_TEXT]

        lists = {name: tuple(dict.fromkeys(value[:MAX_TEXT] for value in get_all(name)[:100])) for name in _LISTS}
        return cls(
            lists["split"], first("task"), lists["class"], lists["place"], lists["region"], lists["sensor"],
            first("key"), first("leaks") == "1", first("corrected") == "1",
        )  # fmt: skip

    def to_query(self) -> dict[str, str | list[str]]:
        """Query parameters that give the same filter."""
        lists = dict(zip(_LISTS, (self.split, self.target, self.place, self.region, self.sensor), strict=True))
        query: dict[str, str | list[str]] = {name: list(values) for name, values in lists.items() if values}
        if self.target:
            query["task"] = self.task
        if self.text:
            query["key"] = self.text
        return query | {name: "1" for name in _FLAGS if getattr(self, name)}

    @property
    def empty(self) -> bool:
        """Whether every chip is chosen."""
        return all(not getattr(self, part.name) for part in fields(self) if part.name != "task")


def choices_of(task: Task) -> tuple[str, ...]:
    """What `ChipFilter.target` can name for a task."""
    extra = (NONE, UNKNOWN) if task.kind == "multilabel" else (UNKNOWN,)
    return (*task.classes, *(name for name in extra if name not in task.classes))


def chosen(columns: ChipColumns, asked: ChipFilter, labels: LabelStore) -> Mask:
    """Which chips a filter chooses: (chips,) bool. Values that the data set does not know choose nothing."""
    version = labels.version() if asked.corrected else 0
    return columns.mask((asked, version), lambda: _mask(columns, asked, labels))


def corrected_chips(columns: ChipColumns, labels: LabelStore) -> set[int]:
    """Chips about which a person said something that still counts."""
    data = columns.data
    said = (labels.current(data.name, task.name) for task in data.tasks)
    return {chip for answers in said for chip, answer in answers.items() if answer.kind != "skip" and chip < len(data)}


def _mask(columns: ChipColumns, asked: ChipFilter, labels: LabelStore) -> Mask:
    mask = np.ones(len(columns.data), bool)
    if asked.split:
        mask &= np.isin(columns.splits(), [SPLITS.index(name) for name in asked.split if name in SPLITS])
    task = next((task for task in columns.data.tasks if task.name == asked.task), columns.data.tasks[0])
    if asked.target:
        mask &= _holds(task, columns.targets(task), asked.target)
    for column, wanted in (("place", asked.place), ("region", asked.region)):
        if wanted:
            mask &= columns.table[column].isin(list(wanted)).to_numpy(bool)
    if asked.sensor:
        known = {sensor.name for sensor in columns.data.sensors}
        mask &= _any((columns.present(name) for name in asked.sensor if name in known), len(mask))
    if asked.text:
        mask &= columns.keys.str.contains(asked.text.lower(), regex=False).to_numpy(bool)
    if asked.leaks:
        mask &= _of(columns.leaks()[["a", "b"]].to_numpy(np.int64).ravel(), len(mask))
    if asked.corrected:
        mask &= _of(np.fromiter(corrected_chips(columns, labels), np.int64), len(mask))
    return mask


def _holds(task: Task, targets: Any, wanted: Iterable[str]) -> Mask:
    """Which targets hold one of the named classes."""
    index: Mapping[str, int] = {name: i for i, name in enumerate(task.classes)}
    values = np.asarray(targets)
    flat = values.reshape(len(values), -1)
    known = (flat >= 0) if task.kind == "multiclass" else np.isfinite(flat)
    found = []
    for name in wanted:
        if name in index:
            single = task.kind in ("multiclass", "binary")
            one = flat[:, 0] == index[name] if single else flat[:, index[name]] > 0
            found.append(one)
        elif name == UNKNOWN:
            found.append(~known.any(axis=1))
        elif name == NONE and task.kind == "multilabel":
            found.append(known.any(axis=1) & ~(flat > 0).any(axis=1))
    return _any(found, len(values))


def _any(masks: Iterable[Mask], count: int) -> Mask:
    result = np.zeros(count, bool)
    for mask in masks:
        result |= mask
    return result


def _of(chips: Any, count: int) -> Mask:
    mask = np.zeros(count, bool)
    mask[chips[(chips >= 0) & (chips < count)]] = True
    return mask
