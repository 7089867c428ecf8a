"""The database: tables, connections and migrations. SQLite by default, PostgreSQL by one setting.

It keeps what must be transactional: label events and jobs. Data sets and runs are folders of files, so that they can be
copied to another machine as they are.
"""

from __future__ import annotations

import sqlite3
import time
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from alembic.util import CommandError
from sqlalchemy import event
from sqlalchemy.exc import ArgumentError, DBAPIError

from spatialnet.errors import DatabaseUnavailable

BUSY_SECONDS = 30
"""How long a writer waits for another one."""

metadata = sa.MetaData()

label_events = sa.Table(
    "label_events",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True, autoincrement=True),
    sa.Column("uuid", sa.String(36), nullable=False, unique=True),
    sa.Column("created_at", sa.Float, nullable=False),  # seconds since 1970, UTC
    sa.Column("person", sa.String(100), nullable=False),
    sa.Column("kind", sa.String(10), nullable=False),  # label, undo, skip, unsure
    sa.Column("dataset", sa.String(64), nullable=False),
    sa.Column("chip", sa.Integer, nullable=False),
    sa.Column("task", sa.String(64), nullable=False),
    sa.Column("value", sa.JSON, nullable=True),  # class index, list of 0/1/null, or number
    sa.Column("undoes", sa.String(36), nullable=True),  # uuid of the event that an undo takes back
    sa.Column("run", sa.String(64), nullable=True),  # the run whose answer the person could see
    sa.Column("milliseconds", sa.Integer, nullable=True),  # time on the chip
    sa.Index("label_events_by_chip", "dataset", "task", "chip"),
    sqlite_autoincrement=True,
)

jobs = sa.Table(
    "jobs",
    metadata,
    sa.Column("id", sa.String(64), primary_key=True),
    sa.Column("kind", sa.String(20), nullable=False),
    sa.Column("title", sa.String(200), nullable=False),
    sa.Column("spec", sa.JSON, nullable=False),
    sa.Column("state", sa.String(10), nullable=False),  # queued running paused done failed cancelled lost
    sa.Column("active_key", sa.String(128), nullable=True, unique=True),  # set until it ends: no double submit
    sa.Column("created_at", sa.Float, nullable=False),
    sa.Column("queued_at", sa.Float, nullable=False, server_default="0"),  # since when it waits; resuming sets it anew
    sa.Column("priority", sa.Integer, nullable=False, server_default="0"),  # -1 low, 0, 1 high
    sa.Column("started_at", sa.Float, nullable=True),
    sa.Column("ended_at", sa.Float, nullable=True),
    sa.Column("heartbeat_at", sa.Float, nullable=True),
    sa.Column("attempt", sa.Integer, nullable=False),
    sa.Column("pid", sa.Integer, nullable=True),
    sa.Column("pid_started", sa.Float, nullable=True),
    sa.Column("progress", sa.JSON, nullable=True),
    sa.Column("message", sa.Text, nullable=True),
    sa.Column("cancel_requested", sa.Boolean, nullable=False),
    sa.Column("pause_requested", sa.Boolean, nullable=False, server_default=sa.false()),
    sa.Column("device", sa.String(20), nullable=True),  # what it computes on, once it does
    sa.Column("parts", sa.Integer, nullable=False, server_default="1"),  # doubled each time memory ran out
)


def open_database(url: str) -> sa.Engine:
    """An engine on a database whose tables are at the newest version.

    Args:
        url: SQLAlchemy address, for example `sqlite:////folder/spatialnet.sqlite`.

    Raises:
        DatabaseUnavailable: it cannot be reached, is no database, or was made by a newer version.
    """
    try:
        engine = sa.create_engine(url, pool_pre_ping=not url.startswith("sqlite"))
    except (ArgumentError, ImportError, ValueError) as error:
        raise DatabaseUnavailable(
            "SPATIALNET_DATABASE is not an address of a database that is supported here. "
            "Write it like postgresql+psycopg://person@host/name and install its driver, or leave it out."
        ) from error
    if engine.dialect.name == "sqlite":

        @event.listens_for(engine, "connect")
        def _set_pragmas(connection: sqlite3.Connection, _record: Any) -> None:
            cursor = connection.cursor()
            cursor.execute(f"PRAGMA busy_timeout={BUSY_SECONDS * 1000}")
            _use_write_ahead_log(cursor)
            cursor.execute("PRAGMA synchronous=FULL")  # a label that was acknowledged survives a power cut
            cursor.close()

    try:
        _migrate(engine)
    except (DBAPIError, CommandError) as error:
        engine.dispose()
        reason = getattr(error, "orig", None) or error
        raise DatabaseUnavailable(
            f"The database {engine.url.render_as_string()} cannot be used ({reason}). "
            "Check its address and access; if a newer SpatialNet made it, update."
        ) from error
    return engine


def _use_write_ahead_log(cursor: sqlite3.Cursor) -> None:
    # SQLite does not wait for this change by itself: processes that open a new database at once would fail.
    end = time.monotonic() + BUSY_SECONDS
    while True:
        try:
            cursor.execute("PRAGMA journal_mode=WAL")
        except sqlite3.OperationalError as error:
            if "locked" not in str(error) or time.monotonic() > end:
                raise
            time.sleep(0.02)
        else:
            return


def _migrate(engine: sa.Engine) -> None:
    config = Config()
    folder = str(Path(__file__).with_name("migrations"))
    config.set_main_option("script_location", folder.replace("%", "%%"))  # the option is a format string
    with engine.connect() as connection:
        if engine.dialect.name == "sqlite":
            # Processes start together: only one may migrate, the others wait for its write lock.
            connection.exec_driver_sql("BEGIN IMMEDIATE")
        config.attributes["connection"] = connection
        command.upgrade(config, "head")
        connection.commit()
