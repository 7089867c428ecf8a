"""The columns of a data set that filters, tiles and the grid of chips read, kept in memory while the data set is as it is."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import replace
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from spatialnet.datasets.catalogue import chip_table, leak_pairs, target_texts
from spatialnet.datasets.packed import PackedChips
from spatialnet.tasks import Task
from spatialnet.web.footprints import Footprints
from spatialnet.web.paint import Pixels

KEPT = 4
"""Data sets whose columns stay in memory; one of 100,000 chips takes about 50 MB."""

Mask = npt.NDArray[np.bool_]
_KNOWN: OrderedDict[tuple[str, ...], ChipColumns] = OrderedDict()
_LOCK = threading.Lock()


class ChipColumns:
    """What is known of every chip of a data set; read when first asked for. Safe for many threads."""

    def __init__(self, data: PackedChips) -> None:
        self.data = data
        self._lock = threading.RLock()
        self._made: dict[tuple[str, ...], Any] = {}
        self._masks: OrderedDict[object, Mask] = OrderedDict()

    @cached_property
    def table(self) -> pd.DataFrame:
        """One row per chip; see `chip_table`."""
        return chip_table(self.data)

    @cached_property
    def footprints(self) -> Footprints:
        """Where each chip lies."""
        return self._once(("footprints",), lambda: Footprints.of(self.table, self.data.chip_size))

    @cached_property
    def middles(self) -> Footprints:
        """The part of the ground that each chip speaks for: its central square where chips overlap."""
        return self.footprints.middle(self.data.chip_size, int(self.data.manifest["stride"]))

    @property
    def covering(self) -> bool:
        """Whether the chips stand side by side like the cells of a raster."""
        return int(self.data.manifest["stride"]) > 0

    @cached_property
    def keys(self) -> pd.Series:
        """Each chip's key in lower case."""
        return self.table["key"].str.lower()

    def targets(self, task: Task) -> npt.NDArray[Any]:
        """Targets of a task as stored."""
        return self._once(("targets", task.name), lambda: np.asarray(self.data.targets(task.name)))

    def texts(self, task: Task, chips: npt.NDArray[np.int64]) -> list[str]:
        """Targets of some chips in words."""
        return target_texts(task, self.targets(task)[chips])

    def present(self, sensor: str) -> Mask:
        """Which chips have a sensor."""
        return self._once(("present", sensor), lambda: np.asarray(self.data.present(sensor), bool))

    def values(self, column: str) -> list[str]:
        """The different values of `place` or `region`, sorted, without the empty one."""
        found = self._once(("values", column), lambda: sorted(set(self.table[column].unique()) - {""}))
        return list(found)

    def splits(self, identifier: str = "") -> npt.NDArray[np.int8]:
        """The split of each chip by one of the data set's splits; default the current one."""
        return self._once(("splits", identifier), lambda: _splits(self.data, identifier))

    def leaks(self, identifier: str = "") -> pd.DataFrame:
        """Pairs of chips that a split should have kept together; see `leak_pairs`."""
        return self._once(("leaks", identifier), lambda: leak_pairs(self.data, identifier))

    def colours(self, key: object, make: Callable[[], Pixels]) -> Pixels:
        """A colour per chip, (chips, 4) RGBA, that was made before, else a new one."""
        return self._once(("colours", repr(key)), make)

    def mask(self, key: object, make: Callable[[], Mask]) -> Mask:
        """A mask over the chips that was made before, else a new one; the last few are kept."""
        with self._lock:
            if key in self._masks:
                self._masks.move_to_end(key)
                return self._masks[key]
        mask: Mask = make()
        with self._lock:
            self._masks[key] = mask
            while len(self._masks) > 32:
                self._masks.popitem(last=False)
        return mask

    def _once(self, key: tuple[str, ...], make: Callable[[], Any]) -> Any:
        with self._lock:
            if key not in self._made:
                self._made[key] = make()
            return self._made[key]


def columns_of(data: PackedChips) -> ChipColumns:
    """The columns of a data set; the same object for everyone in this process until the data set changes."""
    key = (str(data.folder), data.fingerprint, str(data.manifest.get("version")), str(data.manifest.get("created_at")))
    with _LOCK:
        if key not in _KNOWN:
            _KNOWN[key] = ChipColumns(data)
        _KNOWN.move_to_end(key)
        while len(_KNOWN) > KEPT:
            _KNOWN.popitem(last=False)
        return _KNOWN[key]


def _splits(data: PackedChips, identifier: str) -> npt.NDArray[np.int8]:
    if identifier in ("", data.split_id):
        return np.asarray(data.splits)
    return np.asarray(replace(data, manifest=data.manifest | {"split": {"id": identifier}}).splits)
