"""Predictions over areas as GeoTIFFs: `/api/predictions/{key}/{file}.tif`."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import FileResponse, Response
from starlette.routing import BaseRoute, Route

from spatialnet.web.answers import NotHere, answered
from spatialnet.web.sources import Sources


class PredictionFiles:
    """Serves the rasters of predictions over areas for other programs."""

    def __init__(self, sources: Sources) -> None:
        self._sources = sources

    def routes(self) -> list[BaseRoute]:
        """The routes of this room."""
        return [Route("/api/predictions/{key}/{file}.tif", answered(self.file))]

    def file(self, request: Request) -> Response:
        """One raster of a finished prediction, named after what it shows."""
        found, file = self._sources.prediction(request.path_params["key"]), request.path_params["file"]
        known = {name for task in found.facts["tasks"] for name in (task, f"{task}-classes")}
        if file not in known or not found.finished:
            raise NotHere("There is no such raster here, or the prediction is not finished yet.")
        name = f"{found.facts['dataset']}-{found.facts['place']}-{file.replace('_', '-')}.tif"
        headers = {"cache-control": "no-store"}
        return FileResponse(found.folder / f"{file}.tif", filename=name, media_type="image/tiff", headers=headers)
