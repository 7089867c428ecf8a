"""The map's own script in a real browser: a frame inside a page, as in the app, without a server."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Frame, Page, Route

from tests.browser.driving import REPOSITORY

pytestmark = [pytest.mark.browser, pytest.mark.timeout(120)]

_VENDOR = REPOSITORY / "spatialnet" / "web" / "vendor"
_FRAME = """<link rel="stylesheet" href="/leaflet/leaflet.css"><div id="m" style="height:200px"></div>
<script src="/leaflet/leaflet.js"></script><script src="/snmap.js"></script><script>
const map = L.map("m").setView([0, 0], 3)
L.gridLayer({className: "sn-overlay", opacity: 0.7}).addTo(map)</script>"""
_PAGE = '<input id="field"><button id="b">b</button><iframe src="/frame" width="300" height="220"></iframe>'


@pytest.fixture
def opened(page: Page) -> Iterator[tuple[Page, Frame]]:
    def serve(route: Route) -> None:
        path = route.request.url.split("/", 3)[3]
        if path in ("", "frame"):
            route.fulfill(body=_PAGE if path == "" else _FRAME, content_type="text/html")
        elif (_VENDOR / path).is_file():
            route.fulfill(path=_VENDOR / path)
        else:
            route.fulfill(status=204)  # an icon that the browser asks for

    page.route("**/*", serve)
    page.goto("http://127.0.0.1/")
    frame = page.frames[1]
    frame.wait_for_selector(".sn-overlay", state="attached")
    yield page, frame
    page.unroute("**/*")


def _opacity(frame: Frame) -> str:
    return str(frame.evaluate("getComputedStyle(document.querySelector('.sn-overlay')).opacity"))


@pytest.mark.parametrize("focus", ["page", "frame"])
def test_the_overlay_is_hidden_only_while_h_is_held(opened: tuple[Page, Frame], focus: str) -> None:
    page, frame = opened
    if focus == "page":
        page.locator("#b").focus()
    else:
        frame.locator("#m").focus()
    assert _opacity(frame) == "0.7"
    page.keyboard.down("h")
    assert _opacity(frame) == "0"
    page.keyboard.up("h")
    assert _opacity(frame) == "0.7"


def test_h_in_a_text_field_hides_nothing(opened: tuple[Page, Frame]) -> None:
    page, frame = opened
    page.locator("#field").focus()
    page.keyboard.down("h")
    assert _opacity(frame) == "0.7"
