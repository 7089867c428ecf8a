"""Chips of one grid found in another, for any size, stride, ratio and turn that Hypothesis thinks of."""

import numpy as np
import pytest
from affine import Affine
from hypothesis import given, settings
from hypothesis import strategies as st

from spatialnet.errors import BandsDoNotMatch, NothingToRead, SceneHasNoCRS
from spatialnet.importing.scenes.grid import blocks, open_scenes, positions, windows
from spatialnet.importing.scenes.land_cover import Grid
from spatialnet.sensors import SENSORS
from tests.conftest import TRANSFORM, UTM

LANDSAT, RADAR = SENSORS["landsat7"], SENSORS["sentinel1"]

sizes = st.integers(2, 40)
lengths = st.integers(40, 300)
angles = st.floats(-180, 180)


def grid(height, width, transform=TRANSFORM):
    return Grid(height, width, transform, UTM)


@given(height=lengths, width=lengths, size=sizes, data=st.data())
def test_positions_fill_the_grid_and_are_centred(height, width, size, data):
    stride = data.draw(st.integers(1, size))
    for found, length in zip(positions(grid(height, width), [], size, stride), (height, width), strict=True):
        assert found[0] >= 0
        assert found[-1] + size <= length
        assert (np.diff(found) == stride).all()
        before, after = found[0], length - size - found[-1]
        assert 0 <= after - before <= 1
        assert before + after < stride  # one more chip would not fit


@given(size=sizes, ratio=st.integers(1, 6), shift=st.integers(-20, 20), angle=angles, length=lengths, data=st.data())
def test_a_chip_of_a_coarser_grid_covers_the_same_ground(size, ratio, shift, angle, length, data):
    fine = Affine(10, 0, 500_000, 0, -10, 4_000_000) @ Affine.rotation(angle)
    coarse = fine @ Affine.scale(ratio) @ Affine.translation(shift, -shift)
    here = grid(length * ratio, length * ratio, fine)
    other = grid(length, length, coarse)
    stride = ratio * data.draw(st.integers(1, size))
    starts = positions(here, [other], size * ratio, stride)
    rows, columns = (a.ravel() for a in np.meshgrid(*starts, indexing="ij"))
    found = windows(here, other, rows, columns, size * ratio, size)
    assert found is not None
    for end in (0, 1):
        a = fine @ (columns[-1] + end * size * ratio, rows[-1] + end * size * ratio)
        b = coarse @ (found[1][-1] + end * size, found[0][-1] + end * size)
        assert np.allclose(a, b, atol=1e-3)


@given(size=sizes, off=st.floats(0.15, 0.85))
def test_grids_that_lie_between_each_others_pixels_do_not_fit(size, off):
    moved = TRANSFORM @ Affine.translation(off, 0)
    assert windows(grid(80, 80), grid(80, 80, moved), np.array([0]), np.array([0]), size, size) is None


@pytest.mark.parametrize("change", [Affine.rotation(90), Affine.scale(-1, 1), Affine.scale(1.05), Affine.rotation(1)])
def test_turned_mirrored_and_stretched_grids_do_not_fit(change):
    other = grid(80, 80, TRANSFORM @ change)
    assert windows(grid(80, 80), other, np.array([0]), np.array([0]), 16, 16) is None


def test_a_rest_of_rounding_is_forgiven():
    moved = Affine(30, 0, 500_000 + 1e-5, 0, -30, 4_000_000)
    assert windows(grid(80, 80), grid(80, 80, moved), np.array([8]), np.array([9]), 16, 16) == (8, 9)


@settings(max_examples=50)
@given(down=st.integers(1, 40), across=st.integers(1, 40), size=sizes, budget=st.integers(1, 60_000), data=st.data())
def test_blocks_hold_every_chip_once_and_keep_to_the_budget(down, across, size, budget, data):
    stride = data.draw(st.integers(1, size))
    seen = []
    for done, chips in blocks(down, across, size, stride, budget):
        assert 0 <= done < 1
        rows, columns = np.divmod(chips, across)
        pixels = (np.ptp(rows) * stride + size) * (np.ptp(columns) * stride + size)
        assert pixels <= max(budget, size**2)
        seen.extend(chips.tolist())
    assert sorted(seen) == list(range(down * across))


