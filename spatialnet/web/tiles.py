"""Map tiles of rasters: `/tiles/<layer>/.../{z}/{x}/{y}.png`, 256 pixels wide, in Web Mercator.

A data set may have several places, each with its own raster; a tile shows all that it meets.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from functools import lru_cache
from pathlib import Path

import numpy as np
from rasterio.enums import Resampling
from rasterio.io import DatasetReader
from rasterio.warp import transform_bounds
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from spatialnet.datasets.packed import PackedChips
from spatialnet.errors import PathRefused, SceneUnreadable
from spatialnet.explain.overlay import colour
from spatialnet.palette import NONE_PRESENT_COLOUR, class_colours, rgb
from spatialnet.raster import open_raster
from spatialnet.tasks import Task
from spatialnet.web import paint
from spatialnet.web.answers import NotHere, answered, picture
from spatialnet.web.colours import FOOTPRINT_COLOUR
from spatialnet.web.footprints import PLACE
from spatialnet.web.grid import HALF, TILE, Grid, grid_of
from spatialnet.web.shown_bands import shown_bands
from spatialnet.web.sources import Sources, sensor_of, task_of

NONE_PRESENT = 254
"""Band 1 of a class raster where a multilabel task has no class."""

_CLASS_BAND, _CONFIDENCE_BAND, _FIRST_SCORE_BAND = 1, 2, 3
_FURTHEST = 85.0  # degrees of latitude that the map reaches

Bounds = tuple[float, float, float, float]
Paint = Callable[[DatasetReader, Grid], paint.Pixels]


class Tiles:
    """Serves the tiles of data sets and runs."""

    def __init__(self, sources: Sources) -> None:
        self._sources = sources

    def routes(self) -> list[BaseRoute]:
        """The routes of this room."""
        layers = {
            "scene/{dataset}/{sensor}/{bands}": self.scene,
            "land-cover/{dataset}": self.land_cover,
            "run/{run}/{task}/{layer}": self.run,
            "change/{run}/{task}/{before}": self.change,
            "why/{key}": self.why,
            "prediction/{key}/{task}/{layer}": self.prediction,
        }
        return [Route(f"/tiles/{path}/{{z:int}}/{{x:int}}/{{y:int}}.png", answered(h)) for path, h in layers.items()]

    def scene(self, request: Request) -> Response:
        """The scenes of one sensor in three bands, over all places."""
        data = self._sources.dataset(request.path_params["dataset"])
        sensor = sensor_of(data, request.path_params["sensor"])
        shown = shown_bands(data, sensor, request.path_params["bands"], request.query_params)

        def draw(source: DatasetReader, grid: Grid) -> paint.Pixels:
            values, valid = grid.read(source, [i + 1 for i in shown.indices], Resampling.average)
            return paint.composite(values.astype(np.float32), valid, *shown.limits)

        there = [
            (data.scene_path(place["name"], sensor.name), place["bounds"])
            for place in data.places
            if sensor.name in place["sensors"]
        ]
        return self._places(request, there, sensor.label, (shown,), draw)

    def land_cover(self, request: Request) -> Response:
        """The land-cover rasters, in the colours of their own colour tables."""
        data = self._sources.dataset(request.path_params["dataset"])

        def draw(source: DatasetReader, grid: Grid) -> paint.Pixels:
            values, valid = grid.read(source, [1], Resampling.mode)
            return paint.classes(values[0].astype(np.uint8), valid, source.colormap(1))

        there = [(data.land_cover_path(p["name"]), p["bounds"]) for p in data.places if p.get("land_cover")]
        return self._places(request, there, "the land cover", (), draw)

    def run(self, request: Request) -> Response:
        """What a run says: its class, its confidence, or the score of one class."""
        folder, data = self._sources.run(request.path_params["run"], request.query_params.get("dataset", ""))
        task = task_of(data, request.path_params["task"])
        return self._layer(request, self._maps(folder, data, task, "this run"), task)

    def change(self, request: Request) -> Response:
        """Where the class of one run differs from that of another."""
        folder, data = self._sources.run(request.path_params["run"], request.query_params.get("dataset", ""))
        other, _ = self._sources.run(request.path_params["before"], data.name)
        task = task_of(data, request.path_params["task"])
        there = self._maps(folder, data, task, "this run")
        earlier = {path.parent.name: path for path, _ in self._maps(other, data, task, "the other run")}
        both = [(path, bounds) for path, bounds in there if path.parent.name in earlier]
        colours = _task_colours(task)

        def draw(source: DatasetReader, grid: Grid) -> paint.Pixels:
            now, valid = grid.read(source, [_CLASS_BAND], Resampling.nearest)
            with self._open(earlier[Path(source.name).parent.name]) as past:
                before, also = grid.read(past, [_CLASS_BAND], Resampling.nearest)
            return paint.changed(now[0].astype(np.uint8), before[0].astype(np.uint8), valid & also, colours)

        stamps = tuple((str(path), path.stat().st_mtime_ns) for path in earlier.values())
        return self._places(request, both, task.label, (stamps, task.colours), draw)

    def why(self, request: Request) -> Response:
        """A Why-map, in the colours of its legend."""
        path, facts = self._sources.why_map(request.path_params["key"])
        legend = facts["legend"]

        def draw(source: DatasetReader, grid: Grid) -> paint.Pixels:
            values, valid = grid.read(source, [1], Resampling.average)
            shown, _ = colour(np.where(valid, values[0], np.nan), signed=legend["signed"], end=legend["high"])
            return shown

        west, south, east, north = facts["bounds"]
        return self._places(request, [(path, (west, south, east, north))], "the Why-map", (), draw)

    def prediction(self, request: Request) -> Response:
        """What a run says of a place or an area, as far as it is predicted."""
        found = self._sources.prediction(request.path_params["key"])
        task = task_of(self._sources.dataset(found.facts["dataset"]), request.path_params["task"])
        there = [(path, bounds) for path in found.rasters(task.name) if (bounds := _degrees(str(path))) is not None]
        return self._layer(request, there, task, nothing=not found.finished)

    def _maps(self, folder: Path, data: PackedChips, task: Task, whose: str) -> list[tuple[Path, Bounds]]:
        """A run's maps of a task, one for each place where there is one."""
        there = [(folder / "maps" / place["name"] / f"{task.name}.tif", place["bounds"]) for place in data.places]
        found = [(path, bounds) for path, bounds in there if path.is_file()]
        if not found:
            raise NotHere(
                f"There is no map of {task.label} by {whose} here. Choose another layer, or make the map first."
            )
        return found

    def _open(self, path: Path) -> AbstractContextManager[DatasetReader]:
        return open_raster(path, root=self._sources.settings.workspace)

    def _layer(self, request: Request, there: list[tuple[Path, Bounds]], task: Task, nothing: bool = False) -> Response:
        """A layer of the class rasters of a task; with `nothing`, there may be none of them yet."""
        layer: str = request.path_params["layer"]
        if layer == "class":
            colours = _chosen(_task_colours(task), request.query_params.get("only", ""))
            depends = (layer, tuple(colours.items()))
            return self._places(request, there, task.label, depends, _draw_classes(colours), nothing)
        names = {"confidence": _CONFIDENCE_BAND} | {f"p{i}": _FIRST_SCORE_BAND + i for i in range(len(task.classes))}
        if layer not in names:
            raise NotHere(f"There is no layer {layer[:40]!r}. Use class, {', '.join(names)}.")
        band = names[layer]

        def draw(source: DatasetReader, grid: Grid) -> paint.Pixels:
            values, valid = grid.read(source, [band], Resampling.average)
            return paint.percent(values[0].astype(np.uint8), valid)

        return self._places(request, there, task.label, (layer,), draw, nothing)

    def _places(
        self,
        request: Request,
        there: list[tuple[Path, Bounds]],
        what: str,
        depends_on: tuple[object, ...],
        draw: Paint,
        nothing: bool = False,
    ) -> Response:
        """A tile of all rasters that it meets, the later over the earlier."""
        z, x, y = grid_of(request)
        if not there and not nothing:
            raise NotHere(f"There is no map of {what} here. Choose another layer.")
        grid = Grid(z, x, y)
        met = [(path, box) for path, bounds in there if grid.meets(_seen(box := _mercator(*bounds), grid.pixel))]
        files = tuple((str(path), *_stamp(path)) for path, _ in met)
        key = (files, depends_on, z, x, y)

        def render() -> bytes:
            return paint.png(self._stacked(met, grid, what, draw))

        return picture(request, key, lambda: self._sources.rendered(key, render))

    def _stacked(self, met: Iterable[tuple[Path, Bounds]], grid: Grid, what: str, draw: Paint) -> paint.Pixels:
        tile = np.zeros((TILE, TILE, 4), np.uint8)
        for path, (west, south, east, north) in met:
            if max(east - west, north - south) < PLACE * grid.pixel:
                _mark(tile, (west, south, east, north), grid)
                continue
            if not path.is_file():
                raise NotHere(f"There is no map of {what} here. Choose another layer, or import the data set again.")
            with self._open(path) as source:
                part = draw(source, grid)
            tile = np.where(part[..., 3:] > 0, part, tile)
        return tile


