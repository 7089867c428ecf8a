"""Pages run through app.py, on an empty workspace and on one with a data set and a finished run."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import streamlit as st
from streamlit.testing.v1 import AppTest

from spatialnet.importing.samples.landscape import prepare_landscape
from spatialnet.jobs.services import services

REPOSITORY = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace with a small landscape and one run of one epoch, made by the command line."""
    workspace = tmp_path_factory.mktemp("trained")
    (workspace / "datasets").mkdir()
    prepare_landscape(workspace / "datasets" / "landscape", size=256, sensors=("landsat7",))
    done = subprocess.run(
        [sys.executable, "-m", "spatialnet", "train", "--epochs", "1", "--name", "<b>first</b> {{7*7}}"],
        cwd=REPOSITORY, env={**os.environ, "SPATIALNET_DATA": str(workspace)}, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return workspace


@pytest.fixture
def app_on(monkeypatch: pytest.MonkeyPatch) -> Iterator[object]:
    """`app_on(workspace)` gives the app as a page test."""

    def make(workspace: Path) -> AppTest:
        monkeypatch.setenv("SPATIALNET_DATA", str(workspace))
        services.cache_clear()
        return AppTest.from_file(str(REPOSITORY / "app.py"), default_timeout=60)

    yield make
    services().compute.stop()
    services().engine.dispose()
    services.cache_clear()
    st.cache_data.clear()
