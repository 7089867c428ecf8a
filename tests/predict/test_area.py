from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import rasterio
from affine import Affine
from rasterio.crs import CRS
from rasterio.io import MemoryFile
from rasterio.warp import transform

from spatialnet.errors import PredictionRefused
from spatialnet.predict.area import area_window, parse_area


@pytest.fixture
def opened():
    """An empty raster with this place on the ground."""
    memories = []

    def make(crs: str, place: Affine, height: int = 100, width: int = 120):
        memory = MemoryFile()
        profile = {"driver": "GTiff", "count": 1, "dtype": "uint8", "height": height, "width": width}
        with memory.open(**profile, crs=CRS.from_string(crs), transform=place):
            pass
        source = memory.open()
        memories.extend((source, memory))
        return source

    yield make
    for memory in memories:
        memory.close()


def bounds_of(window):
    return window.row_off, window.col_off, window.row_off + window.height, window.col_off + window.width


def test_pixels_in_degrees_are_counted_exactly(opened):
    source = opened("EPSG:4326", Affine(0.5, 0, 10, 0, -0.5, 50))
    assert bounds_of(area_window(source, (12.0, 40.0, 15.5, 48.0))) == (4, 4, 20, 11)
    assert bounds_of(area_window(source, (12.1, 40.1, 15.4, 47.9))) == (4, 4, 20, 11)  # whole pixels around it


def test_only_the_part_within_the_scene_counts(opened):
    source = opened("EPSG:4326", Affine(0.5, 0, 10, 0, -0.5, 50))
    assert bounds_of(area_window(source, (-100.0, 45.0, 12.0, 85.0))) == (0, 0, 10, 4)


def test_a_small_area_grows_to_both_sides_and_stays_inside(opened):
    source = opened("EPSG:4326", Affine(0.5, 0, 10, 0, -0.5, 50))
    assert bounds_of(area_window(source, (20.0, 29.5, 20.5, 30.0), least=9)) == (36, 16, 45, 25)
    assert bounds_of(area_window(source, (10.0, 49.5, 10.5, 50.0), least=9)) == (0, 0, 9, 9)
    assert bounds_of(area_window(source, (10.0, 49.5, 10.5, 50.0), least=500)) == (0, 0, 100, 120)


@pytest.mark.parametrize("turn", [0, 360])
def test_an_area_over_the_antimeridian_is_found_under_either_name(opened, turn):
    source = opened("EPSG:4326", Affine(0.1, 0, 175 - turn, 0, -0.1, 5))
    assert bounds_of(area_window(source, (179.0, -1.0, -179.0, 1.0))) == (40, 40, 60, 60)
    assert bounds_of(area_window(source, (-179.5, -1.0, -179.0, 1.0))) == (40, 55, 60, 60)


def test_an_area_over_the_antimeridian_in_metres(opened):
    source = opened("EPSG:32660", Affine(1000, 0, 750_000, 0, -1000, 50_000), width=200)
    (x,), _ = transform("EPSG:4326", source.crs, [180.0], [0.0])
    first, last = bounds_of(area_window(source, (179.9, -0.1, -179.9, 0.1)))[1::2]
    assert first < (x - 750_000) / 1000 < last
    assert 20 <= last - first <= 25  # 0.2 degrees are 22 km


def test_an_area_around_a_pole_holds_the_pole(opened):
    source = opened("EPSG:3031", Affine(10_000, 0, -1_000_000, 0, -10_000, 1_000_000), 200, 200)
    top, left, bottom, right = bounds_of(area_window(source, (-180.0, -90.0, 180.0, -85.0)))
    assert top < 100 < bottom
    assert left < 100 < right
    assert 100 <= bottom - top <= 120  # five degrees to each side are 1,100 km


def test_a_rotated_scene_is_met_where_its_pixels_are(opened):
    place = Affine.translation(500_000, 4_000_000) @ Affine.rotation(30) @ Affine.scale(30, -30)
    source = opened("EPSG:32617", place)
    x, y = zip(*(place @ corner for corner in ((50, 40), (60, 40), (50, 50), (60, 50))), strict=True)
    longitudes, latitudes = transform(source.crs, "EPSG:4326", x, y)
    area = min(longitudes), min(latitudes), max(longitudes), max(latitudes)
    top, left, bottom, right = bounds_of(area_window(source, area))
    assert top <= 40 < 50 <= bottom
    assert left <= 50 < 60 <= right
    assert max(bottom - top, right - left) <= 25  # the box around a turned square, turned again


@pytest.mark.parametrize("area", [(50.0, 0.0, 51.0, 1.0), (10.0, -60.0, 20.0, -50.0)])
def test_an_area_elsewhere_is_refused(opened, area):
    source = opened("EPSG:32632", Affine(30, 0, 500_000, 0, -30, 6_000_000))
    with pytest.raises(PredictionRefused, match="does not meet the scene"):
        area_window(source, area)


@pytest.mark.parametrize(
    "text", ["", "1,2,3", "a,b,c,d", "1,2,3,nan", "1,2,1,3", "1,5,2,4", "1,-91,2,4", "999,1,2,4", "1,2,3,4,5", "1,2,3,inf"]
)  # fmt: skip
def test_what_is_no_area_is_one_sentence(text):
    with pytest.raises(PredictionRefused, match="is no area"):
        parse_area(text)


def test_an_area_in_words():
    assert parse_area(" 8.0, 54.3,8.4,54.6") == (8.0, 54.3, 8.4, 54.6)


def test_what_the_window_holds_is_what_another_library_finds(opened, tmp_path: Path):
    """Rasterio's own window of the projected bounds, for a scene whose axes are degrees."""
    source = opened("EPSG:4326", Affine(0.25, 0, -20, 0, -0.25, 30))
    window = area_window(source, (-18.0, 20.0, -10.0, 28.0))
    assert rasterio.windows.bounds(window, source.transform) == pytest.approx((-18.0, 20.0, -10.0, 28.0))
    assert np.prod((window.height, window.width)) == 32 * 32
