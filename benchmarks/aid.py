"""Accuracy on 8,973 real aerial images (AID at 150 px) by fine-tuning small pretrained weights on two cores.

A tenth of the images is held out for the test and a twentieth for choosing the epoch, at random by seed 0; the rest is trained on. All
tasks are learnt together: the heads first, on features that are computed once, then everything. Presence is known only where at
least two of five captions name an object. For measuring, objects that no caption names count as absent, which is too strict:
captions leave things out. Where one caption names it, it is not measured.

Figures, each on the held-out images with a 95 % bootstrap interval as its spread:
    land_use_accuracy       30 classes; the floor to beat is a linear probe on the frozen weights, 0.895 at 112 px
    presence_map            mean average precision over objects
    rural_urban_balanced    balanced accuracy; floor 0.984 (another hold-out)
Beside them, as rows: the majority answer; logistic regression on band statistics, on frozen features, and on features of random
weights; and, at a third of the budget for both, all tasks together beside each task alone.

It needs `--shared DIR` with `data/aid` and the weights beside it, and takes one training and four short ones: about half an hour on
two cores.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from benchmarks.figures import CannotRun, Figure, Result
from spatialnet.datasets.packed import PackedChips
from spatialnet.recipe import Recipe
from spatialnet.runs.rivals import rival_of

WEIGHTS = "dinov2_vits14_imgfocus_depth6_fp16_timm.safetensors"
SEED = 0

RECIPE = Recipe(
    name="aid", preset="dino6", weights=f"file:{WEIGHTS}", size=112, head_epochs=30, epochs=6, learning_rate=1e-4, label_smoothing=0.1,
    assumed_negative=0.3, balance=0.0, brightness=0.1, noise=0.02, drop_path=0.0,
)  # fmt: skip

SHORT_EPOCHS = 2

_MEASURED = {
    "land_use": ("land_use_accuracy", "accuracy", 0.93),
    "presence": ("presence_map", "mean_ap", 0.0),
    "rural_urban": ("rural_urban_balanced", "balanced_accuracy", 0.984),
}


def run(shared: Path | None) -> Result:
    """Import, train all tasks together and each alone, and measure with controls."""
    from spatialnet.evaluate.report import evaluate_run

    if shared is None or not (shared / "data" / "aid").is_dir():
        raise CannotRun("It needs real images: give --shared DIR with data/aid and weights in it.")
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        data = _data(shared / "data" / "aid", work / "datasets" / "aid")
        targets = _targets(data)
        features = dict(_frozen(data, shared / "weights"))
        scores, seconds, steps = _trained(work, data, shared / "weights", RECIPE)
        report = evaluate_run(data, targets, scores, features=features)
        short = replace(RECIPE, name="together", epochs=SHORT_EPOCHS)
        together = evaluate_run(data, targets, _trained(work, data, shared / "weights", short)[0])["tasks"]
        alone = {}
        for task in data.tasks:
            single, _, _ = _trained(work, data, shared / "weights", replace(short, name=task.name, tasks=(task.name,)))
            alone[task.name] = evaluate_run(data, targets, single)["tasks"][task.name]
    return _result(report, together, alone, seconds, steps)


def _data(source: Path, target: Path) -> PackedChips:
    from spatialnet.importing.formats import IMPORTERS
    from spatialnet.importing.import_plan import propose_plan
    from spatialnet.importing.importer import Source
    from spatialnet.importing.packing import build_dataset
    from spatialnet.importing.prescan.scan import scan

    target.parent.mkdir(parents=True)
    found = scan(
        IMPORTERS["image_table"].listing(Source(source, {"table": "labels.csv", "presence_from": "mentions_: yes>=2"}))
    )
    plan = propose_plan(found, target.name)
    split = replace(plan.split, kind="random", fractions=(0.85, 0.05, 0.10), seed=SEED)
    return build_dataset(target, found, replace(plan, split=split))


def _targets(data: PackedChips) -> dict[str, npt.NDArray[Any]]:
    """The data set's targets; for measuring, an object that no caption names is absent."""
    targets = {task.name: data.targets(task.name) for task in data.tasks}
    labels = pd.read_parquet(data.folder / "labels.parquet")
    columns = data.manifest["targets"]["presence"]["columns"]
    counts = labels[[column.replace("presence_", "mentions_") for column in columns]].to_numpy(float)
    targets["presence"] = np.select([counts >= 2, counts == 0], [1.0, 0.0], np.nan).astype(np.float32)
    return targets


