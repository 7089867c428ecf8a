"""The job that trains a run, measures it, and predicts the data set and its scene."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from affine import Affine

from spatialnet.datasets.catalogue import chip_table, open_dataset
from spatialnet.datasets.packed import PackedChips, save_array
from spatialnet.errors import DataSetInvalid
from spatialnet.evaluate.report import evaluate_run
from spatialnet.jobs.launch import Jobs
from spatialnet.jobs.reporter import Reporter
from spatialnet.jobs.store import Job
from spatialnet.label.store import LabelStore
from spatialnet.model import SpatialNetViT, load_model
from spatialnet.predict.chips import predict_chips
from spatialnet.predict.scene import predict_scene
from spatialnet.predict.table import write_predictions
from spatialnet.recipe import Recipe
from spatialnet.runs import Run, open_run, write_json
from spatialnet.tasks import Task
from spatialnet.train.loop import resolve_device
from spatialnet.train.run import train

TRAIN_SHARE = 0.85
"""Share of the progress bar that training takes; the rest is prediction and measuring."""


def train_run(jobs: Jobs, job: Job, report: Reporter) -> str:
    """Train, predict, measure, map. Resumes from the run's last checkpoint.

    Returns:
        The main metrics beside the better baseline, in one line.
    """
    run = open_run(jobs.settings, str(job.spec["run"]))
    data = open_dataset(jobs.settings, run.dataset)
    if data.fingerprint != run.info["fingerprint"]:
        raise DataSetInvalid(
            f"Data set {data.title} was built anew since this run was asked for. Start a new run on it."
        )
    recipe = Recipe.load(run.folder / "recipe.toml")
    targets = _write_targets(run, data, LabelStore(jobs.engine), recipe)
    report(0.0, "Training")

    def beat(line: dict[str, Any]) -> None:
        # Does not raise: the training must write its checkpoint before it stops.
        text = f"Epoch {line['epoch']} of {line['epochs']}"
        report.note(TRAIN_SHARE * line["step"] / max(line["steps"], 1), text, line.get("eta_seconds"))

    summary = train(
        run.folder,
        data,
        should_stop=lambda: report.stop_requested,
        heartbeat=beat,
        weights_folder=jobs.settings.weights,
    )
    predicting = "Predicting every chip"
    report(TRAIN_SHARE, predicting)
    model, _ = load_model(run.folder / "model.safetensors", resolve_device("auto"))
    scores = predict_chips(model, data, progress=lambda share: report(TRAIN_SHARE + 0.05 * share, predicting))
    write_predictions(run.folder / "predictions.parquet", data.tasks, scores)
    report(0.9, "Measuring on the test split")
    measured = evaluate_run(data, targets, scores)
    _map_scenes(run, data, model, report)
    write_json(run.folder / "report.json", measured | {"training": summary})
    return "; ".join(_sentence(data.task(name), values) for name, values in measured["tasks"].items())


def _write_targets(run: Run, data: PackedChips, labels: LabelStore, recipe: Recipe) -> dict[str, npt.NDArray[Any]]:
    """The data set's targets with people's corrections laid over them, in the run's folder; and their weights."""
    version = int(run.info["label_version"])
    for part in ("targets", "weights"):
        (run.folder / part).mkdir(exist_ok=True)
    result = {}
    for task in data.tasks:
        targets = data.targets(task.name).copy()
        weights = np.ones(len(data), np.float32)
        for chip, value in labels.corrected(data.name, task.name, version):
            # Where a person left a class open, the derived target stands.
            said = np.asarray(value, np.float64)
            targets[chip] = np.where(np.isfinite(said), np.nan_to_num(said), targets[chip])
            weights[chip] = recipe.correction_weight
        save_array(run.folder / "targets" / f"{task.name}.npy", targets)
        save_array(run.folder / "weights" / f"{task.name}.npy", weights)
        result[task.name] = targets
    return result


def _map_scenes(run: Run, data: PackedChips, model: SpatialNetViT, report: Reporter) -> None:
    """Predict every place whose rasters are kept with the data set, at the chips' own positions."""
    table, sizes = chip_table(data), data.manifest["sizes"]
    for number, place in enumerate(data.places):
        scenes = {s: data.scene_path(place["name"], s) for s in place["sensors"] if s in model.sensors}
        own = table[table["place"] == place["name"]]
        if own.empty or not scenes:
            continue
        # Windows are counted in pixels of the finest scene here; chips of another sensor may have fewer.
        size = max(int(sizes[s]) for s in scenes)
        folder = run.folder / "maps" / place["name"]
        folder.mkdir(parents=True, exist_ok=True)
        begin, share = 0.95 + 0.05 * number / len(data.places), 0.05 / len(data.places)
        told = f"Predicting the scene of {place['name']}" if len(data.places) > 1 else "Predicting the scene"
        predict_scene(
            model,
            scenes,
            folder,
            size=size,
            stride=max(1, int(data.manifest["stride"]) * size // max(sizes.values())),
            origin=_origin(place, own.iloc[0], size / int(sizes[place["sensors"][0]])),
            progress=lambda done, begin=begin, share=share, told=told: report(begin + share * done, told),  # type: ignore[misc]
        )


def _origin(place: dict[str, Any], chip: pd.Series, finer: float) -> tuple[int, int]:
    """Row and column of a chip's upper left corner in a grid whose pixels are finer than the place's by a factor."""
    column, row = ~Affine(*place["transform"]) @ (float(chip["c"]), float(chip["f"]))
    return round(row * finer), round(column * finer)


def _sentence(task: Task, values: dict[str, Any]) -> str:
    rival = values[values["margin"]["over"]]
    metric = values["metric"].replace("_", " ")
    return f"{task.label}: {metric} {values['run']['value']:.3f} (baseline {rival['value']:.3f})"
