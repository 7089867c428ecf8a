"""Pictures that were laid in the overlay cache, by hexadecimal key: `/overlays/{key}.png`."""

from __future__ import annotations

import re
from pathlib import Path

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from spatialnet.web.answers import NotHere, answered

_KEY = re.compile(r"[0-9a-f]{8,64}")


class Overlays:
    """Serves the files of one folder whose names are hexadecimal keys."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def routes(self) -> list[BaseRoute]:
        """The routes of this room."""
        return [Route("/overlays/{key}.png", answered(self.overlay))]

    def overlay(self, request: Request) -> Response:
        """One picture; a key names its content, so the browser may keep it for good."""
        key: str = request.path_params["key"]
        if not _KEY.fullmatch(key):
            raise NotHere("An overlay's name has 8 to 64 hexadecimal digits.")
        try:
            body = (self._folder / f"{key}.png").read_bytes()
        except OSError as error:
            raise NotHere("This overlay is not in the cache any more. Ask for the explanation again.") from error
        return Response(body, media_type="image/png", headers={"cache-control": "private, max-age=31536000, immutable"})