def _frozen(data: PackedChips, weights: Path) -> Iterator[tuple[str, npt.NDArray[np.float32]]]:
    from spatialnet.model.weights import apply_weights
    from spatialnet.predict.chips import embed_chips
    from spatialnet.train.loop import build_model

    for name, chosen in (("frozen_features", RECIPE.weights), ("random_features", "none")):
        model = build_model([data], replace(RECIPE, weights=chosen))
        apply_weights(model, chosen, weights)
        yield name, embed_chips(model.eval(), data)
        print(f"features of {name.partition('_')[0]} weights computed", flush=True)


def _trained(
    work: Path, data: PackedChips, weights: Path, recipe: Recipe
) -> tuple[dict[str, npt.NDArray[np.float32]], float, int]:
    from spatialnet.model import load_model
    from spatialnet.predict.chips import predict_chips
    from spatialnet.train.run import train

    place = work / "runs" / recipe.name.replace("_", "-")
    place.mkdir(parents=True)
    (place / "recipe.toml").write_text(recipe.to_toml(), encoding="utf-8")
    started = time.perf_counter()

    def told(line: dict[str, Any]) -> None:
        if "validation" in line and line["epoch"] % (10 if line["stage"] == "heads" else 1) == 0:
            shown = {task: {k: round(v, 3) for k, v in found.items()} for task, found in line["validation"].items()}
            print(
                f"{recipe.name} {line['stage']} epoch {line['epoch']} {time.perf_counter() - started:.0f} s {shown}",
                flush=True,
            )

    summary = train(place, data, weights_folder=weights, heartbeat=told)
    seconds = time.perf_counter() - started
    model, _ = load_model(place / "model.safetensors")
    return predict_chips(model, data), seconds, int(summary["steps"])


def _result(
    report: dict[str, Any], together: dict[str, Any], alone: dict[str, Any], seconds: float, steps: int
) -> Result:
    figures, rows = (
        [],
        {"training": f"{seconds / 60:.1f} min, {steps} steps of {RECIPE.batch_size} chips, {RECIPE.size} px"},
    )
    for task, (figure, metric, target) in _MEASURED.items():
        found = report["tasks"][task]
        value = found["run"]["all"][metric]
        half = found["run"]
        # The interval is of the main metric; for land use that is macro F1, so accuracy gets the binomial one.
        spread = _binomial(value, found["chips"]) if metric == "accuracy" else (half["low"], half["high"])
        figures.append(Figure(figure, value, metric, "higher", target, found["chips"], spread))
        for rival in ("majority", "band_statistics", "random_features", "frozen_features"):
            rows[f"{task}, {rival}"] = f"{rival_of(found, rival)['all'].get(metric, float('nan')):.3f} {metric}"
        for name, other in (("together", together), ("alone", alone)):
            short = other[task]["run"]
            rows[f"{task}, {SHORT_EPOCHS} epochs, {name}"] = (
                f"{short['all'][metric]:.3f} {metric}; {found['metric']} {short['value']:.3f} [{short['low']:.3f}, {short['high']:.3f}]"
            )
    return Result(figures, rows)


def _binomial(share: float, n: int) -> tuple[float, float]:
    """The 95 % Wilson interval of a share of n."""
    z = 1.96
    middle, half = share + z * z / (2 * n), z * np.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    return float((middle - half) / (1 + z * z / n)), float((middle + half) / (1 + z * z / n))
