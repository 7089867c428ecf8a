"""The sample's run against two baselines on the blocked test split, over three seeds.

Each seed trains the recipe that the first start trains, on the same split, and is measured as the app measures it: the main
metric of each task beside the majority answer and logistic regression on band means and standard deviations.

Figures, per task (land_use: macro F1, presence: mean average precision, rural_urban: balanced accuracy):
    <task>              mean over seeds of the run's metric
    <task>_margin       mean over seeds of run minus better baseline; above 0
    train_s             wall seconds of one training, mean over seeds

It takes three trainings: up to five minutes on two cores.
"""

from __future__ import annotations

import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.figures import CannotRun, Figure, Result

SEEDS = (0, 1, 2)


def run(shared: Path | None) -> Result:
    """Train three seeds in a temporary workspace."""
    del shared
    from spatialnet.errors import SampleUnavailable
    from spatialnet.evaluate.report import evaluate_run
    from spatialnet.importing.samples.raleigh import prepare_raleigh
    from spatialnet.model import load_model
    from spatialnet.predict.chips import predict_chips
    from spatialnet.recipe import sample_recipe
    from spatialnet.train.run import train

    reports: list[dict[str, Any]] = []
    seconds: list[float] = []
    with tempfile.TemporaryDirectory() as folder:
        try:
            data = prepare_raleigh(Path(folder) / "datasets" / "raleigh")
        except SampleUnavailable as error:
            raise CannotRun(f"It needs the sample. {error}") from error
        targets = {task.name: data.targets(task.name) for task in data.tasks}
        for seed in SEEDS:
            place = Path(folder) / "runs" / f"seed-{seed}"
            place.mkdir(parents=True)
            (place / "recipe.toml").write_text(replace(sample_recipe(), seed=seed).to_toml(), encoding="utf-8")
            started = time.perf_counter()
            train(place, data)
            seconds.append(time.perf_counter() - started)
            model, _ = load_model(place / "model.safetensors")
            reports.append(evaluate_run(data, targets, predict_chips(model, data)))
    figures, rows = [], {}
    for task in data.tasks:
        values = [report["tasks"][task.name] for report in reports]
        runs = [v["run"]["value"] for v in values]
        margins = [v["margin"]["value"] for v in values]
        best = max(values[0]["majority"]["value"], values[0]["band_statistics"]["value"])
        figures += [
            Figure(task.name, float(np.mean(runs)), task.main_metric, "higher", best, len(runs), (min(runs), max(runs))),
            Figure(
                f"{task.name}_margin", float(np.mean(margins)), task.main_metric, "higher", 0.0, len(margins), (min(margins), max(margins))
            ),
        ]  # fmt: skip
        for seed, value in zip(SEEDS, values, strict=True):
            rows[f"{task.name}, seed {seed}"] = (
                f"run {_with_interval(value['run'])}   majority {_with_interval(value['majority'])}   "
                f"band statistics {_with_interval(value['band_statistics'])}   margin {_with_interval(value['margin'])}"
            )
    figures.append(
        Figure("train_s", float(np.mean(seconds)), "s", "lower", 60.0, len(seconds), (min(seconds), max(seconds)))
    )
    rows["test split"] = (
        f"{reports[0]['chips']} chips in {reports[0]['blocks']} blocks; 95 % intervals by drawing blocks"
    )
    return Result(figures, rows)


def _with_interval(values: dict[str, float | None]) -> str:
    return f"{values['value']:+.3f} [{values['low']:.3f}, {values['high']:.3f}]"
