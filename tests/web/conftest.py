import json
from pathlib import Path

import numpy as np
import pytest
from affine import Affine
from rasterio.crs import CRS
from starlette.applications import Starlette
from starlette.testclient import TestClient

from spatialnet.database import open_database
from spatialnet.raster import write_cog
from spatialnet.sensors import SENSORS
from spatialnet.settings import Settings, load_settings
from spatialnet.tasks import Task
from spatialnet.web import routes, stack

LAND_USE = Task("land_use", "multiclass", ("forest", "water"), colours=("#006400", "#0000ff"))
PRESENCE = Task("presence", "multilabel", ("road", "house"))

# The rasters lie in the north-west quarter of this tile, 4 x 4 pixels, in the tiles' own projection.
Z, X, Y = 12, 1153, 1609
_SIDE = 2 * 20_037_508.342789244 / 2**Z
TRANSFORM = Affine(_SIDE / 8, 0, X * _SIDE - 20_037_508.342789244, 0, -_SIDE / 8, 20_037_508.342789244 - Y * _SIDE)
MERCATOR = CRS.from_epsg(3857)


def write_run(settings: Settings, name: str, classes: np.ndarray) -> None:
    """A run whose land-use map holds these classes (4, 4), each with a score of 80 percent."""
    folder = settings.runs / name
    (folder / "maps").mkdir(parents=True)
    (folder / "run.json").write_text(json.dumps({"id": name, "dataset": "hills"}))
    known = classes != 255
    bands = [classes, np.where(known, 80, 255), np.where(classes == 0, 80, 20), np.where(classes == 1, 80, 20)]
    write_cog(folder / "maps" / "land_use.tif", np.stack(bands).astype(np.uint8), TRANSFORM, MERCATOR, nodata=255)


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    settings = load_settings(tmp_path / "workspace")
    folder = settings.datasets / "hills"
    for part in ("chips", "scenes", "maps"):
        (folder / part).mkdir(parents=True)
    chips = np.zeros((5, 3, 4, 4), np.float32)
    chips[1, 0], chips[1, 1], chips[1, 2] = 10, 15, 20  # dark, half, bright
    chips[2] = np.nan
    np.save(folder / "chips" / "rgb.npy", chips)
    scene = np.full((3, 4, 4), 15, np.float32)
    scene[:, 0, 0] = np.nan
    scene[0, :, 3], scene[1, :, 3], scene[2, :, 3] = 20, 10, 10
    write_cog(folder / "scenes" / "rgb.tif", scene, TRANSFORM, MERCATOR, nodata=float("nan"))
    cover = np.array([[[1, 2, 2, 255]] * 4], np.uint8)
    colours = {1: (1, 2, 3, 255), 2: (9, 8, 7, 255)}
    write_cog(folder / "scenes" / "land_cover.tif", cover, TRANSFORM, MERCATOR, nodata=255, colours=colours)
    splits = np.array([[[0, 1, 2, 3]] * 4], np.uint8)
    write_cog(folder / "maps" / "splits.tif", splits, TRANSFORM, MERCATOR, nodata=255)
    presence = np.stack([np.full((4, 4), 254), np.full((4, 4), 100), np.zeros((4, 4)), np.zeros((4, 4))]).astype(
        np.uint8
    )
    write_cog(folder / "maps" / "target-presence.tif", presence, TRANSFORM, MERCATOR, nodata=255)
    manifest = {
        "name": "hills", "title": "Hills", "chips": 5, "chip_size": 4, "fingerprint": "f00d",
        "sensors": [SENSORS["rgb"].to_dict()], "tasks": [LAND_USE.to_dict(), PRESENCE.to_dict()],
        "statistics": {"rgb": {"low": [10, 10, 10], "high": [20, 20, 20]}},
    }  # fmt: skip
    (folder / "dataset.json").write_text(json.dumps(manifest))
    return settings


@pytest.fixture
def client(settings: Settings):
    engine = open_database(settings.database_url)
    app = Starlette(routes=routes(settings, engine), middleware=stack())
    with TestClient(app, base_url="http://127.0.0.1:8501", raise_server_exceptions=True) as client:
        yield client
    engine.dispose()
