"""From a bare clone to the first page with predictions, and a second start.

The install is left out: the virtual environment that runs this benchmark is used. A fresh workspace is made, the app is
started, and a headless Chromium waits on the pages.

Figures:
    first_page_s        seconds from the start command to the map page showing the first run's prediction; at most 120
    scene_s             seconds to the scene with its land cover on the map; at most 15
    second_start_s      seconds from the start command to the map with predictions on the same workspace; at most 10
"""

from __future__ import annotations

import time
from pathlib import Path

from benchmarks.figures import CannotRun, Figure, Result


def run(shared: Path | None) -> Result:
    """Start the app twice and watch it through a browser."""
    del shared
    from tests.browser.driving import app_in_browser, browser_path

    if browser_path() is None:
        raise CannotRun("It needs Chromium; `make chromium` installs it.")
    with app_in_browser() as (server, page):
        started = time.perf_counter()
        server.start()
        page.goto(f"{server.url}/map?layer=land-cover")
        page.wait_for_function(_tiles_of("land-cover"), timeout=200_000)
        scene = time.perf_counter() - started
        page.goto(server.url)
        page.get_by_text("Newest run").wait_for(timeout=900_000)
        page.goto(f"{server.url}/map")
        page.wait_for_function(_tiles_of("run"), timeout=200_000)
        first = time.perf_counter() - started
        server.stop()
        started = time.perf_counter()
        server.start()
        page.goto(f"{server.url}/map")
        page.wait_for_function(_tiles_of("run"), timeout=200_000)
        second = time.perf_counter() - started
    return Result(
        [
            Figure("first_page_s", first, "s", "lower", 120.0, 1, (first, first)),
            Figure("scene_s", scene, "s", "lower", 15.0, 1, (scene, scene)),
            Figure("second_start_s", second, "s", "lower", 10.0, 1, (second, second)),
        ]
    )


def _tiles_of(kind: str) -> str:
    """A condition: the map's frame shows a tile of this kind."""
    return (
        "() => [...document.querySelectorAll('iframe')].some(f => { try { return [...f.contentDocument.querySelectorAll("
        f"'img.leaflet-tile-loaded')].some(i => i.src.includes('/tiles/{kind}/')) }} catch {{ return false }} }})"
    )
