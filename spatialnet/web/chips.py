"""Pictures of chips: `/chips/{dataset}/{chip}.png?sensor=&bands=2-1-0&size=256&low=&high=&v=`."""

from __future__ import annotations

import numpy as np
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from spatialnet.datasets.packed import PackedChips
from spatialnet.sensors import Sensor
from spatialnet.web import paint
from spatialnet.web.answers import NotHere, RequestRefused, answered, picture
from spatialnet.web.shown_bands import ShownBands, shown_bands
from spatialnet.web.sources import Sources, sensor_of

SIZES = (64, 512)
DEFAULT_SIZE = 256


class ChipPictures:
    """Serves the pictures of chips from the packed store."""

    def __init__(self, sources: Sources) -> None:
        self._sources = sources

    def routes(self) -> list[BaseRoute]:
        """The routes of this room."""
        return [Route("/chips/{dataset}/{chip:int}.png", answered(self.chip))]

    def chip(self, request: Request) -> Response:
        """One chip, nearest-neighbour enlarged."""
        data = self._sources.dataset(request.path_params["dataset"])
        chip: int = request.path_params["chip"]
        if chip >= len(data):
            raise NotHere(f"Data set {data.name} has {len(data):,} chips; there is no chip {chip}.")
        query = request.query_params
        sensor = sensor_of(data, query.get("sensor"))
        bands = shown_bands(data, sensor, query.get("bands"), query)
        size = _size(query.get("size"))
        key = ("chip", data.name, data.fingerprint, chip, sensor.name, bands, size)
        return picture(
            request, key, lambda: self._sources.rendered(key, lambda: _draw(data, chip, sensor, bands, size))
        )


def _draw(data: PackedChips, chip: int, sensor: Sensor, bands: ShownBands, size: int) -> bytes:
    values = np.asarray(data.images(sensor.name)[chip][list(bands.indices)], np.float32)
    everywhere = np.ones(values.shape[1:], bool)
    return paint.png(paint.enlarge(paint.composite(values, everywhere, *bands.limits), size))


def _size(text: str | None) -> int:
    if text is None:
        return DEFAULT_SIZE
    low, high = SIZES
    if not (text.isascii() and text.isdigit() and len(text) < 5 and low <= int(text) <= high):
        raise RequestRefused(f"A picture of {text[:20]!r} pixels cannot be made. Use a size from {low} to {high}.")
    return int(text)
