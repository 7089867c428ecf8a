from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from spatialnet.datasets.packed import PackedChips
from spatialnet.runs import Run, open_run
from spatialnet.shards.manifest import Manifest
from spatialnet.shards.request import scenes_manifest


@pytest.fixture(scope="session")
def run(finished) -> Run:
    return open_run(finished, "run-done")


@pytest.fixture(scope="session")
def scene(landscape: PackedChips) -> Path:
    return landscape.scene_path(landscape.places[0]["name"], "landsat7")


@pytest.fixture
def published(tmp_path: Path, run: Run, scene: Path) -> Callable[..., Manifest]:
    """Work on the small landscape's scene in a folder of this name."""

    def make(name: str, kind: str = "predict", scenes: tuple[str, ...] = ("here",), **options) -> Manifest:
        manifest = scenes_manifest(tmp_path / name, kind, run, {s: {"landsat7": scene} for s in scenes}, **options)
        manifest.publish()
        return manifest

    return make
