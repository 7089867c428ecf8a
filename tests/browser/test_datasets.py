"""The data-sets page in a real browser: one selection as grid, map and table, its address, and one chip."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import parse_qs, urljoin, urlsplit

import pandas as pd
import pytest
from playwright.sync_api import Locator, Page, expect

from tests.browser.driving import MAP_FRAME, Server, click_map, map_frame, settle
from tests.data_sets import pictures_only, scattered_chips, two_places

pytestmark = [pytest.mark.browser, pytest.mark.timeout(300)]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    workspace = tmp_path_factory.mktemp("datasets")
    two_places(workspace / "datasets" / "banks")
    scattered_chips(workspace / "datasets" / "far", 400, spread=0.3)
    pictures_only(workspace / "datasets" / "flat")
    server = Server(workspace)
    server.start()
    yield server
    server.stop()


def asked(page: Page) -> dict[str, list[str]]:
    return parse_qs(urlsplit(page.url).query)


def painted(page: Page) -> str:
    """The grid's page of chips, once it is on the screen."""
    grid = page.locator(".grid[data-painted]")
    grid.wait_for(timeout=60_000)
    return str(grid.get_attribute("data-painted"))


def cells(page: Page) -> Locator:
    return page.locator(".grid .cell")


def numbers(page: Page) -> list[int]:
    return [int(cell.get_attribute("data-chip") or -1) for cell in cells(page).all()]


def test_the_catalogue_leads_to_a_data_set_and_back(server: Server, page: Page) -> None:
    page.goto(f"{server.url}/datasets")
    settle(page)
    page.get_by_role("link", name="Banks").click()
    expect(page.get_by_role("heading", name="Banks")).to_be_visible(timeout=30_000)
    expect(page.get_by_text("so a test score flatters")).to_be_visible()
    page.get_by_role("button", name="All data sets").click()
    expect(page.get_by_role("link", name="Far")).to_be_visible(timeout=30_000)
    assert "dataset" not in asked(page)


def test_a_filter_is_in_the_address_and_a_reload_shows_the_same(server: Server, page: Page) -> None:
    page.goto(f"{server.url}/datasets?dataset=far&view=chips")
    before = painted(page)
    settle(page)
    page.get_by_role("button", name="test", exact=True).click()
    page.get_by_role("combobox", name=re.compile("^Class|Selected.*Class")).first.click()
    page.get_by_role("option", name="water", exact=True).click()
    expect(page.locator(".grid")).not_to_have_attribute("data-painted", before, timeout=30_000)
    expect(page.get_by_text(re.compile(r"\d+ of 400 chips"))).to_be_visible(timeout=30_000)
    settle(page, 800)
    query, shown, text = asked(page), numbers(page), page.get_by_text(re.compile(r"\d+ of 400 chips")).inner_text()
    assert query["split"] == ["test"]
    assert query["class"] == ["water"]
    assert all("Land use: water · test" in str(cell.get_attribute("title")) for cell in cells(page).all())
    page.reload()
    painted(page)
    settle(page)
    assert numbers(page) == shown
    expect(page.get_by_text(text)).to_be_visible()
    assert asked(page) == query


def test_what_is_picked_in_the_grid_is_picked_in_table_and_map(server: Server, page: Page) -> None:
    page.goto(f"{server.url}/datasets?dataset=far&view=chips")
    painted(page)
    settle(page)
    cells(page).nth(2).click()
    cells(page).nth(4).click(modifiers=["Shift"])
    cells(page).nth(8).click(modifiers=["Control"])
    expect(page.get_by_text("4 chips picked")).to_be_visible(timeout=30_000)
    assert asked(page)["picked"] == ["2-3-4-8"]
    assert page.locator(".grid .cell[aria-selected='true']").count() == 4
    page.get_by_role("radio", name="Table").click()
    expect(page.get_by_test_id("stDataFrame")).to_be_visible(timeout=30_000)
    settle(page, 800)
    expect(page.get_by_text("4 chips picked")).to_be_visible()
    checked = page.locator("[data-testid='stDataFrame'] canvas table tr[aria-selected='true']")
    assert checked.count() == 4
    page.get_by_role("radio", name="Map").click()
    frame = map_frame(page)
    frame.wait_for_function(
        "Object.values(map._layers).filter(layer => layer instanceof L.Rectangle).length === 8", timeout=30_000
    )
    expect(page.get_by_text("4 chips picked")).to_be_visible()
    page.get_by_role("button", name="Drop").click()
    expect(page.get_by_text("4 chips picked")).to_be_hidden(timeout=30_000)
    assert "picked" not in asked(page)


