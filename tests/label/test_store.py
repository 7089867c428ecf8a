import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from sqlalchemy.dialects import postgresql

import spatialnet
from spatialnet.database import open_database
from spatialnet.errors import NotEnoughDisk
from spatialnet.label import EventsRefused, LabelStore

WRITER = Path(__file__).with_name("writer.py")


def values(store: LabelStore, upto: int | None = None) -> dict[int, object]:
    return {chip: answer.value for chip, answer in store.current("hills", "land_use", upto).items()}


def test_the_latest_label_counts(store, say):
    store.append([say(0, 1), say(1, 2)])
    store.append([say(0, 2, person="Bob")])
    assert values(store) == {0: 2, 1: 2}
    assert store.current("hills", "land_use")[0].person == "Bob"
    assert store.current("hills", "presence") == {}


def test_an_event_sent_twice_is_stored_once(store, say):
    first, second = say(0, 1), say(1, 1)
    assert store.append([first]).stored == (first.uuid,)
    again = store.append([first, second, second])
    assert (again.stored, again.known) == ((second.uuid,), (first.uuid,))
    assert again.ids == {first.uuid: 1, second.uuid: 2}
    assert store.version() == 2


def test_undo_falls_back_to_what_counted_before(store, say):
    first, second, third = say(0, 0), say(0, 1), say(0, 2)
    store.append([first, second, third])
    seen = []
    for undone in (third, second, first):
        store.append([say(0, undoes=undone.uuid)])
        seen.append(values(store))
    assert seen == [{0: 1}, {0: 0}, {}]


def test_undo_of_an_earlier_event_leaves_the_latest(store, say):
    first, second = say(0, 0), say(0, 1)
    store.append([first, second, say(0, undoes=first.uuid)])
    assert values(store) == {0: 1}
    assert [event.undone for event in store.history("hills", 0)] == [True, False, False]


def test_undo_in_the_batch_of_its_label_works(store, say):
    label = say(0, 1)
    store.append([label, say(0, undoes=label.uuid), say(0, undoes=label.uuid)])
    assert values(store) == {}


def test_undo_of_nothing_stores_nothing_of_its_batch(store, say):
    label, undo = say(0, 1), say(1, undoes=say(1, 0).uuid)
    with pytest.raises(EventsRefused, match="chip 1") as refused:
        store.append([label, undo])
    assert list(refused.value.refused) == [undo.uuid]
    assert store.version() == 0


def test_undo_must_be_about_the_same_chip_and_task(store, say):
    label = say(0, 1)
    undo = say(0, undoes=label.uuid)
    store.append([label, undo])
    for wrong in (
        say(1, undoes=label.uuid),
        say(0, undoes=label.uuid, task="presence"),
        say(0, undoes=undo.uuid),
    ):
        with pytest.raises(EventsRefused):
            store.append([wrong])


def test_unsure_replaces_a_label_and_skip_does_not(store, say):
    store.append([say(0, 1), say(1, 1), say(2, kind="skip"), say(0, kind="unsure"), say(1, kind="skip")])
    answers = store.current("hills", "land_use")
    assert {chip: (answer.kind, answer.value) for chip, answer in answers.items()} == {
        0: ("unsure", None),
        1: ("label", 1),
        2: ("skip", None),
    }
    assert store.corrected("hills", "land_use") == [(1, 1)]
    counts = store.counts("hills", "land_use")
    assert (counts.labelled, counts.unsure, counts.skipped, counts.people) == (1, 1, 1, {"Ann": 3})


def test_a_label_version_never_changes(store, say):
    label = say(0, 1)
    store.append([label, say(1, 1)])
    version = store.version()
    store.append([say(0, undoes=label.uuid), say(1, 2), say(2, 2)])
    assert values(store, upto=version) == {0: 1, 1: 1}
    assert values(store) == {1: 2, 2: 2}


def test_multilabel_values_come_back_as_they_were(store, say):
    store.append([say(0, [1, None], task="presence"), say(1, [0.5, 7], task="ships")])
    assert store.corrected("hills", "presence") == [(0, [1, None])]
    assert store.corrected("hills", "ships") == [(1, [0.5, 7])]


