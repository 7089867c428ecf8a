"""Predictions and embeddings over the chips of a data set."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from spatialnet.datasets.packed import PackedChips
from spatialnet.errors import CheckpointDoesNotFit, PredictionRefused
from spatialnet.model import SpatialNetViT, probabilities
from spatialnet.model.network import FEATURES
from spatialnet.predict.table import Scores

BATCH = {"cpu": 32, "cuda": 256}
"""Chips per forward pass: a processor is fastest while a batch fits its cache, a GPU while it is filled."""

Inputs = dict[str, Any]
"""What a model is called with: `images`, `present`, and `gsd` where it is not the model's own."""


@torch.inference_mode()
def predict_chips(
    model: SpatialNetViT,
    data: PackedChips,
    indices: npt.NDArray[np.int64] | None = None,
    *,
    batch: int | None = None,
    without: Sequence[str] = (),
    features: bool = False,
    progress: Callable[[float], None] = lambda _share: None,
) -> Scores:
    """Scores of chips for every task of the model.

    Args:
        model: in evaluation mode, on the device to use.
        data: has at least one of the model's sensors.
        indices: which chips, in this order; default all.
        batch: chips per forward pass; default by device.
        without: sensors that every chip is taken to lack.
        features: also give each chip's embedding, under the key `features`: (chips, dim), in steps of float16.
        progress: called with a share in 0..1.

    Returns:
        Per task (chips, classes) float32 as `spatialnet.predict.table` keeps them.

    Raises:
        CheckpointDoesNotFit: the data set has none of the model's sensors.
        PredictionRefused: no sensor is left.
    """
    chosen = np.arange(len(data)) if indices is None else indices
    parts: dict[str, list[npt.NDArray[np.float32]]] = {name: [] for name in model.tasks}
    embedded: list[npt.NDArray[np.float32]] = []
    done = 0
    for inputs in _batches(model, data, chosen, batch, without):
        answers = model(**inputs, return_features=features)
        for name, task in model.tasks.items():
            parts[name].append(probabilities(answers[name], task).cpu().numpy())
        if features:
            embedded.append(answers[FEATURES].half().float().cpu().numpy())
        done += len(parts[next(iter(parts))][-1])
        progress(done / len(chosen))
    scores = {name: _joined(rows, len(model.tasks[name].classes)) for name, rows in parts.items()}
    return scores | {FEATURES: _joined(embedded, model.dim)} if features else scores


@torch.inference_mode()
def embed_chips(
    model: SpatialNetViT,
    data: PackedChips,
    indices: npt.NDArray[np.int64] | None = None,
    *,
    batch: int | None = None,
    progress: Callable[[float], None] = lambda _share: None,
) -> npt.NDArray[np.float16]:
    """Embeddings of chips: (chips, dim) float16, the mean of the model's final tokens.

    Args:
        model: in evaluation mode, on the device to use.
        data: has at least one of the model's sensors.
        indices: which chips, in this order; default all.
        batch: chips per forward pass; default by device.
        progress: called with a share in 0..1.

    Raises:
        CheckpointDoesNotFit: the data set has none of the model's sensors.
    """
    chosen = np.arange(len(data)) if indices is None else indices
    result = np.empty((len(chosen), model.dim), np.float16)
    done = 0
    for inputs in _batches(model, data, chosen, batch):
        found = embed(model, inputs)
        result[done : done + len(found)] = found
        done += len(found)
        progress(done / len(chosen))
    return result


def embed(model: SpatialNetViT, inputs: Inputs) -> npt.NDArray[np.float16]:
    """Embeddings of prepared chips: (chips, dim) float16."""
    first = next(iter(model.tasks))  # one head costs nothing beside the backbone
    found: Tensor = model(**inputs, tasks=[first], return_features=True)[FEATURES]
    return np.asarray(found.half().cpu().numpy(), np.float16)


def prepared(
    model: SpatialNetViT, images: Mapping[str, npt.NDArray[Any]], dataset: str | None, *, overwrite: bool = True
) -> dict[str, Tensor]:
    """Pixels normalised as a data set's are; see `SpatialNetViT.prepare`."""
    return model.prepare(images, overwrite=overwrite, dataset=dataset)


def default_batch(device: torch.device) -> int:
    """Chips per forward pass where nobody says."""
    return BATCH.get(device.type, BATCH["cuda"])


def _batches(
    model: SpatialNetViT,
    data: PackedChips,
    chosen: npt.NDArray[np.int64],
    batch: int | None,
    without: Sequence[str] = (),
) -> Iterator[Inputs]:
    """Prepared chips, batch by batch; the next batch is read while the model works on the last."""
    names = [sensor.name for sensor in data.sensors if sensor.name in model.sensors]
    if not names:
        raise CheckpointDoesNotFit(
            f"The run knows the sensors {', '.join(model.sensors)}; data set {data.name} has "
            f"{', '.join(s.name for s in data.sensors)}. Choose a run that was trained on one of them."
        )
    left = [name for name in names if name not in without]
    if not left:
        raise PredictionRefused(
            f"Without {', '.join(names)} there is nothing to predict from. Leave at least one sensor."
        )
    names = left
    pixels = {name: data.images(name) for name in names}
    there = {name: data.present(name) for name in names}
    partial = any(not values.all() for values in there.values())
    size = default_batch(model.device) if batch is None else batch
    # Chips carry their ground sample distance where the model was trained on several data sets, as in its training.
    named = model.statistics.get(data.name, names[0]) is not None
    metres = model.gsd_of(data.gsd_m, data.chip_size) if named else 0.0
    gsd = torch.tensor([metres], device=model.device) if metres > 0 else None

    def read(start: int) -> Inputs:
        rows = chosen[start : start + size]
        images = prepared(model, {name: array[rows] for name, array in pixels.items()}, data.name)
        present = {name: torch.from_numpy(there[name][rows]) for name in names} if partial else None
        return {"images": images, "present": present, "gsd": None if gsd is None else gsd.expand(len(rows))}

    with ThreadPoolExecutor(1) as reader:
        starts = range(0, len(chosen), size)
        following = reader.submit(read, 0) if starts else None
        for start in starts:
            assert following is not None  # noqa: S101 - tells the type checker that there is a first batch
            inputs = following.result()
            following = reader.submit(read, start + size) if start + size < len(chosen) else None
            yield inputs


def _joined(rows: list[npt.NDArray[np.float32]], columns: int) -> npt.NDArray[np.float32]:
    return np.concatenate(rows) if rows else np.zeros((0, columns), np.float32)
