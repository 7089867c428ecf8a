"""What stands before every request: whose name the server answers to, who may write, and what a page may load."""

from __future__ import annotations

import re
import secrets
from collections.abc import MutableMapping, Sequence
from http.cookies import CookieError, SimpleCookie
from typing import Any

from starlette.datastructures import Headers, MutableHeaders
from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from spatialnet.web.answers import sentence

SESSION_COOKIE = "sn_sid"
LOCAL_HOSTS = ("127.0.0.1", "localhost")
_OWN = ("/api/", "/tiles/", "/chips/", "/overlays/", "/assets/")
_HOST = re.compile(r"[A-Za-z0-9.\-]+(:[0-9]{1,5})?")
_SESSION = re.compile(r"[A-Za-z0-9_-]{20,64}")


def stack(hosts: Sequence[str] = LOCAL_HOSTS) -> list[Middleware]:
    """The middleware for `st.App(middleware=...)`, outermost first.

    Args:
        hosts: names that the server answers to; others get 400 (this stops DNS rebinding).
    """
    return [Middleware(TrustedHostMiddleware, allowed_hosts=list(hosts), www_redirect=False), Middleware(Guard)]


class Guard:
    """Refuses writes from other sites, sets the security headers and a session cookie."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request; WebSockets pass as they are."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        own = scope["path"].startswith(_OWN)

        async def secured(message: Message) -> None:
            if message["type"] == "http.response.start":
                _set_headers(MutableHeaders(scope=message), headers, own)
            await send(message)

        if own and scope["method"] not in ("GET", "HEAD") and not _is_ours(headers):
            refused = sentence("This was not sent by a page of this app. Send the header X-SpatialNet: 1.", 403)
            await refused(scope, receive, secured)
            return
        await self._app(scope, receive, secured)


def _is_ours(headers: Headers) -> bool:
    """Another site's page cannot set our header unasked, and a browser tells where a request comes from."""
    return headers.get("x-spatialnet") == "1" and headers.get("sec-fetch-site", "same-origin") == "same-origin"


def _set_headers(response: MutableHeaders, request: Headers, own: bool) -> None:
    response["x-content-type-options"] = "nosniff"
    response["referrer-policy"] = "same-origin"
    response["content-security-policy"] = content_security_policy(request.get("host", ""))
    response["permissions-policy"] = "camera=(), microphone=(), geolocation=(), payment=()"
    if own:
        response["cross-origin-resource-policy"] = "same-origin"
    html = response.get("content-type", "").startswith("text/html")
    if html and not _SESSION.fullmatch(_cookies(request).get(SESSION_COOKIE, "")):
        value = f"{SESSION_COOKIE}={secrets.token_urlsafe(24)}; Path=/; HttpOnly; SameSite=Strict"
        response.append("set-cookie", value)


def _cookies(request: Headers) -> MutableMapping[str, str]:
    try:
        return {name: morsel.value for name, morsel in SimpleCookie(request.get("cookie", "")).items()}
    except CookieError:
        return {}


def content_security_policy(host: str) -> str:
    """What a page may load: itself, and nothing from anywhere else.

    Streamlit's own front end and streamlit-folium need inline scripts, inline styles and `eval`.

    Args:
        host: the request's Host header; WebSockets may only go there.
    """
    sockets = f" ws://{host} wss://{host}" if _HOST.fullmatch(host) else ""
    rules: dict[str, Any] = {
        "default-src": "'self'",
        "script-src": "'self' 'unsafe-inline' 'unsafe-eval' blob:",
        "style-src": "'self' 'unsafe-inline'",
        "img-src": "'self' data: blob:",
        "font-src": "'self' data:",
        "connect-src": f"'self'{sockets}",
        "worker-src": "'self' blob:",
        "frame-src": "'self'",
        "object-src": "'none'",
        "base-uri": "'self'",
        "form-action": "'self'",
        "frame-ancestors": "'self'",
    }
    return "; ".join(f"{name} {sources}" for name, sources in rules.items())
