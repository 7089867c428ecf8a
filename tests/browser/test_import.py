"""A stack is put into the inbox, imported from the page, and seen on the map, with what its split lets leak."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from playwright.sync_api import Page, expect

from tests.browser.driving import Server, map_frame, picture, settle
from tests.sources import write_stack

pytestmark = [pytest.mark.browser, pytest.mark.timeout(600)]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    server = Server(
        tmp_path_factory.mktemp("importing"), PIP_INDEX_URL="http://127.0.0.1:9/simple", PIP_CONFIG_FILE="/dev/null"
    )
    write_stack(server.workspace / "inbox" / "delta")
    server.start()
    yield server
    server.stop()


def answer(page: Page, label: str, value: str) -> None:
    field = page.get_by_role("textbox", name=label, exact=True)
    field.fill(value)
    field.press("Enter")
    settle(page, 500)


def choose(page: Page, label: str, option: str) -> None:
    page.get_by_role("combobox", name=re.compile(label)).click()
    page.keyboard.type(option)
    page.get_by_role("option", name=option, exact=True).click()
    settle(page, 600)


def test_a_stack_of_the_inbox_becomes_a_data_set_on_the_map(server: Server, page: Page) -> None:
    page.goto(f"{server.url}/datasets?import=1")
    settle(page, 1500)
    expect(page.get_by_text("Recognised: scenes with the land cover")).to_be_visible(timeout=60_000)
    expect(page.get_by_role("textbox", name="Scenes", exact=True)).to_have_value(
        "sentinel1=sentinel1.tif, sentinel2_10=sentinel2.tif"
    )
    choose(page, "Rules", "worldcover")
    page.get_by_text("More choices").click()
    answer(page, "Chip size", "32")
    answer(page, "Stride", "16")
    picture(page, "import-source")
    page.get_by_role("button", name="Look at it first").click()
    expect(page.get_by_role("heading", name="Name and licence")).to_be_visible(timeout=120_000)
    assert not (server.workspace / "datasets" / "delta").exists()
    settle(page)
    choose(page, "How chips are divided", "At random")
    expect(page.get_by_text(re.compile(r"This split leaks: \d+ pairs of chips: shared ground"))).to_be_visible(
        timeout=60_000
    )
    picture(page, "import-found")
    page.get_by_role("button", name="Import 225 chips").click()
    expect(page.get_by_text(re.compile(r"225 chips \(train .* pairs of chips leak between splits"))).to_be_visible(
        timeout=120_000
    )
    page.get_by_role("button", name="Open the data set").click()
    settle(page, 1500)
    expect(page).to_have_url(re.compile("dataset=delta"))
    expect(page.get_by_text(re.compile("shared ground|share ground")).first).to_be_visible(timeout=60_000)

    page.goto(f"{server.url}/map?dataset=delta")
    map_frame(page).wait_for_function("document.querySelectorAll('img.leaflet-tile-loaded').length > 0", timeout=60_000)
    settle(page)


def test_the_steps_fit_on_a_small_screen(server: Server, page: Page) -> None:
    page.set_viewport_size({"width": 1024, "height": 768})
    for address in ("datasets?import=1", "datasets?import=1&scan=none"):
        page.goto(f"{server.url}/{address}")
        settle(page, 1500)
        assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
