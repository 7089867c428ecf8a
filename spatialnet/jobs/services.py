"""What one process shares: settings, database, jobs, labels, and the compute process's client."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import sqlalchemy as sa

from spatialnet.database import open_database
from spatialnet.jobs.compute import Compute
from spatialnet.jobs.launch import Jobs
from spatialnet.label.store import LabelStore
from spatialnet.settings import Settings, load_settings


@dataclass(frozen=True)
class Services:
    """One of each per process.

    Attributes:
        settings: the workspace.
        engine: the database.
        jobs: starts and lists jobs.
        labels: the label store.
        compute: asks the compute process.
    """

    settings: Settings
    engine: sa.Engine
    jobs: Jobs
    labels: LabelStore
    compute: Compute


@cache
def services() -> Services:
    """This process's services, opened at the first call."""
    settings = load_settings()
    engine = open_database(settings.database_url)
    return Services(settings, engine, Jobs(settings, engine), LabelStore(engine), Compute(settings))
