"""Names that data sets share: one word and one colour per thing, and several data sets as one task."""

from __future__ import annotations

import tomllib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cache
from importlib.resources import files
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from spatialnet.errors import ImportRefused, TargetsInvalid
from spatialnet.importing.listing import Note
from spatialnet.importing.target_plan import TargetPlan, same_form
from spatialnet.importing.wording import counted
from spatialnet.joint import JointTasks, Share
from spatialnet.tasks import Task

Kind = Literal["land_use", "object"]
"""What a chip is, and what is on it. `airplane` is both: a chip of aircraft, and an aircraft."""

NO_YES = {"no": "#8d99ae", "yes": "#d1495b", "rural": "#70a94b", "urban": "#9e1b32"}
"""Colours of binary tasks."""

# For classes without a shared name: hues that people with any colour vision tell apart (Okabe and Ito 2008), then the
# same lighter and darker.
_CYCLE = (
    "#e69f00", "#56b4e9", "#009e73", "#f0e442", "#0072b2", "#d55e00", "#cc79a7", "#999999", "#f5cf7f", "#aad9f4",
    "#7fcfb9", "#f7f1a0", "#7fb8d8", "#eaae7f", "#e5bcd3", "#cccccc", "#734f00", "#2b5a74", "#004f39", "#787221",
    "#003959", "#6a2f00", "#663c53", "#4c4c4c",
)  # fmt: skip


@cache
def vocabulary() -> dict[Kind, dict[str, str]]:
    """Shared names and their colours, by kind."""
    return {
        kind: {name: str(entry["colour"]) for name, entry in _read()[kind].items()} for kind in ("land_use", "object")
    }


def shared_name(value: str, kind: Kind) -> str | None:
    """The shared name for a class of a data set, or None where there is none.

    Case, spaces, hyphens and underscores do not count: `SeaLake`, `sea_lake` and `sea lake` are one.
    """
    return _forms()[kind].get(same_form(value))


def suggest(plan: TargetPlan) -> TargetPlan:
    """The plan with shared names where there is exactly one, and with colours.

    A class is renamed if it has a shared name and no other class of the plan has the same one: a data set that tells
    two kinds of a thing apart keeps both. `renamed` says what was done.
    """
    if plan.kind == "binary":
        return plan if plan.colours else replace(plan, colours=colours_of(plan.classes))
    kind = _kind_of(plan)
    names = {name: shared_name(name, kind) or name for name in plan.classes}
    times = Counter(names.values())
    new = {name: shared if times[shared] == 1 else name for name, shared in names.items()}
    if len(set(new.values())) < len(new):  # a class kept its name, and another one was given it
        new = {name: name for name in names}
    classes = tuple(new[name] for name in plan.classes)
    mapping = {value: new.get(name, name) for value, name in plan.mapping.items()}
    return replace(plan, classes=classes, mapping=mapping, colours=plan.colours or colours_of(classes, kind))


def renamed(before: TargetPlan, after: TargetPlan) -> tuple[Note, ...]:
    """A note that says which classes got a shared name, and one on values that were taken for one class."""
    notes = []
    pairs = [f"{old} → {new}" for old, new in zip(before.classes, after.classes, strict=True) if old != new]
    if pairs:
        called = "is called by its shared name" if len(pairs) == 1 else "are called by their shared names"
        text = f"{after.title}: {counted(len(pairs), 'class')} {called}."
        notes.append(Note("note", text, tuple(pairs)))
    for name, values in after.merged().items():
        if after.kind != "binary":
            notes.append(
                Note("note", f"{after.title}: {len(values)} spellings are taken for one class, {name!r}.", values)
            )
    return tuple(notes)


def colours_of(classes: Sequence[str], kind: Kind = "land_use") -> tuple[str, ...]:
    """One `#rrggbb` per class, all different: the shared name's where there is one."""
    result: list[str] = []
    for name in classes:
        groups: tuple[Kind, ...] = (kind, "object" if kind == "land_use" else "land_use")
        shared = [vocabulary()[group][found] for group in groups if (found := shared_name(name, group))]
        candidates = [NO_YES[name], *shared] if name in NO_YES else shared
        free = [colour for colour in candidates if colour not in result]
        result.append(free[0] if free else "")
    rest = iter([colour for colour in _CYCLE if colour not in result])
    for i, colour in enumerate(result):
        if not colour:
            result[i] = next(rest, "") or _beyond(i, result)
    return tuple(result)