def test_two_tabs_on_one_chip_both_stay_and_the_second_is_told(store, say):
    seen = store.version()
    first = say(0, 1, seen=seen)
    assert store.append([first]).conflicts == ()
    second = say(0, 2, person="Bob", seen=seen)
    (conflict,) = store.append([second]).conflicts
    assert (conflict.uuid, conflict.chip, conflict.task) == (second.uuid, 0, "land_use")
    assert (conflict.other.event.person, conflict.other.event.value) == ("Ann", 1)
    assert values(store) == {0: 2}
    assert len(store.history("hills", 0)) == 2


def test_no_conflict_with_what_was_known_undone_skipped_or_elsewhere(store, say):
    taken_back = say(1, 1)
    store.append([say(0, 1)])
    seen = store.version()
    store.append([taken_back, say(1, undoes=taken_back.uuid), say(2, kind="skip"), say(3, [1, 0], task="presence")])
    tab = [say(chip, 2, person="Bob", seen=seen) for chip in range(4)]
    assert store.append([*tab, say(0, 0, person="Bob", seen=seen)]).conflicts == ()
    assert store.append(tab).conflicts == ()


def test_recent_answers_of_a_person(store, say):
    undone = say(3, 1)
    store.append([say(0, 1), say(1, 1, person="Bob"), say(2, kind="skip"), undone, say(3, undoes=undone.uuid)])
    assert [stored.event.chip for stored in store.recent("hills", "Ann")] == [2, 0]
    assert [stored.event.chip for stored in store.recent("hills", "Ann", limit=1)] == [2]


def test_full_disk_is_a_clear_sentence_and_stores_nothing(tmp_path, say):
    engine = open_database(f"sqlite:///{tmp_path / 'small.sqlite'}")
    store = LabelStore(engine)
    store.append([say(0, 1)])
    with engine.connect() as connection:
        pages = connection.exec_driver_sql("PRAGMA page_count").scalar()
        # The pool hands the same connection out again, so the limit holds for the next append.
        connection.exec_driver_sql(f"PRAGMA max_page_count={pages}")
    with pytest.raises(NotEnoughDisk, match="no label of this batch"):
        store.append([say(1, 1, person="x" * 100) for _ in range(400)])
    assert values(store) == {0: 1}
    engine.dispose()


def test_the_insert_is_written_for_postgresql_too():
    from spatialnet.database import label_events

    statement = postgresql.insert(label_events).on_conflict_do_nothing(index_elements=["uuid"])
    assert "ON CONFLICT (uuid) DO NOTHING" in str(statement.compile(dialect=postgresql.dialect()))


def _start_writer(url: str, name: str, events: int) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, str(WRITER), url, name, str(events)],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(Path(spatialnet.__file__).parents[1])},
    )


def test_writers_in_several_processes_lose_and_double_nothing(engine, store):
    url = str(engine.url)
    writers = [_start_writer(url, name, 60) for name in ("ann", "bob", "eve")]
    said = [json.loads(line) for writer in writers for line in writer.communicate(timeout=60)[0].splitlines()]
    assert [writer.returncode for writer in writers] == [0, 0, 0]
    stored = [event.event.uuid for chip in range(10) for event in store.history("hills", chip)]
    assert len(stored) == 3 * 60
    assert sorted(stored) == sorted(uuid for batch in said for uuid in batch)


def test_kill_9_keeps_everything_that_was_acknowledged(engine, store):
    writer = _start_writer(str(engine.url), "ann", 100_000)
    assert writer.stdout is not None
    acknowledged = [json.loads(writer.stdout.readline()) for _ in range(20)]
    writer.send_signal(signal.SIGKILL)
    acknowledged += [json.loads(line) for line in writer.communicate()[0].splitlines() if line.endswith("]")]
    events = [event.event for chip in range(10) for event in store.history("hills", chip)]
    stored = {event.uuid for event in events}
    assert len(stored) == len(events)
    assert {uuid for batch in acknowledged for uuid in batch} <= stored
    # A batch is whole or not there: at most the one that was not acknowledged any more is on top.
    assert len(events) % 3 == 0
    assert len(events) - sum(map(len, acknowledged)) in (0, 3)
