"""Whether label events fit a data set: its chips, its tasks and their classes."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import fields

from spatialnet.datasets.packed import PackedChips
from spatialnet.errors import LabelRefused
from spatialnet.label.events import EventsRefused, LabelEvent, is_whole
from spatialnet.tasks import Task

MAX_EVENTS = 500
"""Most events in one request: a person's work of minutes, and one transaction of milliseconds."""

_FIELDS = frozenset(f.name for f in fields(LabelEvent))
_NEEDED = ("uuid", "person", "kind", "dataset", "chip", "task")


def read_events(values: object) -> list[LabelEvent]:
    """Label events from parsed JSON.

    Args:
        values: a list of objects with the fields of `LabelEvent`.

    Raises:
        EventsRefused: an event is malformed.
        LabelRefused: `values` is no list, empty or longer than `MAX_EVENTS`.
    """
    if not isinstance(values, list) or not 1 <= len(values) <= MAX_EVENTS:
        raise LabelRefused(f"events must be a list of 1 to {MAX_EVENTS} events. Send them in parts.")
    good, refused = [], {}
    for position, value in enumerate(values):
        try:
            good.append(_read_event(value))
        except LabelRefused as error:
            name = value.get("uuid") if isinstance(value, Mapping) else None
            refused[name if isinstance(name, str) else f"event {position}"] = str(error)
    if refused:
        raise EventsRefused(refused)
    return good


def check_events(events: Sequence[LabelEvent], data: PackedChips) -> None:
    """Refuse events that do not fit the data set that they name.

    Args:
        events: events that all name `data`.
        data: the data set.

    Raises:
        EventsRefused: a chip, task, class or value does not exist there.
    """
    tasks = {task.name: task for task in data.tasks}
    refused = {}
    for event in events:
        try:
            _check_event(event, data, tasks)
        except LabelRefused as error:
            refused[event.uuid] = str(error)
    if refused:
        raise EventsRefused(refused)


def _read_event(value: object) -> LabelEvent:
    if not isinstance(value, Mapping):
        raise LabelRefused("An event must be an object with uuid, person, kind, dataset, chip and task.")
    missing = [name for name in _NEEDED if name not in value]
    if missing:
        raise LabelRefused(f"An event lacks {', '.join(missing)}.")
    unknown = [str(name)[:40] for name in value if name not in _FIELDS]
    if unknown:
        raise LabelRefused(f"An event has unknown fields: {', '.join(unknown[:5])}.")
    return LabelEvent(**value)


def _check_event(event: LabelEvent, data: PackedChips, tasks: Mapping[str, Task]) -> None:
    if event.dataset != data.name:
        raise LabelRefused(f"The event names data set {event.dataset}; this is {data.name}.")
    if event.task not in tasks:
        raise LabelRefused(f"Data set {data.name} has no task {event.task!r}; it has {', '.join(tasks)}.")
    if event.chip >= len(data):
        raise LabelRefused(f"Data set {data.name} has {len(data):,} chips; there is no chip {event.chip}.")
    if event.kind == "label":
        _check_value(event.value, tasks[event.task])


def _check_value(value: object, task: Task) -> None:
    count = len(task.classes)
    if task.kind in ("multiclass", "binary"):
        if not is_whole(value, 0, count - 1):
            raise LabelRefused(
                f"{str(value)[:40]!r} is no class of {task.label}. Use a class index from 0 to {count - 1}."
            )
        return
    if not isinstance(value, list) or len(value) != count:
        raise LabelRefused(f"{task.label} needs a list with one entry for each of its {count} classes.")
    if task.kind == "multilabel" and not all(v is None or is_whole(v, 0, 1) for v in value):
        raise LabelRefused(f"Each class of {task.label} is 0 (absent), 1 (present) or null (unknown).")
    if task.kind == "count" and not all(v is None or _is_count(v) for v in value):
        raise LabelRefused(f"Each class of {task.label} needs a number from 0, or null (unknown).")
    if all(v is None for v in value):
        raise LabelRefused(f"Every class of {task.label} is unknown. Say unsure instead.")


def _is_count(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value) and 0 <= value <= 1e9
