"""The reasons that the compute process gives: one explanation, two beside each other, a probe. Pictures and facts become files."""

from __future__ import annotations

import hashlib
import time
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from affine import Affine

from spatialnet.datasets.catalogue import chip_table, open_dataset
from spatialnet.datasets.packed import PackedChips, save_array
from spatialnet.errors import ExplanationFailed
from spatialnet.explain.attribute import attribute
from spatialnet.explain.baselines import baseline_images
from spatialnet.explain.faithfulness import faithfulness
from spatialnet.explain.methods import BASELINES, METHODS
from spatialnet.explain.overlay import colour, limit, warp, write_png
from spatialnet.explain.pixels import on_chip
from spatialnet.explain.stability import judged, rank_correlation, stability
from spatialnet.explain.what_if import answers, changed
from spatialnet.jobs.explanations import ExplanationRequest, explanation_file, kept_explanation
from spatialnet.jobs.probes import SIDE, ProbeRequest
from spatialnet.joint import model_of
from spatialnet.model import SpatialNetViT, load_model
from spatialnet.runs import Run, open_run, write_json
from spatialnet.settings import Settings
from spatialnet.train.loop import resolve_device

CHECKED_COST = 5.0
"""Methods that cost more than this are not repeated with shuffled weights and noise: a person waits for the answer."""


@lru_cache(maxsize=3)
def _model(path: Path) -> SpatialNetViT:
    model, _ = load_model(path, resolve_device("auto"))
    return model


def explain(settings: Settings, request: ExplanationRequest) -> dict[str, Any]:
    """Compute an explanation, write its pictures and facts, and return the facts.

    Returns:
        JSON-ready: the request; `overlay` and `picture`, the keys of the picture on the map and on the chip's own
        pixels; `bounds` (south, west), (north, east), with `overlay` None for a chip without a place; `legend`; `bands`;
        `faithfulness`; `info`; `seconds`.

    Raises:
        ExplanationFailed: the run is not trained yet, or the chip, task, class or method does not exist.
    """
    started = time.perf_counter()
    run = open_run(settings, request.run)
    data = open_dataset(settings, request.dataset or run.dataset)
    model = run_model(run, data.name)
    if not 0 <= request.chip < len(data):
        raise ExplanationFailed(f"There is no chip {request.chip}; data set {data.title} has {len(data)}.")
    names = [s.name for s in data.sensors if s.name in model.sensors and data.present(s.name)[request.chip]]
    images = model.prepare({name: data.images(name)[request.chip : request.chip + 1] for name in names})
    asked = request.against
    start = None
    if request.baseline != "mean":
        other = _neighbour(data, request.chip) if request.baseline == "neighbour" else None
        pixels = None if other is None else {n: p[None] for n, p in _pixels(data, model, other).items()}
        start = baseline_images(model, images, request.baseline, neighbour=pixels)
    evidence = attribute(model, images, request.task, request.class_index, request.method, against=asked, start=start)
    if METHODS[request.method].baseline:
        evidence.info["baseline"] = BASELINES[request.baseline]
    badge = faithfulness(model, images, request.task, request.class_index, evidence.values, against=asked)
    if METHODS[request.method].cost <= CHECKED_COST:
        badge = judged(
            badge,
            stability(
                model,
                images,
                request.task,
                request.class_index,
                request.method,
                evidence.values,
                against=request.against,
            ),
        )
    rgba, legend = colour(evidence.values[0], signed=METHODS[request.method].signed)
    ground = _ground(data, request.chip)
    folder = explanation_file(settings, request).parent
    folder.mkdir(parents=True, exist_ok=True)
    save_array(folder / f"{request.key}.npy", evidence.values[0])
    write_png(folder / f"{request.key}c.png", rgba)
    bounds = None
    if ground is not None:
        place, bounds = warp(rgba, *ground)
        write_png(folder / f"{request.key}.png", place)
    facts = {
        **request.__dict__, "overlay": request.key if ground is not None else None, "picture": f"{request.key}c", "bounds": bounds,
        "legend": legend.to_dict(), "faithfulness": badge.to_dict(),
        "bands": {name: values[0].tolist() for name, values in evidence.bands.items()},
        "info": evidence.info, "seconds": round(time.perf_counter() - started, 3),
    }  # fmt: skip
    write_json(explanation_file(settings, request), facts)
    return facts


