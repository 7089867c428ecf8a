"""The job that predicts a place, or an area of it."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from spatialnet.datasets.catalogue import chip_table, open_dataset
from spatialnet.errors import PredictionRefused
from spatialnet.jobs.area_prediction import AreaRequest, area_folder
from spatialnet.jobs.chip_grid import chip_grid
from spatialnet.jobs.launch import Jobs
from spatialnet.jobs.reporter import Reporter
from spatialnet.jobs.sharding import do_manifest
from spatialnet.jobs.store import Job
from spatialnet.joint import model_of
from spatialnet.model import load_model
from spatialnet.runs import open_run, write_json
from spatialnet.shards.manifest import Manifest
from spatialnet.shards.request import scenes_manifest


def predict_area(jobs: Jobs, job: Job, report: Reporter) -> str:
    """Do the work of a `predict-area` job, or what is left of it.

    Raises:
        PredictionRefused: the place has no scene that the run knows, or the area does not meet it.
    """
    values: dict[str, Any] = dict(job.spec["request"])
    request = AreaRequest(**values | {"area": tuple(values["area"]) if values["area"] else None})
    report(0.0, "Looking at the scene")
    manifest = _manifest(jobs, request)
    done = do_manifest(jobs, job, report, manifest)
    return f"{request.place}: {done}"


def _manifest(jobs: Jobs, request: AreaRequest) -> Manifest:
    settings = jobs.settings
    data, run = open_dataset(settings, request.dataset), open_run(settings, request.run)
    model, _ = load_model(model_of(run.folder, request.dataset))
    place = next((entry for entry in data.places if entry["name"] == request.place), None)
    table = chip_table(data)
    own = table[table["place"] == request.place] if "place" in table else table[:0]
    if place is None or own.empty:
        raise PredictionRefused(f"Data set {data.name} has no place {request.place[:64]!r} with chips. Choose another.")
    grid = chip_grid(data, place, own.iloc[0], model.sensors)
    if grid is None:
        raise PredictionRefused(f"Run {run.title} knows none of the sensors of {request.place}. Choose another run.")
    manifest = scenes_manifest(
        area_folder(settings, request.key), "predict", run, {request.place: grid.scenes}, size=grid.size,
        stride=max(1, grid.size // request.steps), area=request.area, scores=request.scores, dataset=request.dataset,
    )  # fmt: skip
    manifest.publish()
    facts = asdict(request) | {
        "title": run.title, "bounds": place["bounds"], "tasks": [t.name for t in data.tasks if t.kind != "count"]
    }  # fmt: skip
    write_json(manifest.folder / "facts.json", facts)
    return manifest
