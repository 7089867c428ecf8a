"""Reasons on the map: evidence over an area, and what happens when a part of the chip is taken away."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator

import pytest
import rasterio
from playwright.sync_api import Page, expect

from spatialnet.settings import Settings
from tests.browser.driving import Server, map_frame, picture, settle

pytestmark = [pytest.mark.browser, pytest.mark.timeout(300)]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, finished: Settings) -> Iterator[Server]:
    workspace = tmp_path_factory.mktemp("reasons") / "workspace"
    shutil.copytree(finished.workspace, workspace)
    server = Server(workspace)
    server.start()
    yield server
    server.stop()


def opened(server: Server, page: Page) -> None:
    page.goto(f"{server.url}/map?chip=33&layer=target")
    settle(page)
    expect(page.locator(".sn-badge")).to_be_visible(timeout=120_000)


def test_an_area_is_explained_and_the_view_can_be_shared_and_exported(server: Server, page: Page) -> None:
    opened(server, page)
    page.get_by_role("button", name="Explain the area").click()
    expect(page).to_have_url(re.compile("layer=why"), timeout=60_000)
    settle(page)
    expect(page.get_by_text(re.compile(r"\d+ overlapping chips"))).to_be_visible()
    tiles = map_frame(page).locator("img.leaflet-tile-loaded[src*='/tiles/why/']")
    expect(tiles.first).to_be_visible(timeout=30_000)
    picture(page, "why-map")
    link = page.get_by_role("link", name="GeoTIFF").get_attribute("href")
    with rasterio.open(f"{server.workspace}/cache/why/{re.search('[0-9a-f]{40}', str(link)).group()}.tif") as source:
        assert source.dtypes == ("float32",)
    shared = page.url
    page.goto(shared)
    settle(page)
    expect(map_frame(page).locator("img.leaflet-tile-loaded[src*='/tiles/why/']").first).to_be_visible(timeout=60_000)


def test_a_brushed_out_place_moves_every_head_and_comes_back(server: Server, page: Page) -> None:
    opened(server, page)
    page.get_by_text("What if a part were not there?").click()
    board = page.get_by_role("grid", name=re.compile("Places of the chip"))
    expect(board).to_be_visible(timeout=30_000)
    board.scroll_into_view_if_needed()
    settle(page, 1000)  # the page may still move
    box = board.bounding_box()
    page.mouse.move(box["x"] + box["width"] * 0.1, box["y"] + box["height"] * 0.1)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] * 0.9, box["y"] + box["height"] * 0.1, steps=12)
    page.mouse.up()
    expect(board.locator("button[aria-selected='true']")).to_have_count(8)
    expect(page.get_by_text("Bars: the answer now. Lines: where it was.")).to_be_visible(timeout=60_000)
    expect(page.locator(".sn-row u").first).to_be_visible()
    picture(page, "what-if")
    board.get_by_role("gridcell", name="Row 1, column 1").focus()
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Space")
    expect(board.locator("button[aria-selected='true']")).to_have_count(9)
    page.keyboard.press("Escape")
    expect(board.locator("button[aria-selected='true']")).to_have_count(0)
    expect(page.get_by_text("Bars: the answer now. Lines: where it was.")).to_be_hidden(timeout=30_000)
    page.get_by_role("combobox", name=re.compile("Leave out bands")).click()
    page.get_by_role("option").first.click()
    page.keyboard.press("Escape")  # closes the list
    expect(page.get_by_text("Bars: the answer now. Lines: where it was.")).to_be_visible(timeout=30_000)
    page.get_by_role("button", name="Restore all").click()
    expect(page.get_by_text("Bars: the answer now. Lines: where it was.")).to_be_hidden(timeout=30_000)


def test_another_tasks_reason_stands_beside_with_the_difference(server: Server, page: Page) -> None:
    opened(server, page)
    page.get_by_text("Compare with another reason").click()
    expect(page.get_by_text(re.compile(r"rank correlation -?\d\.\d\d"))).to_be_visible(timeout=60_000)
    difference = page.get_by_role("img", name="Where the two differ")
    panel = page.locator(".st-key-two-reasons")
    expect(panel.get_by_text("Difference", exact=True)).to_be_visible()
    assert difference.count() == 1
    settle(page, 1000)
    assert panel.locator("img[src^='/overlays/']").evaluate_all("all => all.map(i => i.naturalWidth)") == [16, 16, 16]
    picture(page, "two-reasons")
