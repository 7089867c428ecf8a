"""Prediction over a whole scene: windows read once, overlaps blended, one COG per task.

Memory is bounded by a row of windows and a batch of them, however tall the scene.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from rasterio.io import DatasetReader, DatasetWriter
from rasterio.windows import Window

from spatialnet.datasets.class_raster import NO_CLASS, class_bands
from spatialnet.errors import BandsDoNotMatch, CheckpointDoesNotFit, NothingToRead, PredictionRefused
from spatialnet.model import SpatialNetViT, probabilities
from spatialnet.raster import check_scene, cog_writer, open_raster, read_window
from spatialnet.tasks import Task

Array = npt.NDArray[np.float32]

EDGE_TOLERANCE = 0.1
"""How far, in its own pixels, the edges of a scene may lie from edges of the finest scene's pixels."""


@dataclass(frozen=True)
class SceneWindows:
    """How windows cover one axis pair of a scene.

    Attributes:
        rows: first row of each row of windows, increasing.
        columns: first column of each window in a row, increasing.
        size: side of a window in pixels.
    """

    rows: tuple[int, ...]
    columns: tuple[int, ...]
    size: int

    @classmethod
    def covering(
        cls, height: int, width: int, size: int, stride: int, origin: tuple[int, int] = (0, 0)
    ) -> SceneWindows:
        """Windows every `stride` pixels from `origin`, and at the borders where they would leave pixels uncovered.

        Raises:
            PredictionRefused: the stride is not in 1..size.
            NothingToRead: the scene is smaller than one window.
        """
        if not 1 <= stride <= size:
            raise PredictionRefused(
                f"A stride of {stride} pixels does not fit windows of {size}. Choose 1 to {size}; half is usual."
            )
        if min(height, width) < size:
            raise NothingToRead(
                f"The scene has {width} x {height} pixels; the run needs {size} x {size}. Use a larger one."
            )
        return cls(_starts(height, size, stride, origin[0]), _starts(width, size, stride, origin[1]), size)


def _starts(length: int, size: int, stride: int, origin: int) -> tuple[int, ...]:
    starts = set(range(origin % stride, length - size + 1, stride))
    return tuple(sorted(starts | {0, length - size}))


def blend_weights(size: int) -> Array:
    """How much each pixel of a window counts where windows overlap: most in the middle, (size, size) float32."""
    ramp = np.minimum(np.arange(1, size + 1), np.arange(size, 0, -1)).astype(np.float32)
    return np.outer(ramp, ramp) / ramp.max() ** 2


