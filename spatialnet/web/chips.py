"""Pictures of chips.

`/chips/{dataset}/{chip}.png?sensor=&bands=2-1-0&size=256&low=&high=&v=` is one chip;
`/chips/{dataset}/sheet.png?chips=3-17-29&side=64&sensor=&bands=&low=&high=&v=` is a contact sheet of many.
"""

from __future__ import annotations

import numpy as np
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from spatialnet.datasets.packed import PackedChips
from spatialnet.sensors import Sensor
from spatialnet.web import paint
from spatialnet.web.addresses import SHEET_COLUMNS
from spatialnet.web.answers import NotHere, RequestRefused, answered, picture
from spatialnet.web.chip_columns import columns_of
from spatialnet.web.chip_pixels import chip_picture, no_data
from spatialnet.web.shown_bands import ShownBands, shown_bands
from spatialnet.web.sources import Sources, sensor_of

SIZES = (64, 512)
DEFAULT_SIZE = 256
SIDES = (16, 128)
MAX_SHEET = 200
"""Chips on one contact sheet at most."""


class ChipPictures:
    """Serves the pictures of chips from the packed store."""

    def __init__(self, sources: Sources) -> None:
        self._sources = sources

    def routes(self) -> list[BaseRoute]:
        """The routes of this room."""
        return [
            Route("/chips/{dataset}/sheet.png", answered(self.sheet)),
            Route("/chips/{dataset}/{chip:int}.png", answered(self.chip)),
        ]

    def chip(self, request: Request) -> Response:
        """One chip, nearest-neighbour enlarged."""
        data, sensor, bands = self._asked(request)
        chip: int = request.path_params["chip"]
        _check(data, [chip])
        size = _number(request.query_params.get("size"), DEFAULT_SIZE, SIZES)
        key = ("chip", data.name, data.fingerprint, chip, sensor.name, bands, size)

        def draw() -> bytes:
            return paint.png(_cell(data, sensor, bands, chip, size))

        return picture(request, key, lambda: self._sources.rendered(key, draw))

    def sheet(self, request: Request) -> Response:
        """Many chips beside each other, 12 in a row, in the order in which they are named."""
        data, sensor, bands = self._asked(request)
        chips = _chips(request.query_params.get("chips", ""))
        _check(data, chips)
        side = _number(request.query_params.get("side"), SIZES[0], SIDES)
        key = ("sheet", data.name, data.fingerprint, tuple(chips), sensor.name, bands, side)
        return picture(
            request, key, lambda: self._sources.rendered(key, lambda: _draw_sheet(data, sensor, bands, chips, side))
        )

    def _asked(self, request: Request) -> tuple[PackedChips, Sensor, ShownBands]:
        data = self._sources.dataset(request.path_params["dataset"])
        query = request.query_params
        sensor = sensor_of(data, query.get("sensor"))
        return data, sensor, shown_bands(data, sensor, query.get("bands"), query)


def _cell(data: PackedChips, sensor: Sensor, bands: ShownBands, chip: int, size: int) -> paint.Pixels:
    if not columns_of(data).present(sensor.name)[chip]:
        return no_data(size)
    return paint.enlarge(chip_picture(data.images(sensor.name), chip, bands, size), size)


def _draw_sheet(data: PackedChips, sensor: Sensor, bands: ShownBands, chips: list[int], side: int) -> bytes:
    rows = -(-len(chips) // SHEET_COLUMNS)
    sheet = np.zeros((rows * side, SHEET_COLUMNS * side, 4), np.uint8)
    images, present = data.images(sensor.name), columns_of(data).present(sensor.name)
    for position, chip in enumerate(chips):
        row, column = position // SHEET_COLUMNS * side, position % SHEET_COLUMNS * side
        cell = paint.enlarge(chip_picture(images, chip, bands, side), side) if present[chip] else no_data(side)
        sheet[row : row + side, column : column + side] = cell
    return paint.png(sheet, compress_level=1)


def _check(data: PackedChips, chips: list[int]) -> None:
    beyond = next((chip for chip in chips if chip >= len(data)), None)
    if beyond is not None:
        raise NotHere(f"Data set {data.name} has {len(data):,} chips; there is no chip {beyond}.")


def _chips(text: str) -> list[int]:
    parts = text.split("-")
    if not 1 <= len(parts) <= MAX_SHEET or not all(p.isascii() and p.isdigit() and len(p) < 10 for p in parts):
        raise RequestRefused(f"Name 1 to {MAX_SHEET} chips of a contact sheet by their numbers, such as chips=3-17-29.")
    return [int(part) for part in parts]


def _number(text: str | None, default: int, limits: tuple[int, int]) -> int:
    if text is None:
        return default
    low, high = limits
    if not (text.isascii() and text.isdigit() and len(text) < 5 and low <= int(text) <= high):
        raise RequestRefused(f"A picture of {text[:20]!r} pixels cannot be made. Use a size from {low} to {high}.")
    return int(text)
