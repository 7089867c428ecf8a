"""How a route answers: pictures with cache headers, errors as one plain sentence with the right status."""

from __future__ import annotations

import functools
import hashlib
import logging
from collections.abc import Callable
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from spatialnet.errors import (
    DataSetNotFound,
    LabelRefused,
    NotEnoughDisk,
    PathRefused,
    RunNotFound,
    RunRefused,
    SpatialNetError,
)
from spatialnet.label import LabelsBusy

_LOG = logging.getLogger(__name__)
_YEAR = 31_536_000


class RequestRefused(SpatialNetError):
    """A request's parameters make no sense."""


class NotHere(SpatialNetError):
    """What was asked for is not in the workspace (yet)."""


_STATUS: dict[type[SpatialNetError], int] = {
    RequestRefused: 400,
    PathRefused: 404,
    NotHere: 404,
    DataSetNotFound: 404,
    RunNotFound: 404,
    RunRefused: 409,
    LabelRefused: 422,
    LabelsBusy: 503,
    NotEnoughDisk: 507,
}


def answered(handler: Callable[..., Response]) -> Callable[..., Response]:
    """Turn every error of a handler into an answer that shows no traceback and no path."""

    @functools.wraps(handler)
    def guarded(*arguments: Any) -> Response:
        try:
            return handler(*arguments)
        except SpatialNetError as error:
            return refusal(error)
        except Exception:
            _LOG.exception("A request failed")
            return sentence("This could not be answered; the reason is in the app's log.", 500)

    return guarded


def refusal(error: SpatialNetError) -> Response:
    """The answer to a request that failed for a reason that a person can act on."""
    status = next((code for kind, code in _STATUS.items() if isinstance(error, kind)), 500)
    return sentence(str(error), status)


def sentence(text: str, status: int, **more: Any) -> Response:
    """An error as JSON: `{"error": text}` and whatever else helps the client."""
    return JSONResponse({"error": text} | more, status, headers={"cache-control": "no-store"})


def picture(request: Request, key: tuple[object, ...], render: Callable[[], bytes]) -> Response:
    """A PNG, or "not modified" where the browser has it.

    Args:
        request: with the query parameter `v` (a fingerprint) the browser may keep the picture for good.
        key: everything that the picture depends on.
        render: makes the PNG; not called when the browser has it.
    """
    tag = f'"{hashlib.sha256(repr(key).encode()).hexdigest()[:24]}"'
    keep = f"private, max-age={_YEAR}, immutable" if request.query_params.get("v") else "private, no-cache"
    headers = {"etag": tag, "cache-control": keep}
    if tag in [given.strip() for given in request.headers.get("if-none-match", "").split(",")]:
        return Response(status_code=304, headers=headers)
    return Response(render(), media_type="image/png", headers=headers)
