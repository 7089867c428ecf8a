"""What the run registry asks of jobs and data sets: which runs are in use, and whether a run's data are still as they were."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal

from spatialnet.datasets.catalogue import open_dataset
from spatialnet.errors import SpatialNetError
from spatialnet.jobs.launch import Jobs
from spatialnet.runs import Run, open_run
from spatialnet.settings import Settings

DataState = Literal["as trained", "changed", "not here"]


def runs_in_use(jobs: Jobs) -> frozenset[str]:
    """Names of the runs that jobs which have not ended train, read, or go on from."""
    jobs.reconcile()
    waiting = [*jobs.store.live(), *(job for job in jobs.store.all(limit=200) if job.state == "paused")]
    named = {text for job in waiting for text in _texts(job.spec)}
    found = {folder.name for folder in jobs.settings.runs.iterdir() if folder.name in named}
    for name in list(found):
        try:
            parent = open_run(jobs.settings, name).parent
        except SpatialNetError:
            continue
        if parent:
            found.add(parent)
    return frozenset(found)


def data_state(settings: Settings, run: Run, dataset: str) -> DataState:
    """Whether one of a run's data sets is here, and is as it was when the run was trained."""
    try:
        data = open_dataset(settings, dataset)
    except SpatialNetError:
        return "not here"
    return "as trained" if data.fingerprint == run.fingerprint(dataset) else "changed"


def _texts(value: Any) -> Iterator[str]:
    """Every text in what a job was asked to do."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for part in value.values():
            yield from _texts(part)
    elif isinstance(value, list):
        for part in value:
            yield from _texts(part)