def test_keys_move_pick_and_open(server: Server, page: Page) -> None:
    page.goto(f"{server.url}/datasets?dataset=banks&view=chips")
    painted(page)
    settle(page)
    cells(page).first.focus()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowRight")
    page.keyboard.press(" ")
    expect(page.get_by_text("Chip 2 picked")).to_be_visible(timeout=30_000)
    page.keyboard.press("ArrowDown")
    below = int(page.locator(".grid .cell:focus").get_attribute("data-chip") or 0)
    assert below > 3
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name=f"Chip {below}", exact=True)).to_be_visible(timeout=30_000)
    assert asked(page)["chip"] == [str(below)]
    page.keyboard.press("ArrowRight")
    expect(page.get_by_role("heading", name=f"Chip {below + 1}", exact=True)).to_be_visible(timeout=30_000)
    page.keyboard.press("Escape")
    painted(page)
    assert "chip" not in asked(page)


def test_hovering_reads_a_chip_without_a_script_run(server: Server, page: Page) -> None:
    page.goto(f"{server.url}/datasets?dataset=flat&view=chips")
    painted(page)
    settle(page)
    frames: list[object] = []
    page.on("websocket", lambda socket: socket.on("framesent", frames.append))
    cells(page).nth(3).hover()
    expect(page.locator(".grid .about")).to_have_text(re.compile("Chip 3 · Land use: forest · train · Forest/img_3"))
    page.wait_for_timeout(400)
    assert frames == []


def test_a_chips_page_has_all_sensors_and_its_place(server: Server, page: Page) -> None:
    page.goto(f"{server.url}/datasets?dataset=banks&chip=1")
    settle(page)
    pictures = page.locator(".sn-stack img")
    expect(pictures).to_have_count(4, timeout=30_000)  # three composites of one sensor, one of the other
    for picture in pictures.all():
        assert picture.evaluate("image => image.complete && image.naturalWidth") == 512
    expect(page.get_by_text("Exact duplicate with chip 124")).to_be_visible()
    map_frame(page)
    page.get_by_role("button", name="Chip 124").click()
    expect(page.get_by_role("heading", name="Chip 124", exact=True)).to_be_visible(timeout=30_000)
    expect(page.get_by_text("This chip does not have this sensor.")).to_be_visible()


def test_a_planted_leak_is_said_shown_on_the_map_and_side_by_side(server: Server, page: Page) -> None:
    page.goto(f"{server.url}/datasets?dataset=banks")
    settle(page)
    expect(
        page.get_by_text(re.compile("2 pairs of chips leak between splits: 1 pair of shared ground"))
    ).to_be_visible()
    frame = map_frame(page)
    layer = "() => document.querySelector('.leaflet-layer.sn-overlay img')?.src ?? ''"
    frame.wait_for_function(f"({layer})().includes('/tiles/splits/banks/')", timeout=30_000)
    page.get_by_text("Show the leaking chips on the map").click()
    frame.wait_for_function(f"({layer})().includes('/tiles/leaks/banks/given-1/')", timeout=30_000)
    # Both planted pairs begin at the first two chips of the first place: orange and pink pixels are on the map.
    frame.wait_for_function(
        """() => [...document.querySelectorAll('.leaflet-layer.sn-overlay img.leaflet-tile-loaded')].some(image => {
            const canvas = Object.assign(document.createElement('canvas'), {width: 256, height: 256})
            const context = canvas.getContext('2d')
            context.drawImage(image, 0, 0)
            const seen = context.getImageData(0, 0, 256, 256).data, found = new Set()
            for (let i = 0; i < seen.length; i += 4) if (seen[i + 3]) found.add([seen[i], seen[i + 1], seen[i + 2]].join())
            return found.has('213,94,0') && found.has('204,121,167')
        })""",
        timeout=30_000,
    )
    assert asked(page)["show-leaks"] == ["1"]
    page.get_by_text("The leaking pairs, side by side").click()
    panel = page.get_by_test_id("stExpander").filter(has_text="The leaking pairs, side by side")
    table = panel.get_by_test_id("stDataFrame")
    expect(table).to_be_visible(timeout=30_000)
    expect(table.locator("canvas table tr")).to_have_count(3, timeout=30_000)  # a head and two pairs


