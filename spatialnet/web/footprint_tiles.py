"""Map tiles that are painted from the chips' footprints: splits, targets, leaks, and the chips' own pictures.

`/tiles/<layer>/.../{z}/{x}/{y}.png`. Each takes the query parameters of `ChipFilter`; chips that are not chosen are left out.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from spatialnet.datasets.packed import SPLITS, PackedChips
from spatialnet.label import LabelStore
from spatialnet.palette import NONE_PRESENT_COLOUR, class_colours, rgb
from spatialnet.tasks import Task
from spatialnet.web import paint
from spatialnet.web.answers import NotHere, answered, picture
from spatialnet.web.chip_columns import ChipColumns, columns_of
from spatialnet.web.chip_filter import ChipFilter, chosen
from spatialnet.web.chip_pixels import LARGEST, chip_picture, no_data
from spatialnet.web.colours import FOOTPRINT_COLOUR, LEAK_COLOURS, OTHER_LEAK_COLOUR, SPLIT_COLOURS
from spatialnet.web.footprints import Indices
from spatialnet.web.grid import TILE, Grid, grid_of
from spatialnet.web.shown_bands import ShownBands, shown_bands
from spatialnet.web.sources import Sources, sensor_of, task_of

PICTURES_FROM = 8
"""Chips at least this many tile pixels wide show their picture, smaller ones a colour."""
MAX_PICTURES = 1500  # of one tile: where chips lie on top of each other in heaps, the lowest stay colours

SPARSE = 0.02
"""Where a filter chooses a smaller share of the chips, they are dots as if they did not cover the ground."""

Colour = Callable[[ChipColumns], paint.Pixels]


class FootprintTiles:
    """Serves the tiles that know no raster."""

    def __init__(self, sources: Sources, labels: LabelStore) -> None:
        self._sources = sources
        self._labels = labels

    def routes(self) -> list[BaseRoute]:
        """The routes of this room."""
        layers = {
            "splits/{dataset}": self.splits,
            "target/{dataset}/{task}/{layer}": self.target,
            "leaks/{dataset}/{split}": self.leaks,
            "chips/{dataset}/{sensor}/{bands}": self.chips,
        }
        return [Route(f"/tiles/{path}/{{z:int}}/{{x:int}}/{{y:int}}.png", answered(h)) for path, h in layers.items()]

    def splits(self, request: Request) -> Response:
        """Which split each chip is in."""
        table = np.array([(*rgb(SPLIT_COLOURS[name]), 255) for name in SPLITS], np.uint8)
        return self._painted(request, ("splits",), lambda columns: table[columns.splits()])

    def target(self, request: Request) -> Response:
        """What is known of a task: its class, or yes or no for one class of it."""
        data = self._dataset(request)
        task = task_of(data, request.path_params["task"])
        layer: str = request.path_params["layer"]
        names = [] if task.kind == "count" else ["class", *(f"p{i}" for i in range(len(task.classes)))]
        if layer not in names:
            known = f"Use {', '.join(names)}." if names else f"{task.label} is a count, which has no colours."
            raise NotHere(f"There is no layer {layer[:40]!r}. {known}")
        return self._painted(
            request, ("target", task.name, layer, task.colours), lambda columns: _target_colours(columns, task, layer)
        )

    def leaks(self, request: Request) -> Response:
        """Chips that one of the data set's splits should have kept together."""
        data = self._dataset(request)
        split = split_of(data, request.path_params["split"])
        # A few chips among many: dots, however the chips lie.
        return self._painted(request, ("leaks", split), lambda columns: _leak_colours(columns, split), dots=True)

    def chips(self, request: Request) -> Response:
        """The chips' own pictures where they are large enough to see, else where they lie."""
        data = self._dataset(request)
        sensor = sensor_of(data, request.path_params["sensor"])
        shown = shown_bands(data, sensor, request.path_params["bands"], request.query_params)

        def draw(columns: ChipColumns, mask: paint.Valid, grid: Grid) -> paint.Pixels:
            prints = columns.footprints
            at = prints.meeting(grid)
            at = at[mask[prints.chips[at]]]
            at = at[prints.extent(at, grid) >= PICTURES_FROM][-MAX_PICTURES:]
            colours = np.zeros((len(data), 4), np.uint8)
            colours[mask] = (*rgb(FOOTPRINT_COLOUR), 255)
            colours[prints.chips[at]] = 0
            tile = prints.paint(grid, colours, covering=False)
            _paste(columns, sensor.name, shown, at, grid, tile)
            return tile

        return self._tile(request, ("chips", sensor.name, shown), draw)

    def _painted(
        self, request: Request, depends_on: tuple[object, ...], colour: Colour, *, dots: bool = False
    ) -> Response:
        def draw(columns: ChipColumns, mask: paint.Valid, grid: Grid) -> paint.Pixels:
            colours = columns.colours(depends_on, lambda: colour(columns))
            if not mask.all():
                colours = colours * mask[:, None]
            sparse = dots or mask.mean() < SPARSE
            return columns.middles.paint(grid, colours, covering=columns.covering and not sparse)

        return self._tile(request, depends_on, draw)

    def _tile(
        self,
        request: Request,
        depends_on: tuple[object, ...],
        draw: Callable[[ChipColumns, paint.Valid, Grid], paint.Pixels],
    ) -> Response:
        z, x, y = grid_of(request)
        data = self._dataset(request)
        asked = ChipFilter.from_query(request.query_params.getlist)
        version = self._labels.version() if asked.corrected else 0
        key = (data.name, data.fingerprint, depends_on, asked, version, z, x, y)

        def render() -> bytes:
            columns = columns_of(data)
            return paint.png(draw(columns, chosen(columns, asked, self._labels), Grid(z, x, y)))

        return picture(request, key, lambda: self._sources.rendered(key, render))

    def _dataset(self, request: Request) -> PackedChips:
        return self._sources.dataset(request.path_params["dataset"])


