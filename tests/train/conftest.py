import json

import numpy as np
import pytest

from spatialnet.datasets.packed import FORMAT, PackedChips
from spatialnet.sensors import SENSORS
from spatialnet.tasks import Task

TASKS = (
    Task("land_use", "multiclass", ("dark", "bright")),
    Task("presence", "multilabel", ("dark", "bright")),
    Task("rural_urban", "binary", ("rural", "urban")),
    Task("cars", "count", ("cars",)),
)


@pytest.fixture
def make_data(tmp_path):
    """A data-set folder whose targets follow from the chips' brightness; a part of the targets is unknown."""

    def make(chips=48, sensors=("landsat7", "sentinel1"), soft=True):
        random = np.random.default_rng(0)
        folder = tmp_path / "datasets" / "bright"
        for part in ("chips", "present", "targets", "soft", "splits"):
            (folder / part).mkdir(parents=True, exist_ok=True)
        bright = random.random(chips) < 0.5
        for name in sensors:
            bands = len(SENSORS[name].bands)
            pixels = random.normal(100, 10, (chips, bands, 8, 8)) + 20 * bright[:, None, None, None]
            np.save(folder / "chips" / f"{name}.npy", pixels.astype(np.float32))
        if len(sensors) > 1:
            np.save(folder / "present" / f"{sensors[1]}.npy", random.random(chips) < 0.7)
        unknown = random.random(chips) < 0.1
        both = np.stack([~bright, bright], 1).astype(np.float32)
        np.save(folder / "targets/land_use.npy", np.where(unknown, -100, bright).astype(np.int64))
        np.save(folder / "targets/presence.npy", np.where(unknown[:, None], np.nan, both).astype(np.float32))
        np.save(folder / "targets/rural_urban.npy", np.where(unknown, np.nan, bright).astype(np.float32))
        np.save(folder / "targets/cars.npy", (3.0 * bright[:, None]).astype(np.float32))
        if soft:
            np.save(
                folder / "soft/land_use.npy", np.where(unknown[:, None], np.nan, 0.8 * both + 0.1).astype(np.float32)
            )
        np.save(folder / "splits/given-1.npy", (np.arange(chips) % 3).astype(np.int8))
        np.save(folder / "splits/given-1.blocks.npy", np.arange(chips).astype(np.int32))
        statistics = {
            n: {"mean": [110.0] * len(SENSORS[n].bands), "std": [14.0] * len(SENSORS[n].bands)} for n in sensors
        }
        manifest = {
            "name": "bright", "title": "Bright", "chips": chips, "chip_size": 8, "gsd_m": 30.0, "fingerprint": "f00d",
            "sensors": [SENSORS[n].to_dict() for n in sensors], "tasks": [t.to_dict() for t in TASKS],
            "statistics": statistics, "format": FORMAT, "split": {"id": "given-1"},
            "storage": {n: {"dtype": "float32", "nodata": None} for n in sensors},
        }  # fmt: skip
        (folder / "dataset.json").write_text(json.dumps(manifest))
        return PackedChips.open(folder)

    return make


@pytest.fixture
def make_run(tmp_path):
    def make(recipe, name="first"):
        run = tmp_path / "runs" / name
        run.mkdir(parents=True)
        (run / "recipe.toml").write_text(recipe.to_toml())
        return run

    return make
