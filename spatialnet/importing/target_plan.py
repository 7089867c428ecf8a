"""Which labels of a source become which task: the columns, the mapping table, and what silence means."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pandas as pd

from spatialnet.errors import ImportRefused, TargetsInvalid
from spatialnet.tasks import UNKNOWN_CLASS, Task, TaskKind

YES = frozenset({"1", "1.0", "true", "yes", "y", "present"})
NO = frozenset({"0", "0.0", "false", "no", "n", "absent"})

_GAPS = re.compile(r"[\s_-]+")
_DIGITS = re.compile(r"(\d+)")
_NOT_IN_NAMES = re.compile(r"[^a-z0-9]+")


@dataclass(frozen=True)
class TargetPlan:
    """How labels become the targets of one task.

    Attributes:
        name: the task's identifier.
        kind: the task's kind.
        title: what people read.
        columns: label columns. `multiclass`, `binary`: one column of values. `multilabel`: one column whose values are
            lists (or text split at `separator`), or one column per class that says yes, no or nothing. `count`: one
            column of numbers per class. None at all where the listing holds ready targets.
        classes: class names in index order; `binary` has "no" first.
        mapping: what was found (a value; or a column, where there is one per class) to the class it means. What is
            not named, or maps to "", is left out: unknown.
        separator: splits the text of a multilabel column into values.
        silence: what it means that a list does not name a class: `no`, or `unknown` where labelling was not complete.
        derived: how the label follows from others, in words; empty where the source says it itself.
        colours: one `#rrggbb` per class, or empty.
    """

    name: str
    kind: TaskKind
    title: str
    columns: tuple[str, ...]
    classes: tuple[str, ...]
    mapping: Mapping[str, str] = field(default_factory=dict)
    separator: str = ""
    silence: Literal["no", "unknown"] = "no"
    derived: str = ""
    colours: tuple[str, ...] = ()

    def task(self) -> Task:
        """The task that results.

        Raises:
            ImportRefused: the classes or the name make no task.
        """
        try:
            return Task(self.name, self.kind, self.classes, self.title, self.colours)
        except TargetsInvalid as error:
            raise ImportRefused(str(error)) from error

    @property
    def column_per_class(self) -> bool:
        """Whether each class has a column of its own."""
        return self.kind == "count" or (
            self.kind == "multilabel" and (len(self.columns) > 1 or tuple(self.mapping) == self.columns)
        )

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready values."""
        return asdict(self) | {"mapping": dict(self.mapping)}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> TargetPlan:
        """The plan that `to_dict` wrote."""
        return cls(
            str(values["name"]), values["kind"], str(values["title"]), tuple(values["columns"]), tuple(values["classes"]),
            {str(k): str(v) for k, v in values["mapping"].items()}, str(values.get("separator", "")),
            values.get("silence", "no"), str(values.get("derived", "")), tuple(values.get("colours", ())),
        )  # fmt: skip

    def make(self, labels: pd.DataFrame) -> npt.NDArray[Any]:
        """Targets as the packed store keeps them (`spatialnet.datasets.packed`).

        Raises:
            ImportRefused: a column is missing, a class is mapped to that does not exist, or a cell cannot be read.
        """
        self._check(labels)
        index = {name: i for i, name in enumerate(self.classes)}
        if self.kind in ("multiclass", "binary"):
            codes, texts = _distinct(labels[self.columns[0]])
            # One more entry than there are texts: code -1, an empty cell, finds it at the end.
            classes = np.array([index.get(self.mapping.get(text, ""), -1) for text in texts] + [-1], np.int64)[codes]
            if self.kind == "multiclass":
                return np.where(classes < 0, UNKNOWN_CLASS, classes)
            return np.where(classes < 0, np.nan, classes).astype(np.float32)
        if self.column_per_class:
            return self._from_columns(labels, index)
        return self._from_lists(labels[self.columns[0]], index)

    def found(self, labels: pd.DataFrame) -> dict[str, int]:
        """What the columns hold, with how often: values, or for a column per class how many chips say yes.

        Values are in the order of the alphabet, numbers in theirs (2 before 10); columns are in the plan's order.
        """
        if self.column_per_class:
            return {c: int((_numbers(labels[c], c, self.kind) > 0).sum()) for c in self.columns if c in labels}
        if not self.columns:
            return {}
        if self.kind == "multilabel":
            codes, lists = self._distinct_lists(labels[self.columns[0]])
            counts: Counter[str] = Counter()
            for values, times in zip(lists, np.bincount(codes[codes >= 0], minlength=len(lists)), strict=True):
                counts.update({value: int(times) for value in set(values)})
        else:
            codes, texts = _distinct(labels[self.columns[0]])
            counts = Counter(
                dict(zip(texts, np.bincount(codes[codes >= 0], minlength=len(texts)).tolist(), strict=True))
            )
        return dict(sorted(counts.items(), key=lambda item: _natural(item[0])))

    def merged(self) -> dict[str, tuple[str, ...]]:
        """Classes that stand for several values or columns, with these."""
        values: dict[str, list[str]] = {}
        for value, name in self.mapping.items():
            values.setdefault(name, []).append(value)
        return {name: tuple(several) for name, several in values.items() if name and len(several) > 1}

    def _check(self, labels: pd.DataFrame) -> None:
        missing = [c for c in self.columns if c not in labels]
        if missing or not self.columns:
            wanted = f"label column {missing[0][:80]!r}" if missing else "a label column"
            raise ImportRefused(
                f"Task {self.name} needs {wanted}; the source has {', '.join(map(str, labels))[:200]}. Name one of these."
            )
        strangers = sorted(set(self.mapping.values()) - {""} - set(self.classes))
        if strangers:
            raise ImportRefused(
                f"Task {self.name} maps to {strangers[0][:80]!r}, which is none of its classes. Add it or change the mapping."
            )
        self.task()

    def _from_columns(self, labels: pd.DataFrame, index: Mapping[str, int]) -> npt.NDArray[np.float32]:
        result = np.full((len(labels), len(self.classes)), np.nan, np.float32)
        begun: set[int] = set()
        for column in self.columns:
            target = index.get(self.mapping.get(column, ""))
            if target is None:
                continue
            values, known = _numbers(labels[column], column, self.kind), result[:, target]
            if target in begun:
                # Merged classes. A sum with an unknown part is unknown; yes if any says yes, no only if all say no.
                largest = np.fmax(known, values)
                values = (
                    known + values if self.kind == "count" else np.where(largest == 1, 1.0, np.maximum(known, values))
                )
            result[:, target] = values
            begun.add(target)
        return result

    def _from_lists(self, cells: pd.Series, index: Mapping[str, int]) -> npt.NDArray[np.float32]:
        codes, lists = self._distinct_lists(cells)
        rows = np.full((len(lists) + 1, len(self.classes)), np.nan, np.float32)
        if self.silence == "no":
            rows[:-1] = 0.0
        for row, values in enumerate(lists):
            rows[row, [index[name] for value in values if (name := self.mapping.get(value, "")) in index]] = 1.0
        return rows[codes]

    def _distinct_lists(self, cells: pd.Series) -> tuple[npt.NDArray[np.int64], list[tuple[str, ...]]]:
        """Which distinct list each cell holds, -1 for unknown, and the distinct lists."""
        seen: dict[tuple[str, ...], int] = {}
        codes = np.full(len(cells), -1, np.int64)
        for row, cell in enumerate(cells):
            if isinstance(cell, str):
                parts: Iterable[object] = cell.split(self.separator) if self.separator else [cell]
            else:
                parts = cell if isinstance(cell, list | tuple | set | frozenset | np.ndarray) else [cell]
            values = tuple(text for part in parts if (text := as_text(part)) is not None)
            if values or not _is_unknown(cell):
                codes[row] = seen.setdefault(values, len(seen))
        return codes, list(seen)