def split_of(data: PackedChips, name: str) -> str:
    """One of a data set's splits by its identifier.

    Raises:
        NotHere: the data set has no such split.
    """
    known = [str(split["id"]) for split in (data.manifest["split"], *data.manifest.get("splits", ()))]
    if name not in known:
        raise NotHere(f"Data set {data.name} has no split {name[:64]!r}; it has {', '.join(dict.fromkeys(known))}.")
    return name


def _target_colours(columns: ChipColumns, task: Task, layer: str) -> paint.Pixels:
    targets = columns.targets(task)
    values = targets.reshape(len(targets), -1).astype(np.float64)
    if task.kind == "multiclass":
        values[values < 0] = np.nan
    if layer != "class":
        return _yes_or_no(task, values, int(layer[1:]))
    table = np.array([(*rgb(colour), 255) for colour in class_colours(task)], np.uint8)
    colours = np.zeros((len(values), 4), np.uint8)
    if task.kind == "multilabel":
        yes = values > 0
        colours[np.isfinite(values).all(axis=1)] = (*rgb(NONE_PRESENT_COLOUR), 255)
        some = yes.any(axis=1)
        colours[some] = table[yes[some].argmax(axis=1)]
        return colours
    known = np.isfinite(values[:, 0])
    colours[known] = table[values[known, 0].astype(np.int64)]
    return colours


def _yes_or_no(task: Task, values: np.ndarray, index: int) -> paint.Pixels:
    share = (
        values[:, index]
        if task.kind == "multilabel"
        else np.where(np.isfinite(values[:, 0]), values[:, 0] == index, np.nan)
    )
    known = np.isfinite(share)
    scaled = (np.where(known, share, 0) * 100).astype(np.uint8)
    return paint.percent(scaled[:, None], known[:, None])[:, 0]


def _leak_colours(columns: ChipColumns, split: str) -> paint.Pixels:
    colours = np.zeros((len(columns.data), 4), np.uint8)
    pairs = columns.leaks(split)
    order: Mapping[str, int] = {kind: i for i, kind in enumerate(reversed(LEAK_COLOURS))}
    # The graver kinds last, so that they show.
    for kind, rows in sorted(pairs.groupby("kind").indices.items(), key=lambda entry: order.get(str(entry[0]), -1)):
        chips = pairs[["a", "b"]].to_numpy(np.int64)[rows].ravel()
        colours[chips[(chips >= 0) & (chips < len(colours))]] = (
            *rgb(LEAK_COLOURS.get(str(kind), OTHER_LEAK_COLOUR)),
            255,
        )
    return colours


def _paste(columns: ChipColumns, sensor: str, shown: ShownBands, at: Indices, grid: Grid, tile: paint.Pixels) -> None:
    """Lay the pictures of some chips on a tile: each tile pixel takes the nearest pixel of the chip."""
    prints, present, images = columns.footprints, columns.present(sensor), columns.data.images(sensor)
    # Twice the pixels that are shown, so that thinning the chip does not show.
    sizes = np.minimum(LARGEST, 2 * prints.extent(at, grid).astype(int) + 1).tolist()
    for chip, size, corner, across, down in zip(prints.chips[at], sizes, *prints.on(at, grid), strict=True):
        low = np.floor(np.maximum(corner + np.minimum(across, 0) + np.minimum(down, 0), 0)).astype(int)
        high = np.ceil(np.minimum(corner + np.maximum(across, 0) + np.maximum(down, 0), TILE)).astype(int)
        if (low >= high).any():
            continue
        cell = chip_picture(images, int(chip), shown, size) if present[chip] else no_data(64)
        x, y = np.meshgrid(np.arange(low[0], high[0]) + 0.5 - corner[0], np.arange(low[1], high[1]) + 0.5 - corner[1])
        area = across[0] * down[1] - across[1] * down[0]
        u = np.floor((x * down[1] - y * down[0]) / area * cell.shape[1]).astype(int)
        v = np.floor((y * across[0] - x * across[1]) / area * cell.shape[0]).astype(int)
        inside = (u >= 0) & (u < cell.shape[1]) & (v >= 0) & (v < cell.shape[0])
        part = tile[low[1] : high[1], low[0] : high[0]]
        pixels = cell[v[inside], u[inside]]
        part[inside] = np.where(pixels[:, 3:] > 0, pixels, part[inside])
