"""The label store: events are appended, never changed; what counts now is worked out from them."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, fields
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import OperationalError

from spatialnet.database import label_events
from spatialnet.errors import NotEnoughDisk, SpatialNetError
from spatialnet.label.events import EventsRefused, LabelEvent, StoredEvent

_COLUMNS = label_events.c
_STORED_FIELDS = tuple(f.name for f in fields(LabelEvent) if f.name != "seen")
_POSTGRESQL_LOCK = 0x5350_4E4C  # any constant of our own: "SPNL"
_SQLITE_FULL, _POSTGRESQL_FULL = "disk is full", "No space left on device"


class LabelsBusy(SpatialNetError):
    """The database did not let this writer in for half a minute; nothing was stored."""


@dataclass(frozen=True)
class Conflict:
    """Someone else answered the same chip and task after the sender had last looked.

    Attributes:
        uuid: the sender's event.
        chip: index of the chip.
        task: the task's identifier.
        other: the newest such answer; the sender's is later and therefore the one that counts.
    """

    uuid: str
    chip: int
    task: str
    other: StoredEvent


@dataclass(frozen=True)
class AppendResult:
    """What became of a batch.

    Attributes:
        stored: uuids that are new.
        known: uuids that were stored before; nothing was changed for them.
        ids: id of every event of the batch, by uuid.
        conflicts: answers of others that the sender did not know of.
    """

    stored: tuple[str, ...]
    known: tuple[str, ...]
    ids: dict[str, int]
    conflicts: tuple[Conflict, ...]


@dataclass(frozen=True)
class Answer:
    """What counts for one chip and task.

    Attributes:
        value: the label's value; None for `unsure` and `skip`.
        event: id of the event.
        uuid: uuid of the event.
        person: who said it.
        kind: `label`, `unsure` or `skip`.
    """

    value: Any
    event: int
    uuid: str
    person: str
    kind: str


@dataclass(frozen=True)
class LabelCounts:
    """How many chips of a task have been answered.

    Attributes:
        labelled: chips whose answer is a label.
        unsure: chips whose answer is "cannot tell".
        skipped: chips that were only skipped.
        people: chips per person whose answer counts.
    """

    labelled: int
    unsure: int
    skipped: int
    people: dict[str, int]


class LabelStore:
    """Label events in the database. Safe for many threads and processes."""

    def __init__(self, engine: sa.Engine) -> None:
        self._engine = engine

    def append(self, events: Sequence[LabelEvent]) -> AppendResult:
        """Store events: all of them or none. When this returns they are on disk.

        Args:
            events: in the order in which they were made. Check them with `check_events` first.

        Raises:
            EventsRefused: an undo names an event that is not there, is an undo, or is about another chip.
            NotEnoughDisk: the disk is full; nothing was stored.
            LabelsBusy: another writer holds the database; nothing was stored.
        """
        if not events:
            return AppendResult((), (), {}, ())
        uuids = [event.uuid for event in events]
        with self._writing() as connection:
            known = set(connection.scalars(sa.select(_COLUMNS.uuid).where(_COLUMNS.uuid.in_(uuids))))
            new = list({event.uuid: event for event in reversed(events) if event.uuid not in known}.values())[::-1]
            _check_undone(connection, new)
            conflicts = tuple(_conflicts(connection, new, uuids))
            if new:
                _insert(connection, new)
            found = connection.execute(sa.select(_COLUMNS.uuid, _COLUMNS.id).where(_COLUMNS.uuid.in_(uuids)))
            ids = {row.uuid: row.id for row in found}
        return AppendResult(
            tuple(e.uuid for e in new), tuple(u for u in dict.fromkeys(uuids) if u in known), ids, conflicts
        )

    def current(self, dataset: str, task: str, upto: int | None = None) -> dict[int, Answer]:
        """What counts per chip: the latest label or unsure that was not taken back.

        A skip says nothing about the chip, so it only counts where there is nothing else.

        Args:
            dataset: the data set's identifier.
            task: the task's identifier.
            upto: a label version; later events are ignored. None for all.
        """
        rows = _effective(dataset, upto).where(_COLUMNS.task == task).order_by(_COLUMNS.id)
        answers: dict[int, Answer] = {}
        with self._engine.connect() as connection:
            for row in connection.execute(rows):
                before = answers.get(row.chip)
                if row.kind != "skip" or before is None or before.kind == "skip":
                    answers[row.chip] = Answer(row.value, row.id, row.uuid, row.person, row.kind)
        return answers

    def corrected(self, dataset: str, task: str, upto: int | None = None) -> list[tuple[int, Any]]:
        """The labels that replace a data set's targets: (chip, value), by chip."""
        answers = self.current(dataset, task, upto)
        return [(chip, answer.value) for chip, answer in sorted(answers.items()) if answer.kind == "label"]

    def history(self, dataset: str, chip: int) -> list[StoredEvent]:
        """Everything that was ever said about a chip, oldest first, taken-back events included."""
        return self._read((_COLUMNS.dataset == dataset) & (_COLUMNS.chip == chip), _COLUMNS.id.asc())

    def recent(self, dataset: str, person: str, limit: int = 10) -> list[StoredEvent]:
        """The last answers of a person that were not taken back, newest first."""
        where = (_COLUMNS.dataset == dataset) & (_COLUMNS.person == person) & (_COLUMNS.kind != "undo")
        undone = sa.select(_COLUMNS.undoes).where(_COLUMNS.kind == "undo", _COLUMNS.dataset == dataset)
        return self._read(where & _COLUMNS.uuid.not_in(undone), _COLUMNS.id.desc(), limit)

    def counts(self, dataset: str, task: str) -> LabelCounts:
        """How many chips of a task have been answered, and by whom."""
        answers = self.current(dataset, task).values()
        kinds = Counter(answer.kind for answer in answers)
        people = Counter(answer.person for answer in answers)
        return LabelCounts(kinds["label"], kinds["unsure"], kinds["skip"], dict(people.most_common()))

    def labelled_tasks(self, dataset: str) -> set[str]:
        """Names of the tasks of a data set about which anything was said that was not taken back."""
        with self._engine.connect() as connection:
            return {str(row.task) for row in connection.execute(_effective(dataset, None))}

    def version(self) -> int:
        """The highest event id; 0 when nothing was ever said. `current(upto=version)` never changes again."""
        with self._engine.connect() as connection:
            return connection.scalar(sa.select(sa.func.max(_COLUMNS.id))) or 0

    def _read(
        self, where: sa.ColumnElement[bool], order: sa.ColumnElement[int], limit: int | None = None
    ) -> list[StoredEvent]:
        with self._engine.connect() as connection:
            return _stored(connection, sa.select(label_events).where(where).order_by(order).limit(limit))

    @contextmanager
    def _writing(self) -> Iterator[sa.Connection]:
        """One transaction of one writer at a time, so that ids become visible in their order."""
        try:
            with self._engine.connect() as connection:
                if connection.dialect.name == "sqlite":
                    connection.exec_driver_sql("BEGIN IMMEDIATE")
                else:
                    connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_POSTGRESQL_LOCK)))
                yield connection
                connection.commit()
        except OperationalError as error:
            if _SQLITE_FULL in str(error.orig) or _POSTGRESQL_FULL in str(error.orig):
                raise NotEnoughDisk("The disk is full: no label of this batch was stored. Free some space.") from error
            raise LabelsBusy(
                "The label database is busy or away; nothing was stored. Try again in a moment."
            ) from error