def test_a_scene_smaller_than_a_chip_is_one_sentence():
    with pytest.raises(NothingToRead, match=r"48 x 40 pixels; a chip needs 64 x 64"):
        positions(grid(40, 48), [], 64, 64)


def opened(scenes, bands=None):
    with open_scenes("here", scenes, bands or {}) as found:
        return found


def test_band_files_are_one_scene(write_scene):
    files = tuple(write_scene(f"b{i}.tif", np.full((1, 20, 20), i, np.float32)) for i in range(6))
    holed = np.ones((1, 20, 20), np.float32)
    holed[0, 3, 4] = np.nan
    with open_scenes("here", {LANDSAT: (*files[:5], write_scene("b5.tif", holed))}, {}) as found:
        valid = found[LANDSAT].valid(2, 2, 25, 25)
    assert not valid[1, 2]
    assert valid[:18, :18].sum() == 18 * 18 - 1
    assert not valid[18:].any()
    assert not valid[:, 18:].any()


def test_bands_are_taken_as_they_are_numbered(write_scene):
    pixels = np.ones((8, 20, 20), np.float32)
    pixels[6:] = np.nan  # bands that are not taken do not count
    path = write_scene("eight.tif", pixels)
    with open_scenes("here", {LANDSAT: (path,)}, {"landsat7": (1, 2, 3, 4, 5, 6)}) as found:
        assert found[LANDSAT].valid(0, 0, 20, 20).all()
    with open_scenes("here", {LANDSAT: (path,)}, {"landsat7": (1, 2, 3, 4, 5, 7)}) as found:
        assert not found[LANDSAT].valid(0, 0, 20, 20).any()


@pytest.mark.parametrize("bands", [(1, 2), (1, 2, 3, 4, 5, 9), (0, 1, 2, 3, 4, 5)])
def test_band_numbers_that_are_not_there_are_one_sentence(write_scene, bands):
    path = write_scene("eight.tif", np.ones((8, 20, 20), np.float32))
    with pytest.raises(BandsDoNotMatch, match=r"its files hold 8.*from 1 to 8"):
        opened({LANDSAT: (path,)}, {"landsat7": bands})


def test_another_number_of_bands_shows_both_lists(write_scene):
    with pytest.raises(BandsDoNotMatch, match=r"has 2 bands \(band 1, band 2\); Landsat 7 ETM\+ has 6 \(B1, B2"):
        opened({LANDSAT: (write_scene("two.tif", np.ones((2, 20, 20), np.float32)),)})
    files = tuple(write_scene(f"b{i}.tif", np.ones((1, 20, 20), np.float32)) for i in range(2))
    with pytest.raises(BandsDoNotMatch, match=r"'b0.tif', 'b1.tif' have 2 bands in all; Landsat 7 ETM\+ has 6"):
        opened({LANDSAT: files})


def test_band_files_of_two_grids_are_one_sentence(write_scene):
    one = np.ones((1, 20, 20), np.float32)
    first = write_scene("vv.tif", one)
    coarse = write_scene("coarse.tif", one, transform=TRANSFORM @ Affine.scale(2))
    smaller = write_scene("smaller.tif", one[:, :10])
    with pytest.raises(BandsDoNotMatch, match=r"20 x 20 pixels of 30 from .* of 60 .*share one pixel grid: resample"):
        opened({RADAR: (first, coarse)})
    with pytest.raises(BandsDoNotMatch, match=r"20 x 10 pixels.* cut them alike"):
        opened({RADAR: (first, smaller)})


def test_two_coordinate_reference_systems_are_one_sentence(write_scene):
    radar = write_scene("radar.tif", np.ones((2, 40, 48), np.float32), crs="EPSG:32618")
    with pytest.raises(
        BandsDoNotMatch, match=r"Landsat 7 ETM\+ is in EPSG:32617 and Sentinel-1 in EPSG:32618.*reproject"
    ):
        opened({LANDSAT: (write_scene("a.tif"),), RADAR: (radar,)})


@pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
def test_a_scene_without_a_place_is_one_sentence(write_scene):
    with pytest.raises(SceneHasNoCRS, match="Assign one"):
        opened({LANDSAT: (write_scene("a.tif", crs=None),)})
