"""What tests of several rooms share: a workspace, a landscape, scenes on disk; and no way to the network."""

from __future__ import annotations

import ipaddress
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
import sqlalchemy as sa
from affine import Affine
from rasterio.crs import CRS

from spatialnet.database import open_database
from spatialnet.datasets.packed import PackedChips
from spatialnet.importing.samples.landscape import prepare_landscape
from spatialnet.recipe import Recipe
from spatialnet.runs import create_run, write_json
from spatialnet.settings import Settings, load_settings

TRANSFORM = Affine(30, 0, 500_000, 0, -30, 4_000_000)
UTM = CRS.from_epsg(32617)


class NetworkBlocked(RuntimeError):
    """A test tried to reach another machine."""


def _no_network(event: str, arguments: tuple[Any, ...]) -> None:
    if event == "socket.connect":
        address = arguments[1]
        host = address[0] if isinstance(address, tuple) else "localhost"
    elif event == "socket.getaddrinfo":
        host = arguments[0]
    else:
        return
    if not _is_here(host):
        raise NetworkBlocked(f"tests do not reach the network, but {event} was called for {host!r}")


def _is_here(host: object) -> bool:
    text = host.decode() if isinstance(host, bytes) else str(host or "localhost")
    if text == "localhost":
        return True
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return False
    return address.is_loopback or address.is_unspecified


def pytest_configure() -> None:
    sys.addaudithook(_no_network)


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """An empty workspace."""
    return load_settings(tmp_path / "workspace")


@pytest.fixture
def engine(settings: Settings) -> Iterator[sa.Engine]:
    """The workspace's database."""
    engine = open_database(settings.database_url)
    yield engine
    engine.dispose()


@pytest.fixture(scope="session")
def landscape(tmp_path_factory: pytest.TempPathFactory) -> PackedChips:
    """A small landscape of one sensor; not to be changed."""
    folder = tmp_path_factory.mktemp("shared") / "landscape"
    return prepare_landscape(folder, size=192, sensors=("landsat7",))


@pytest.fixture(scope="session")
def landscape_stack(tmp_path_factory: pytest.TempPathFactory) -> PackedChips:
    """The same landscape seen by three sensors; not to be changed."""
    return prepare_landscape(tmp_path_factory.mktemp("shared") / "stack", size=192)


@pytest.fixture
def in_workspace(settings: Settings, landscape: PackedChips) -> PackedChips:
    """The small landscape as a data set of the workspace, free to be changed."""
    shutil.copytree(landscape.folder, settings.datasets / "landscape")
    return PackedChips.open(settings.datasets / "landscape")


@pytest.fixture
def write_scene(tmp_path: Path) -> Callable[..., Path]:
    """Writes a GeoTIFF with rasterio alone: `write_scene("a.tif", pixels, crs=..., nodata=...)`."""

    def write(name: str, pixels: np.ndarray | None = None, **profile: Any) -> Path:
        if pixels is None:
            pixels = np.random.default_rng(0).uniform(0, 100, (6, 40, 48)).astype(np.float32)
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        size = {"count": pixels.shape[0], "height": pixels.shape[1], "width": pixels.shape[2], "dtype": pixels.dtype}
        place = {"driver": "GTiff", "crs": UTM, "transform": TRANSFORM}
        with rasterio.open(path, "w", **size, **(place | profile)) as target:
            target.write(pixels)
        return path

    return write


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory, landscape: PackedChips) -> Settings:
    """A workspace with the small landscape and a finished run on it, `run-done`; not to be changed.

    The run's network has random weights; everything else about it is real. Chip 9 is explained: presence of forest.
    """
    import torch

    from spatialnet.evaluate.report import evaluate_run
    from spatialnet.jobs.explaining import explain
    from spatialnet.jobs.explanations import ExplanationRequest
    from spatialnet.model import SpatialNetViT, save_model
    from spatialnet.predict.chips import predict_chips
    from spatialnet.predict.table import write_predictions

    settings = load_settings(tmp_path_factory.mktemp("finished") / "workspace")
    shutil.copytree(landscape.folder, settings.datasets / "landscape")
    data = PackedChips.open(settings.datasets / "landscape")
    torch.manual_seed(0)
    model = SpatialNetViT(data.sensors, data.tasks, "nano", chip_size=16, gsd_m=data.gsd_m, patch=8).eval()
    model.set_statistics({sensor.name: data.statistics(sensor.name) for sensor in data.sensors})
    recipe = Recipe(name="done {{7*7}} <b>", preset="nano", patch=8, epochs=1)
    info = {
        "title": recipe.name, "dataset": "landscape", "fingerprint": data.fingerprint, "label_version": 0, "parent": "",
        "tasks": [task.to_dict() for task in data.tasks], "sensors": [sensor.to_dict() for sensor in data.sensors],
    }  # fmt: skip
    folder = create_run(settings, info, recipe.to_toml()).folder.rename(settings.runs / "run-done")
    save_model(folder / "model.safetensors", model, extra={"fingerprint": data.fingerprint})
    scores = predict_chips(model, data)
    write_predictions(folder / "predictions.parquet", data.tasks, scores)
    write_json(folder / "report.json", evaluate_run(data, {t.name: data.targets(t.name) for t in data.tasks}, scores))
    explain(settings, ExplanationRequest("run-done", 9, "presence", 1, "attention_rollout"))
    return settings
