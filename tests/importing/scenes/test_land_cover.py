import subprocess
import sys

import numpy as np
import pytest
import rasterio

from spatialnet.errors import SceneHasNoCRS
from spatialnet.importing.scenes.land_cover import Grid, LandCoverFile
from spatialnet.settings import REPOSITORY
from tests.conftest import TRANSFORM, UTM


def test_land_cover_is_laid_on_the_grid_of_the_scene(write_scene):
    grid = Grid(8, 8, TRANSFORM, UTM)
    coarse = np.array([[[1, 2], [3, 255]]], np.uint8)
    path = write_scene("cover.tif", coarse, nodata=255, transform=TRANSFORM @ TRANSFORM.scale(4))
    quarter = np.ones((4, 4), int)
    found = LandCoverFile(path).codes(grid)
    assert found.dtype == np.int32
    assert np.array_equal(found, np.block([[quarter, 2 * quarter], [3 * quarter, -quarter]]))


def test_land_cover_that_covers_a_part_is_unknown_elsewhere(write_scene):
    grid = Grid(6, 6, TRANSFORM, UTM)
    inner = TRANSFORM @ TRANSFORM.translation(2, 3)
    found = LandCoverFile(write_scene("cover.tif", np.full((1, 2, 2), 5, np.uint8), transform=inner)).codes(grid)
    assert np.argwhere(found >= 0).tolist() == [[3, 2], [3, 3], [4, 2], [4, 3]]
    assert set(found[found >= 0].tolist()) == {5}


def test_land_cover_in_another_crs_falls_on_the_same_ground(write_scene):
    """Codes tell the longitude; on the grid they must be those of each pixel's own longitude."""
    grid = Grid(10, 12, TRANSFORM, UTM)
    west, _, east, north = rasterio.warp.transform_bounds(
        UTM, "EPSG:4326", *rasterio.transform.array_bounds(10, 12, TRANSFORM)
    )
    step = (east - west) / 100
    degrees = TRANSFORM.translation(west - 10 * step, north + 10 * step) @ TRANSFORM.scale(step, -step)
    codes = np.tile(np.arange(120, dtype=np.uint8), (1, 120, 1))
    found = LandCoverFile(write_scene("cover.tif", codes, crs="EPSG:4326", transform=degrees)).codes(grid)
    xs, ys = zip(*(TRANSFORM @ (c + 0.5, r + 0.5) for r in range(10) for c in range(12)), strict=True)
    longitudes = np.reshape(rasterio.warp.transform(UTM, "EPSG:4326", xs, ys)[0], (10, 12))
    wanted = np.floor((longitudes - west) / step + 10)
    assert np.abs(found - wanted).max() <= 1
    assert (found == wanted).mean() > 0.9


def test_reading_land_cover_does_not_bring_virtual_rasters_back(write_scene):
    code = (
        "import sys, numpy, rasterio\n"
        "from pathlib import Path\nfrom spatialnet.importing.scenes.land_cover import Grid, LandCoverFile\n"
        "from affine import Affine\nfrom rasterio.crs import CRS\n"
        "grid = Grid(4, 4, Affine(30, 0, 5e5, 0, -30, 4e6), CRS.from_epsg(32617))\n"
        "assert (LandCoverFile(Path(sys.argv[1])).codes(grid) == 1).all()\n"
        "with rasterio.Env() as env:\n"
        "    assert 'VRT' not in env.drivers()\n"
    )
    path = write_scene("cover.tif", np.ones((1, 8, 8), np.uint8))
    subprocess.run([sys.executable, "-c", code, path], check=True, cwd=REPOSITORY)


def test_land_cover_of_another_place_says_nothing(write_scene):
    far = TRANSFORM.translation(900_000, 0) @ TRANSFORM
    path = write_scene("cover.tif", np.ones((1, 8, 8), np.uint8), nodata=0, transform=far)
    assert (LandCoverFile(path).codes(Grid(8, 8, TRANSFORM, UTM)) == -1).all()


def test_a_part_of_a_grid_is_its_window(write_scene):
    codes = np.random.default_rng(0).integers(1, 9, (1, 20, 30)).astype(np.uint8)
    turned = TRANSFORM @ TRANSFORM.rotation(20)
    cover, grid = LandCoverFile(write_scene("cover.tif", codes, transform=turned)), Grid(20, 30, turned, UTM)
    assert np.array_equal(cover.codes(grid), codes[0])
    assert np.array_equal(cover.codes(grid.part(5, 7, 10, 12)), codes[0, 5:15, 7:19])
    assert grid.gsd_m == pytest.approx(30)


@pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
def test_land_cover_without_a_place_is_refused(write_scene):
    grid = Grid(8, 8, TRANSFORM, UTM)
    with pytest.raises(SceneHasNoCRS, match="Assign one"):
        LandCoverFile(write_scene("cover.tif", np.ones((1, 8, 8), np.uint8), crs=None)).codes(grid)
