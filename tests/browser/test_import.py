"""A stack of the inbox and an uploaded archive are imported from the page and seen, with what a split lets leak."""

from __future__ import annotations

import re
import tomllib
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.browser.driving import REPOSITORY, Server, map_frame, picture, settle
from tests.sources import write_images, write_stack

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
    # It stands in the panel, and for a moment in the notice that the job is done.
    expect(
        page.get_by_text(re.compile(r"225 chips \(train .* pairs of chips leak between splits")).first
    ).to_be_visible(timeout=120_000)
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


def zipped(path: Path, *members: tuple[Path, str]) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for file, name in members:
            archive.write(file, name)
    return path


def upload(server: Server, page: Page, path: Path) -> None:
    """Choose a file in the upload widget, as the dialog would."""
    page.goto(f"{server.url}/datasets?import=1")
    settle(page, 1000)
    page.get_by_role("radio", name="Upload a file").click()
    settle(page, 500)
    page.locator("[data-testid='stFileUploaderDropzoneInput']").set_input_files(path)


def test_an_uploaded_archive_becomes_a_data_set_whose_chips_are_shown(
    server: Server, page: Page, tmp_path: Path
) -> None:
    folder = write_images(tmp_path / "harbour town")
    (folder / "read me.txt").write_text("x")
    files = [path for path in sorted(folder.rglob("*")) if path.is_file()]
    archive = zipped(tmp_path / "harbour town.zip", *((path, str(path.relative_to(tmp_path))) for path in files))
    upload(server, page, archive)
    page.get_by_role("button", name="Keep it in the inbox").click(timeout=30_000)
    settle(page, 1000)
    expect(page.get_by_role("combobox", name="Folder or file")).to_have_value("inbox/harbour_town.zip", timeout=30_000)
    page.get_by_role("button", name="Look at it first").click()
    expect(page.get_by_role("heading", name="Name and licence")).to_be_visible(timeout=40_000)
    expect(page.get_by_text("1 file is no image.")).to_be_visible()
    settle(page)
    page.get_by_role("button", name="Import 36 chips").click()
    page.get_by_role("button", name="Open the data set").click(timeout=120_000)
    settle(page, 1000)
    expect(page).to_have_url(re.compile("dataset=harbour-town"))
    page.get_by_role("radio", name="Chips").click()
    settle(page, 1500)
    expect(page.get_by_text(re.compile("36")).first).to_be_visible(timeout=30_000)
    assert (server.workspace / "datasets" / "harbour-town" / "dataset.json").is_file()


def test_what_may_not_be_uploaded_is_one_sentence(server: Server, page: Page, tmp_path: Path) -> None:
    image = next(write_images(tmp_path / "pictures").rglob("*.png"))
    evil = zipped(tmp_path / "evil.zip", (image, "a/x.png"), (image, "../../outside.png"))
    upload(server, page, evil)
    page.get_by_role("button", name="Keep it in the inbox").click(timeout=30_000)
    settle(page, 1000)
    page.get_by_role("button", name="Look at it first").click(timeout=30_000)
    alert = page.get_by_role("alert")
    expect(alert).to_contain_text("outside.png", timeout=30_000)
    assert "Traceback" not in alert.inner_text()
    assert not list(server.workspace.rglob("outside.png"))

    large = tmp_path / "large.zip"
    with large.open("wb") as file:
        file.truncate((limit_mb() + 1) << 20)  # sparse: it takes no disk
    upload(server, page, large)
    expect(page.get_by_text(f"File must be {limit_mb()}.0MB or smaller.")).to_be_visible(timeout=30_000)
    expect(page.get_by_role("button", name="Keep it in the inbox")).to_have_count(0)


def limit_mb() -> int:
    settings = tomllib.loads((REPOSITORY / ".streamlit" / "config.toml").read_text())
    return int(settings["server"]["maxUploadSize"])