def _effective(dataset: str, upto: int | None) -> sa.Select[Any]:
    """Events of a data set that say something and were not taken back."""
    in_time = sa.true() if upto is None else _COLUMNS.id <= upto
    undo = label_events.alias()
    undone = sa.select(undo.c.undoes).where(undo.c.kind == "undo", undo.c.dataset == dataset)
    if upto is not None:
        undone = undone.where(undo.c.id <= upto)
    return sa.select(label_events).where(
        _COLUMNS.dataset == dataset, _COLUMNS.kind != "undo", in_time, _COLUMNS.uuid.not_in(undone)
    )


def _check_undone(connection: sa.Connection, events: Sequence[LabelEvent]) -> None:
    named = {event.undoes for event in events if event.undoes}
    if not named:
        return
    fields = (_COLUMNS.uuid, _COLUMNS.kind, _COLUMNS.dataset, _COLUMNS.task, _COLUMNS.chip)
    found = {row.uuid: tuple(row) for row in connection.execute(sa.select(*fields).where(_COLUMNS.uuid.in_(named)))}
    for event in events:
        if event.undoes and found.get(event.undoes, ())[1:] not in _takes_back(event):
            why = f"There is no answer on chip {event.chip} that this could take back. Look at the chip again."
            raise EventsRefused({event.uuid: why})
        found[event.uuid] = (event.uuid, event.kind, event.dataset, event.task, event.chip)


def _takes_back(event: LabelEvent) -> list[tuple[Any, ...]]:
    return [(kind, event.dataset, event.task, event.chip) for kind in ("label", "unsure", "skip")]


def _conflicts(connection: sa.Connection, events: Sequence[LabelEvent], own: Sequence[str]) -> Iterator[Conflict]:
    for event in events:
        if event.seen is None or event.kind not in ("label", "unsure"):
            continue
        newer = _effective(event.dataset, None).where(
            _COLUMNS.task == event.task, _COLUMNS.chip == event.chip, _COLUMNS.id > event.seen,
            _COLUMNS.kind.in_(("label", "unsure")), _COLUMNS.uuid.not_in(own),
        )  # fmt: skip
        for other in _stored(connection, newer.order_by(_COLUMNS.id.desc()).limit(1)):
            yield Conflict(event.uuid, event.chip, event.task, other)


def _insert(connection: sa.Connection, events: Sequence[LabelEvent]) -> None:
    now = time.time()
    rows = [{name: getattr(event, name) for name in _STORED_FIELDS} | {"created_at": now} for event in events]
    dialect = sqlite if connection.dialect.name == "sqlite" else postgresql
    connection.execute(dialect.insert(label_events).on_conflict_do_nothing(index_elements=["uuid"]), rows)


def _stored(connection: sa.Connection, rows: sa.Select[Any]) -> list[StoredEvent]:
    found = connection.execute(rows).all()
    taken_back = sa.select(_COLUMNS.undoes).where(_COLUMNS.undoes.in_([row.uuid for row in found]))
    undone = set(connection.scalars(taken_back)) if found else set()
    return [_stored_event(row, row.uuid in undone) for row in found]


def _stored_event(row: sa.Row[Any], undone: bool) -> StoredEvent:
    event = LabelEvent(**{name: getattr(row, name) for name in _STORED_FIELDS})
    return StoredEvent(row.id, row.created_at, undone, event)
