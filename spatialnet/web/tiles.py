"""Map tiles: `/tiles/<layer>/.../{z}/{x}/{y}.png`, 256 pixels wide, in Web Mercator.

Each tile is warped by GDAL straight onto its own pixel grid. rio-tiler's reader asks GDAL for a default grid first,
which needs the VRT driver, and that driver is switched off because a VRT can point at any file or address.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from affine import Affine
from rasterio.enums import Resampling
from rasterio.io import DatasetReader
from rasterio.vrt import WarpedVRT
from rasterio.warp import transform_bounds
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from spatialnet.datasets.packed import SPLITS, PackedChips
from spatialnet.raster import open_raster
from spatialnet.tasks import Task
from spatialnet.web import paint
from spatialnet.web.answers import NotHere, RequestRefused, answered, picture
from spatialnet.web.colours import NONE_PRESENT_COLOUR, SPLIT_COLOURS, class_colours, rgb
from spatialnet.web.shown_bands import shown_bands
from spatialnet.web.sources import Sources, sensor_of, task_of

TILE = 256
MAX_ZOOM = 24
NONE_PRESENT = 254
"""Band 1 of a class raster where a multilabel task has no class."""

_HALF = 20_037_508.342789244  # half the side of the Web Mercator square, in metres
_CLASS_BAND, _CONFIDENCE_BAND, _FIRST_SCORE_BAND = 1, 2, 3

Read = tuple[npt.NDArray[np.float32] | npt.NDArray[np.uint8], npt.NDArray[np.bool_]]
Paint = Callable[[DatasetReader, "Grid"], paint.Pixels]


class Grid:
    """The pixel grid of one tile.

    Attributes:
        bounds: (west, south, east, north) in Web Mercator metres.
        transform: tile pixel to Web Mercator metres.
    """

    def __init__(self, z: int, x: int, y: int) -> None:
        side = 2 * _HALF / 2**z
        west, north = x * side - _HALF, _HALF - y * side
        self.bounds = (west, north - side, west + side, north)
        self.pixel = side / TILE
        self.transform = Affine(self.pixel, 0, west, 0, -self.pixel, north)

    def read(self, source: DatasetReader, bands: list[int], shrink: Resampling) -> Read:
        """Bands of a raster on this grid.

        Args:
            source: an open raster.
            bands: from 1.
            shrink: how several pixels become one; where pixels grow, each stays a sharp square.

        Returns:
            Values (bands, 256, 256) in the raster's type, and where all of them are valid (256, 256).
        """
        whole = transform_bounds(source.crs, "EPSG:3857", *source.bounds)
        west, south, east, north = self.bounds
        if whole[0] >= east or whole[2] <= west or whole[1] >= north or whole[3] <= south:
            return np.zeros((len(bands), TILE, TILE), source.dtypes[0]), np.zeros((TILE, TILE), bool)
        grows = self.pixel < (whole[2] - whole[0]) / source.width
        with WarpedVRT(
            source, crs="EPSG:3857", transform=self.transform, width=TILE, height=TILE,
            resampling=Resampling.nearest if grows else shrink, add_alpha=source.nodata is None,
        ) as warped:  # fmt: skip
            values = warped.read(bands)
            valid = warped.read(warped.count) > 0 if source.nodata is None else _known(values, source.nodata)
        return values, valid


class Tiles:
    """Serves the tiles of data sets and runs."""

    def __init__(self, sources: Sources) -> None:
        self._sources = sources

    def routes(self) -> list[BaseRoute]:
        """The routes of this room."""
        layers = {
            "scene/{dataset}/{sensor}/{bands}": self.scene,
            "land-cover/{dataset}": self.land_cover,
            "target/{dataset}/{task}/{layer}": self.target,
            "splits/{dataset}": self.splits,
            "run/{run}/{task}/{layer}": self.run,
            "change/{run}/{task}/{before}": self.change,
        }
        return [Route(f"/tiles/{path}/{{z:int}}/{{x:int}}/{{y:int}}.png", answered(h)) for path, h in layers.items()]

    def scene(self, request: Request) -> Response:
        """A scene in three bands."""
        data = self._dataset(request)
        sensor = sensor_of(data, request.path_params["sensor"])
        shown = shown_bands(data, sensor, request.path_params["bands"], request.query_params)
        path = self._sources.raster(data.folder, f"scenes/{sensor.name}.tif", sensor.label)

        def draw(source: DatasetReader, grid: Grid) -> paint.Pixels:
            values, valid = grid.read(source, [i + 1 for i in shown.indices], Resampling.average)
            return paint.composite(values.astype(np.float32), valid, *shown.limits)

        return self._tile(request, path, (shown,), draw)

    def land_cover(self, request: Request) -> Response:
        """The land-cover raster, in the colours of its own colour table."""
        data = self._dataset(request)
        path = self._sources.raster(data.folder, "scenes/land_cover.tif", "the land cover")

        def draw(source: DatasetReader, grid: Grid) -> paint.Pixels:
            values, valid = grid.read(source, [1], Resampling.mode)
            return paint.classes(values[0].astype(np.uint8), valid, source.colormap(1))

        return self._tile(request, path, (), draw)

    def splits(self, request: Request) -> Response:
        """Which split each place is in."""
        data = self._dataset(request)
        path = self._sources.raster(data.folder, "maps/splits.tif", "the splits")
        colours = {index: rgb(SPLIT_COLOURS[name]) for index, name in enumerate(SPLITS)}
        return self._tile(request, path, (), _draw_classes(colours))

    def target(self, request: Request) -> Response:
        """What is known of a task: its class, or one class of it."""
        data = self._dataset(request)
        task = task_of(data, request.path_params["task"])
        path = self._sources.raster(data.folder, f"maps/target-{task.name}.tif", f"the targets of {task.label}")
        return self._layer(request, path, task)

    def run(self, request: Request) -> Response:
        """What a run says: its class, its confidence, or the score of one class."""
        folder, data = self._sources.run(request.path_params["run"])
        task = task_of(data, request.path_params["task"])
        path = self._sources.raster(folder, f"maps/{task.name}.tif", f"{task.label} by this run")
        return self._layer(request, path, task)

    def change(self, request: Request) -> Response:
        """Where the class of one run differs from that of another."""
        folder, data = self._sources.run(request.path_params["run"])
        other, _ = self._sources.run(request.path_params["before"])
        task = task_of(data, request.path_params["task"])
        path = self._sources.raster(folder, f"maps/{task.name}.tif", f"{task.label} by this run")
        earlier = self._sources.raster(other, f"maps/{task.name}.tif", f"{task.label} by the other run")
        colours = _task_colours(task)

        def draw(source: DatasetReader, grid: Grid) -> paint.Pixels:
            now, valid = grid.read(source, [_CLASS_BAND], Resampling.nearest)
            with self._open(earlier) as past:
                before, also = grid.read(past, [_CLASS_BAND], Resampling.nearest)
            return paint.changed(now[0].astype(np.uint8), before[0].astype(np.uint8), valid & also, colours)

        return self._tile(
            request, path, (earlier.name, earlier.stat().st_mtime_ns, str(earlier.parent), task.colours), draw
        )

    def _open(self, path: Path) -> AbstractContextManager[DatasetReader]:
        settings = self._sources.settings
        return open_raster(path, root=settings.workspace)

    def _dataset(self, request: Request) -> PackedChips:
        return self._sources.dataset(request.path_params["dataset"])

    def _layer(self, request: Request, path: Path, task: Task) -> Response:
        layer: str = request.path_params["layer"]
        if layer == "class":
            return self._tile(request, path, (layer, task.colours), _draw_classes(_task_colours(task)))
        names = {"confidence": _CONFIDENCE_BAND} | {f"p{i}": _FIRST_SCORE_BAND + i for i in range(len(task.classes))}
        if layer not in names:
            raise NotHere(f"There is no layer {layer[:40]!r}. Use class, {', '.join(names)}.")
        band = names[layer]

        def draw(source: DatasetReader, grid: Grid) -> paint.Pixels:
            values, valid = grid.read(source, [band], Resampling.average)
            return paint.percent(values[0].astype(np.uint8), valid)

        return self._tile(request, path, (layer,), draw)

    def _tile(self, request: Request, path: Path, depends_on: tuple[object, ...], draw: Paint) -> Response:
        z, x, y = (request.path_params[name] for name in "zxy")
        if z > MAX_ZOOM or x >= 2**z or y >= 2**z:
            raise RequestRefused(f"There is no tile {x}, {y} at zoom {z}. Zoom goes from 0 to {MAX_ZOOM}.")
        stat = path.stat()
        key = (str(path), stat.st_mtime_ns, stat.st_size, depends_on, z, x, y)

        def render() -> bytes:
            with self._open(path) as source:
                return paint.png(draw(source, Grid(z, x, y)))

        return picture(request, key, lambda: self._sources.rendered(key, render))


def _known(values: npt.NDArray[Any], nodata: float) -> npt.NDArray[np.bool_]:
    known: npt.NDArray[np.bool_] = (np.isfinite(values) if np.isnan(nodata) else values != nodata).all(axis=0)
    return known


def _draw_classes(colours: dict[int, tuple[int, int, int]]) -> Paint:
    def draw(source: DatasetReader, grid: Grid) -> paint.Pixels:
        values, valid = grid.read(source, [_CLASS_BAND], Resampling.mode)
        return paint.classes(values[0].astype(np.uint8), valid, colours)

    return draw


def _task_colours(task: Task) -> dict[int, tuple[int, int, int]]:
    return {i: rgb(colour) for i, colour in enumerate(class_colours(task))} | {NONE_PRESENT: rgb(NONE_PRESENT_COLOUR)}
