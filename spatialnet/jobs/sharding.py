"""The jobs that predict and embed many scenes: by processes of this machine, or on the Ray cluster of the settings."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from spatialnet.jobs.kinds import CLUSTER
from spatialnet.jobs.launch import Jobs
from spatialnet.jobs.reporter import Reporter
from spatialnet.jobs.store import Job

if TYPE_CHECKING:
    from spatialnet.shards.manifest import Manifest

TITLES = {"predict": "Predict", "embed": "Embed"}

_FINISH_SHARE = 0.9


def request_work(jobs: Jobs, folder: Path, kind: str, processes: int = 1, device: str = "auto") -> Job:
    """Submit published work as a job; resuming it goes on from the units that are done.

    Args:
        jobs: the workspace's.
        folder: the work folder.
        kind: `predict` or `embed`.
        processes: on this machine; a Ray cluster in the settings takes their place.
        device: as `run_shard` takes it.

    Raises:
        JobRefused: the same work is under way.
    """
    spec = {
        "folder": str(folder.resolve()), "processes": processes, "device": CLUSTER if jobs.settings.ray else device
    }  # fmt: skip
    return jobs.submit(kind, f"{TITLES[kind]}: {folder.name[:120]}", spec)


def do_work(jobs: Jobs, job: Job, report: Reporter) -> str:
    """Do all units that are not done, then put the results together.

    Returns:
        What was done, in one sentence.
    """
    from spatialnet.shards.manifest import read_manifest

    return do_manifest(jobs, job, report, read_manifest(Path(str(job.spec["folder"]))))


def do_manifest(jobs: Jobs, job: Job, report: Reporter, manifest: Manifest) -> str:
    """Do the units of published work that are not done, as `do_work` says."""
    from spatialnet.shards.processes import run_processes
    from spatialnet.shards.run import finish

    text = f"{len(manifest.items)} {'scene' if len(manifest.items) == 1 else 'scenes'}, {len(manifest.units)} parts"
    report(0.0, text)

    def told(share: float) -> None:
        report.note(_FINISH_SHARE * share, text)

    def asked() -> bool:
        return report.stop_requested

    if job.spec.get("device") == CLUSTER:
        from spatialnet.jobs.ray_engine import run_on_ray

        run_on_ray(manifest, jobs.settings.ray, progress=told, should_stop=asked)
    else:
        device = str(job.spec.get("device") or "auto")
        run_processes(manifest, int(job.spec.get("processes", 1)), progress=told, should_stop=asked, device=device)
    report(_FINISH_SHARE, "Writing the results")
    finish(manifest, progress=lambda share: report(_FINISH_SHARE + (1 - _FINISH_SHARE) * share, "Writing the results"))
    return f"{len(manifest.items)} done, in {manifest.folder}."
