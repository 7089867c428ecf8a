"""Why-maps as GeoTIFFs: `/api/why-maps/{key}.tif`."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import FileResponse, Response
from starlette.routing import BaseRoute, Route

from spatialnet.web.answers import answered
from spatialnet.web.sources import Sources


class WhyMapFiles:
    """Serves the rasters of Why-maps for other programs."""

    def __init__(self, sources: Sources) -> None:
        self._sources = sources

    def routes(self) -> list[BaseRoute]:
        """The routes of this room."""
        return [Route("/api/why-maps/{key}.tif", answered(self.file))]

    def file(self, request: Request) -> Response:
        """One raster, named after what it shows."""
        path, facts = self._sources.why_map(request.path_params["key"])
        name = (
            f"why-{facts['dataset']}-{facts['task'].replace('_', '-')}-{facts['class_index']}-chip-{facts['chip']}.tif"
        )
        return FileResponse(path, filename=name, media_type="image/tiff", headers={"cache-control": "no-store"})
