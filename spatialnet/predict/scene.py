"""Prediction over a whole scene: windows read once, overlaps blended, one COG per task.

A scene is predicted in bands of its rows. Each band can be predicted by another process: it computes the few rows of
windows above it that reach into it again, and every pixel comes out bit by bit as if one process had done all. Memory is
bounded by a row of windows and a batch of them, however tall the scene.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from rasterio.io import DatasetWriter
from rasterio.windows import Window

from spatialnet.datasets.class_raster import NO_CLASS, NONE_PRESENT, class_bands
from spatialnet.model import SpatialNetViT, probabilities
from spatialnet.palette import NONE_PRESENT_COLOUR, class_colours, rgb
from spatialnet.predict.ahead import ahead
from spatialnet.predict.chips import prepared
from spatialnet.predict.stack import Array, PixelGrid, SceneStack, Strip, open_stack
from spatialnet.predict.windows import Band, SceneWindows, blend_weights
from spatialnet.raster import cog_writer
from spatialnet.tasks import Task

Rows = tuple[int, Mapping[str, npt.NDArray[Any]]]
"""A row of the scene, and the pixels of each task's raster from there on: (bands, rows, width) uint8 or float32."""


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
    dataset: str | None = None,
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
        dataset: whose normalisation to use, where the model was trained on several data sets; default its first.
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
    with open_stack(scenes, model.sensors, root) as stack:
        windows = scene_windows(stack, model.chip_size if size is None else size, stride, origin)
        sweep = Sweep(model, stack, windows, batch, dataset)

        def rows() -> Iterator[Rows]:
            bands = windows.bands()
            for number, band in enumerate(bands):
                yield from sweep.rows(band, lambda done, n=number: progress((n + done) / len(bands)))  # type: ignore[misc]

        return write_maps(stack.grid, model.tasks, folder, ahead(rows()))


