"""Reads the chips of a listing, of one sensor, in order: every block of a scene is decoded once.

A window is not read by itself: rows of the raster are read in bands as wide as the scene and cut into chips, so that
overlapping chips, and chips that share a block, cost one decode.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any

import h5py
import numpy as np
import numpy.typing as npt
from rasterio.io import DatasetReader
from rasterio.windows import Window

from spatialnet.errors import BandsDoNotMatch, ImportRefused, SceneUnreadable
from spatialnet.importing.listing import Pixels
from spatialnet.raster import open_raster, read_image, read_native, read_window, shown_name

BAND_BYTES = 24 << 20
"""A band of rows is at most this large; what overlaps the next one is kept and not read again."""

MAX_SCENE_PIXELS = 4_000_000_000
"""Scenes are read in bands of rows, so they may be far larger than what is read whole."""


class ChipReader:
    """The chips of one sensor; use it as a context manager.

    Args:
        pixels: where they are.
        masked: give float32 with NaN where a file says that there is no data, whatever value it uses for that.
    """

    def __init__(self, pixels: Pixels, *, masked: bool = False) -> None:
        self.pixels = pixels
        self.masked = masked
        self._open = ExitStack()
        self._rasters: dict[int, DatasetReader] = {}
        self._arrays: dict[int, Any] = {}
        self._missing = ~pixels.present

    def __enter__(self) -> ChipReader:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._rasters.clear()
        self._arrays.clear()
        self._open.close()

    def chip(self, index: int) -> npt.NDArray[Any] | None:
        """One chip: (bands, height, width) of the file's own type; None where the sensor is missing.

        Raises:
            SceneUnreadable: a file cannot be read to its end.
            BandsDoNotMatch: the chip's files have other bands than were asked for.
            SpatialNetError: another of its children says what is wrong with a file.
        """
        if self._missing[index]:
            return None
        pixels = self.pixels
        if pixels.reader == "files":
            return self._whole(index)
        if pixels.reader == "windows":
            row, column = int(pixels.row[index]), int(pixels.column[index])
            return self._rows(pixels.file[index], row, pixels.size, column, pixels.size)
        return self._record(index)

    def chips(self, start: int, stop: int) -> Iterator[npt.NDArray[Any] | None]:
        """Chips `start` to `stop` in order, as `chip` gives them; arrays may be views that change with the next one."""
        if self.pixels.reader != "windows":
            yield from map(self.chip, range(start, stop))
            return
        missing = self._missing[start:stop]
        cut = self._windows(start + np.flatnonzero(~missing))
        for gone in missing:
            yield None if gone else next(cut)

    def _windows(self, chips: npt.NDArray[np.int64]) -> Iterator[npt.NDArray[Any]]:
        # A run of chips lies in the same rasters, and its rows never go back.
        file, row = self.pixels.file[chips], self.pixels.row[chips]
        breaks = np.flatnonzero((file[1:] != file[:-1]).any(axis=1) | (row[1:] < row[:-1])) + 1
        for run in np.split(chips, breaks):
            if len(run):
                yield from self._run(run)

    def _run(self, chips: npt.NDArray[np.int64]) -> Iterator[npt.NDArray[Any]]:
        pixels, size = self.pixels, self.pixels.size
        files, rows, columns = pixels.file[chips[0]], pixels.row[chips], pixels.column[chips]
        source = self._raster(int(files[0]))
        first_column, end = int(columns.min()), int(rows[-1]) + size
        width = int(columns.max()) + size - first_column
        step = _band_rows(source, len(pixels.sensor.bands), size)
        held, first = np.zeros((0, 0, 0), np.uint8), 0
        for row, column in zip(rows.tolist(), columns.tolist(), strict=True):
            if row + size > first + held.shape[1]:
                # As far as whole blocks reach: the next band then starts where no block was touched.
                last = min(_up(row + size, step), _up(end, step), source.height)
                held, first = self._advance(files, held, first, row, max(last, row + size), first_column, width)
            top, left = row - first, column - first_column
            yield held[:, top : top + size, left : left + size]

    def _advance(
        self,
        files: npt.NDArray[np.int32],
        held: npt.NDArray[Any],
        first: int,
        row: int,
        last: int,
        column: int,
        width: int,
    ) -> tuple[npt.NDArray[Any], int]:
        """Rows `row` to `last`: those already held are kept, the others are read."""
        have = first + held.shape[1]
        if held.shape[1] == 0 or row >= have:
            return self._rows(files, row, last - row, column, width), row
        more = self._rows(files, have, last - have, column, width)
        return np.concatenate([held[:, row - first :], more], axis=1), row

    def _rows(self, files: npt.NDArray[np.int32], row: int, rows: int, column: int, width: int) -> npt.NDArray[Any]:
        sources = [self._raster(int(file)) for file in files]
        counts = [source.count for source in sources]
        wanted = self._bands(sum(counts), sources[0])
        window = Window(column, row, width, rows)
        parts, before = [], 0
        for source, count in zip(sources, counts, strict=True):
            own = [band - before for band in sorted(wanted) if before < band <= before + count]
            if own:
                read = read_window if self.masked else read_native
                parts.append(read(source, window, own))
            before += count
        pixels = parts[0] if len(parts) == 1 else np.concatenate(parts)
        order = sorted(wanted)
        return pixels if order == list(wanted) else pixels[[order.index(band) for band in wanted]]

    def _bands(self, count: int, first: DatasetReader | Path) -> tuple[int, ...]:
        sensor, bands = self.pixels.sensor, self.pixels.bands
        name = shown_name(first if isinstance(first, Path) else first.name)
        if bands:
            if max(bands) > count:
                raise BandsDoNotMatch(
                    f"{name} has {count} bands; the mapping to {sensor.label} asks for band {max(bands)}. Correct the mapping."
                )
            return bands
        if count != len(sensor.bands):
            raise BandsDoNotMatch(
                f"{name} has {count} bands; {sensor.label} has {len(sensor.bands)} ({', '.join(sensor.bands)}). "
                "Choose the sensor that fits, or say which band is which."
            )
        return tuple(range(1, count + 1))

    def _whole(self, index: int) -> npt.NDArray[Any]:
        paths = [self.pixels.files[file] for file in self.pixels.file[index]]
        parts = [self._image(path) for path in paths]
        wanted = self._bands(sum(len(part) for part in parts), paths[0])
        height, width = (max(part.shape[axis] for part in parts) for axis in (1, 2))
        parts = [_grown(part, height, width, path) for part, path in zip(parts, paths, strict=True)]
        pixels = parts[0] if len(parts) == 1 else np.concatenate(parts)
        if wanted == tuple(range(1, len(pixels) + 1)):
            return pixels
        return np.ascontiguousarray(pixels[[band - 1 for band in wanted]])

    def _image(self, path: Path) -> npt.NDArray[Any]:
        pixels, header = read_image(path)
        if not self.masked:
            return pixels
        values = pixels.astype(np.float32)
        if header.nodata is not None:
            values[pixels == header.nodata] = np.nan
        return values

    def _record(self, index: int) -> npt.NDArray[Any]:
        file = int(self.pixels.file[index, 0])
        array = self._array(file)
        row = int(self.pixels.row[index])
        try:
            record = np.asarray(array[row])
        except (OSError, IndexError, ValueError) as error:
            raise SceneUnreadable(
                f"{shown_name(self.pixels.files[file])} ends before row {row}. Copy it again."
            ) from error
        if record.ndim == 2:
            record = record[None]
        if self.pixels.channels_last:
            record = record.transpose(2, 0, 1)
        wanted = self._bands(len(record), self.pixels.files[file])
        record = record if wanted == tuple(range(1, len(record) + 1)) else record[[band - 1 for band in wanted]]
        return np.ascontiguousarray(record, np.float32 if record.dtype == np.float64 else None)

    def _array(self, file: int) -> Any:
        if file not in self._arrays:
            path = self.pixels.files[file]
            try:
                if self.pixels.reader == "npy":
                    self._arrays[file] = np.load(path, mmap_mode="r", allow_pickle=False)
                else:
                    self._arrays[file] = self._open.enter_context(h5py.File(path, "r"))[self.pixels.array]
            except (OSError, ValueError, KeyError, EOFError) as error:
                raise SceneUnreadable(
                    f"{shown_name(path)} cannot be read: it is cut short, damaged or of another kind. Copy it again."
                ) from error
            if getattr(self._arrays[file], "ndim", 0) not in (3, 4):
                raise ImportRefused(f"{shown_name(path)} holds no array of chips. Choose another file.")
        return self._arrays[file]

    def _raster(self, file: int) -> DatasetReader:
        if file not in self._rasters:
            path = self.pixels.files[file]
            self._rasters[file] = self._open.enter_context(open_raster(path, max_pixels=MAX_SCENE_PIXELS))
        return self._rasters[file]


def _up(row: int, step: int) -> int:
    return -(-row // step) * step


def _band_rows(source: DatasetReader, bands: int, size: int) -> int:
    """How many rows to read at once: whole blocks, at least a chip, at most `BAND_BYTES`."""
    block = int(source.block_shapes[0][0])
    row_bytes = source.width * bands * np.dtype(source.dtypes[0]).itemsize
    rows = max(size, int(BAND_BYTES // max(row_bytes, 1)))
    return max(rows // block * block, block) if block < source.height else source.height


def _grown(pixels: npt.NDArray[Any], height: int, width: int, path: Path) -> npt.NDArray[Any]:
    """Bands of a coarser file on the pixel grid of the finest, each pixel repeated."""
    if pixels.shape[1:] == (height, width):
        return pixels
    down, across = height / pixels.shape[1], width / pixels.shape[2]
    if down != across or not down.is_integer():
        raise SceneUnreadable(
            f"{shown_name(path)} has {pixels.shape[2]} x {pixels.shape[1]} pixels beside bands of {width} x {height}: "
            "no whole multiple. Resample it first."
        )
    return pixels.repeat(int(down), axis=1).repeat(int(across), axis=2)
