"""What people change about a proposed task: names of classes, which values they stand for, which columns count."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import pandas as pd

from spatialnet.importing.target_plan import TargetPlan, class_name, identifier, propose, propose_columns
from spatialnet.importing.vocabulary import colours_of, suggest
from spatialnet.tasks import TaskKind


def mapped(plan: TargetPlan, classes: Mapping[str, str]) -> TargetPlan:
    """The plan with another class for each value that was found.

    Classes keep the plan's order, new ones follow; values of one class name are merged, an empty name leaves a value out.
    A class that none of these values stood for stays: its chips are only not in this source.

    Args:
        plan: as it was.
        classes: per value (or column, where each class has one) the class it means.
    """
    said = {value: " ".join(name.split())[:60] for value, name in classes.items()}
    mapping = {value: name for value, name in plan.mapping.items() if value not in said} | said
    used = [name for name in mapping.values() if name]
    gone = {plan.mapping[value] for value in said if value in plan.mapping} - set(used)
    names = tuple(dict.fromkeys([name for name in plan.classes if name not in gone] + used))
    colours = dict(zip(plan.classes, plan.colours, strict=False))
    own = tuple(colours.get(name, "") for name in names)
    return replace(plan, classes=names, mapping=mapping, colours=own if all(own) else colours_of(names))


def own_names(plan: TargetPlan) -> TargetPlan:
    """The plan with the source's own names for its classes, where a class stands for one value."""
    values: dict[str, list[str]] = {}
    for value, name in plan.mapping.items():
        values.setdefault(name, []).append(value)
    new = {name: class_name(found[0]) if len(found) == 1 and name else name for name, found in values.items()}
    if plan.kind == "binary" or len(set(new.values())) < len(new):
        return plan
    return replace(
        plan, classes=tuple(new.get(name, name) for name in plan.classes),
        mapping={value: new[name] for value, name in plan.mapping.items()},
    )  # fmt: skip


def from_columns(
    kind: TaskKind, title: str, columns: Sequence[str], labels: pd.DataFrame, separator: str = ""
) -> TargetPlan:
    """A plan for columns that people chose, with shared names.

    Args:
        kind: of the task; `count` and several columns make a class of each column.
        title: what people read; the task's name follows from it.
        columns: label columns; at least one.
        labels: of every chip.
        separator: splits the text of a multilabel column.
    """
    name = identifier(title)
    if kind == "count" or (kind == "multilabel" and len(columns) > 1):
        return suggest(propose_columns(name, kind, title, list(columns)))
    more = {"separator": separator} if separator else {}
    return suggest(propose(name, kind, title, columns[0], labels, **more))
