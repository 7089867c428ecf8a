import subprocess
import sys

import numpy as np
import pytest
import rasterio

from spatialnet.datasets.land_cover import read_codes_on_grid
from spatialnet.errors import NothingToRead, SceneHasNoCRS
from spatialnet.raster import Raster
from spatialnet.settings import REPOSITORY
from tests.conftest import TRANSFORM, UTM


def test_land_cover_is_laid_on_the_grid_of_the_scene(write_scene):
    grid = Raster(np.zeros((1, 8, 8), np.float32), TRANSFORM, UTM)
    coarse = np.array([[[1, 2], [3, 255]]], np.uint8)
    path = write_scene("cover.tif", coarse, nodata=255, transform=TRANSFORM @ TRANSFORM.scale(4))
    quarter = np.ones((4, 4), int)
    found = read_codes_on_grid(path, grid)
    assert found.dtype == np.int32
    assert np.array_equal(found, np.block([[quarter, 2 * quarter], [3 * quarter, -quarter]]))


def test_land_cover_that_covers_a_part_is_unknown_elsewhere(write_scene):
    grid = Raster(np.zeros((1, 6, 6), np.float32), TRANSFORM, UTM)
    inner = TRANSFORM @ TRANSFORM.translation(2, 3)
    found = read_codes_on_grid(write_scene("cover.tif", np.full((1, 2, 2), 5, np.uint8), transform=inner), grid)
    assert np.argwhere(found >= 0).tolist() == [[3, 2], [3, 3], [4, 2], [4, 3]]
    assert set(found[found >= 0].tolist()) == {5}


def test_land_cover_in_another_crs_falls_on_the_same_ground(write_scene):
    """Codes tell the longitude; on the grid they must be those of each pixel's own longitude."""
    grid = Raster(np.zeros((1, 10, 12), np.float32), TRANSFORM, UTM)
    west, _, east, north = grid.wgs84_bounds(0, 0, 10, 12)
    step = (east - west) / 100
    degrees = TRANSFORM.translation(west - 10 * step, north + 10 * step) @ TRANSFORM.scale(step, -step)
    codes = np.tile(np.arange(120, dtype=np.uint8), (1, 120, 1))
    found = read_codes_on_grid(write_scene("cover.tif", codes, crs="EPSG:4326", transform=degrees), grid)
    xs, ys = zip(*(TRANSFORM @ (c + 0.5, r + 0.5) for r in range(10) for c in range(12)), strict=True)
    longitudes = np.reshape(rasterio.warp.transform(UTM, "EPSG:4326", xs, ys)[0], (10, 12))
    wanted = np.floor((longitudes - west) / step + 10)
    assert np.abs(found - wanted).max() <= 1
    assert (found == wanted).mean() > 0.9


def test_reading_land_cover_does_not_bring_virtual_rasters_back(write_scene):
    code = (
        "import sys, numpy, rasterio\n"
        "from spatialnet.datasets.land_cover import read_codes_on_grid\n"
        "from spatialnet.raster import Affine, CRS, Raster\n"
        "grid = Raster(numpy.zeros((1, 4, 4)), Affine(30, 0, 5e5, 0, -30, 4e6), CRS.from_epsg(32617))\n"
        "assert (read_codes_on_grid(sys.argv[1], grid) == 1).all()\n"
        "with rasterio.Env() as env:\n"
        "    assert 'VRT' not in env.drivers()\n"
    )
    path = write_scene("cover.tif", np.ones((1, 8, 8), np.uint8))
    subprocess.run([sys.executable, "-c", code, path], check=True, cwd=REPOSITORY)


def test_land_cover_of_another_place_is_refused(write_scene):
    grid = Raster(np.zeros((1, 8, 8), np.float32), TRANSFORM, UTM)
    far = TRANSFORM.translation(900_000, 0) @ TRANSFORM
    with pytest.raises(NothingToRead, match="same place"):
        read_codes_on_grid(write_scene("cover.tif", np.ones((1, 8, 8), np.uint8), nodata=0, transform=far), grid)


@pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
def test_land_cover_without_a_place_is_refused(write_scene):
    grid = Raster(np.zeros((1, 8, 8), np.float32), TRANSFORM, UTM)
    with pytest.raises(SceneHasNoCRS, match="Assign one"):
        read_codes_on_grid(write_scene("cover.tif", np.ones((1, 8, 8), np.uint8), crs=None), grid)
