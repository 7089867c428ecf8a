"""The train page in a real browser: a run from the form, the queue with every action, the log, and the notice when it ends."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from playwright.sync_api import Page, expect

from spatialnet.importing.samples.landscape import prepare_landscape
from spatialnet.settings import load_settings
from tests.browser.driving import Server, picture, settle

pytestmark = [pytest.mark.browser, pytest.mark.timeout(300)]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    settings = load_settings(tmp_path_factory.mktemp("training") / "workspace")
    prepare_landscape(settings.datasets / "landscape", size=256)
    server = Server(settings.workspace, OMP_NUM_THREADS="1")
    server.start()
    yield server
    server.stop()


def start(page: Page, name: str, epochs: int) -> None:
    """Start a run from the form."""
    for label, value in (("Name", name), ("Epochs, fine-tuning", str(epochs))):
        field = page.get_by_label(label, exact=True)
        field.fill(value)
        field.press("Enter")
        settle(page)
    page.get_by_role("button", name="Start", exact=True).click()
    settle(page)


def test_a_run_is_started_paused_resumed_cancelled_and_told_of(server: Server, page: Page) -> None:
    page.goto(f"{server.url}/train")  # a deep link is the first address that this server sees
    settle(page, 1500)
    expect(page.get_by_role("heading", name="New run")).to_be_visible(timeout=60_000)
    expect(page.get_by_text("Nothing runs and nothing waits.", exact=False)).to_be_visible()
    start(page, "long run", 500)
    board = page.locator("[class*='st-key-job-train-']").first
    expect(board).to_contain_text("Train: long run", timeout=30_000)
    expect(board).to_contain_text(re.compile(r"Epoch \d+ of 500"), timeout=60_000)
    board.get_by_role("button", name="Log", exact=True).click()
    find = page.get_by_label("Find in the log")
    expect(find).to_be_visible(timeout=15_000)
    find.fill("ATTEMPT")
    find.press("Enter")
    expect(page.get_by_text("1 line holds this text.")).to_be_visible(timeout=15_000)
    picture(page, "training")
    find.fill("no such words")
    find.press("Enter")
    expect(page.get_by_text("No line holds this text.")).to_be_visible(timeout=15_000)
    page.get_by_role("button", name="Hide log").click()
    board.get_by_role("button", name="Pause").click()
    expect(page.get_by_test_id("stToast")).to_contain_text("is paused", timeout=60_000)
    expect(board).to_contain_text("paused", timeout=15_000)
    settle(page)
    board.get_by_role("button", name="Resume").click()
    expect(board.get_by_role("button", name="Pause")).to_be_visible(timeout=15_000)
    start(page, "second run", 1)
    waiting = page.locator("[class*='st-key-job-train-']").filter(has_text="second run")
    expect(waiting).to_contain_text(re.compile(r"\d\w\w of \d waiting"), timeout=30_000)
    waiting.get_by_role("button", name="Sooner").click()
    expect(waiting).to_contain_text("high priority", timeout=15_000)
    waiting.get_by_role("button", name="Cancel").click()
    expect(waiting).to_contain_text("cancelled", timeout=30_000)
    board = page.locator("[class*='st-key-job-train-']").filter(has_text="long run")
    board.get_by_role("button", name="Cancel").click()
    expect(page.get_by_test_id("stToast").filter(has_text="long run")).to_contain_text("was cancelled", timeout=60_000)
    expect(board).to_contain_text("cancelled", timeout=15_000)


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", [(1440, 900), (1024, 768)])
def test_the_page_fits_the_screen_with_every_choice_open(
    server: Server, page: Page, scheme: str, size: tuple[int, int]
) -> None:
    page.set_viewport_size({"width": size[0], "height": size[1]})
    page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
    page.goto(f"{server.url}/train")
    settle(page, 800)
    page.get_by_text("Every choice of the recipe").click()
    page.get_by_role("tab", name="Stages").click()
    expect(page.get_by_label("What fine-tuning changes", exact=True)).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
    for field in page.get_by_test_id("stNumberInputField").all():
        if field.is_visible():
            assert field.evaluate("field => field.clientWidth") >= 40  # a number can be read
    picture(page, f"train-every-{scheme}-{size[0]}")
