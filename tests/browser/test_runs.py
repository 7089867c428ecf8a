"""The runs page in a real browser: publish, compare, delete and undo; small screens, light and dark."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator

import pytest
from playwright.sync_api import Page, expect

from spatialnet.settings import Settings, load_settings
from tests.browser.driving import Server, picture, settle

pytestmark = [pytest.mark.browser, pytest.mark.timeout(300)]


@pytest.fixture(scope="module")
def server(finished: Settings, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    settings = load_settings(tmp_path_factory.mktemp("runs") / "workspace")
    for folder in ("datasets", "runs"):
        shutil.copytree(finished.workspace / folder, settings.workspace / folder, dirs_exist_ok=True)
    shutil.copytree(settings.runs / "run-done", settings.runs / "run-old")
    path = settings.runs / "run-old" / "run.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"created_at": 1_700_000_000.0, "title": "old one"}))
    for name in ("run-old", "run-done"):
        lines = [
            {"step": s, "steps": 8, "epoch": s, "epochs": 8, "loss": 1 / s + len(name) / 40, "chips_per_second": 90.0}
            for s in range(1, 9)
        ]
        (settings.runs / name / "history.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    server = Server(settings.workspace)
    server.start()
    yield server
    server.stop()


def test_a_run_is_published_compared_deleted_and_brought_back(server: Server, page: Page) -> None:
    page.goto(f"{server.url}/runs?run=run-old")
    settle(page)
    page.get_by_role("button", name="Publish").click()
    expect(page.get_by_text("Published for landscape")).to_be_visible(timeout=30_000)
    picture(page, "run")
    page.get_by_role("button", name="Roll back").click()
    expect(page.get_by_role("button", name="Publish")).to_be_visible(timeout=30_000)
    picker = page.get_by_role("combobox", name="Compare with")
    picker.scroll_into_view_if_needed()
    settle(page)  # a list that opens while the page still scrolls is closed again, as nobody's hand would be that fast
    picker.click()
    page.get_by_role("option").first.click()
    page.keyboard.press("Escape")
    page.get_by_role("button", name="Compare", exact=True).click()
    expect(page.get_by_role("heading", name="2 runs side by side")).to_be_visible(timeout=30_000)
    settle(page)
    assert "compare=run-old" in page.url
    picture(page, "run-comparison")
    page.goto(f"{server.url}/runs?run=run-old")
    settle(page)
    page.get_by_role("button", name="Delete").click()
    page.get_by_role("button", name="Delete this run").click()
    expect(page.get_by_text("is in the trash.")).to_be_visible(timeout=30_000)
    assert not (server.workspace / "runs" / "run-old").exists()
    page.get_by_role("button", name="Undo").click()
    expect(page.get_by_text("2 of 2 runs")).to_be_visible(timeout=30_000)
    assert (server.workspace / "runs" / "run-old" / "run.json").exists()


def test_the_export_is_a_download(server: Server, page: Page) -> None:
    page.goto(f"{server.url}/runs?run=run-done")
    settle(page)
    answer = page.request.get(f"{server.url}/api/runs/run-done.zip")
    assert answer.status == 200
    assert "attachment" in answer.headers["content-disposition"]
    assert answer.body()[:2] == b"PK"
    assert page.request.get(f"{server.url}/api/runs/none.zip").status == 404
    expect(page.get_by_role("link", name="Export")).to_have_attribute("href", "/api/runs/run-done.zip")


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", [(1440, 900), (1024, 768)])
def test_the_page_fits_the_screen(server: Server, page: Page, scheme: str, size: tuple[int, int]) -> None:
    page.set_viewport_size({"width": size[0], "height": size[1]})
    page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
    for query in ("", "?run=run-done", "?compare=run-done,run-old"):
        page.goto(f"{server.url}/runs{query}")
        settle(page, 800)
        assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
        picture(page, f"runs{len(query)}-{scheme}-{size[0]}")
