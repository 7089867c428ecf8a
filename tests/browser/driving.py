"""A real server on a fresh workspace, and how to drive its pages."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import psutil
from playwright.sync_api import ConsoleMessage, Frame, Page, Request, Response, sync_playwright

REPOSITORY = Path(__file__).resolve().parents[2]
MAP_FRAME = "iframe[title='streamlit_folium.st_folium']"
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
FLAGS = [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync", "--disable-dev-shm-usage",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
]  # fmt: skip
# Streamlit asks for these two below a page's own address first; the 404 is part of how it finds its server.
_PROBES = ("/_stcore/health", "/_stcore/host-config")


def browser_path() -> str | None:
    """The system's Chromium, or None."""
    return next((path for name in BROWSERS if (path := shutil.which(name))), None)


class Server:
    """`streamlit run app.py` on a free port and a workspace of its own."""

    def __init__(self, workspace: Path, **environment: str) -> None:
        self.workspace = workspace
        self._environment = environment
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port: int = free.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        with (self.workspace / "server.log").open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "streamlit", "run", "app.py", "--server.port", str(self.port)],
                cwd=REPOSITORY, stdout=log, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, start_new_session=True,
                env={**os.environ, "SPATIALNET_DATA": str(self.workspace), **self._environment},
            )  # fmt: skip
        for _ in range(240):
            try:
                with urllib.request.urlopen(f"{self.url}/_stcore/health", timeout=1):
                    return
            except OSError:
                time.sleep(0.25)
        raise AssertionError((self.workspace / "server.log").read_text(errors="replace")[-4000:])

    def kill(self) -> None:
        """kill -9, as a crash would be."""
        assert self._process is not None
        os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()

    def stop(self) -> None:
        """End the server and every process that works on its workspace."""
        if self._process is not None and self._process.poll() is None:
            self._process.terminate()
            try:
                self._process.wait(15)
            except subprocess.TimeoutExpired:
                self.kill()
        for process in psutil.process_iter(["environ"]):
            if (process.info["environ"] or {}).get("SPATIALNET_DATA") == str(self.workspace):
                process.kill()


@dataclass
class Watched:
    """What a page did that it should not have done."""

    outside: list[str] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)

    def watch(self, page: Page) -> None:
        page.on("request", self._request)
        page.on("console", self._console)
        page.on("pageerror", lambda error: self.errors.append(f"page error: {error}"))
        page.on("response", self._response)

    def _request(self, request: Request) -> None:
        if not request.url.startswith(("http://127.0.0.1", "ws://127.0.0.1", "data:", "blob:")):
            self.outside.append(request.url)

    def _console(self, message: ConsoleMessage) -> None:
        probe = str(message.location.get("url", "")).endswith(_PROBES)
        # What a page says when a test kills its server on purpose.
        gone = "ERR_CONNECTION_REFUSED" in message.text or "when disconnected from server" in message.text
        if message.type == "error" and not probe and not gone:
            self.errors.append(f"{message.text} at {message.location.get('url')}")

    def _response(self, response: Response) -> None:
        if response.status >= 400 and not response.url.endswith(_PROBES):
            self.errors.append(f"{response.status} {response.url}")


@contextmanager
def app_in_browser() -> Iterator[tuple[Server, Page]]:
    """A server that is not started yet, on a workspace of its own, and a page; for benchmarks."""
    with (
        tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as workspace,
        tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile,
        sync_playwright() as playwright,
    ):
        context = playwright.chromium.launch_persistent_context(profile, executable_path=browser_path(), args=FLAGS)
        server = Server(Path(workspace))
        try:
            yield server, context.new_page()
        finally:
            server.stop()
            context.close()


def settle(page: Page, milliseconds: int = 300) -> None:
    """Wait until Streamlit has drawn the page."""
    page.wait_for_timeout(milliseconds)
    page.wait_for_selector("[data-testid='stApp'][data-test-script-state='notRunning']", timeout=120_000)
    assert page.locator("[data-testid='stException']").count() == 0


def map_frame(page: Page) -> Frame:
    """The map's frame, once it shows tiles."""
    page.wait_for_selector(MAP_FRAME, timeout=60_000)
    page.frame_locator(MAP_FRAME).locator("img.leaflet-tile-loaded").first.wait_for(timeout=60_000)
    return next(frame for frame in page.frames if "streamlit_folium" in frame.url)


def click_map(page: Page, latitude: float, longitude: float) -> None:
    """Click a place on the map."""
    frame = map_frame(page)
    x, y = frame.evaluate(
        "([lat, lng]) => {const p = map.latLngToContainerPoint([lat, lng]); return [p.x, p.y]}", [latitude, longitude]
    )
    box = page.locator(MAP_FRAME).bounding_box()
    assert box is not None
    page.mouse.click(box["x"] + x, box["y"] + y)


def picture(page: Page, name: str) -> None:
    """Keep a screenshot for the README, where `make screenshots` asks for them."""
    folder = os.environ.get("SPATIALNET_SCREENSHOTS")
    if folder:
        page.mouse.move(5, 890)  # no tooltip in the picture
        page.wait_for_timeout(1200)
        page.screenshot(path=Path(folder) / f"{name}.png")
