"""Without a package index the generated landscape takes the sample's place and is called synthetic everywhere."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Page, expect

from tests.browser.driving import Server, map_frame, settle

pytestmark = [pytest.mark.browser, pytest.mark.timeout(300)]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    # Nothing answers at this port: pip sees an index that cannot be reached.
    unreachable = {
        "PIP_INDEX_URL": "http://127.0.0.1:9/simple",
        "PIP_EXTRA_INDEX_URL": "",
        "PIP_FIND_LINKS": "",
        "PIP_CONFIG_FILE": "/dev/null",
    }
    server = Server(tmp_path_factory.mktemp("offline"), **unreachable)
    server.start()
    yield server
    server.stop()


def test_the_landscape_takes_over_and_says_so(server: Server, page: Page) -> None:
    page.goto(f"{server.url}/map")
    map_frame(page)
    for name in ("map", "datasets", ""):
        page.goto(f"{server.url}/{name}")
        settle(page)
        expect(page.get_by_text("Synthetic: this landscape is generated").first).to_be_visible(timeout=60_000)
