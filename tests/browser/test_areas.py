"""Predicting over an area of the map: drawn, followed, compared, switched, shared and exported."""

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
    workspace = tmp_path_factory.mktemp("areas") / "workspace"
    shutil.copytree(finished.workspace, workspace)
    server = Server(workspace)
    server.start()
    yield server
    server.stop()


def draw_area(page: Page) -> None:
    """Drag over the middle of the map."""
    frame = page.locator("iframe[title*='folium']")
    frame.scroll_into_view_if_needed()
    settle(page, 1000)  # the page may still move
    map_frame(page).get_by_role("button", name=re.compile("Draw an area")).click()
    box = frame.bounding_box()
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    page.mouse.move(x - 60, y - 60)
    page.mouse.down()
    page.mouse.move(x, y, steps=4)
    page.mouse.move(x + 60, y + 60, steps=4)
    page.mouse.up()
    expect(page).to_have_url(re.compile("area="), timeout=30_000)
    settle(page)


def test_a_drawn_area_is_predicted_compared_switched_and_shared(server: Server, page: Page) -> None:
    page.goto(f"{server.url}/map?layer=target")
    settle(page)
    draw_area(page)
    assert "chip=" not in page.url  # the drag chose no chip
    expect(page.get_by_text(re.compile(r"^\d+\.\d × \d+\.\d km$"))).to_be_visible()
    page.get_by_role("button", name="Predict the area").click()
    page.get_by_role("button", name="Predict", exact=True).click()
    expect(page).to_have_url(re.compile("layer=area"), timeout=90_000)
    expect(page.get_by_text(re.compile(r"over the asked area, by run [^;]*Bands"))).to_be_visible(timeout=90_000)
    settle(page)
    shown = "img.leaflet-tile-loaded[src*='/tiles/prediction/']"
    expect(map_frame(page).locator(shown).first).to_be_visible(timeout=30_000)

    page.get_by_role("combobox", name="Compare with").click()
    page.get_by_role("option", name="Target", exact=True).click()
    line = map_frame(page).get_by_role("slider", name="Swipe between two layers")
    expect(line).to_be_visible(timeout=30_000)
    settle(page)
    before = line.bounding_box()["x"]
    line.focus()
    page.keyboard.press("ArrowRight")
    assert line.bounding_box()["x"] > before
    page.get_by_test_id("stButtonGroup").get_by_role("button").nth(1).click()
    expect(page).to_have_url(re.compile("classes=1"), timeout=30_000)
    expect(map_frame(page).locator("img[src*='only=1']").first).to_be_attached(timeout=30_000)
    settle(page)
    picture(page, "area-swipe")

    map_frame(page).get_by_role("button", name="Zoom in").click()
    expect(page).to_have_url(re.compile("at="), timeout=10_000)
    settle(page, 600)
    shared = page.url
    at = re.search(r"at=([^&]*)", shared).group(1)
    page.goto("about:blank")
    page.goto(shared)
    settle(page)
    expect(map_frame(page).locator(shown).first).to_be_visible(timeout=60_000)
    view = map_frame(page).evaluate("[map.getCenter().lat, map.getCenter().lng, map.getZoom()]")
    assert [float(part) for part in at.replace("%2C", ",").split(",")] == pytest.approx(view, abs=1e-4)

    page.get_by_role("button", name=re.compile(r"Predicted areas \(1\)")).click()
    link = page.get_by_role("link", name="in colours").first.get_attribute("href")
    key = re.search("[0-9a-f]{40}", str(link)).group()
    with rasterio.open(f"{server.workspace}/predictions/{key}/land_use-classes.tif") as source:
        assert source.colorinterp[0].name == "palette"
    picture(page, "predicted-areas")


def test_the_area_in_view_can_be_taken_and_cleared_by_keyboard(server: Server, page: Page) -> None:
    page.goto(f"{server.url}/map?layer=target")
    settle(page)
    map_frame(page).get_by_role("button", name=re.compile("Take what is in view")).focus()
    page.keyboard.press("Enter")
    expect(page).to_have_url(re.compile("area="), timeout=30_000)
    settle(page)
    page.get_by_role("button", name="Clear the area").click()
    expect(page).not_to_have_url(re.compile("area="), timeout=30_000)


def test_panning_and_zooming_run_nothing(server: Server, page: Page) -> None:
    page.goto(f"{server.url}/map?layer=target")
    settle(page, 1500)
    sent: list[int] = []

    def listen(socket) -> None:
        socket.on("framesent", lambda _data: sent.append(1))

    page.on("websocket", listen)
    page.reload()
    settle(page, 2500)
    before = len(sent)
    assert before > 0
    frame = page.locator("iframe[title*='folium']").bounding_box()
    page.mouse.move(frame["x"] + 200, frame["y"] + 200)
    page.mouse.down()
    page.mouse.move(frame["x"] + 260, frame["y"] + 240, steps=5)
    page.mouse.up()
    map_frame(page).get_by_role("button", name="Zoom in").click()
    expect(page).to_have_url(re.compile("at="), timeout=10_000)
    settle(page, 1500)
    assert len(sent) == before


@pytest.mark.parametrize(
    "query", ["area=1,2,3", "area=nan,1,2,3", "area=<b>&at=x", "at=1,2", "prediction=zz&layer=area", "classes=99-x"]
)
def test_an_address_that_means_nothing_shows_the_map_all_the_same(server: Server, page: Page, query: str) -> None:
    page.goto(f"{server.url}/map?{query}")
    settle(page)
    expect(page.get_by_role("combobox", name="Layer")).to_be_visible(timeout=60_000)
    expect(page.get_by_test_id("stException")).to_have_count(0)
