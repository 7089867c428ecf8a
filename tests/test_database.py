import multiprocessing
from pathlib import Path

import pytest
import sqlalchemy as sa

from spatialnet.database import label_events, metadata, open_database
from spatialnet.errors import DatabaseUnavailable
from spatialnet.settings import REPOSITORY

ROUNDS = 15  # what goes wrong when several open a new database goes wrong in one round of ten


def open_and_count(url: str, barrier, answers) -> None:
    for number in range(ROUNDS):
        barrier.wait()
        try:
            engine = open_database(f"{url}.{number}")
            with engine.connect() as connection:
                answers.put(connection.scalar(sa.text("SELECT version_num FROM alembic_version")))
            engine.dispose()
        except Exception as error:
            answers.put(repr(error))


def test_a_fresh_database_has_the_tables_of_the_code(engine):
    seen = sa.MetaData()
    seen.reflect(engine)
    assert set(seen.tables) == {*metadata.tables, "alembic_version"}
    for name, table in metadata.tables.items():
        assert {(c.name, c.nullable) for c in table.columns} == {
            (c.name, c.nullable) for c in seen.tables[name].columns
        }
        assert {i.name for i in table.indexes} == {i.name for i in seen.tables[name].indexes}


def test_writes_wait_for_each_other_and_survive_a_power_cut(engine):
    with engine.connect() as connection:
        pragmas = {name: connection.scalar(sa.text(f"PRAGMA {name}")) for name in ("journal_mode", "synchronous")}
        assert connection.scalar(sa.text("PRAGMA busy_timeout")) >= 10_000
    assert pragmas == {"journal_mode": "wal", "synchronous": 2}


def test_opening_again_keeps_what_is_there(settings):
    first = open_database(settings.database_url)
    event = {
        "uuid": "u", "created_at": 1.0, "person": "Ann", "kind": "label", "dataset": "d", "chip": 1, "task": "t", "value": [1, None],
    }  # fmt: skip
    with first.begin() as connection:
        connection.execute(label_events.insert().values(event))
    first.dispose()
    second = open_database(settings.database_url)
    with second.connect() as connection:
        assert connection.execute(sa.select(label_events.c.value)).scalar_one() == [1, None]
    second.dispose()


def test_processes_that_open_a_fresh_database_at_once_all_succeed(settings):
    context = multiprocessing.get_context("spawn")
    barrier, answers = context.Barrier(5), context.Queue()
    arguments = (settings.database_url, barrier, answers)
    processes = [context.Process(target=open_and_count, args=arguments) for _ in range(5)]
    for process in processes:
        process.start()
    versions = [answers.get(timeout=60) for _ in range(ROUNDS * len(processes))]
    for process in processes:
        process.join()
    assert [process.exitcode for process in processes] == [0] * 5
    assert versions == ["0002"] * ROUNDS * 5


def test_migrations_are_named_in_order_without_gaps():
    names = sorted(path.name for path in (REPOSITORY / "spatialnet/migrations/versions").glob("*.py"))
    assert [name[:5] for name in names] == [f"{n:04d}_" for n in range(1, len(names) + 1)]


def unusable(folder: Path) -> list[str]:
    (folder / "junk.sqlite").write_text("not a database " * 100)
    newer = open_database(f"sqlite:///{folder / 'newer.sqlite'}")
    with newer.begin() as connection:
        connection.execute(sa.text("UPDATE alembic_version SET version_num = '9999'"))
    newer.dispose()
    return [
        f"sqlite:///{folder / 'junk.sqlite'}", f"sqlite:///{folder / 'none' / 'x.sqlite'}", f"sqlite:///{folder / 'newer.sqlite'}",
        "no address", "oracle9://x", "postgresql+nodriver://x",
    ]  # fmt: skip


def test_a_database_that_cannot_be_used_is_one_sentence(tmp_path):
    for url in unusable(tmp_path):
        with pytest.raises(DatabaseUnavailable) as error:
            open_database(url)
        assert str(error.value).endswith(".")
        assert "\n" not in str(error.value)


def test_a_password_is_not_shown(tmp_path):
    url = f"sqlite://ann:hunter2@/{tmp_path}"
    with pytest.raises(DatabaseUnavailable) as error:
        open_database(url)
    assert "hunter2" not in str(error.value)
