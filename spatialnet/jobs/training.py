"""The job that trains a run, measures it, and predicts the data set and its scene."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from spatialnet.datasets.catalogue import chip_table, open_dataset
from spatialnet.datasets.packed import PackedChips, save_array
from spatialnet.errors import DataSetInvalid
from spatialnet.evaluate.missing_sensors import missing_sensors
from spatialnet.evaluate.report import evaluate_run
from spatialnet.jobs.chip_grid import chip_grid
from spatialnet.jobs.frozen_features import frozen_features
from spatialnet.jobs.kinds import CLUSTER
from spatialnet.jobs.launch import Jobs
from spatialnet.jobs.ray_engine import train_on_ray
from spatialnet.jobs.reporter import Reporter
from spatialnet.jobs.store import Job
from spatialnet.joint import JointTasks, model_of, part_of
from spatialnet.label.store import LabelStore
from spatialnet.model import SpatialNetViT, load_model, save_model
from spatialnet.model.joint_model import for_dataset
from spatialnet.model.network import FEATURES
from spatialnet.predict.chips import predict_chips
from spatialnet.predict.scene import predict_scene
from spatialnet.predict.table import write_predictions
from spatialnet.recipe import Recipe
from spatialnet.runs import Run, open_run, write_json
from spatialnet.runs.rivals import rival_of
from spatialnet.settings import Settings
from spatialnet.tasks import Task
from spatialnet.train.loop import resolve_device
from spatialnet.train.run import train

TRAIN_SHARE = 0.75
"""Share of the progress bar that training takes; the rest is prediction and measuring."""

FEATURES_FILE = "features.npy"
"""Beside a data set's predictions: (chips, dim) float16, the embedding of each chip."""


def train_run(jobs: Jobs, job: Job, report: Reporter) -> str:
    """Train, then predict, measure and map each data set of the run. Resumes from the run's last checkpoint.

    Returns:
        The main metrics beside the better baseline, in one line.
    """
    run = open_run(jobs.settings, str(job.spec["run"]))
    sets = [open_dataset(jobs.settings, name) for name in run.datasets]
    for data in sets:
        if data.fingerprint != run.info.get("fingerprints", {}).get(data.name, run.info["fingerprint"]):
            raise DataSetInvalid(
                f"Data set {data.title} was built anew since this run was asked for. Start a new run on it."
            )
    recipe = Recipe.load(run.folder / "recipe.toml")
    labels = LabelStore(jobs.engine)
    targets = {data.name: _write_targets(run, data, labels, recipe) for data in sets}
    summary = _train(jobs, job, run, sets, recipe, report)
    report(TRAIN_SHARE, "Predicting every chip")  # where the training was stopped, the work ends here
    model, _ = load_model(run.folder / "model.safetensors", resolve_device(report.device))
    said = []
    for number, data in enumerate(sets):
        share = (1 - TRAIN_SHARE) / len(sets)
        part = _Part(jobs.settings, run, data, model, recipe, report, TRAIN_SHARE + number * share, share)
        measured = part.work(targets[data.name])
        write_json(part.folder / "report.json", measured | {"training": summary})
        found = "; ".join(_sentence(data.task(name), values) for name, values in measured["tasks"].items())
        said.append(f"{data.title}: {found}" if len(sets) > 1 else found)
    return ". ".join(said)


def _train(jobs: Jobs, job: Job, run: Run, sets: list[PackedChips], recipe: Recipe, report: Reporter) -> dict[str, Any]:
    """Train on the job's device, or on the cluster; what follows the training is this machine's either way."""
    report(0.0, "Training")

    def beat(line: dict[str, Any]) -> None:
        # Does not raise: the training must write its checkpoint before it stops.
        if line["stage"] == "features":
            return report.note(0.0, f"Looking at every chip once, {line['share']:.0%} done")
        stage = "Heads only, epoch" if line["stage"] == "heads" else "Epoch"
        share = TRAIN_SHARE * line["step"] / max(line["steps"], 1)
        text = f"{stage} {line['epoch']} of {line['epochs']}"
        return report.note(share, text, line.get("eta_seconds"), line.get("chips_per_second"))

    if job.spec.get("device") == CLUSTER:
        return train_on_ray(
            run.folder, [data.folder for data in sets], jobs.settings.ray, heartbeat=beat,
            weights_folder=jobs.settings.weights, should_stop=lambda: report.stop_requested,
        )  # fmt: skip
    return train(
        run.folder,
        sets,
        device=report.device,
        should_stop=lambda: report.stop_requested,
        heartbeat=beat,
        weights_folder=jobs.settings.weights,
        parts=report.cut(recipe.batch_size, recipe.accumulate),
    )


