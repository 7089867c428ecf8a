"""The keyboard labeller: a Streamlit component that posts label events to our own route.

Streamlit only learns afterwards, by the trigger `saved`, so that a script run never stands between a key and the next
picture.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import streamlit as st

from spatialnet.datasets.packed import SPLITS, PackedChips
from spatialnet.label import LabelEvent, LabelStore
from spatialnet.palette import class_colours
from spatialnet.tasks import Task
from spatialnet.web.addresses import LABELS, chip_picture

_FOLDER = Path(__file__).parent
_SCRIPTS = ("answers.js", "outbox.js", "panel.js", "labeller.js")
PICTURE_SIZE = 64
"""Side of the pictures that are fetched; the browser enlarges them without smoothing."""


def _text(name: str) -> str:
    return (_FOLDER / name).read_text(encoding="utf-8")


_COMPONENT = st.components.v2.component(
    "spatialnet_labeller",
    html=_text("labeller.html"),
    css=_text("labeller.css"),
    js="\n".join(_text(name) for name in _SCRIPTS),
)


@dataclass(frozen=True)
class QueueItem:
    """One chip that waits for an answer.

    Attributes:
        chip: index of the chip.
        why: one short line: why this chip is here.
        scores: per task what the model says, one number per class (`binary`: two); shown after the person's answer.
    """

    chip: int
    why: str = ""
    scores: Mapping[str, Sequence[float]] = field(default_factory=dict)


def labeller_data(
    data: PackedChips,
    store: LabelStore,
    queue: Sequence[QueueItem],
    *,
    person: str,
    task: str,
    run: str | None = None,
    sensor: str | None = None,
) -> dict[str, Any]:
    """What the component needs to know.

    Make it once per queue and keep it in the session: the component takes a queue over when its `queue_id` changes, and
    otherwise goes on where the person is.

    Args:
        data: the data set.
        store: the label store; gives the person's own earlier answers.
        queue: chips in the order in which they are shown.
        person: who labels.
        task: the task to begin with.
        run: the run whose scores `queue` holds.
        sensor: whose bands are shown; default the data set's first.
    """
    shown = next(s for s in data.sensors if sensor in (None, s.name))
    size, version = max(PICTURE_SIZE, min(512, data.chip_size)), data.fingerprint
    composites = [
        {
            "name": name,
            "url": chip_picture(data.name, "{chip}", sensor=shown.name, bands=bands, size=size, version=version),
        }
        for name, bands in shown.composites().items()
    ]
    seen = store.version()
    answers = {t.name: _own_answers(store, data.name, t.name, person) for t in data.tasks}
    done = {int(chip) for chip in answers[task]}
    items = [_item(data, item) for item in queue]
    identity = repr((data.fingerprint, person, task, run, shown.name, [item.chip for item in queue]))
    return {
        "queue_id": hashlib.sha256(identity.encode()).hexdigest()[:16],
        "dataset": data.name, "person": person, "run": run, "seen": seen, "post_url": LABELS,
        "tasks": [_task(t) for t in data.tasks], "task": task, "composites": composites, "queue": items,
        "start": next((i for i, item in enumerate(queue) if item.chip not in done), len(items)),
        "answers": answers,
        "decisions": [_decision(stored.event) for stored in store.recent(data.name, person)],
    }  # fmt: skip


def labeller(data: dict[str, Any], key: str, on_saved: Callable[[], None] = lambda: None) -> dict[str, Any] | None:
    """Show the labeller.

    Args:
        data: from `labeller_data`.
        key: of the component.
        on_saved: called before the script run that follows saved answers.

    Returns:
        In the run that follows saved answers, at most once a second: `stored` (answers since the page was opened),
        `version` (label version), `task` (shown now), `at` (position in the queue), `queue_id`. Else None.
    """
    result = _COMPONENT(key=key, data=data, on_saved_change=on_saved)
    saved: dict[str, Any] | None = result.saved
    return saved


def _task(task: Task) -> dict[str, Any]:
    colours = list(class_colours(task))
    return {
        "name": task.name,
        "label": task.label,
        "kind": task.kind,
        "classes": list(task.classes),
        "colours": colours,
    }


def _item(data: PackedChips, item: QueueItem) -> dict[str, Any]:
    # JSON has no NaN; a score that is none is not shown.
    scores = {t: [round(float(s), 4) for s in v] for t, v in item.scores.items() if all(math.isfinite(s) for s in v)}
    return {"chip": int(item.chip), "why": item.why, "split": SPLITS[int(data.splits[item.chip])], "model": scores}


def _decision(event: LabelEvent) -> dict[str, Any]:
    return {name: getattr(event, name) for name in ("chip", "task", "kind", "value", "uuid")}


def _own_answers(store: LabelStore, dataset: str, task: str, person: str) -> dict[str, Any]:
    return {
        str(chip): {"kind": answer.kind, "value": answer.value, "uuid": answer.uuid}
        for chip, answer in store.current(dataset, task).items()
        if answer.person == person
    }
