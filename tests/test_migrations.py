"""A database of the first version becomes one of the newest, with every row kept."""

import sqlalchemy as sa
from alembic import command
from alembic.config import Config

from spatialnet.database import open_database
from spatialnet.jobs.store import JobStore
from spatialnet.settings import REPOSITORY

OLD = {
    "id": "train-1", "kind": "train", "title": "Train: first", "spec": '{"run": "run-1"}', "state": "lost", "created_at": 12.5,
    "attempt": 3, "cancel_requested": False,
}  # fmt: skip


def test_a_database_of_the_first_version_is_brought_up(tmp_path):
    url = f"sqlite:///{tmp_path / 'old.sqlite'}"
    engine = sa.create_engine(url)
    with engine.begin() as connection:
        config = Config()
        config.set_main_option("script_location", str(REPOSITORY / "spatialnet" / "migrations"))
        config.attributes["connection"] = connection
        command.upgrade(config, "0001")
        names = ", ".join(OLD)
        connection.execute(sa.text(f"INSERT INTO jobs ({names}) VALUES (:{', :'.join(OLD)})"), OLD)  # noqa: S608
    engine.dispose()
    opened = open_database(url)
    job = JobStore(opened).get("train-1")
    assert (job.queued_at, job.priority, job.pause_requested, job.device, job.parts) == (12.5, 0, False, None, 1)
    assert (job.spec, job.attempt, job.state) == ({"run": "run-1"}, 3, "lost")
    assert JobStore(opened).requeue("train-1", "k").attempt == 4
    opened.dispose()