def propose(name: str, kind: TaskKind, title: str, column: str, labels: pd.DataFrame, **more: Any) -> TargetPlan:
    """A plan that maps every value found in one column to a class of the same name.

    Values that differ only by case, spaces, hyphens or underscores are mapped to one class (`TargetPlan.merged` says
    which). A `binary` column of yes and no gets the classes "no" and "yes" in this order.
    """
    plan = TargetPlan(name, kind, title, (column,), (), **more)
    values = list(plan.found(labels))
    if kind == "binary" and values and {value.lower() for value in values} <= YES | NO:
        return replace(plan, classes=("no", "yes"), mapping={v: "yes" if v.lower() in YES else "no" for v in values})
    return _named(plan, {value: value for value in values})


def propose_columns(
    name: str, kind: TaskKind, title: str, columns: Sequence[str], prefix: str = "", **more: Any
) -> TargetPlan:
    """A plan for a column per class (`multilabel` or `count`); class names are the columns' without `prefix`."""
    plan = TargetPlan(name, kind, title, tuple(columns), (), **more)
    return _named(plan, {column: column.removeprefix(prefix) or column for column in columns})


def _named(plan: TargetPlan, values: Mapping[str, str]) -> TargetPlan:
    best: dict[str, str] = {}  # of several spellings the one with most words: `SeaLake` tells more than `sealake`
    for value in values.values():
        name, form = class_name(value), same_form(value)
        if form not in best or name.count(" ") > best[form].count(" "):
            best[form] = name
    taken: dict[str, str] = {}
    for form, name in best.items():
        unique, number = name, 2
        while unique in taken.values():  # long values that were cut to the same beginning
            unique, number = f"{name} {number}", number + 1
        taken[form] = unique
    mapping = {found: taken[same_form(value)] for found, value in values.items()}
    return replace(plan, classes=tuple(dict.fromkeys(mapping.values())), mapping=mapping)


