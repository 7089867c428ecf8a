"""Manifests from what people ask for: everything is looked at before anything is written."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from spatialnet.datasets.packed import PackedChips
from spatialnet.errors import PredictionRefused
from spatialnet.joint import model_of
from spatialnet.model import SpatialNetViT, load_model
from spatialnet.predict.area import Degrees
from spatialnet.predict.scene import scene_windows
from spatialnet.predict.stack import open_stack
from spatialnet.raster import check_path
from spatialnet.runs import Run
from spatialnet.shards.embeddings import CHIPS_PER_UNIT
from spatialnet.shards.manifest import Item, Kind, Manifest, stamp

BATCH = 32
"""Windows per forward pass where nobody says. Part of the manifest: results are the same bits only for the same batches."""


def scenes_manifest(
    folder: Path,
    kind: Kind,
    run: Run,
    scenes: Mapping[str, Mapping[str, Path]],
    *,
    size: int | None = None,
    stride: int | None = None,
    batch: int = BATCH,
    area: Degrees | None = None,
    scores: bool = True,
    dataset: str | None = None,
) -> Manifest:
    """A manifest that predicts or embeds scenes.

    Args:
        folder: where results go.
        kind: `predict` or `embed`.
        run: a finished run.
        scenes: by name, per sensor its file.
        size: side of a window in pixels of the finest scene; default the run's chip size.
        stride: pixels from one window to the next; default half a window to predict, a whole one to embed.
        batch: windows per forward pass.
        area: (west, south, east, north) in degrees, of which the part within each scene is looked at; None = all of it.
        scores: to predict: keep the score of each class, not only class and confidence.
        dataset: as which of the run's data sets the scenes are looked at; default its first.

    Raises:
        PredictionRefused: no scene, a scene that the area does not meet, an impossible stride or batch, or a sensor
            that the run does not know.
        PathRefused: a file is not there, or is no GeoTIFF.
        BandsDoNotMatch, NothingToRead, SceneUnreadable: as `open_stack` and `SceneWindows.covering` say.
        CheckpointDoesNotFit: the run has no model that can be read.
    """
    if not scenes:
        raise PredictionRefused("No scene was named. Name at least one.")
    if not 1 <= batch <= 4096:
        raise PredictionRefused(f"A batch of {batch} windows cannot be. Choose 1 to 4096.")
    model, _ = load_model(model_of(run.folder, dataset or run.dataset))
    if kind == "embed" and stride is None:
        stride = size or model.chip_size
    items = []
    for name, files in scenes.items():
        unknown = sorted(files.keys() - model.sensors.keys())
        if unknown:
            raise PredictionRefused(
                f"Run {run.name} knows no sensor {unknown[0][:64]!r}; it has {', '.join(model.sensors)}."
            )
        real = {sensor: check_path(path) for sensor, path in files.items()}
        with open_stack(real, model.sensors, area=area, least=size or model.chip_size) as stack:
            units = len(scene_windows(stack, size or model.chip_size, stride).bands())
        stamps = {sensor: stamp(path) for sensor, path in real.items()}
        items.append(Item(item_name(name), units, {sensor: str(path) for sensor, path in real.items()}, stamps))
    options = {
        "size": size,
        "stride": stride,
        "batch": batch,
        "area": area and list(area),
        "scores": scores,
        "run": run.name,
    }
    return _manifest(folder, kind, run, options, items, dataset)


def chips_manifest(folder: Path, run: Run, data: PackedChips, *, batch: int = BATCH) -> Manifest:
    """A manifest that embeds the chips of a data set.

    Raises:
        PredictionRefused: an impossible batch.
        CheckpointDoesNotFit: the data set has none of the run's sensors, or the run has no model that can be read.
    """
    if not 1 <= batch <= 4096:
        raise PredictionRefused(f"A batch of {batch} chips cannot be. Choose 1 to 4096.")
    model, _ = load_model(model_of(run.folder, run.dataset))
    _share_a_sensor(model, data)
    units = max(1, -(-len(data) // CHIPS_PER_UNIT))
    item = Item(item_name(data.name), units, {"dataset": str(data.folder.resolve())}, {"dataset": data.fingerprint})
    return _manifest(folder, "embed", run, {"size": None, "stride": None, "batch": batch}, [item])


def runs_manifest(folder: Path, runs: Mapping[str, tuple[Path, Sequence[Path]]]) -> Manifest:
    """A manifest that trains runs.

    Args:
        folder: the work folder.
        runs: by name the run folder (with its `recipe.toml`) and the folders of its data sets.
    """
    items = [
        Item(
            item_name(name), 1,
            {"run": str(run.resolve())} | {f"dataset{n:03d}": str(path.resolve()) for n, path in enumerate(data)},
        )
        for name, (run, data) in runs.items()
    ]  # fmt: skip
    return Manifest(folder.resolve(), "train", "", "", {}, tuple(items))


def item_name(text: str) -> str:
    """A name for a folder out of any text."""
    return re.sub(r"[^A-Za-z0-9_-]+", "-", text).strip("-")[:64] or "scene"


def _share_a_sensor(model: SpatialNetViT, data: PackedChips) -> None:
    if not {sensor.name for sensor in data.sensors} & model.sensors.keys():
        raise PredictionRefused(
            f"The run knows the sensors {', '.join(model.sensors)}; data set {data.name} has "
            f"{', '.join(s.name for s in data.sensors)}. Choose a run that was trained on one of them."
        )


def _manifest(
    folder: Path, kind: Kind, run: Run, options: dict[str, Any], items: Sequence[Item], dataset: str | None = None
) -> Manifest:
    names = [item.name for item in items]
    double = next((name for name in names if names.count(name) > 1), None)
    if double:
        raise PredictionRefused(f"Two scenes are called {double[:64]!r}. Give each a name of its own.")
    model = model_of(run.folder.resolve(), dataset or run.dataset)
    return Manifest(folder.resolve(), kind, str(model), stamp(model), options, tuple(items))
