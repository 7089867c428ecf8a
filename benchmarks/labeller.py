"""The labeller in a real browser: keys that become labels, and how soon the next picture is there.

Figures:
    keys_stored_of_40       40 number keys at 30 ms spacing; how many label events the server has stored afterwards
    key_to_picture_ms       median milliseconds from a key's event to the frame that shows the next picture; at most 20
"""

from __future__ import annotations

import statistics
from pathlib import Path

from benchmarks.figures import CannotRun, Figure, Result

# Before the page's own scripts: a listener that came later would see the next picture already there.
_WATCH = """
    window.times = []
    const inside = node => [...node.querySelectorAll("*")].find(e => e.shadowRoot?.querySelector(".stage"))?.shadowRoot
    const shown = () => inside(document)?.querySelector(".stage img")?.src
    window.addEventListener("keydown", event => {
        const before = shown()
        const look = () => {
            if (shown() === before) return requestAnimationFrame(look)
            const painted = new MessageChannel()
            painted.port1.onmessage = () => window.times.push(performance.now() - event.timeStamp)
            painted.port2.postMessage(0)
        }
        requestAnimationFrame(look)
    }, true)
"""

_COUNT = """() => fetch('/api/labels?dataset=raleigh&task=land_use')
    .then(answer => answer.json()).then(body => Object.keys(body.labels).length)"""


def run(shared: Path | None) -> Result:
    """Label forty chips of the sample, or of the generated landscape where no package index answers."""
    del shared
    from tests.browser.driving import app_in_browser, browser_path, settle

    if browser_path() is None:
        raise CannotRun("It needs Chromium; `make chromium` installs it.")
    with app_in_browser() as (server, page):
        page.add_init_script(_WATCH)
        server.start()
        page.goto(server.url)
        page.get_by_text("Newest run").wait_for(timeout=900_000)  # no training beside the measurement
        page.goto(f"{server.url}/label")
        settle(page)
        page.get_by_text("1 of 200").wait_for(timeout=60_000)
        page.wait_for_timeout(2000)
        for number in range(40):
            page.keyboard.press(str(1 + number % 5))
            page.wait_for_timeout(30)
        page.get_by_text("All saved").wait_for(timeout=30_000)
        spans = sorted(page.evaluate("window.times"))
        stored = page.evaluate(_COUNT)
    quarter = len(spans) // 4
    return Result(
        [
            Figure("keys_stored_of_40", float(stored), "labels", "higher", 40.0, 40, (float(stored), float(stored))),
            Figure(
                "key_to_picture_ms", statistics.median(spans), "ms", "lower", 20.0, len(spans), (spans[quarter], spans[-1 - quarter])
            ),
        ],
        {"keys": f"40 at 30 ms; pictures seen to change: {len(spans)}"},
    )  # fmt: skip
