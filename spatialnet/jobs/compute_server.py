"""The compute process, `python -m spatialnet.jobs.compute_server PIPE`: JSON requests in, answers out, one per line.

Requests come by standard input. Answers leave by a pipe of their own, whose number is the argument: what libraries print
to standard output, at whatever time, never gets between them.
"""

from __future__ import annotations

import json
import os
import sys
import time
import traceback
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from affine import Affine

from spatialnet.datasets.catalogue import chip_table, open_dataset
from spatialnet.datasets.packed import PackedChips
from spatialnet.errors import ExplanationFailed, SpatialNetError
from spatialnet.explain.attribute import attribute
from spatialnet.explain.faithfulness import faithfulness
from spatialnet.explain.methods import METHODS
from spatialnet.explain.overlay import colour, warp, write_png
from spatialnet.explain.what_if import answers, changed
from spatialnet.jobs.explanations import ExplanationRequest, explanation_file
from spatialnet.jobs.probes import SIDE, ProbeRequest
from spatialnet.jobs.why_map import WhyMapRequest
from spatialnet.jobs.why_mapping import why_map
from spatialnet.joint import model_of
from spatialnet.model import SpatialNetViT, load_model
from spatialnet.runs import Run, open_run, write_json
from spatialnet.settings import Settings, load_settings
from spatialnet.train.loop import resolve_device


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
    model = _run_model(run, data.name)
    if not 0 <= request.chip < len(data):
        raise ExplanationFailed(f"There is no chip {request.chip}; data set {data.title} has {len(data)}.")
    names = [s.name for s in data.sensors if s.name in model.sensors and data.present(s.name)[request.chip]]
    images = model.prepare({name: data.images(name)[request.chip : request.chip + 1] for name in names})
    asked = request.against
    evidence = attribute(model, images, request.task, request.class_index, request.method, against=asked)
    badge = faithfulness(model, images, request.task, request.class_index, evidence.values, against=asked)
    rgba, legend = colour(evidence.values[0], signed=METHODS[request.method].signed)
    ground = _ground(data, request.chip)
    folder = explanation_file(settings, request).parent
    folder.mkdir(parents=True, exist_ok=True)
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


def _why_map(settings: Settings, request: WhyMapRequest) -> dict[str, Any]:
    run = open_run(settings, request.run)
    return why_map(settings, request, _run_model(run, request.dataset))


def _probe(settings: Settings, request: ProbeRequest) -> dict[str, Any]:
    """What every head says of a chip as it is, and changed: `before` and `after`, and which chip was the `neighbour`."""
    run, data = open_run(settings, request.run), open_dataset(settings, request.dataset)
    model = _run_model(run, data.name)
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


def _run_model(run: Run, dataset: str) -> SpatialNetViT:
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


def _answer(settings: Settings, line: str) -> dict[str, Any]:
    try:
        request = json.loads(line)
        match request.pop("ask"):
            case "explain":
                return explain(settings, ExplanationRequest(**request))
            case "why-map":
                return _why_map(settings, WhyMapRequest(**request))
            case "probe":
                return _probe(settings, ProbeRequest(**request))
            case _:
                raise ExplanationFailed("The compute process does not know this request.")
    except SpatialNetError as error:
        return {"error": str(error)}
    except Exception as error:  # the log keeps the traceback; the page shows one sentence
        traceback.print_exc()
        return {"error": f"The explanation stopped with {type(error).__name__}. The log in the workspace tells more."}


def main() -> None:
    """Answer until standard input closes."""
    # One chip at a time: more threads than this cost more than they give, and the app needs the other cores.
    torch.set_num_threads(max(1, (os.cpu_count() or 1) // 2))
    settings = load_settings()
    with os.fdopen(int(sys.argv[1]), "w", encoding="utf-8") as answers:
        for line in sys.stdin:
            print(json.dumps(_answer(settings, line)), file=answers, flush=True)


if __name__ == "__main__":
    main()