def test_a_place_is_picked_and_the_map_goes_there(server: Server, page: Page) -> None:
    page.goto(f"{server.url}/map?dataset=banks")
    settle(page)
    middle = "() => { const c = map.getCenter(); return [c.lng, c.lat, map.getZoom()] }"
    west = map_frame(page).evaluate(middle)
    page.get_by_role("combobox", name=re.compile("Place")).click()
    page.get_by_role("option", name="All places (126)").click()
    expect(page).to_have_url(re.compile(r"place=(\*|%2A)"), timeout=30_000)
    settle(page, 1500)
    whole = map_frame(page).evaluate(middle)
    assert whole[2] < west[2] - 3
    assert whole[0] > west[0] + 0.05
    page.goto(f"{server.url}/map?dataset=banks&chip=100")
    settle(page, 1500)
    expect(page).to_have_url(re.compile("place=east-bank"), timeout=30_000)
    assert map_frame(page).evaluate(middle)[0] > whole[0] + 0.05


def test_a_dot_far_out_is_clicked(server: Server, page: Page) -> None:
    page.goto(f"{server.url}/map?dataset=far")
    settle(page)
    place = pd.read_parquet(Path(server.workspace, "datasets", "far", "chips.parquet")).loc[9]
    frame = map_frame(page)
    frame.evaluate("map.setZoom(8, {animate: false})")
    step = 3 * 360 / 256 / 2**8  # three pixels away: no footprint reaches there
    click_map(page, place["latitude"] + step, place["longitude"])
    expect(page).to_have_url(re.compile(r"chip=\d+"), timeout=30_000)


def test_chips_without_a_place_have_no_map_and_say_so(server: Server, page: Page) -> None:
    page.goto(f"{server.url}/datasets?dataset=flat&view=chips")
    painted(page)
    expect(page.get_by_text("no place on the ground, so there is no map")).to_be_visible()
    assert page.get_by_role("radio", name="Map").count() == 0
    page.goto(f"{server.url}/map?dataset=flat")
    settle(page)
    assert page.locator(MAP_FRAME).count() == 0
    page.get_by_role("link", name="Look at the chips").click()
    painted(page)


def test_a_saved_view_is_a_link_that_holds_all(server: Server, page: Page) -> None:
    page.goto(f"{server.url}/datasets?dataset=far&view=chips&split=train&edge=split&picked=5")
    painted(page)
    settle(page)
    page.locator(".st-key-saved-views button").first.click()
    page.get_by_label("Name of this view").fill("My {{7*7}} view")
    page.get_by_role("button", name="Save this view").click()
    link = page.get_by_role("link", name="My {{7*7}} view")
    expect(link).to_be_visible(timeout=30_000)
    address = str(link.get_attribute("href"))
    page.goto(urljoin(page.url, address))
    painted(page)
    settle(page)
    query = asked(page)
    assert (query["split"], query["edge"], query["picked"]) == (["train"], ["split"], ["5"])


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_page_fits_a_small_screen(server: Server, page: Page, scheme: str) -> None:
    page.set_viewport_size({"width": 1024, "height": 768})
    page.emulate_media(color_scheme=scheme)
    for query in (
        "",
        "?dataset=banks",
        "?dataset=banks&view=chips",
        "?dataset=banks&view=chips&show=table",
        "?dataset=banks&chip=1",
    ):
        page.goto(f"{server.url}/datasets{query}")
        settle(page, 800)
        assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
