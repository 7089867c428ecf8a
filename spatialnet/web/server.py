"""Puts the routes together. Everything is served by id out of the workspace; no address or path is ever taken."""

from __future__ import annotations

import sqlalchemy as sa
from starlette.routing import BaseRoute, Mount
from starlette.staticfiles import StaticFiles

from spatialnet.label import LabelStore
from spatialnet.settings import Settings
from spatialnet.web.addresses import ASSETS, VENDOR
from spatialnet.web.chips import ChipPictures
from spatialnet.web.footprint_tiles import FootprintTiles
from spatialnet.web.labels import Labels
from spatialnet.web.overlays import Overlays
from spatialnet.web.prediction_files import PredictionFiles
from spatialnet.web.run_exports import RunExports
from spatialnet.web.sources import Sources
from spatialnet.web.tiles import Tiles
from spatialnet.web.why_map_files import WhyMapFiles


def routes(settings: Settings, engine: sa.Engine) -> list[BaseRoute]:
    """The routes of one installation, for `st.App(routes=...)`.

    Args:
        settings: where the workspace is.
        engine: the database of the label events.
    """
    sources, labels = Sources(settings), LabelStore(engine)
    return [
        *Tiles(sources).routes(),
        *FootprintTiles(sources, labels).routes(),
        *ChipPictures(sources).routes(),
        *Overlays(settings.cache / "overlays").routes(),
        *Labels(sources, labels).routes(),
        *RunExports(settings).routes(),
        *PredictionFiles(sources).routes(),
        *WhyMapFiles(sources).routes(),
        Mount(ASSETS, StaticFiles(directory=VENDOR)),
    ]