def _seen(box: Bounds, pixel: float) -> Bounds:
    """A place's box, at least as large as the mark of a place that is too small to see."""
    west, south, east, north = box
    more = max(0.0, PLACE * pixel - max(east - west, north - south)) / 2
    return west - more, south - more, east + more, north + more


def _mark(tile: paint.Pixels, box: Bounds, grid: Grid) -> None:
    """A place that is too small to see is not opened: a square says where it is."""
    west, south, east, north = box
    column = round(((west + east) / 2 - grid.bounds[0]) / grid.pixel - PLACE / 2)
    row = round((grid.bounds[3] - (south + north) / 2) / grid.pixel - PLACE / 2)
    tile[max(0, row) : max(0, row + PLACE), max(0, column) : max(0, column + PLACE)] = (*rgb(FOOTPRINT_COLOUR), 255)


def _stamp(path: Path) -> tuple[int, int]:
    try:
        stat = path.stat()
    except OSError:
        return 0, 0
    return stat.st_mtime_ns, stat.st_size


@lru_cache(4096)
def _mercator(west: float, south: float, east: float, north: float) -> Bounds:
    """Degrees as Web Mercator metres, a hair larger for the edges' curves."""
    box = transform_bounds("EPSG:4326", "EPSG:3857", west, max(south, -_FURTHEST), east, min(north, _FURTHEST))
    margin = 1e-3 * max(box[2] - box[0], box[3] - box[1])
    return box[0] - margin, box[1] - margin, min(box[2] + margin, 2 * HALF), box[3] + margin


