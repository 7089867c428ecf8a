"""The job that works on an ablation: it trains every run, measures it on the test split, and compares the arms so far."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from spatialnet.atomic import remove, replacing
from spatialnet.datasets.catalogue import open_dataset
from spatialnet.datasets.packed import PackedChips
from spatialnet.errors import CheckpointDoesNotFit, DataSetInvalid
from spatialnet.evaluate.ablation import compare_arms
from spatialnet.evaluate.arms import BASE, CONTROLS
from spatialnet.evaluate.baselines import band_statistics, better_linear
from spatialnet.evaluate.ground import ground
from spatialnet.evaluate.intervals import Drawn, Rows, block_draws, drawn_values
from spatialnet.jobs.ablation import FILE, Ablation, open_ablation
from spatialnet.jobs.frozen_features import frozen_features
from spatialnet.jobs.launch import Jobs
from spatialnet.jobs.reporter import Cancelled, Reporter
from spatialnet.jobs.store import Job
from spatialnet.model import load_model
from spatialnet.predict.chips import predict_chips
from spatialnet.presets import preset_for, relative_cost
from spatialnet.recipe import Recipe
from spatialnet.runs import write_json
from spatialnet.train.loop import MODEL, resolve_device
from spatialnet.train.run import train

MEASURED = "measured.json"
"""In a run's folder, once it is done: per task its main metric on the test split and on every draw, and how long it took."""

Measured = dict[str, dict[int, Drawn]]
"""Per task and seed what `drawn_values` gave; a control has the seed -1."""


def run_ablation(jobs: Jobs, job: Job, report: Reporter) -> str:
    """Train, measure and compare every arm. Runs that were done before are kept; one that was stopped goes on.

    Returns:
        How many comparisons came out how, in one line.
    """
    ablation = open_ablation(jobs.settings, str(job.spec["run"]))
    data = open_dataset(jobs.settings, str(ablation.info["dataset"]))
    if data.fingerprint != ablation.info["fingerprint"]:
        raise DataSetInvalid(f"Data set {data.title} was built anew since this ablation began. Start a new ablation.")
    sitting = _Sitting(jobs, ablation, data, report, report.device)
    sitting.work()
    counts: dict[str, int] = {}
    for tasks in sitting.ablation.results["arms"].values():
        for found in tasks.values():
            counts[found["worth"]["verdict"]] = counts.get(found["worth"]["verdict"], 0) + 1
    return "Compared: " + ", ".join(f"{count} x {name}" for name, count in sorted(counts.items())) + "."


@dataclass(frozen=True)
class _One:
    """One training of the ablation."""

    folder: Path
    arm: str
    seed: int
    recipe: Recipe
    cost: float


