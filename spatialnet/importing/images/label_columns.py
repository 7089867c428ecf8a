"""Which columns of a table are labels, and of what task: as people say, or as the cells show."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from typing import get_args

import numpy as np
import pandas as pd

from spatialnet.errors import ImportRefused
from spatialnet.importing.listing import Note
from spatialnet.importing.target_plan import (
    NO,
    YES,
    TargetPlan,
    as_text,
    class_name,
    identifier,
    propose,
    propose_columns,
)
from spatialnet.tasks import TaskKind

MOST_CLASSES = 100
"""A column with more distinct values is not proposed as a task."""

_RULE = re.compile(r"\s*([^:;]+?)\s*:\s*yes\s*>=\s*(\d+(?:\.\d+)?)\s*(?:,\s*no\s*<=\s*(\d+(?:\.\d+)?)\s*)?")
_LIST_SIGNS = ";|,"
_RURAL_URBAN = {"rural", "urban"}

Result = tuple[tuple[TargetPlan, ...], tuple[Note, ...]]


def presence_from(table: pd.DataFrame, rules: str) -> tuple[pd.DataFrame, Result]:
    """Presence from columns of numbers, such as how many people named an object.

    Args:
        table: the table.
        rules: `prefix: yes>=N, no<=M`, several separated by semicolons. In each column whose name begins with the
            prefix, N and more is yes, M and less is no; without `no<=M` nothing is ever no. Everything else, and an
            empty cell, is unknown.

    Returns:
        the new columns `presence_<rest of the name>` ("yes", "no" or None), the tasks, and notes.

    Raises:
        ImportRefused: a rule cannot be read, no column fits it, or a cell is no number.
    """
    columns: dict[str, list[str | None]] = {}
    plans, notes = [], []
    parts = [part for part in rules.split(";") if part.strip()]
    for part in parts:
        match = _RULE.fullmatch(part)
        if match is None:
            raise ImportRefused(
                f"The rule {part.strip()[:80]!r} cannot be read. Write 'prefix: yes>=2' or 'prefix: yes>=2, no<=0'."
            )
        prefix, yes, no = match[1], float(match[2]), float(match[3]) if match[3] else -np.inf
        if no >= yes:
            raise ImportRefused(
                f"The rule {part.strip()[:80]!r} makes the same number yes and no. Give a smaller number for no."
            )
        names = [str(column) for column in table.columns if str(column).startswith(prefix)]
        if not names:
            raise ImportRefused(
                f"No column begins with {prefix[:60]!r}; there are {', '.join(map(str, table.columns))[:160]}."
            )
        task = "presence" if len(parts) == 1 else identifier(f"presence_{prefix}")
        made = [f"{task}_{name.removeprefix(prefix)}" for name in names]
        for name, new in zip(names, made, strict=True):
            numbers = pd.to_numeric(table[name], errors="coerce").to_numpy(float)
            if (np.isnan(numbers) & table[name].map(as_text).notna().to_numpy()).any():
                raise ImportRefused(f"Column {name[:80]!r} holds something else than numbers. Correct it or the rule.")
            columns[new] = ["yes" if n >= yes else "no" if n <= no else None for n in numbers.tolist()]
        sentence = f"{yes:g} or more in {prefix}… means present, "
        sentence += "no number means absent" if np.isinf(no) else f"{no:g} or less means absent"
        sentence += "; everything else is unknown."
        title = "Objects" if len(parts) == 1 else f"Objects ({prefix.strip('_ ')})"
        plans.append(propose_columns(task, "multilabel", title, made, f"{task}_", derived=sentence))
        notes.append(Note("note", f"{title}: {sentence}", tuple(names)))
    return pd.DataFrame(columns, index=table.index, dtype=object), (tuple(plans), tuple(notes))


def named_plans(table: pd.DataFrame, answer: str, separator: str = "") -> Result:
    """The tasks that people name.

    Args:
        table: the table.
        answer: column names separated by commas; `name:kind` says the kind; `prefix*:multilabel` or `prefix*:count` takes
            a column per class.
        separator: what separates the values of a list; found in the cells if empty.

    Raises:
        ImportRefused: no such column or kind, or cells that do not fit it.
    """
    plans, notes = [], []
    for part in [part.strip() for part in answer.split(",") if part.strip()]:
        exact = part in table.columns
        name, _, kind = (part, "", "") if exact else part.rpartition(":") if ":" in part else (part, "", "")
        name, kind = name.strip(), kind.strip()
        if kind and kind not in get_args(TaskKind):
            raise ImportRefused(f"{kind[:40]!r} is no kind of task. Use one of {', '.join(get_args(TaskKind))}.")
        several = [str(c) for c in table.columns if str(c).startswith(name[:-1])] if name.endswith("*") else []
        if not several and name not in table.columns:
            raise ImportRefused(
                f"There is no column {name[:80]!r}; there are {', '.join(map(str, table.columns))[:200]}."
            )
        if several or kind == "count":
            prefix = name[:-1] if several else ""
            kind = kind or "multilabel"
            if kind not in ("multilabel", "count"):
                raise ImportRefused(
                    f"{name[:60]!r} is several columns; they make a multilabel or a count task, not {kind}."
                )
            plan = propose_columns(
                identifier(prefix or name), _kind(kind), _title(prefix or name), several or [name], prefix
            )
            plan.make(table)  # cells that do not fit are told now
        elif kind:
            plan = _of_column(table, name, _kind(kind), separator)
        else:
            plan = _guess(table, name, separator) or _of_column(table, name, "multiclass", separator)
            notes.append(Note("note", f"Column {name} is taken for a {plan.kind} task."))
        plans.append(plan)
    return _unique(plans), tuple(notes)


def proposed_plans(table: pd.DataFrame, separator: str = "") -> Result:
    """The tasks that the cells suggest, each with a note.

    Columns of yes and no that begin alike make one multilabel task; a column of lists another; a column of at most 100
    values that come back makes a multiclass task, or a binary one for yes and no or rural and urban. Groups of columns
    with other numbers are named in a note: they may be counts, votes or measurements.
    """
    plans, notes, rest = [], [], []
    groups, numbers = _groups(table)
    grouped = {column for columns in (*groups.values(), *numbers.values()) for column in columns}
    for prefix, columns in groups.items():
        name = "presence" if len(groups) == 1 else identifier(prefix)
        title = "Objects" if len(groups) == 1 else _title(prefix)
        plans.append(propose_columns(name, "multilabel", title, columns, prefix))
        notes.append(
            Note(
                "note",
                f"{len(columns)} columns {prefix}… of yes and no are taken for one multilabel task.",
                tuple(columns),
            )
        )
    for prefix, columns in numbers.items():
        text = f"{len(columns)} columns {prefix}… hold numbers and are not used: say what they mean (presence rule, or {prefix}*:count)."
        notes.append(Note("note", text, tuple(columns)))
    for column in [str(c) for c in table.columns if str(c) not in grouped]:
        plan = _guess(table, column, separator)
        if plan is None:
            rest.append(column)
            continue
        plans.append(plan)
        notes.append(Note("note", f"Column {column} is taken for a {plan.kind} task of {len(plan.classes)} classes."))
    if rest:
        notes.append(
            Note("note", f"{len(rest)} columns do not look like labels; they are kept but not used.", tuple(rest))
        )
    return _unique(plans), tuple(notes)


def _groups(table: pd.DataFrame) -> tuple[dict[str, list[str]], dict[str, list[str]]]:
    """Columns that begin alike (up to the first underscore): those of yes and no, and those of other numbers."""
    by_prefix: dict[str, list[str]] = {}
    for column in map(str, table.columns):
        if "_" in column.strip("_"):
            by_prefix.setdefault(column[: column.index("_", 1) + 1], []).append(column)
    groups, numbers = {}, {}
    for prefix, columns in by_prefix.items():
        values = [_values(table[column]) for column in columns]
        flags = [column for column, found in zip(columns, values, strict=True) if found and found <= YES | NO]
        other = [c for c in columns if c not in flags and pd.api.types.is_numeric_dtype(table[c])]
        if len(flags) > 1 and not other:
            groups[prefix] = flags
        elif len(other) + len(flags) > 1 and other:
            numbers[prefix] = sorted((*flags, *other), key=columns.index)
    return groups, numbers


def _guess(table: pd.DataFrame, column: str, separator: str) -> TargetPlan | None:
    cells = table[column]
    if cells.map(lambda cell: isinstance(cell, list | tuple | set | np.ndarray)).any():
        return _of_column(table, column, "multilabel", "")
    found = _values(cells)
    if len(found) > 1 and found <= YES | NO:
        return _of_column(table, column, "binary", "")
    if found == _RURAL_URBAN:
        return _of_column(table, column, "binary", "")
    sign = separator or _list_sign(cells)
    if sign:
        plan = _of_column(table, column, "multilabel", sign)
        return plan if 1 < len(plan.classes) <= MOST_CLASSES else None
    measured = pd.api.types.is_float_dtype(cells) and (cells.dropna() % 1 != 0).any()
    if measured or not 1 < len(found) <= MOST_CLASSES or len(found) * 2 > max(int(cells.notna().sum()), 4):
        return None
    plan = _of_column(table, column, "multiclass", "")
    return plan if len(plan.classes) > 1 else None


def _of_column(table: pd.DataFrame, column: str, kind: TaskKind, separator: str) -> TargetPlan:
    more = {"separator": separator or _list_sign(table[column])} if kind == "multilabel" else {}
    plan = propose(identifier(column), kind, _title(column), column, table, **more)
    if len(plan.classes) < (1 if kind == "multilabel" else 2) or (kind == "binary" and len(plan.classes) != 2):
        raise ImportRefused(
            f"Column {column[:80]!r} has {len(plan.classes)} different values, which makes no {kind} task. Choose another kind."
        )
    if kind == "binary" and plan.title.casefold() == " ".join(plan.classes).casefold():
        return replace(plan, title=" or ".join(plan.classes).capitalize())  # `rural_urban` asks: rural or urban
    return plan


def _list_sign(cells: pd.Series) -> str:
    """What separates the values of text lists: the first sign after which the parts repeat; "" where cells are whole."""
    texts = [cell for cell in cells.dropna().unique() if isinstance(cell, str)] if _is_plain(cells) else []
    for sign in _LIST_SIGNS:
        lists = [text for text in texts if sign in text]
        parts = {part.strip() for text in texts for part in text.split(sign)}
        if lists and len(parts) <= min(MOST_CLASSES, max(len(texts), 2)):
            return sign
    return ""


def _is_plain(cells: pd.Series) -> bool:
    return not cells.map(lambda cell: isinstance(cell, list | tuple | set | dict | np.ndarray)).any()


def _values(cells: pd.Series) -> set[str]:
    """The distinct values in lower case; empty for lists."""
    if not _is_plain(cells):
        return set()
    return {text.lower() for value in cells.unique() if (text := as_text(value)) is not None}


def _kind(text: str) -> TaskKind:
    return next(kind for kind in get_args(TaskKind) if kind == text)


def _title(name: str) -> str:
    return class_name(name.strip("_")).capitalize()


def _unique(plans: Sequence[TargetPlan]) -> tuple[TargetPlan, ...]:
    """The plans, each with a task name of its own."""
    result: list[TargetPlan] = []
    for plan in plans:
        name, number = plan.name, 2
        while name in {other.name for other in result}:
            name, number = f"{plan.name}_{number}", number + 1
        result.append(replace(plan, name=name))
    return tuple(result)
