"""One statement by one person about one chip and task, as it is sent and as it is stored."""

from __future__ import annotations

import re
import uuid as uuids
from dataclasses import asdict, dataclass, field
from typing import Any, Literal, get_args

from spatialnet.errors import LabelRefused

EventKind = Literal["label", "undo", "skip", "unsure"]
KINDS: tuple[str, ...] = get_args(EventKind)

MAX_PERSON = 100
_MAX_INT = 2**31 - 1
_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")
# Unicode calls these two unprintable; Persian, Indic scripts and many emoji cannot be written without them.
_JOINERS = dict.fromkeys(map(ord, "\u200c\u200d"))


class EventsRefused(LabelRefused):
    """Some label events can never be stored; nothing of their batch was.

    Attributes:
        refused: why, in a sentence for a person, by the event's uuid (or its position where it has none).
    """

    def __init__(self, refused: dict[str, str]) -> None:
        first = next(iter(refused.values()))
        super().__init__(first if len(refused) == 1 else f"{len(refused)} labels cannot be stored. The first: {first}")
        self.refused = refused


@dataclass(frozen=True)
class LabelEvent:
    """A statement that is not stored yet.

    Attributes:
        uuid: made by whoever makes the statement; the same one sent twice is stored once.
        person: who says it, 1 to 100 printable characters.
        kind: `label` (the answer is `value`), `unsure` (looked, cannot tell), `skip` (passed over) or `undo`
            (takes back the event `undoes`).
        dataset: the data set's identifier.
        chip: index of the chip, from 0.
        task: the task's identifier.
        value: for `label` only. multiclass and binary: class index; multilabel: one 0, 1 or None (unknown)
            per class; count: one number or None per class.
        undoes: for `undo` only: uuid of the event that is taken back.
        run: the run whose answer the person had seen before answering; None for a blind answer.
        milliseconds: time from seeing the chip to answering.
        seen: highest event id that the sender knew for this chip and task; only used to tell about conflicts.

    Raises:
        LabelRefused: a field is malformed. `check_events` tells whether chip, task and class exist.
    """

    uuid: str
    person: str
    kind: EventKind
    dataset: str
    chip: int
    task: str
    value: Any = None
    undoes: str | None = None
    run: str | None = None
    milliseconds: int | None = None
    seen: int | None = field(default=None, compare=False)

    def __post_init__(self) -> None:
        _check_uuid(self.uuid, "uuid")
        if not isinstance(self.person, str) or not self.person.strip() or len(self.person) > MAX_PERSON:
            raise LabelRefused(
                f"A label needs the name of who gives it, 1 to {MAX_PERSON} characters. Enter your name."
            )
        if not self.person.translate(_JOINERS).isprintable():
            raise LabelRefused(
                "The name of who labels holds characters that cannot be shown. Use letters, digits or signs."
            )
        if self.kind not in KINDS:
            raise LabelRefused(f"Event kind {str(self.kind)[:20]!r} is unknown. Use one of {', '.join(KINDS)}.")
        for field_name, text in (("data set", self.dataset), ("task", self.task)):
            if not isinstance(text, str) or not _NAME.fullmatch(text):
                raise LabelRefused(
                    f"{str(text)[:40]!r} is no name of a {field_name}. Use lower-case letters and digits."
                )
        if not is_whole(self.chip, 0, _MAX_INT):
            raise LabelRefused(f"Chip {str(self.chip)[:40]!r} is not an index. Use a whole number from 0.")
        if self.run is not None and not (isinstance(self.run, str) and _NAME.fullmatch(self.run)):
            raise LabelRefused(f"{str(self.run)[:40]!r} is not the name of a run. Leave it out for a blind answer.")
        for name, number in (("milliseconds", self.milliseconds), ("seen", self.seen)):
            if number is not None and not is_whole(number, 0, _MAX_INT):
                raise LabelRefused(f"{name} is {str(number)[:40]!r}. Give a whole number from 0 or leave it out.")
        self._check_kind()

    def _check_kind(self) -> None:
        if (self.value is not None) != (self.kind == "label"):
            raise LabelRefused(f"An event of kind {self.kind} {'needs a' if self.kind == 'label' else 'has no'} value.")
        if self.kind == "undo":
            _check_uuid(self.undoes, "undoes")
        elif self.undoes is not None:
            raise LabelRefused(f"Only an undo names an event to take back; this is of kind {self.kind}.")


@dataclass(frozen=True)
class StoredEvent:
    """A label event as the database holds it.

    Attributes:
        id: grows with every stored event; a label version is the highest id that counts.
        created_at: seconds since 1970, UTC, when the server stored it.
        undone: whether a later event takes it back.
        event: the statement itself.
    """

    id: int
    created_at: float
    undone: bool
    event: LabelEvent

    def to_dict(self) -> dict[str, Any]:
        """The event as JSON-ready values."""
        values = asdict(self.event)
        del values["seen"]
        return {"id": self.id, "created_at": self.created_at, "undone": self.undone, **values}


def is_whole(value: object, low: int, high: int) -> bool:
    """Whether `value` is an int in low..high; `True` and `False` are not."""
    return isinstance(value, int) and not isinstance(value, bool) and low <= value <= high


def _check_uuid(text: object, name: str) -> None:
    try:
        good = isinstance(text, str) and str(uuids.UUID(text)) == text
    except ValueError:
        good = False
    if not good:
        raise LabelRefused(f"{name} is {str(text)[:40]!r}. Give a UUID in its usual lower-case form.")
