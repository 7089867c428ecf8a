"""The rasters that are kept with a data set say the same as the files they came from, pixel by pixel."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import rasterio
from affine import Affine

from spatialnet.importing import places as places_module
from spatialnet.importing.listing import Listing, Origin, Pixels, Place
from spatialnet.importing.places import keep_places
from spatialnet.importing.target_plan import TargetPlan
from spatialnet.sensors import Sensor
from tests.conftest import TRANSFORM

THREE = Sensor("three", "optical", ("red", "green", "blue"), (660.0, 560.0, 480.0), 30.0)
ECHO = Sensor("echo", "sar", ("VV",), (0.0,), 60.0)
RULES = {
    "classes": [{"code": 1, "name": "forest", "colour": "#006400"}, {"code": 2, "name": "water", "colour": "#0000ff"}]
}


@pytest.fixture
def listing_of():
    """A listing with these places and one chip."""

    def make(*places: Place, bands=(), sensors=(THREE, ECHO), rules=RULES) -> Listing:
        zero = np.zeros(1, np.int64)
        pixels = tuple(
            Pixels(s, "windows", p, np.zeros((1, len(p)), np.int32), zero, zero, 8, bands if s is THREE else ())
            for s in sensors
            for p in [next(place.scenes[s.name] for place in places if s.name in place.scenes)]
        )
        table = pd.DataFrame({"key": ["c"], "split": "", "group": ""})
        plan = TargetPlan("a", "multiclass", "A", (), ("x", "y"))
        origin = Origin("t", "d", "l", "c", "s")
        return Listing("test", origin, table, pd.DataFrame(index=range(1)), pixels, (plan,), {}, places, 8, rules)

    return make


def keep(folder: Path, listing: Listing, told=None):
    folder.mkdir()
    return keep_places(folder, listing, (lambda *said: told.append(said)) if told is not None else lambda *_said: None)


@pytest.mark.parametrize(
    ("dtype", "nodata"), [("uint8", 0), ("uint8", None), ("uint16", 65535), ("int16", -9999), ("float32", float("nan"))]
)
def test_a_scene_keeps_its_pixels_type_grid_and_no_data(tmp_path, write_scene, listing_of, dtype, nodata, monkeypatch):
    monkeypatch.setattr(places_module, "STRIP_ROWS", 16)
    values = np.random.default_rng(0).integers(0, 200, (3, 70, 50)).astype(dtype)
    if nodata is not None:
        values[:, :5] = nodata
    turned = TRANSFORM @ Affine.rotation(10)
    path = write_scene("s.tif", values, nodata=nodata, crs="EPSG:32119", transform=turned)
    (said,) = keep(tmp_path / "out", listing_of(Place("here", {"three": (path,)}), sensors=(THREE,)))
    with rasterio.open(tmp_path / "out/here/three.tif") as kept:
        assert np.array_equal(kept.read(), values, equal_nan=dtype == "float32")
        assert kept.dtypes[0] == dtype
        assert kept.nodata == nodata or (np.isnan(kept.nodata) and np.isnan(nodata))
        assert kept.descriptions == THREE.bands
        assert kept.crs == "EPSG:32119"
        assert kept.transform.almost_equals(turned)
        assert kept.tags(ns="IMAGE_STRUCTURE")["LAYOUT"] == "COG"
        xs, ys = zip(*[turned @ corner for corner in ((0, 0), (50, 0), (0, 70), (50, 70))], strict=True)
        bounds = rasterio.warp.transform_bounds(kept.crs, "EPSG:4326", min(xs), min(ys), max(xs), max(ys))
    assert said["bounds"] == pytest.approx(bounds)
    assert (said["name"], said["crs"], said["height"], said["width"]) == ("here", "EPSG:32119", 70, 50)
    assert said["transform"] == pytest.approx(list(turned)[:6])
    assert (said["sensors"], said["land_cover"]) == (["three"], False)


def test_bands_are_in_the_sensors_order_whatever_the_files_order(tmp_path, write_scene, listing_of):
    values = np.random.default_rng(0).integers(0, 200, (5, 30, 20)).astype(np.uint16)
    place = Place("here", {"three": (write_scene("a.tif", values),)})
    keep(tmp_path / "out", listing_of(place, bands=(4, 1, 3), sensors=(THREE,)))
    with rasterio.open(tmp_path / "out/here/three.tif") as kept:
        assert np.array_equal(kept.read(), values[[3, 0, 2]])
    files = tuple(write_scene(f"b{i}.tif", values[i : i + 1]) for i in range(3))
    place = Place("here", {"three": files})
    keep(tmp_path / "files", listing_of(place, bands=(3, 2, 1), sensors=(THREE,)))
    with rasterio.open(tmp_path / "files/here/three.tif") as kept:
        assert np.array_equal(kept.read(), values[[2, 1, 0]])


def test_band_files_of_other_types_and_no_data_values_become_one_float_with_nan(tmp_path, write_scene, listing_of):
    values = np.random.default_rng(0).integers(1, 200, (3, 30, 20)).astype(np.int16)
    values[0, :4], values[2, 10:, 5] = -1, -7
    files = (
        write_scene("a.tif", values[:1], nodata=-1), write_scene("b.tif", values[1:2].astype(np.uint8)),
        write_scene("c.tif", values[2:].astype(np.float32), nodata=-7),
    )  # fmt: skip
    keep(tmp_path / "out", listing_of(Place("here", {"three": files}), sensors=(THREE,)))
    with rasterio.open(tmp_path / "out/here/three.tif") as kept:
        found = kept.read()
        assert (kept.dtypes[0], bool(np.isnan(kept.nodata))) == ("float32", True)
    assert np.array_equal(np.isnan(found), values < 0)
    assert np.array_equal(found[values > 0], values[values > 0])


def test_a_mask_becomes_nan(tmp_path, write_scene, listing_of):
    values = np.random.default_rng(0).integers(0, 200, (3, 30, 20)).astype(np.uint8)
    path = write_scene("a.tif", values)
    with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True), rasterio.open(path, "r+") as scene:
        scene.write_mask(np.arange(30)[:, None].repeat(20, axis=1) >= 6)
    keep(tmp_path / "out", listing_of(Place("here", {"three": (path,)}), sensors=(THREE,)))
    with rasterio.open(tmp_path / "out/here/three.tif") as kept:
        found = kept.read()
    assert np.isnan(found[:, :6]).all()
    assert np.array_equal(found[:, 6:], values[:, 6:])


def test_every_place_is_kept_with_the_sensors_that_it_has(tmp_path, write_scene, listing_of):
    random, told = np.random.default_rng(0), []
    both = write_scene("a.tif", random.integers(0, 9, (3, 30, 20)).astype(np.uint8))
    echo = write_scene(
        "e.tif", random.normal(size=(1, 15, 10)).astype(np.float32), transform=TRANSFORM @ Affine.scale(2)
    )
    alone = write_scene("b.tif", random.integers(0, 9, (1, 40, 20)).astype(np.float32), crs="EPSG:32618")
    listing = listing_of(Place("a b", {"three": (both,), "echo": (echo,)}), Place("c", {"echo": (alone,)}))
    said = keep(tmp_path / "out", listing, told)
    assert [(p["name"], p["crs"], p["sensors"], p["height"]) for p in said] == [
        ("a b", "EPSG:32617", ["three", "echo"], 30), ("c", "EPSG:32618", ["echo"], 40),
    ]  # fmt: skip
    found = sorted(p.relative_to(tmp_path / "out").as_posix() for p in (tmp_path / "out").rglob("*.tif"))
    assert found == ["a b/echo.tif", "a b/three.tif", "c/echo.tif"]
    with rasterio.open(tmp_path / "out/a b/echo.tif") as kept, rasterio.open(echo) as source:
        assert kept.transform.almost_equals(source.transform)
        assert np.array_equal(kept.read(), source.read())
    assert [text for _, text in told] == ["Writing the scenes of a b", "Writing the scenes of c"]
    assert all(0.8 <= share < 0.96 for share, _ in told)


def cover_of(tmp_path, write_scene, listing_of, codes, rules=RULES, **profile):
    scene = write_scene("s.tif", np.zeros((3, 20, 30), np.uint8))
    path = write_scene("cover.tif", codes, **profile)
    listing = listing_of(Place("here", {"three": (scene,)}, path), sensors=(THREE,), rules=rules)
    (said,) = keep(tmp_path / "out", listing)
    return said["land_cover"], tmp_path / "out/here/land_cover.tif"


def test_land_cover_is_clipped_to_the_place_and_has_its_colours(tmp_path, write_scene, listing_of):
    codes = np.random.default_rng(0).integers(1, 3, (1, 200, 300)).astype(np.uint8)
    far = TRANSFORM @ Affine.translation(-100, -80)  # the scene begins at row 80, column 100
    there, path = cover_of(tmp_path, write_scene, listing_of, codes, transform=far)
    assert there is True
    with rasterio.open(path) as kept:
        assert (kept.dtypes[0], kept.nodata) == ("uint8", 255)
        assert 20 <= kept.height <= 28
        assert 30 <= kept.width <= 38
        column, row = ~far @ (kept.transform @ (0, 0))
        row, column = round(row), round(column)
        assert row <= 80
        assert column <= 100
        assert np.array_equal(kept.read(), codes[:, row : row + kept.height, column : column + kept.width])
        colours = kept.colormap(1)
        assert colours[1] == (0, 100, 0, 255)
        assert colours[2] == (0, 0, 255, 255)


def test_codes_that_no_rule_names_and_no_data_are_unknown(tmp_path, write_scene, listing_of):
    codes = np.ones((1, 20, 30), np.int16)
    codes[0, 0], codes[0, 1], codes[0, 2], codes[0, 3], codes[0, 4] = 300, 42, -1, 2, -99
    there, path = cover_of(tmp_path, write_scene, listing_of, codes, nodata=-99)
    assert there is True
    with rasterio.open(path) as kept:
        assert [set(row) for row in kept.read(1)[:6].tolist()] == [{255}, {255}, {255}, {2}, {255}, {1}]


def test_land_cover_in_another_projection_reaches_over_the_whole_place(tmp_path, write_scene, listing_of):
    west, south, east, north = rasterio.warp.transform_bounds(
        "EPSG:32617", "EPSG:4326", 500_000, 4_000_000 - 600, 500_900, 4_000_000
    )
    degrees = Affine(1e-4, 0, west - 0.02, 0, -1e-4, north + 0.02)
    there, path = cover_of(
        tmp_path, write_scene, listing_of, np.ones((1, 500, 600), np.uint8), crs="EPSG:4326", transform=degrees
    )
    assert there is True
    with rasterio.open(path) as kept:
        assert kept.crs == "EPSG:4326"
        assert kept.bounds.left <= west
        assert kept.bounds.bottom <= south
        assert kept.bounds.right >= east
        assert kept.bounds.top >= north
        assert kept.width < 120


def test_land_cover_that_lies_turned_or_upside_down_is_kept_as_it_lies(tmp_path, write_scene, listing_of):
    for number, turn in enumerate((Affine.rotation(30), Affine.scale(1, -1))):
        folder = tmp_path / str(number)
        folder.mkdir()
        lies = TRANSFORM @ Affine.translation(15, 10) @ turn @ Affine.translation(-50, -50)
        codes = np.random.default_rng(0).integers(1, 3, (1, 100, 100)).astype(np.uint8)
        there, path = cover_of(folder, write_scene, listing_of, codes, transform=lies)
        assert there is True
        with rasterio.open(path) as kept:
            column, row = (round(v) for v in ~lies @ (kept.transform @ (0, 0)))
            assert np.array_equal(kept.read(), codes[:, row : row + kept.height, column : column + kept.width])
            assert kept.height < 60


def test_land_cover_of_another_place_is_not_kept(tmp_path, write_scene, listing_of):
    away = TRANSFORM @ Affine.translation(5000, 0)
    there, path = cover_of(tmp_path, write_scene, listing_of, np.ones((1, 9, 9), np.uint8), transform=away)
    assert there is False
    assert not path.exists()
