"""The kinds of jobs: which function does the work, and whether it needs a device to itself. No torch."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Any

from spatialnet.errors import JobRefused

if TYPE_CHECKING:
    from spatialnet.jobs.launch import Jobs
    from spatialnet.jobs.reporter import Reporter
    from spatialnet.jobs.store import Job

    Work = Callable[[Jobs, Job, Reporter], str]


@dataclass(frozen=True)
class Kind:
    """One kind of job.

    Attributes:
        module: where its work is.
        function: `work(jobs, job, report) -> str` there; what it returns is shown as the job's result.
        device: whether it computes, and so has to have the device for itself.
    """

    module: str
    function: str
    device: bool = False


KINDS: dict[str, Kind] = {
    "sample": Kind("spatialnet.jobs.preparing", "prepare_sample"),
    "scan": Kind("spatialnet.jobs.importing", "scan_source"),
    "import": Kind("spatialnet.jobs.importing", "import_dataset"),
    "train": Kind("spatialnet.jobs.training", "train_run", device=True),
    "predict": Kind("spatialnet.jobs.sharding", "do_work", device=True),
    "predict-area": Kind("spatialnet.jobs.area_predicting", "predict_area", device=True),
    "embed": Kind("spatialnet.jobs.sharding", "do_work", device=True),
    "caption": Kind("spatialnet.jobs.captions", "do_captions", device=True),
    "why-map": Kind("spatialnet.jobs.why_mapping", "draw_why_map", device=True),
    "ablation": Kind("spatialnet.jobs.ablating", "run_ablation", device=True),
}


CLUSTER = "ray"
"""The device of jobs that compute on the Ray cluster of the settings."""


def needs_device(kind: str, device: object = None) -> bool:
    """Whether jobs of this kind wait for a device of this machine; those of the cluster do not."""
    return device != CLUSTER and kind in KINDS and KINDS[kind].device


def work_of(kind: str) -> Work:
    """The function that does the work of a kind.

    Imported here, by the job's own process: bringing data in needs no torch, and torch takes seconds to import.

    Raises:
        JobRefused: there is no such kind.
    """
    if kind not in KINDS:
        raise JobRefused(f"There is no work of kind {kind[:40]!r}.")
    found: Any = getattr(import_module(KINDS[kind].module), KINDS[kind].function)
    return found