def same_form(value: str) -> str:
    """What two spellings of one name have in common: no case, spaces, hyphens or underscores."""
    return _GAPS.sub("", value).casefold() or value


def class_name(value: str) -> str:
    """A class name for people from a value of a file: words in lower case (`SeaLake`, `sea_lake` -> `sea lake`)."""
    spaced = "".join(f" {c}" if c.isupper() and i and value[i - 1].islower() else c for i, c in enumerate(value))
    return " ".join(spaced.replace("_", " ").split()).lower()[:60].strip() or value[:60]


def identifier(text: str) -> str:
    """A task's name from any text: lower-case letters, digits and underscores, a letter first."""
    plain = _NOT_IN_NAMES.sub("_", text.lower()).strip("_")[:40].strip("_")
    return plain if plain[:1].isalpha() else f"labels_{plain}".strip("_")


def as_text(cell: object) -> str | None:
    """A cell as text without outer spaces; None where it is empty. Whole numbers lose their ".0"."""
    if isinstance(cell, str):
        return cell.strip() or None
    if _is_unknown(cell):
        return None
    if isinstance(cell, float | np.floating) and float(cell).is_integer():
        return str(int(cell))
    return str(cell).strip() or None


def _is_unknown(cell: object) -> bool:
    if cell is None or cell is pd.NA or cell is pd.NaT:
        return True
    if isinstance(cell, float | np.floating):
        return bool(np.isnan(cell))
    return isinstance(cell, str) and not cell.strip()


def _natural(text: str) -> list[tuple[bool, int, str]]:
    return [(not part.isdecimal(), int(part) if part.isdecimal() else 0, part) for part in _DIGITS.split(text) if part]


def _distinct(cells: pd.Series) -> tuple[npt.NDArray[np.int64], list[str]]:
    """Which distinct text each cell holds, -1 where it is empty, and the distinct texts."""
    if cells.dtype == object:  # may hold 1 and True, which pandas takes for one value
        codes, values = pd.factorize(np.array([as_text(cell) for cell in cells] + [None], dtype=object))
        return codes[:-1].astype(np.int64), list(values)
    codes, values = pd.factorize(cells)
    texts = [as_text(value) for value in values]
    seen: dict[str, int] = {}
    of_value = np.array([-1 if text is None else seen.setdefault(text, len(seen)) for text in texts] + [-1], np.int64)
    return of_value[codes], list(seen)


def _numbers(cells: pd.Series, column: str, kind: TaskKind) -> npt.NDArray[np.float32]:
    codes, texts = _distinct(cells)
    numbers = np.full(len(texts) + 1, np.nan, np.float32)
    for i, text in enumerate(texts):
        low = text.lower()
        if kind != "count":
            if low not in YES | NO:
                raise ImportRefused(
                    f"Column {column[:80]!r} holds {text[:40]!r}. Write 1, 0 or nothing: yes, no, unknown."
                )
            numbers[i] = low in YES
            continue
        try:
            numbers[i] = float(low)
        except ValueError:
            numbers[i] = -1
        if not 0 <= numbers[i] < np.inf:
            raise ImportRefused(
                f"Column {column[:80]!r} holds {text[:40]!r} where a count of 0 or more was wanted. Correct the table."
            )
    return numbers[codes]
