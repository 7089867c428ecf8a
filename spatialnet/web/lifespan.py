"""What happens when the app starts and stops: first sample, job watch, compute process."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

from spatialnet.datasets.catalogue import list_datasets
from spatialnet.errors import JobRefused
from spatialnet.jobs.requests import newest_done, request_sample
from spatialnet.jobs.services import Services, services
from spatialnet.runs import list_runs

WATCH_SECONDS = 2.0
_log = logging.getLogger(__name__)


@asynccontextmanager
async def lifespan(_app: Any) -> AsyncIterator[None]:
    """Prepare the sample in an empty workspace, watch jobs, and end the compute process with the app."""
    shared = await asyncio.to_thread(services)
    await asyncio.to_thread(start_sample, shared)
    watch = asyncio.create_task(_watch(shared))
    try:
        yield
    finally:
        watch.cancel()
        with suppress(asyncio.CancelledError):
            await watch
        await asyncio.to_thread(shared.compute.stop)


def start_sample(shared: Services) -> None:
    """Start the sample's job where the workspace holds no data set and no job ever tried; resume one that was lost."""
    shared.jobs.reconcile()
    tried = shared.jobs.store.all(kind="sample", limit=1)
    if not tried and not list_datasets(shared.settings):
        with suppress(JobRefused):
            request_sample(shared.jobs)
    elif tried and tried[0].state == "lost":
        with suppress(JobRefused):
            shared.jobs.resume(tried[0].id)


async def _watch(shared: Services) -> None:
    """Mark dead jobs as lost also when no page is open; load the model as soon as there is one."""
    warm = False
    while True:
        try:
            await asyncio.to_thread(shared.jobs.reconcile)
            if not warm and not shared.jobs.store.live() and newest_done(list_runs(shared.settings)):
                await asyncio.to_thread(shared.compute.warm_up)
                warm = True
        except Exception:
            _log.exception("The job watch failed; it tries again.")
        await asyncio.sleep(WATCH_SECONDS)