class _Part:
    """What follows the training for one data set: predictions, the report and maps, in the part of the run that is its own."""

    def __init__(
        self,
        settings: Settings,
        run: Run,
        data: PackedChips,
        model: SpatialNetViT,
        recipe: Recipe,
        report: Reporter,
        begin: float,
        share: float,
    ) -> None:
        self.settings, self.data, self.recipe = settings, data, recipe
        self.model = _own_model(run, data, model)
        self.folder = part_of(run.folder, data.name)
        self.folder.mkdir(parents=True, exist_ok=True)
        self._report, self._begin, self._share = report, begin, share

    def work(self, targets: dict[str, npt.NDArray[Any]]) -> dict[str, Any]:
        """Predict, measure and map; gives the report."""
        data, recipe = self.data, self.recipe
        scores = predict_chips(
            self.model, data, features=True, progress=self._progress(0.0, 0.4, "Predicting every chip")
        )
        save_array(self.folder / FEATURES_FILE, scores.pop(FEATURES).astype(np.float16))
        write_predictions(self.folder / "predictions.parquet", [t for t in data.tasks if t.name in scores], scores)
        frozen = frozen_features(
            data, recipe, self.settings.weights, device=self._report.device,
            progress=self._progress(0.4, 0.3, "Measuring what an untrained backbone would know"),
        )  # fmt: skip
        told = self._progress(0.7, 0.1, "Measuring on the test split")
        told(0.0)
        measured = evaluate_run(data, targets, scores, features={"frozen_features": frozen})
        test = data.in_split("test")
        names = [sensor.name for sensor in data.sensors if sensor.name in self.model.sensors]
        missing = missing_sensors(
            data.tasks, names, {name: values[test] for name, values in targets.items()}, data.blocks[test],
            {name: rows[test] for name, rows in scores.items()},
            lambda gone: predict_chips(self.model, data, test, without=gone),
        )  # fmt: skip
        _map_scenes(self.folder, data, self.model, self._progress(0.8, 0.2, "Predicting the scene"))
        return measured | missing

    def _progress(self, begin: float, share: float, text: str) -> Callable[[float], None]:
        start, length = self._begin + begin * self._share, share * self._share
        return lambda done: self._report(start + length * done, text)


def _own_model(run: Run, data: PackedChips, model: SpatialNetViT) -> SpatialNetViT:
    """The model that answers a data set's own tasks; of a joint run it is made and kept."""
    joint = JointTasks.load(run.folder)
    if joint is None:
        return model
    own = for_dataset(model, joint, data.name, data.tasks, gsd_m=data.gsd_m, chip_size=data.chip_size)
    path = model_of(run.folder, data.name)
    path.parent.mkdir(parents=True, exist_ok=True)
    save_model(path, own, extra={"run": run.name, "dataset": data.name, "fingerprint": data.fingerprint})
    return own


def _write_targets(run: Run, data: PackedChips, labels: LabelStore, recipe: Recipe) -> dict[str, npt.NDArray[Any]]:
    """The data set's targets with people's corrections laid over them, in its part of the run; and their weights."""
    version, folder = int(run.info["label_version"]), part_of(run.folder, data.name)
    for part in ("targets", "weights"):
        (folder / part).mkdir(parents=True, exist_ok=True)
    result = {}
    for task in data.tasks:
        targets = data.targets(task.name).copy()
        weights = np.ones(len(data), np.float32)
        for chip, value in labels.corrected(data.name, task.name, version):
            # Where a person left a class open, the derived target stands.
            said = np.asarray(value, np.float64)
            targets[chip] = np.where(np.isfinite(said), np.nan_to_num(said), targets[chip])
            weights[chip] = recipe.correction_weight
        save_array(folder / "targets" / f"{task.name}.npy", targets)
        save_array(folder / "weights" / f"{task.name}.npy", weights)
        result[task.name] = targets
    return result


def _map_scenes(run: Path, data: PackedChips, model: SpatialNetViT, progress: Callable[[float], None]) -> None:
    """Predict every place whose rasters are kept with the data set, at the chips' own positions."""
    table = chip_table(data)
    for number, place in enumerate(data.places):
        own = table[table["place"] == place["name"]]
        grid = None if own.empty else chip_grid(data, place, own.iloc[0], model.sensors)
        if grid is None:
            continue
        folder = run / "maps" / place["name"]
        folder.mkdir(parents=True, exist_ok=True)
        predict_scene(
            model,
            grid.scenes,
            folder,
            size=grid.size,
            stride=grid.stride,
            origin=grid.origin,
            progress=lambda done, number=number: progress((number + done) / len(data.places)),  # type: ignore[misc]
        )


def _sentence(task: Task, values: dict[str, Any]) -> str:
    rival = rival_of(values)
    metric = values["metric"].replace("_", " ")
    return f"{task.label}: {metric} {values['run']['value']:.3f} (baseline {rival['value']:.3f})"
