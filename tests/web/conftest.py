import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from affine import Affine
from rasterio.crs import CRS
from rasterio.warp import transform_bounds
from starlette.applications import Starlette
from starlette.testclient import TestClient

from spatialnet.database import open_database
from spatialnet.joint import JointTasks, Share, part_of
from spatialnet.raster import write_cog
from spatialnet.sensors import SENSORS
from spatialnet.settings import Settings, load_settings
from spatialnet.tasks import Task
from spatialnet.web import routes, stack
from tests.data_sets import two_places, write_data_set

LAND_USE = Task("land_use", "multiclass", ("forest", "water"), colours=("#006400", "#0000ff"))
PRESENCE = Task("presence", "multilabel", ("road", "house"))

# The rasters lie in the north-west quarter of this tile, 4 x 4 pixels, in the tiles' own projection.
Z, X, Y = 12, 1153, 1609
_SIDE = 2 * 20_037_508.342789244 / 2**Z
TRANSFORM = Affine(_SIDE / 8, 0, X * _SIDE - 20_037_508.342789244, 0, -_SIDE / 8, 20_037_508.342789244 - Y * _SIDE)
MERCATOR = CRS.from_epsg(3857)


def write_run(settings: Settings, name: str, classes: np.ndarray, datasets: tuple[str, ...] = ("hills",)) -> None:
    """A run whose land-use map of `hills` holds these classes (4, 4), each with a score of 80 percent."""
    run = settings.runs / name
    run.mkdir(parents=True)
    (run / "run.json").write_text(json.dumps({"id": name, "dataset": datasets[0], "datasets": datasets}))
    if len(datasets) > 1:
        JointTasks((LAND_USE,), {dataset: {"land_use": Share("land_use", (0, 1))} for dataset in datasets}).save(run)
    folder = part_of(run, "hills")
    (folder / "maps" / "valley").mkdir(parents=True)
    known = classes != 255
    bands = [classes, np.where(known, 80, 255), np.where(classes == 0, 80, 20), np.where(classes == 1, 80, 20)]
    write_cog(
        folder / "maps" / "valley" / "land_use.tif", np.stack(bands).astype(np.uint8), TRANSFORM, MERCATOR, nodata=255
    )


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """A workspace with `hills`: one place, and five chips of 4 pixels, of which four stand side by side in its first row."""
    settings = load_settings(tmp_path / "workspace")
    folder = settings.datasets / "hills"
    (folder / "places" / "valley").mkdir(parents=True)
    chips = np.zeros((5, 3, 4, 4), np.float32)
    chips[1, 0], chips[1, 1], chips[1, 2] = 10, 15, 20  # dark, half, bright
    chips[2] = np.nan
    scene = np.full((3, 4, 4), 15, np.float32)
    scene[:, 0, 0] = np.nan
    scene[0, :, 3], scene[1, :, 3], scene[2, :, 3] = 20, 10, 10
    write_cog(folder / "places" / "valley" / "rgb.tif", scene, TRANSFORM, MERCATOR, nodata=float("nan"))
    cover = np.array([[[1, 2, 2, 255]] * 4], np.uint8)
    colours = {1: (1, 2, 3, 255), 2: (9, 8, 7, 255)}
    write_cog(folder / "places" / "valley" / "land_cover.tif", cover, TRANSFORM, MERCATOR, nodata=255, colours=colours)
    # Chips of 4 pixels, each one raster pixel of the scene wide and the raster's height.
    own = [TRANSFORM @ Affine.translation(column, 0) @ Affine.scale(0.25, 1) for column in range(4)]
    bounds = [transform_bounds(MERCATOR, "EPSG:4326", t.c, t.f + 4 * t.e, t.c + 4 * t.a, t.f) for t in own]
    table = pd.DataFrame(
        {
            "key": [f"Hill/{i}" for i in range(5)], "place": "valley", "crs": ["EPSG:3857"] * 4 + [""],
            **{name: [*(list(t)[i] for t in own), np.nan] for i, name in enumerate("abcdef")},
            **{name: [*(b[i] for b in bounds), np.nan] for i, name in enumerate(("west", "south", "east", "north"))},
        }
    )  # fmt: skip
    land_use, presence = (
        np.array([0, 1, -100, 0, 1]),
        np.array([[0, 0], [1, 0], [np.nan, 0], [1, 1], [0, 1]], np.float32),
    )
    leaks = pd.DataFrame({"a": [0], "b": [1], "split_a": "train", "split_b": "validation", "kind": "near duplicate"})
    place = {
        "name": "valley", "crs": "EPSG:3857", "transform": list(TRANSFORM)[:6], "height": 4, "width": 4, "sensors": ["rgb"],
        "bounds": transform_bounds(MERCATOR, "EPSG:4326", TRANSFORM.c, TRANSFORM.f - _SIDE / 2, TRANSFORM.c + _SIDE / 2, TRANSFORM.f),
        "land_cover": True,
    }  # fmt: skip
    low_high = {
        "mean": [15] * 3,
        "std": [5] * 3,
        "low": [10] * 3,
        "high": [20] * 3,
        "percentiles": [2, 98],
        "sampled_chips": 5,
    }
    write_data_set(
        folder, {SENSORS["rgb"]: chips}, {LAND_USE: land_use, PRESENCE: presence}, table, splits=np.array([0, 1, 2, 3, 0]),
        leaks=leaks, places=[place], stride=4, statistics={"rgb": low_high},
    )  # fmt: skip
    return settings


@pytest.fixture
def banks(settings: Settings) -> Settings:
    """The workspace with a second data set, `banks`: two places in two zones, two sensors."""
    two_places(settings.datasets / "banks")
    return settings


@pytest.fixture
def client(settings: Settings):
    engine = open_database(settings.database_url)
    app = Starlette(routes=routes(settings, engine), middleware=stack())
    with TestClient(app, base_url="http://127.0.0.1:8501", raise_server_exceptions=True) as client:
        yield client
    engine.dispose()