def merged_task(tasks: Sequence[Task]) -> tuple[Task, list[npt.NDArray[np.int64]]]:
    """One task over several data sets.

    Args:
        tasks: the task as each data set has it; kinds agree.

    Returns:
        the task with the union of classes in order of first appearance, named as the first one, and for each data set
        the index in the union of each of its classes.

    Raises:
        ImportRefused: kinds differ, or binary tasks mean different things.
    """
    if not tasks:
        raise ImportRefused("No task was given to merge. Choose at least one.")
    first = tasks[0]
    for task in tasks[1:]:
        if task.kind != first.kind:
            raise ImportRefused(
                f"{first.label} is {first.kind} and {task.label} is {task.kind}. Merge tasks of one kind."
            )
        if task.kind == "binary" and task.classes != first.classes:
            raise ImportRefused(
                f"{first.label} asks {' or '.join(first.classes)}, {task.label} {' or '.join(task.classes)}. "
                "Give both the same two classes."
            )
    classes = tuple(dict.fromkeys(name for task in tasks for name in task.classes))
    own = {name: colour for task in reversed(tasks) for name, colour in zip(task.classes, task.colours, strict=False)}
    colours = tuple(own[name] for name in classes) if len(own) == len(classes) else ()
    if len(set(colours)) < len(classes):
        colours = colours_of(classes, "land_use" if first.kind == "multiclass" else "object")
    index = {name: i for i, name in enumerate(classes)}
    maps = [np.array([index[name] for name in task.classes], np.int64) for task in tasks]
    try:
        return Task(first.name, first.kind, classes, first.title, colours), maps
    except TargetsInvalid as error:
        raise ImportRefused(str(error)) from error


def join_tasks(sets: Mapping[str, Sequence[Task]]) -> JointTasks:
    """The tasks of one model over several data sets.

    Tasks of one name and kind (and, if binary, of the same two classes) become one; where a name stands for something
    else in a later data set, that task keeps its own head under the name with the data set's behind it.

    Args:
        sets: per data set its tasks, the first data set first.

    Raises:
        ImportRefused: no data set was given.
    """
    if not sets:
        raise ImportRefused("No data set was given to join. Choose at least one.")
    groups: dict[str, list[tuple[str, Task]]] = {}
    for dataset, tasks in sets.items():
        for task in tasks:
            name = task.name
            if name in groups and not _alike(groups[name][0][1], task):
                name = f"{task.name}_{dataset.replace('-', '_')}"
            groups.setdefault(name, []).append((dataset, task))
    joint, shares = [], {dataset: dict[str, Share]() for dataset in sets}
    for name, members in groups.items():
        union, maps = merged_task([task for _, task in members])
        joint.append(replace(union, name=name))
        for (dataset, task), to in zip(members, maps, strict=True):
            shares[dataset][task.name] = Share(name, tuple(int(i) for i in to))
    return JointTasks(tuple(joint), shares)


def _alike(first: Task, other: Task) -> bool:
    return first.kind == other.kind and (first.kind != "binary" or first.classes == other.classes)


def _kind_of(plan: TargetPlan) -> Kind:
    """What a plan's classes are: the kind in which more of them have a name, else what its task's kind usually holds."""
    known = {kind: sum(shared_name(name, kind) is not None for name in plan.classes) for kind in vocabulary()}
    if known["land_use"] == known["object"]:
        return "land_use" if plan.kind == "multiclass" else "object"
    return "land_use" if known["land_use"] > known["object"] else "object"


def _beyond(i: int, used: Sequence[str]) -> str:
    """A colour that is not used yet, when the cycle is at its end: steps of the golden ratio through all colours."""
    number = i
    while True:
        colour = f"#{(int(number * 0.618034 * 0xFFFFFF) % 0xFFFFFF):06x}"
        if colour not in used:
            return colour
        number += 1


@cache
def _read() -> Mapping[str, Mapping[str, Mapping[str, Any]]]:
    return tomllib.loads(files("spatialnet.importing").joinpath("vocabulary.toml").read_text(encoding="utf-8"))


@cache
def _forms() -> dict[Kind, dict[str, str]]:
    result: dict[Kind, dict[str, str]] = {}
    for kind in vocabulary():
        forms: dict[str, str] = {}
        for name, entry in _read()[kind].items():
            forms |= {same_form(text): name for text in (name, *entry["synonyms"])}
        result[kind] = forms
    return result