@torch.inference_mode()
def predict_scene(
    model: SpatialNetViT,
    scenes: Mapping[str, Path],
    folder: Path,
    *,
    size: int | None = None,
    stride: int | None = None,
    origin: tuple[int, int] = (0, 0),
    batch: int = 128,
    root: Path | None = None,
    progress: Callable[[float], None] = lambda _share: None,
) -> dict[str, Path]:
    """Write one COG per task: class, confidence and the score of each class, on the scene's own grid.

    Args:
        model: in evaluation mode, on the device to use.
        scenes: per sensor its file. The finest one gives the grid; others may be coarser by a whole factor, and may lie on
            a part of its ground only.
        folder: where `<task>.tif` go; it exists.
        size: side of a window in pixels of the finest scene; default the model's chip size.
        stride: pixels from one window to the next; default half a window. At a whole chip nothing is blended.
        origin: (row, column) of one window; aligns windows with the chips of a data set.
        batch: windows per forward pass.
        root: the folder that the scenes must lie in, or None.
        progress: called with a share in 0..1.

    Returns:
        The file of each task. Bands are those of `spatialnet.datasets.class_raster.class_bands`; a `count` task has one
        float32 band per class, the count in a window around the pixel.

    Raises:
        CheckpointDoesNotFit: no scene of one of the model's sensors.
        BandsDoNotMatch: scenes whose grids do not fit on one another, or with other bands than their sensor.
        PredictionRefused: the stride is not in 1..window size.
        NothingToRead: the scene is smaller than a window.
        SceneUnreadable: a scene is damaged or cut short; no file is written.
        NotEnoughDisk: the disk is full; files that were there are unchanged.
    """
    known = {name: path for name, path in scenes.items() if name in model.sensors}
    if not known:
        raise CheckpointDoesNotFit(
            f"The run knows the sensors {', '.join(model.sensors)}; the scenes are of {', '.join(scenes)}."
        )
    side = model.chip_size if size is None else size
    with ExitStack() as stack:
        sources = {name: stack.enter_context(open_raster(path, root=root)) for name, path in known.items()}
        for name, source in sources.items():
            check_scene(source, model.sensors[name])
        first = min(sources.values(), key=lambda source: abs(source.transform.a) + abs(source.transform.d))
        lies = {name: _lie(source, first) for name, source in sources.items()}
        step = max(1, side // 2) if stride is None else stride
        windows = SceneWindows.covering(first.height, first.width, side, step, origin)
        files = {name: folder / f"{name}.tif" for name in model.tasks}
        writers = {name: stack.enter_context(_writer(files[name], first, task)) for name, task in model.tasks.items()}
        _sweep(model, sources, lies, first.shape, writers, windows, batch, progress)
    return files


@dataclass(frozen=True)
class _Lie:
    """How a scene lies on the finest one.

    Attributes:
        factor: pixels of the finest scene that one of its pixels spans, along each axis.
        row: row of the finest scene at which it begins; may be negative.
        column: column of the finest scene at which it begins.
    """

    factor: int
    row: int
    column: int


def _lie(source: DatasetReader, first: DatasetReader) -> _Lie:
    change = ~first.transform @ source.transform
    factor = max(1, round(change.a))
    column, row = round(change.c), round(change.f)
    ends = ((0, 0), (source.width, 0), (0, source.height), (source.width, source.height))
    exact = np.array([change @ end for end in ends])
    wanted = np.array([(column + factor * right, row + factor * down) for right, down in ends])
    apart = column >= first.width or row >= first.height or (wanted[-1] <= 0).any()
    if source.crs != first.crs or apart or np.abs(exact - wanted).max() > EDGE_TOLERANCE * factor:
        raise BandsDoNotMatch(
            "The scenes do not share one pixel grid, nor is one coarser than the other by a whole factor. Resample them to one first."
        )
    return _Lie(factor, row, column)


def _writer(path: Path, like: DatasetReader, task: Task) -> AbstractContextManager[DatasetWriter]:
    if task.kind == "count":
        return cog_writer(
            path, like, count=len(task.classes), dtype="float32", nodata=float("nan"), descriptions=task.classes
        )
    names = ["class", "confidence", *(f"p({name})" for name in task.classes)]
    scales = [1.0] + [0.01] * (len(names) - 1)
    return cog_writer(path, like, count=len(names), dtype="uint8", nodata=NO_CLASS, descriptions=names, scales=scales)


def _sweep(
    model: SpatialNetViT,
    sources: Mapping[str, DatasetReader],
    lies: Mapping[str, _Lie],
    shape: tuple[int, int],
    writers: Mapping[str, DatasetWriter],
    windows: SceneWindows,
    batch: int,
    progress: Callable[[float], None],
) -> None:
    size, weights = windows.size, blend_weights(windows.size)
    height, width = shape
    strip = {name: np.full((s.count, size, width), np.nan, np.float32) for name, s in sources.items()}
    totals = {name: np.zeros((len(task.classes), size, width), np.float32) for name, task in model.tasks.items()}
    weight = np.zeros((size, width), np.float32)
    read_to = 0
    for index, row in enumerate(windows.rows):
        for name, source in sources.items():
            fresh = Window(0, read_to, width, row + size - read_to)
            # Rows that the last strip held already are kept, so that each is read once.
            strip[name] = np.concatenate(
                [strip[name][:, fresh.height :], _read_rows(source, fresh, lies[name])], axis=1
            )
        read_to = row + size
        for start in range(0, len(windows.columns), batch):
            columns = windows.columns[start : start + batch]
            _add(model, strip, lies, columns, weights, totals, weight)
        following = windows.rows[index + 1] if index + 1 < len(windows.rows) else height
        done = following - row
        valid = np.any([np.isfinite(pixels[:, :done]).all(axis=0) for pixels in strip.values()], axis=0)
        for name, task in model.tasks.items():
            scores = np.divide(totals[name][:, :done], np.maximum(weight[:done], 1e-9), dtype=np.float32)
            scores[:, ~(valid & (weight[:done] > 0))] = np.nan
            writers[name].write(_bands(task, scores), window=Window(0, row, width, done))
            totals[name] = _roll(totals[name], done)
        weight = _roll(weight, done)
        progress((index + 1) / len(windows.rows))


def _read_rows(source: DatasetReader, window: Window, lie: _Lie) -> Array:
    """Rows of the finest grid out of a scene that may be coarser, each pixel repeated; NaN where it does not reach."""
    factor = lie.factor
    rows = _reach(window.row_off - lie.row, window.height, source.height * factor)
    columns = _reach(-lie.column, window.width, source.width * factor)
    if factor == 1 and rows == (0, window.height) and columns == (0, window.width):
        return read_window(source, Window(-lie.column, window.row_off - lie.row, window.width, window.height))
    result = np.full((source.count, window.height, window.width), np.nan, np.float32)
    if rows[0] >= rows[1] or columns[0] >= columns[1]:
        return result
    top, left = window.row_off - lie.row + rows[0], columns[0] - lie.column
    high, wide = rows[1] - rows[0], columns[1] - columns[0]
    first_r, first_c = top // factor, left // factor
    last_r, last_c = -(-(top + high) // factor), -(-(left + wide) // factor)
    coarse = read_window(source, Window(first_c, first_r, last_c - first_c, last_r - first_r))
    grown = coarse.repeat(factor, axis=1).repeat(factor, axis=2)
    skip_r, skip_c = top - first_r * factor, left - first_c * factor
    result[:, rows[0] : rows[1], columns[0] : columns[1]] = grown[:, skip_r : skip_r + high, skip_c : skip_c + wide]
    return result


def _reach(start: int, length: int, end: int) -> tuple[int, int]:
    """Which part of `length` pixels from `start` on lies in 0..end."""
    return min(max(0, -start), length), max(0, min(length, end - start))


def _add(
    model: SpatialNetViT,
    strip: Mapping[str, Array],
    lies: Mapping[str, _Lie],
    columns: tuple[int, ...],
    weights: Array,
    totals: dict[str, Array],
    weight: Array,
) -> None:
    size = weights.shape[0]
    cuts = {
        # Coarser scenes were repeated onto the finest grid; a model takes them at their own resolution.
        name: np.stack([pixels[:, :: lies[name].factor, c : c + size : lies[name].factor] for c in columns])
        for name, pixels in strip.items()
    }
    # A window without a single valid pixel says nothing, and a sensor without one is absent.
    there = {name: np.asarray(np.isfinite(values).any(axis=(1, 2, 3)), bool) for name, values in cuts.items()}
    seen = np.stack(list(there.values())).max(axis=0)
    if not seen.any():
        return
    partial = any(not has[seen].all() for has in there.values())
    present = {name: torch.from_numpy(has[seen]) for name, has in there.items()} if partial else None
    logits = model(model.prepare({name: values[seen] for name, values in cuts.items()}), present=present)
    kept = [column for column, is_seen in zip(columns, seen, strict=True) if is_seen]
    for column in kept:
        weight[:, column : column + size] += weights
    for name, task in model.tasks.items():
        scores = probabilities(logits[name], task).cpu().numpy()
        for row, column in zip(scores, kept, strict=True):
            totals[name][:, :, column : column + size] += row[:, None, None] * weights


def _roll(rows: Array, done: int) -> Array:
    """Drop the first `done` rows and append as many of zeros, along the last but one axis."""
    fresh = np.zeros((*rows.shape[:-2], done, rows.shape[-1]), np.float32)
    return np.concatenate([rows[..., done:, :], fresh], axis=-2)


def _bands(task: Task, scores: Array) -> npt.NDArray[np.float32] | npt.NDArray[np.uint8]:
    if task.kind == "count":
        return scores
    flat, _ = class_bands(task, scores.reshape(scores.shape[0], -1).T)
    return flat.T.reshape(-1, *scores.shape[1:])
