"""A real Chromium that reaches nothing but this machine."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, sync_playwright

from tests.browser.driving import FLAGS, Watched, browser_path


@pytest.fixture(scope="session")
def chromium() -> Iterator[Browser]:
    """One browser for the whole session: Playwright runs once per process."""
    executable = browser_path()
    if executable is None:
        pytest.fail("No Chromium on this machine. Run `make chromium`, which says how to install it.")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=executable, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def context(chromium: Browser) -> Iterator[BrowserContext]:
    context = chromium.new_context(viewport={"width": 1440, "height": 900})
    yield context
    context.close()


@pytest.fixture
def watched(context: BrowserContext) -> Iterator[tuple[Page, Watched]]:
    page, seen = context.new_page(), Watched()
    seen.watch(page)
    yield page, seen
    page.close()


@pytest.fixture
def page(watched: tuple[Page, Watched]) -> Iterator[Page]:
    """A page; the test fails if it reached outside 127.0.0.1 or wrote an error to the console."""
    page, seen = watched
    yield page
    assert seen.outside == []
    assert seen.errors == []