def compare(settings: Settings, first: ExplanationRequest, second: ExplanationRequest) -> dict[str, Any]:
    """Two reasons for the same chip, and where they differ.

    Tasks and runs measure evidence in their own units, so each map is divided by where its colours end before they are
    subtracted.

    Returns:
        JSON-ready: `first` and `second`, as `explain` gives them; `picture`, the key of their difference; `legend` of it; `agreement`,
        the rank correlation of both maps over the chip's pixels, -1..1.

    Raises:
        ExplanationFailed: as `explain`, or the reasons are for different chips.
    """
    if (first.chip, first.dataset) != (second.chip, second.dataset):
        raise ExplanationFailed("Two reasons can be compared for the same chip only. Choose one chip.")
    facts, maps = [], []
    for request in (first, second):
        path = explanation_file(settings, request).with_suffix(".npy")
        kept = kept_explanation(settings, request) if path.exists() else None
        facts.append(kept or explain(settings, request))
        maps.append(np.load(path, allow_pickle=False))
    one, other = maps[0], on_chip(torch.from_numpy(maps[1])[None], maps[0].shape)[0].numpy()
    rgba, legend = colour(one / limit(one) - other / limit(other), signed=True, end=1.0)
    key = hashlib.sha256(f"{first.key} {second.key}".encode()).hexdigest()[:40]
    write_png(explanation_file(settings, first).parent / f"{key}d.png", rgba)
    agreement = rank_correlation(one, other)
    return {
        "first": facts[0], "second": facts[1], "picture": f"{key}d", "legend": legend.to_dict(), "agreement": agreement,
    }  # fmt: skip


def probe(settings: Settings, request: ProbeRequest) -> dict[str, Any]:
    """What every head says of a chip as it is, and changed.

    Returns:
        JSON-ready: `before` and `after`, as `spatialnet.explain.what_if.answers` gives them; `neighbour`, the chip whose pixels were
        filled in, or None.

    Raises:
        ExplanationFailed: there is no such chip, place, band or sensor, or nothing is left of the chip.
    """
    run, data = open_run(settings, request.run), open_dataset(settings, request.dataset)
    model = run_model(run, data.name)
    if not 0 <= request.chip < len(data):
        raise ExplanationFailed(f"There is no chip {request.chip}; data set {data.title} has {len(data)}.")
    neighbour = _neighbour(data, request.chip) if request.fill == "neighbour" else None
    images = _pixels(data, model, request.chip)
    without = changed(
        images, request.cells, SIDE, request.fill, bands=request.bands, sensors=request.sensors,
        neighbour=None if neighbour is None else _pixels(data, model, neighbour),
    )  # fmt: skip
    return {"before": answers(model, images), "after": answers(model, without), "neighbour": neighbour}


def _pixels(data: PackedChips, model: SpatialNetViT, chip: int) -> dict[str, np.ndarray[Any, Any]]:
    names = [s.name for s in data.sensors if s.name in model.sensors and data.present(s.name)[chip]]
    return {name: data.images(name)[chip] for name in names}


def _neighbour(data: PackedChips, chip: int) -> int:
    """The nearest chip that shares no ground with this one; where places are not known, the next one."""
    table = chip_table(data)
    own = table.iloc[chip]
    apart = (
        (table["west"] >= own["east"]) | (table["east"] <= own["west"])
        | (table["south"] >= own["north"]) | (table["north"] <= own["south"])
    )  # fmt: skip
    if not apart.any():
        return (chip + 1) % len(data)
    far = (table["longitude"] - own["longitude"]) ** 2 + (table["latitude"] - own["latitude"]) ** 2
    return int(far[apart].idxmin())


def run_model(run: Run, dataset: str) -> SpatialNetViT:
    """The model of a run for a data set, loaded once.

    Raises:
        ExplanationFailed: the run is not trained yet.
    """
    path = model_of(run.folder, dataset)
    if not path.exists():
        raise ExplanationFailed(f"Run {run.title} is not trained yet. Wait until it has finished.")
    return _model(path)


def _ground(data: PackedChips, chip: int) -> tuple[Affine, str] | None:
    """Chip pixel (column, row) to ground, and the ground's coordinate reference system; None without a place."""
    row = chip_table(data).iloc[chip]
    if not row["crs"] or not np.isfinite(row["a"]):
        return None
    return Affine(*(float(row[part]) for part in "abcdef")), str(row["crs"])