@lru_cache(4096)
def _degrees(path: str) -> Bounds | None:
    """Where a raster lies; None where it was put together with others meanwhile, and is gone."""
    try:
        with open_raster(Path(path)) as source:
            west, south, east, north = transform_bounds(source.crs, "EPSG:4326", *source.bounds)
    except (PathRefused, SceneUnreadable):
        return None
    return west, south, east, north


def _chosen(colours: dict[int, tuple[int, int, int]], only: str) -> dict[int, tuple[int, int, int]]:
    """The colours of some classes, named as `0-2`; of all where none is named."""
    wanted = {int(part) for part in only.split("-") if part.isascii() and part.isdigit() and len(part) < 4}
    return {index: colour for index, colour in colours.items() if index in wanted} or colours


def _draw_classes(colours: dict[int, tuple[int, int, int]]) -> Paint:
    def draw(source: DatasetReader, grid: Grid) -> paint.Pixels:
        values, valid = grid.read(source, [_CLASS_BAND], Resampling.mode)
        return paint.classes(values[0].astype(np.uint8), valid, colours)

    return draw


def _task_colours(task: Task) -> dict[int, tuple[int, int, int]]:
    return {i: rgb(colour) for i, colour in enumerate(class_colours(task))} | {NONE_PRESENT: rgb(NONE_PRESENT_COLOUR)}