def scene_windows(
    stack: SceneStack, size: int, stride: int | None = None, origin: tuple[int, int] = (0, 0)
) -> SceneWindows:
    """The windows over a stack; `stride` is half a window by default.

    Raises:
        PredictionRefused: the stride is not in 1..size.
        NothingToRead: the scene is smaller than one window.
    """
    step = max(1, size // 2) if stride is None else stride
    # A part of a scene is seen through the windows that the whole scene is seen through.
    start = origin[0] - stack.grid.row, origin[1] - stack.grid.column
    return SceneWindows.covering(stack.grid.height, stack.grid.width, size, step, start)


class Sweep:
    """Predicts bands of one scene. A band that follows the last one goes on from it, any other starts anew.

    Args:
        model: in evaluation mode, on the device to use.
        stack: open scenes.
        windows: how they are covered.
        batch: windows per forward pass.
        dataset: whose normalisation to use.
    """

    def __init__(
        self, model: SpatialNetViT, stack: SceneStack, windows: SceneWindows, batch: int, dataset: str | None = None
    ) -> None:
        self.model, self.windows, self.batch, self.dataset = model, windows, batch, dataset
        self._strip = Strip(stack, windows.size)
        self._weights = blend_weights(windows.size)
        self._width = stack.grid.width
        self._next: int | None = None
        self._totals: dict[str, Array] = {}
        self._weight = np.zeros((0, 0), np.float32)

    @torch.inference_mode()
    def rows(self, band: Band, progress: Callable[[float], None] = lambda _share: None) -> Iterator[Rows]:
        """The pixels of a band, from top to bottom."""
        if self._next != band.first:
            self._start(band.first)
        for index in range(band.first, band.last):
            valid = self._look(index)
            done = len(valid)
            settled = {}
            for name, task in self.model.tasks.items():
                scores = np.divide(
                    self._totals[name][:, :done], np.maximum(self._weight[:done], 1e-9), dtype=np.float32
                )
                scores[:, ~(valid & (self._weight[:done] > 0))] = np.nan
                settled[name] = _bands(task, scores)
            self._drop(done)
            self._next = index + 1
            yield self.windows.rows[index], settled
            progress((index + 1 - band.first) / (band.last - band.first))

    def _start(self, first: int) -> None:
        """Begin at a row of windows: look through those before it that reach into it, in the order of a whole sweep."""
        size = self.windows.size
        self._totals = {
            name: np.zeros((len(task.classes), size, self._width), np.float32)
            for name, task in self.model.tasks.items()
        }
        self._weight = np.zeros((size, self._width), np.float32)
        for index in range(self.windows.reaching(first), first):
            self._drop(len(self._look(index)))

    def _look(self, index: int) -> npt.NDArray[np.bool_]:
        """Add the answers of a row of windows; gives where the pixel rows that are settled by it are valid."""
        windows, size = self.windows, self.windows.size
        row = windows.rows[index]
        self._strip.move(row)
        for start in range(0, len(windows.columns), self.batch):
            columns = windows.columns[start : start + self.batch]
            images, present, seen = self._strip.windows(columns)
            if not seen.any():
                continue
            logits = self.model(prepared(self.model, images, self.dataset), present=present)
            kept = [column for column, is_seen in zip(columns, seen, strict=True) if is_seen]
            for column in kept:
                self._weight[:, column : column + size] += self._weights
            for name, task in self.model.tasks.items():
                scores = probabilities(logits[name], task).cpu().numpy()
                for values, column in zip(scores, kept, strict=True):
                    self._totals[name][:, :, column : column + size] += values[:, None, None] * self._weights
        following = windows.rows[index + 1] if index + 1 < len(windows.rows) else windows.height
        return self._strip.valid(following - row)

    def _drop(self, done: int) -> None:
        self._totals = {name: _roll(rows, done) for name, rows in self._totals.items()}
        self._weight = _roll(self._weight, done)


def write_maps(
    grid: PixelGrid,
    tasks: Mapping[str, Task],
    folder: Path,
    rows: Iterable[Rows],
    *,
    scores: bool = True,
    coloured: bool = False,
    tags: Mapping[str, str] | None = None,
) -> dict[str, Path]:
    """Write the rasters of a scene, all at once or none.

    Args:
        grid: gives size, transform and coordinate reference system.
        tasks: which rasters.
        folder: where `<task>.tif` go; it exists.
        rows: every row of the scene, from top to bottom.
        scores: keep the score of each class; else only class and confidence. Counts are always kept.
        coloured: write `<task>-classes.tif` too: the class alone, with its colour table (a GeoTIFF has one for a single band only).
        tags: provenance; each file also says its task and classes.

    Returns:
        The file of each task, and of `<task>-classes`. Bytes depend on the pixels only, not on who computed them in which portions.

    Raises:
        NotEnoughDisk: the disk is full; files that were there are unchanged.
        SceneUnreadable: the folder cannot be written to.
    """
    files = {}
    with ExitStack() as stack:
        writers: list[tuple[str, int | None, DatasetWriter]] = []
        for name, task in tasks.items():
            kept = None if scores or task.kind == "count" else 2
            said = {**(tags or {}), "TASK": name, "CLASSES": json.dumps(task.classes, ensure_ascii=False)}
            files[name] = folder / f"{name}.tif"
            writers.append((name, kept, stack.enter_context(_writer(files[name], grid, task, kept, said))))
            if coloured and task.kind != "count":
                files[f"{name}-classes"] = path = folder / f"{name}-classes.tif"
                writers.append((name, 1, stack.enter_context(_colour_writer(path, grid, task, said))))
        for top, pixels in rows:
            for name, kept, writer in writers:
                writer.write(pixels[name][:kept], window=Window(0, top, grid.width, pixels[name].shape[1]))
    return files


def colour_table(task: Task) -> dict[int, tuple[int, int, int, int]]:
    """RGBA of each value in band 1 of a task's raster; values without a meaning are clear."""
    named = {index: (*rgb(colour), 255) for index, colour in enumerate(class_colours(task))}
    return dict.fromkeys(range(256), (0, 0, 0, 0)) | named | {NONE_PRESENT: (*rgb(NONE_PRESENT_COLOUR), 255)}


def map_bands(task: Task) -> tuple[int, str]:
    """Number and NumPy type of the bands of a task's raster."""
    return (len(task.classes), "float32") if task.kind == "count" else (2 + len(task.classes), "uint8")


def _writer(
    path: Path, like: PixelGrid, task: Task, kept: int | None, tags: Mapping[str, str]
) -> AbstractContextManager[DatasetWriter]:
    if task.kind == "count":
        return cog_writer(
            path, like, count=len(task.classes), dtype="float32", nodata=float("nan"), descriptions=task.classes, tags=tags
        )  # fmt: skip
    names = ["class", "confidence", *(f"p({name})" for name in task.classes)][:kept]
    scales = [1.0] + [0.01] * (len(names) - 1)
    return cog_writer(
        path, like, count=len(names), dtype="uint8", nodata=NO_CLASS, descriptions=names, scales=scales, tags=tags
    )


def _colour_writer(
    path: Path, like: PixelGrid, task: Task, tags: Mapping[str, str]
) -> AbstractContextManager[DatasetWriter]:
    return cog_writer(
        path, like, count=1, dtype="uint8", nodata=NO_CLASS, descriptions=["class"], tags=tags, colours=colour_table(task)
    )  # fmt: skip


def _roll(rows: Array, done: int) -> Array:
    """Drop the first `done` rows and append as many of zeros, along the last but one axis."""
    fresh = np.zeros((*rows.shape[:-2], done, rows.shape[-1]), np.float32)
    return np.concatenate([rows[..., done:, :], fresh], axis=-2)


def _bands(task: Task, scores: Array) -> npt.NDArray[np.float32] | npt.NDArray[np.uint8]:
    if task.kind == "count":
        return scores
    flat, _ = class_bands(task, scores.reshape(scores.shape[0], -1).T)
    return flat.T.reshape(-1, *scores.shape[1:])