class _Sitting:
    """One stretch of work, from start or resuming to stop or end."""

    def __init__(self, jobs: Jobs, ablation: Ablation, data: PackedChips, report: Reporter, device: str) -> None:
        self.jobs, self.ablation, self.data, self.report, self.device = jobs, ablation, data, report, device
        self.test = data.in_split("test")
        self.blocks = len(np.unique(data.blocks[self.test]))
        self.draws: list[Rows] = block_draws(data.blocks[self.test])
        self.tasks = {task.name: task for task in ablation.tasks}
        self.targets = {name: data.targets(name) for name in self.tasks}
        runs = ablation.folder / "runs"
        runs.mkdir(exist_ok=True)
        self.runs = [
            _One(runs / entry["folder"], entry["arm"], int(entry["seed"]), recipe, _cost(recipe, data))
            for entry in ablation.info["runs"]
            for recipe in [Recipe.from_toml(entry["recipe"])]
        ]
        self.total = sum(run.cost for run in self.runs) or 1.0
        self.measured: dict[str, Measured] = {}
        self.done, self.paid, self.spent = 0.0, 0.0, 0.0

    def work(self) -> None:
        self._controls()
        for number, run in enumerate(self.runs):
            text = f"Run {number + 1} of {len(self.runs)}: {run.recipe.name}"
            if not (run.folder / MEASURED).exists():
                began = time.monotonic()
                self._train(run, text)
                self.report(self.done / self.total, f"{text}, measuring")
                self._measure(run, time.monotonic() - began)
                self.paid += run.cost
                self.spent += time.monotonic() - began
            self.done += run.cost
            self._take(run)
            self._write(done=number + 1 == len(self.runs))

    def _train(self, run: _One, text: str) -> None:
        run.folder.mkdir(exist_ok=True)
        with replacing(run.folder / "recipe.toml") as partial:
            partial.write_text(run.recipe.to_toml(), encoding="utf-8")
        info = {
            "title": run.recipe.name, "run": run.folder.name, "dataset": self.data.name, "fingerprint": self.data.fingerprint,
            "label_version": 0, "corrections": 0, "parent": "", "created_at": time.time(),
            "tasks": [task.to_dict() for task in self.data.tasks if not run.recipe.tasks or task.name in run.recipe.tasks],
            "sensors": [s.to_dict() for s in self.data.sensors if not run.recipe.sensors or s.name in run.recipe.sensors],
        }  # fmt: skip
        write_json(run.folder / "run.json", info)
        began = time.monotonic()

        def beat(line: dict[str, Any]) -> None:
            # Does not raise: the training must write its checkpoint before it stops.
            share = line["step"] / max(line["steps"], 1)
            left = line.get("eta_seconds")
            paid, spent = self.paid + run.cost * share, self.spent + time.monotonic() - began
            if left is not None and paid:
                left += (self.total - self.done - run.cost) * spent / paid
            told = f"{text}, epoch {line['epoch']} of {line['epochs']}"
            self.report.note((self.done + run.cost * share) / self.total, told, left)

        summary = train(
            run.folder, self.data, device=self.device, should_stop=lambda: self.report.stop_requested, heartbeat=beat,
            weights_folder=self.jobs.settings.weights, parts=self.report.cut(run.recipe.batch_size, run.recipe.accumulate),
        )  # fmt: skip
        if summary["state"] != "finished":
            raise Cancelled

    def _measure(self, run: _One, seconds: float) -> None:
        model, _ = load_model(run.folder / MODEL, resolve_device(self.device))
        for what, wanted, there in (
            ("tasks", run.recipe.tasks, model.tasks),
            ("sensors", run.recipe.sensors, model.sensors),
        ):
            if wanted and set(wanted) != set(there):  # it would be compared with itself
                raise CheckpointDoesNotFit(
                    f"{run.recipe.name} was to have the {what} {', '.join(wanted)} and has {', '.join(there)}. Start the ablation anew."
                )
        scores = predict_chips(model, self.data, self.test)
        drawn = {name: self._drawn(name, values).tolist() for name, values in scores.items() if name in self.tasks}
        write_json(run.folder / MEASURED, {"seconds": seconds, "drawn": drawn})
        if not self.ablation.info.get("keep_models"):
            remove(run.folder / MODEL)  # a network of this run answers no further question, and dozens fill a disk

    def _take(self, run: _One) -> None:
        """Add what a finished run measured; of runs that share an arm each adds its own tasks."""
        values = json.loads((run.folder / MEASURED).read_text(encoding="utf-8"))
        side = self.measured.setdefault(run.arm, {})
        for name, drawn in values["drawn"].items():
            side.setdefault(name, {})[run.seed] = np.asarray(drawn, np.float64)
        for entry in self.ablation.info["runs"]:
            if entry["folder"] == run.folder.name:
                entry["seconds"] = values["seconds"]

    def _controls(self) -> None:
        """Fit the controls; they take seconds and need no seed, so they are fitted anew each time the job begins."""
        wanted = [arm["name"] for arm in self.ablation.info["arms"] if arm["name"] in CONTROLS]
        parts = {part: self.data.in_split(part) for part in ("train", "validation", "test")}
        for name in wanted:
            path = self.ablation.folder / f"{name}.json"
            if not path.exists():
                self.report(0.0, f"Fitting {CONTROLS[name][1]}")
                if name == "control-bands":
                    features = {part: band_statistics(self.data, rows) for part, rows in parts.items()}
                else:
                    every = frozen_features(
                        self.data, Recipe.from_toml(self.ablation.info["recipe"]), self.jobs.settings.weights, device=self.device
                    )  # fmt: skip
                    features = {part: every[rows] for part, rows in parts.items()}
                write_json(path, {task: self._control(task, features, parts).tolist() for task in self.tasks})
            values = json.loads(path.read_text(encoding="utf-8"))
            self.measured[name] = {task: {-1: np.asarray(drawn, np.float64)} for task, drawn in values.items()}

    def _control(self, name: str, features: Mapping[str, Any], parts: Mapping[str, Any]) -> Drawn:
        known = self.targets[name].astype(np.float64)
        self.report(0.0, f"Fitting a control for {self.tasks[name].label}")
        scores = better_linear(self.tasks[name], features, known[parts["train"]], known[parts["validation"]])
        return self._drawn(name, scores)

    def _drawn(self, name: str, scores: Any) -> Drawn:
        return drawn_values(self.tasks[name], scores, self.targets[name][self.test], self.draws)

    def _write(self, *, done: bool) -> None:
        """Compare what is measured so far, seed by seed, and write it down."""
        ours = self.measured[BASE]
        base = {
            name: {
                "metric": self.tasks[name].main_metric, "values": [float(v[0]) for v in ours[name].values()],
                "mean": float(np.mean([v[0] for v in ours[name].values()])),
            }
            for name in ours
        }  # fmt: skip
        arms = {}
        for name in (arm["name"] for arm in self.ablation.info["arms"] if arm["name"] in self.measured):
            left: dict[str, list[Drawn]] = {}
            right: dict[str, list[Drawn]] = {}
            for task, theirs in self.measured[name].items():
                shared = [seed for seed in ours.get(task, {}) if seed in theirs]
                left[task] = [ours[task][seed] for seed in shared] if name not in CONTROLS else [*ours[task].values()]
                right[task] = [theirs[seed] for seed in shared] if name not in CONTROLS else [*theirs.values()]
            arms[name] = compare_arms(list(self.tasks.values()), left, right, self.blocks)
        self.ablation.info.update(**ground(self.data), results={"base": base, "arms": arms}, done=done)
        write_json(self.ablation.folder / FILE, self.ablation.info)


def _cost(recipe: Recipe, data: PackedChips) -> float:
    """How much work a run is, to compare runs of one ablation with. The heads' own stage looks at every chip once."""
    sensors = len(recipe.sensors or data.sensors)
    passes = recipe.epochs + (0.4 if recipe.head_epochs else 0.0)
    return passes * sensors * relative_cost(preset_for(recipe.weights, recipe.preset), recipe.size or data.chip_size)
