"""Runs as zip files: `/api/runs/{name}.zip`, made while they are sent."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import BaseRoute, Route

from spatialnet.runs import open_run
from spatialnet.runs.transfer import export_chunks
from spatialnet.settings import Settings
from spatialnet.web.answers import answered


class RunExports:
    """Serves runs that are done; nothing is written to disk or held in memory."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    def routes(self) -> list[BaseRoute]:
        """The routes of this room."""
        return [Route("/api/runs/{name}.zip", answered(self.export))]

    def export(self, request: Request) -> Response:
        """One run as one file."""
        run = open_run(self._settings, request.path_params["name"])
        headers = {"content-disposition": f'attachment; filename="{run.name}.zip"', "cache-control": "no-store"}
        return StreamingResponse(export_chunks(run), media_type="application/zip", headers=headers)
