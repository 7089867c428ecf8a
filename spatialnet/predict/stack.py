"""The scenes of one place, opened together: how they lie on one another, and their pixels on the finest one's grid."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from affine import Affine
from rasterio.crs import CRS
from rasterio.io import DatasetReader
from rasterio.windows import Window

from spatialnet.errors import BandsDoNotMatch, CheckpointDoesNotFit
from spatialnet.predict.area import Degrees, area_window
from spatialnet.raster import check_scene, open_raster, read_window
from spatialnet.sensors import Sensor

Array = npt.NDArray[np.float32]

MAX_PIXELS = 10_000_000_000
"""Largest scene that is opened: 100,000 x 100,000. Only a strip of it is in memory at a time."""

EDGE_TOLERANCE = 0.1
"""How far, in its own pixels, the edges of a scene may lie from edges of the finest scene's pixels."""


@dataclass(frozen=True)
class Lie:
    """How a scene lies on the finest one.

    Attributes:
        factor: pixels of the finest scene that one of its pixels spans, along each axis.
        row: row of the finest scene at which it begins; may be negative.
        column: column of the finest scene at which it begins.
    """

    factor: int
    row: int
    column: int


@dataclass(frozen=True)
class PixelGrid:
    """The pixels that are looked at: the finest scene, or a part of it.

    Attributes:
        height: in pixels.
        width: in pixels.
        transform: pixel (column, row) to ground.
        crs: coordinate reference system.
        row: row of the finest scene at which it begins.
        column: column of the finest scene at which it begins.
    """

    height: int
    width: int
    transform: Affine
    crs: CRS
    row: int = 0
    column: int = 0


@dataclass(frozen=True)
class SceneStack:
    """Open scenes of one place.

    Attributes:
        sources: per sensor its raster.
        lies: per sensor how it lies on the grid.
        grid: the finest scene, or the part of it that was asked for.
    """

    sources: Mapping[str, DatasetReader]
    lies: Mapping[str, Lie]
    grid: DatasetReader

    def rows(self, sensor: str, top: int, height: int) -> Array:
        """Rows of the grid, (bands, height, width): coarser pixels are repeated; NaN where there is nothing."""
        return _read_rows(self.sources[sensor], Window(0, top, self.grid.width, height), self.lies[sensor])


@contextmanager
def open_stack(
    scenes: Mapping[str, Path],
    sensors: Mapping[str, Sensor],
    root: Path | None = None,
    area: Degrees | None = None,
    least: int = 1,
) -> Iterator[SceneStack]:
    """Open the scenes of those sensors that a model knows.

    Args:
        scenes: per sensor its file. The finest gives the grid.
        sensors: the model's.
        root: the folder that the scenes must lie in, or None.
        area: (west, south, east, north) in degrees, of which the grid is the part within the finest scene; None is all of it.
        least: side in pixels that such a part has at least, as far as the scene goes.

    Raises:
        CheckpointDoesNotFit: no scene of one of the sensors.
        PredictionRefused: the area does not meet the scene.
        BandsDoNotMatch: scenes whose grids do not fit on one another, or with other bands than their sensor.
        SceneUnreadable: a scene is no whole GeoTIFF; also when reading inside the `with` block fails.
    """
    known = {name: path for name, path in scenes.items() if name in sensors}
    if not known:
        raise CheckpointDoesNotFit(
            f"The run knows the sensors {', '.join(sensors)}; the scenes are of {', '.join(scenes)}."
        )
    with ExitStack() as stack:
        sources = {
            name: stack.enter_context(open_raster(path, root=root, max_pixels=MAX_PIXELS))
            for name, path in known.items()
        }
        for name, source in sources.items():
            check_scene(source, sensors[name])
        first = min(sources.values(), key=lambda source: abs(source.transform.a) + abs(source.transform.d))
        lies = {name: _lie(source, first) for name, source in sources.items()}
        if area is None:
            yield SceneStack(sources, lies, PixelGrid(first.height, first.width, first.transform, first.crs))
            return
        part = area_window(first, area, least)
        moved = {name: Lie(lie.factor, lie.row - part.row_off, lie.column - part.col_off) for name, lie in lies.items()}
        transform = first.transform @ Affine.translation(part.col_off, part.row_off)
        grid = PixelGrid(part.height, part.width, transform, first.crs, part.row_off, part.col_off)
        yield SceneStack(sources, moved, grid)


class Strip:
    """The rows of a stack that one row of windows sees; each row of the scenes is read once while it moves down.

    Args:
        stack: open scenes.
        size: side of a window in pixels of the finest scene.
    """

    def __init__(self, stack: SceneStack, size: int) -> None:
        self.stack, self.size = stack, size
        self._pixels: dict[str, Array] = {}
        self._end = 0

    def move(self, row: int) -> None:
        """See the rows from `row` on; rows that the strip held already are kept."""
        held = self._end - row if self._pixels and 0 <= self._end - row <= self.size else 0
        for name in self.stack.sources:
            fresh = self.stack.rows(name, row + held, self.size - held)
            kept = self._pixels[name][:, self.size - held :] if held else fresh[:, :0]
            self._pixels[name] = np.concatenate([kept, fresh], axis=1)
        self._end = row + self.size

    def valid(self, rows: int) -> npt.NDArray[np.bool_]:
        """Where any sensor has all its bands, over the first `rows` of the strip: (rows, width)."""
        seen = [np.isfinite(pixels[:, :rows]).all(axis=0) for pixels in self._pixels.values()]
        return np.asarray(np.any(seen, axis=0), bool)

    def windows(
        self, columns: Sequence[int]
    ) -> tuple[dict[str, Array], dict[str, torch.Tensor] | None, npt.NDArray[np.bool_]]:
        """The windows of the strip that begin at some columns.

        Returns:
            Pixels per sensor and which windows have it (None: all have all), both of those windows only that hold a valid
            pixel; and which windows those are. A window without one says nothing, and a sensor without one is absent.
        """
        cuts = {
            # Coarser scenes were repeated onto the finest grid; a model takes them at their own resolution.
            name: np.stack([
                pixels[:, :: self.stack.lies[name].factor, c : c + self.size : self.stack.lies[name].factor]
                for c in columns
            ])
            for name, pixels in self._pixels.items()
        }  # fmt: skip
        there = {name: np.asarray(np.isfinite(values).any(axis=(1, 2, 3)), bool) for name, values in cuts.items()}
        seen = np.stack(list(there.values())).max(axis=0)
        partial = any(not has[seen].all() for has in there.values())
        present = {name: torch.from_numpy(has[seen]) for name, has in there.items()} if partial else None
        return {name: values[seen] for name, values in cuts.items()}, present, seen


def _lie(source: DatasetReader, first: DatasetReader) -> Lie:
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
    return Lie(factor, row, column)


def _read_rows(source: DatasetReader, window: Window, lie: Lie) -> Array:
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
