"""Scenes of one place side by side: their grids, and which window of each is a chip. Only headers are read here."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from rasterio.io import DatasetReader
from rasterio.windows import Window

from spatialnet.errors import BandsDoNotMatch, NothingToRead, SceneHasNoCRS
from spatialnet.importing.scenes.land_cover import Grid
from spatialnet.raster import check_scene, open_raster, read_window, shown_name
from spatialnet.sensors import Sensor

EDGE_TOLERANCE = 0.1
"""How far, in pixels, a chip's corner may lie from a pixel corner of another sensor."""

Ints = npt.NDArray[np.int64]


@dataclass(frozen=True)
class OpenScene:
    """The open rasters of one sensor at one place.

    Attributes:
        sensor: what its bands are.
        sources: its files, whose bands follow one another.
        bands: for each band of the sensor its number (from 1) among them; empty where they are in order.
        grid: the grid that the files share.
    """

    sensor: Sensor
    sources: tuple[DatasetReader, ...]
    bands: tuple[int, ...]
    grid: Grid

    def valid(self, row: int, column: int, height: int, width: int) -> npt.NDArray[np.bool_]:
        """Where every band holds a value: (height, width) bool; False outside of the raster."""
        result = np.zeros((height, width), bool)
        first_r, first_c = max(row, 0), max(column, 0)
        last_r, last_c = min(row + height, self.grid.height), min(column + width, self.grid.width)
        if first_r >= last_r or first_c >= last_c:
            return result
        window = Window(first_c, first_r, last_c - first_c, last_r - first_r)
        seen = np.ones((last_r - first_r, last_c - first_c), bool)
        before = 0
        for source in self.sources:
            own = [b - before for b in self.bands if before < b <= before + source.count] if self.bands else None
            before += source.count
            if own != []:
                seen &= np.isfinite(read_window(source, window, own)).all(axis=0)
        result[first_r - row : last_r - row, first_c - column : last_c - column] = seen
        return result


@contextmanager
def open_scenes(
    place: str, scenes: Mapping[Sensor, tuple[Path, ...]], bands: Mapping[str, tuple[int, ...]]
) -> Iterator[dict[Sensor, OpenScene]]:
    """Open every raster of a place and check that they fit together.

    Args:
        place: its name, for messages.
        scenes: per sensor its raster files.
        bands: per sensor name which bands to take, where not all in order.

    Raises:
        SceneHasNoCRS: a file has no coordinate reference system.
        BandsDoNotMatch: another number of bands, band files of several grids, or two coordinate reference systems.
        SpatialNetError: what `open_raster` says of a file.
    """
    with ExitStack() as stack:
        opened = {}
        for sensor, files in scenes.items():
            sources = tuple(stack.enter_context(open_raster(path)) for path in files)
            _check_bands(sources, sensor, bands.get(sensor.name, ()))
            opened[sensor] = OpenScene(sensor, sources, bands.get(sensor.name, ()), _one_grid(sources, sensor))
        first, *others = opened.values()
        for other in others:
            if other.grid.crs != first.grid.crs:
                raise BandsDoNotMatch(
                    f"At {place[:80]!r}, {first.sensor.label} is in {_crs_name(first.grid)} and {other.sensor.label} in "
                    f"{_crs_name(other.grid)}. Scenes of one place need one coordinate reference system: reproject one of them."
                )
        yield opened


def _check_bands(sources: tuple[DatasetReader, ...], sensor: Sensor, bands: tuple[int, ...]) -> None:
    total = sum(source.count for source in sources)
    if len(sources) == 1 and not bands:
        check_scene(sources[0], sensor)
    for source in sources:
        if source.crs is None:
            raise SceneHasNoCRS(
                f"{shown_name(source.name)} has no coordinate reference system, so it has no place on the map. "
                "Assign one and import it again."
            )
    if bands and (len(bands) != len(sensor.bands) or not all(1 <= band <= total for band in bands)):
        raise BandsDoNotMatch(
            f"Bands {', '.join(map(str, bands[:20]))} were named for {sensor.label}, which has {len(sensor.bands)} "
            f"({', '.join(sensor.bands)}); its files hold {total}. Name one file band, from 1 to {total}, for each."
        )
    if not bands and total != len(sensor.bands):
        files = ", ".join(shown_name(source.name) for source in sources[:16])
        raise BandsDoNotMatch(
            f"The files {files} have {total} bands in all; {sensor.label} has {len(sensor.bands)} "
            f"({', '.join(sensor.bands)}). Name one band for each, or say which bands to take."
        )


