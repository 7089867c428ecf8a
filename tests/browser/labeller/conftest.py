import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import sqlalchemy as sa

import spatialnet
from spatialnet.database import label_events, open_database
from spatialnet.label import LabelStore
from spatialnet.sensors import SENSORS
from spatialnet.settings import load_settings
from spatialnet.tasks import Task
from tests.data_sets import write_data_set

APP = Path(__file__).with_name("labeller_app") / "app.py"
CHIPS = 60
TASKS = (
    Task("land_use", "multiclass", ("forest", "water", "{{7*7}} <b>built</b> 'ש🌾"), "Land use"),
    Task("presence", "multilabel", ("road", "house", "pond"), "Presence"),
    Task("rural_urban", "binary", ("rural", "urban"), "Rural or urban"),
    Task("ships", "count", ("ship", "boat"), "Ships"),
)


def write_hills(folder: Path) -> None:
    """A small data set without any target."""
    pixels = np.random.default_rng(0).uniform(0, 100, (CHIPS, 6, 16, 16)).astype(np.float32)
    unknown = {
        "multiclass": np.full(CHIPS, -100, np.int64), "binary": np.full(CHIPS, np.nan, np.float32),
    }  # fmt: skip
    targets = {task: unknown.get(task.kind, np.full((CHIPS, len(task.classes)), np.nan, np.float32)) for task in TASKS}
    table = pd.DataFrame({"key": [f"hill-{number}" for number in range(CHIPS)]})
    write_data_set(folder, {SENSORS["landsat7"]: pixels}, targets, table, splits=np.arange(CHIPS) % 4, title="Hills")


class Server:
    """The labeller's page on a free port; it can be killed and started again."""

    def __init__(self, workspace: Path) -> None:
        self.settings = load_settings(workspace)
        write_hills(self.settings.datasets / "hills")
        self.engine = open_database(self.settings.database_url)
        self.store = LabelStore(self.engine)
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.address = f"http://127.0.0.1:{self.port}/"
        self.log = (workspace / "server.log").open("wb")
        self.start()

    def start(self) -> None:
        root = Path(spatialnet.__file__).parents[1]
        self.process = subprocess.Popen(
            [sys.executable, "-m", "streamlit", "run", str(APP), "--server.port", str(self.port)],
            cwd=root, stdout=self.log, stderr=self.log, start_new_session=True,
            env={**os.environ, "PYTHONPATH": str(root), "SPATIALNET_DATA": str(self.settings.workspace)},
        )  # fmt: skip
        for _ in range(300):
            try:
                with urllib.request.urlopen(f"{self.address}_stcore/health", timeout=2):
                    return
            except (urllib.error.URLError, OSError):
                assert self.process.poll() is None, Path(self.log.name).read_text()
                time.sleep(0.1)
        raise AssertionError("the server did not start")

    def kill(self) -> None:
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()

    def values(self, task: str = "land_use") -> dict[int, object]:
        """What counts per chip."""
        return {chip: answer.value for chip, answer in self.store.current("hills", task).items()}

    def events(self) -> int:
        """How many events were ever stored."""
        with self.engine.connect() as connection:
            return connection.scalar(sa.select(sa.func.count()).select_from(label_events)) or 0

    def wait(self, what, seconds: float = 15) -> None:
        """Wait until `what()` is true."""
        end = time.monotonic() + seconds
        while not what():
            assert time.monotonic() < end, f"waited {seconds} s in vain; stored: {self.values()}"
            time.sleep(0.05)


@pytest.fixture(scope="module")
def running_server(tmp_path_factory: pytest.TempPathFactory):
    server = Server(tmp_path_factory.mktemp("labeller") / "workspace")
    yield server
    server.kill()
    server.engine.dispose()
    server.log.close()


@pytest.fixture
def server(running_server: Server):
    """The running server, without any label."""
    with running_server.engine.begin() as connection:
        connection.execute(label_events.delete())
    return running_server


@pytest.fixture
def browser(chromium):
    """A browser without any memory, that reaches nothing but this machine; a foreign request fails the test."""
    context = chromium.new_context()
    foreign: list[str] = []
    own = ("http://127.0.0.1:", "data:", "blob:")
    context.on("request", lambda r: None if r.url.startswith(own) else foreign.append(r.url))
    yield context
    context.close()
    assert foreign == []
