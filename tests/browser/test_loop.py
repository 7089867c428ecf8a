"""The whole loop in a real browser, on a fresh server: see, ask why, correct, learn."""

from __future__ import annotations

import json
import re
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
import tifffile
from playwright.sync_api import Page, expect

from tests.browser.driving import Server, click_map, map_frame, picture, settle

pytestmark = [pytest.mark.browser, pytest.mark.timeout(900)]

PLACE = (35.7480, -78.7000)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    server = Server(tmp_path_factory.mktemp("workspace"))
    server.start()
    yield server
    server.stop()


def test_a_deep_link_on_a_fresh_server_shows_the_whole_app_and_soon_the_scene(server: Server, page: Page) -> None:
    page.goto(f"{server.url}/map")
    menu = page.get_by_test_id("stSidebarNavLink")
    expect(menu).to_contain_text(["Home", "Map", "Label", "Train", "Runs", "Ablations", "Data sets"], timeout=60_000)
    assert menu.count() == 7
    expect(page.get_by_role("heading", name="Map")).to_be_visible()
    frame = map_frame(page)
    frame.wait_for_function("document.querySelectorAll('img.leaflet-tile-loaded').length > 3", timeout=60_000)


def test_home_shows_progress_and_then_metrics_beside_baselines(server: Server, page: Page) -> None:
    page.goto(server.url)
    settle(page)
    expect(page.get_by_text(re.compile("Current run"))).to_be_visible(timeout=600_000)
    settle(page)
    for name in ("Land use: macro F1", "Object presence: mean average precision", "Rural or urban: balanced accuracy"):
        expect(page.get_by_text(name, exact=True)).to_be_visible()  # the notice names it in a sentence
    expect(page.get_by_text(re.compile("n = 385 chips")).first).to_be_visible()
    picture(page, "home")


def test_a_click_tells_what_and_why_and_a_key_corrects(server: Server, page: Page) -> None:
    page.goto(f"{server.url}/map")
    settle(page)
    click_map(page, *PLACE)
    expect(page).to_have_url(re.compile(r"chip=\d+"), timeout=30_000)
    badge = page.locator(".sn-badge")
    expect(badge).to_be_visible(timeout=120_000)
    expect(badge).to_have_text(re.compile(r"^(Faithful|Weak|No better than chance)\. \w+"))
    settle(page)
    evidence = page.locator(".sn-stack img[src^='/overlays/']")
    assert evidence.evaluate("image => image.naturalWidth") == 16
    laid = map_frame(page).locator("img.sn-why")
    expect(laid).to_be_visible(timeout=30_000)
    picture(page, "map")
    chip = int(re.search(r"chip=(\d+)", page.url).group(1))
    page.keyboard.press("2")  # the map has the focus: its frame passes keys on
    expect(page.get_by_text(re.compile(r"Local expert: herbaceous"))).to_be_visible(timeout=30_000)
    assert labels(server, "land_use")[str(chip)]["value"] == 1
    page.get_by_role("button", name="Undo").click()
    expect(page.get_by_text(re.compile(r"Local expert: herbaceous"))).to_be_hidden(timeout=30_000)
    assert str(chip) not in labels(server, "land_use")


def test_the_view_is_in_the_address(server: Server, page: Page) -> None:
    page.goto(f"{server.url}/map?task=presence&chip=100")
    settle(page)
    expect(page.get_by_text("Chip 100", exact=True)).to_be_visible(timeout=60_000)
    expect(page.get_by_text("Correct object presence")).to_be_visible()


def test_the_opacity_slider_works_in_the_browser_alone(server: Server, page: Page) -> None:
    page.goto(f"{server.url}/map?layer=confidence")
    settle(page)
    frame = map_frame(page)
    overlay = "() => document.querySelector('.leaflet-layer.sn-overlay')?.style.opacity"
    frame.wait_for_function(f"({overlay})() === '0.7'", timeout=30_000)
    frame.locator("input[type=range]").fill("0.2")
    frame.wait_for_function(f"({overlay})() === '0.2'", timeout=5_000)
    expect(frame.locator(".sn-control output")).to_have_text("20 %")


def test_every_key_becomes_a_label_and_none_is_lost_when_the_server_is_killed(server: Server, page: Page) -> None:
    page.goto(f"{server.url}/label")
    settle(page)
    before = len(labels(server, "land_use"))
    expect(page.get_by_text("1 of 200")).to_be_visible(timeout=60_000)
    picture(page, "label")
    for number in range(40):
        page.keyboard.press(str(1 + number % 5))
        page.wait_for_timeout(30)
    expect(page.get_by_text("All saved")).to_be_visible(timeout=30_000)
    assert len(labels(server, "land_use")) == before + 40
    server.kill()
    for _ in range(5):
        page.keyboard.press("1")
        page.wait_for_timeout(30)
    server.start()
    page.goto(f"{server.url}/label")
    deadline = time.monotonic() + 60
    while len(labels(server, "land_use")) < before + 45 and time.monotonic() < deadline:
        page.wait_for_timeout(500)
    assert len(labels(server, "land_use")) == before + 45
    settle(page)


def test_retraining_changes_the_map(server: Server, page: Page) -> None:
    page.goto(f"{server.url}/map?chip=100")
    settle(page)
    page.get_by_role("button", name=re.compile("Retrain with 45 new corrections")).click(timeout=60_000)
    expect(page.get_by_test_id("stProgress").first).to_be_visible(timeout=60_000)
    expect(page.get_by_text(re.compile("is ready: the map shows what changed"))).to_be_visible(timeout=600_000)
    settle(page)
    expect(page.get_by_text(re.compile("Where the class differs from run first run"))).to_be_visible(timeout=60_000)
    map_frame(page)
    picture(page, "changed")


@pytest.mark.parametrize("name", ["", "map", "label", "train", "runs", "ablations", "datasets"])
def test_every_page_opens_by_its_address(server: Server, page: Page, name: str) -> None:
    page.goto(f"{server.url}/{name}")
    settle(page, 1500)
    expect(page.locator("h1").first).to_be_visible(timeout=60_000)
    if name in ("train", "runs", "datasets"):
        picture(page, name)


def test_all_pages_work_at_1024_pixels_and_in_the_dark(server: Server, page: Page) -> None:
    page.set_viewport_size({"width": 1024, "height": 768})
    page.emulate_media(color_scheme="dark")
    for name in ("", "map", "label", "train", "runs", "ablations", "datasets"):
        page.goto(f"{server.url}/{name}")
        settle(page, 1000)
        assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")


def test_the_scene_prediction_opens_in_another_program(server: Server) -> None:
    maps = sorted(Path(server.workspace, "runs").glob("*/maps/raleigh/land_use.tif"))
    assert maps
    with tifffile.TiffFile(maps[0]) as opened:
        pixels = opened.asarray()
        assert opened.pages[0].geotiff_tags["ProjectedCSTypeGeoKey"] == 32119
    assert pixels.shape in ((443, 489, 7), (7, 443, 489))
    bands = pixels if pixels.shape[0] == 7 else pixels.transpose(2, 0, 1)
    known = bands[0] != 255
    assert 0.5 < known.mean() < 0.8
    assert bands[0][known].max() <= 4
    assert (bands[1][known] == bands[2:, known].max(axis=0)).all()


def labels(server: Server, task: str) -> dict[str, dict[str, object]]:
    address = f"{server.url}/api/labels?dataset=raleigh&task={task}"
    with urllib.request.urlopen(address, timeout=20) as answer:
        return dict(json.load(answer)["labels"])