def _one_grid(sources: tuple[DatasetReader, ...], sensor: Sensor) -> Grid:
    first = Grid.of(sources[0])
    for source in sources[1:]:
        grid = Grid.of(source)
        if grid.crs != first.crs or windows(first, grid, np.zeros(1, np.int64), np.zeros(1, np.int64), 1, 1) is None:
            seen = f"{shown_name(sources[0].name)} has {told(first)}; {shown_name(source.name)} has {told(grid)}"
            raise BandsDoNotMatch(
                f"{seen}. Band files of {sensor.label} must share one pixel grid: resample one of them."
            )
        if (grid.height, grid.width) != (first.height, first.width) or not grid.transform.almost_equals(
            first.transform, EDGE_TOLERANCE * abs(first.transform.determinant) ** 0.5
        ):
            raise BandsDoNotMatch(
                f"{shown_name(sources[0].name)} has {told(first)}; {shown_name(source.name)} has {told(grid)}. "
                f"Band files of {sensor.label} must cover the same ground: cut them alike."
            )
    return first


def told(grid: Grid) -> str:
    """A grid in words, for messages."""
    x, y = grid.transform.c, grid.transform.f
    return f"{grid.width} x {grid.height} pixels of {pixel_of(grid):.6g} from ({x:.10g}, {y:.10g}) in {_crs_name(grid)}"


def pixel_of(grid: Grid) -> float:
    """Side of a pixel in the units of its coordinate reference system."""
    return float(np.hypot(grid.transform.b, grid.transform.e))


def _crs_name(grid: Grid) -> str:
    return str(grid.crs.to_string())[:40]


def windows(reference: Grid, other: Grid, rows: Ints, columns: Ints, size: int, own: int) -> tuple[Ints, Ints] | None:
    """Where chips of one grid begin in another, or None where a chip is no whole window of it.

    Args:
        reference: the grid on which chips are cut.
        other: the other grid, in the same coordinate reference system.
        rows: first row of each chip in the reference grid.
        columns: its first column.
        size: side of a chip in the reference grid.
        own: side of a chip in the other grid.
    """
    change = ~other.transform @ reference.transform
    found = []
    for dr, dc in ((0, 0), (0, size), (size, 0)):
        exact_c = change.a * (columns + dc) + change.b * (rows + dr) + change.c
        exact_r = change.d * (columns + dc) + change.e * (rows + dr) + change.f
        near_r, near_c = np.rint(exact_r), np.rint(exact_c)
        if max(np.abs(exact_r - near_r).max(), np.abs(exact_c - near_c).max()) > EDGE_TOLERANCE:
            return None
        found.append((near_r.astype(np.int64), near_c.astype(np.int64)))
    (top, left), right, below = found
    turned = (right[0] != top) | (right[1] != left + own) | (below[0] != top + own) | (below[1] != left)
    return None if turned.any() else (top, left)


def positions(reference: Grid, others: list[Grid], size: int, stride: int) -> tuple[Ints, Ints]:
    """First rows and first columns of the chips of a grid, spread so that the rest at the borders is even.

    Where another grid is coarser, the spread gives way by some pixels, so that chips begin on its pixels as well.

    Returns:
        (rows,) and (columns,): chips are all pairs of them.

    Raises:
        NothingToRead: the grid is smaller than a chip.
    """
    if min(reference.height, reference.width) < size:
        raise NothingToRead(
            f"The scene has {reference.width} x {reference.height} pixels; a chip needs {size} x {size}. "
            "Use a larger scene."
        )
    changes = [~other.transform @ reference.transform for other in others]
    first_r = _first(reference.height, size, stride, [(change.e, change.f) for change in changes])
    first_c = _first(reference.width, size, stride, [(change.a, change.c) for change in changes])
    return (
        np.arange(first_r, reference.height - size + 1, stride, dtype=np.int64),
        np.arange(first_c, reference.width - size + 1, stride, dtype=np.int64),
    )


def _first(length: int, size: int, stride: int, lines: list[tuple[float, float]]) -> int:
    rest = (length - size) % stride
    middle = rest // 2

    def fits(start: int) -> bool:
        return all(abs(v - round(v)) <= EDGE_TOLERANCE for v in (slope * start + shift for slope, shift in lines))

    return next(filter(fits, sorted(range(rest + 1), key=lambda start: abs(start - middle))), middle)


def blocks(down: int, across: int, size: int, stride: int, budget: int) -> Iterator[tuple[float, Ints]]:
    """Chips that are looked at together: strips, which are cut where a scene is very wide.

    Args:
        down: rows of chips.
        across: columns of chips.
        size: side of a chip in pixels.
        stride: pixels from one chip to the next.
        budget: how many pixels a block may have; a single chip may have more.

    Yields:
        The share that is done, and chip numbers in row-major order.
    """
    wide = min(across, max(1, (budget // size - size) // stride + 1))
    high = max(1, (budget // ((wide - 1) * stride + size) - size) // stride + 1)
    for row in range(0, down, high):
        for column in range(0, across, wide):
            r = np.arange(row, min(row + high, down), dtype=np.int64)
            c = np.arange(column, min(column + wide, across), dtype=np.int64)
            yield (row + column / across) / down, (r[:, None] * across + c[None]).ravel()
