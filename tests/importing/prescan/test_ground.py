import numpy as np
import pandas as pd
import pytest
import rasterio
from affine import Affine
from rasterio.crs import CRS
from rasterio.warp import transform_bounds

from spatialnet.importing.listing import Listing, Origin, Pixels
from spatialnet.importing.prescan.ground import crs_text, locate
from spatialnet.sensors import Sensor

GREY = Sensor("grey", "optical", ("grey",), (600,), 10)
BOUNDS = ["west", "south", "east", "north"]


def listing(count: int, pixels: Pixels | None = None, **chips) -> Listing:
    zero = np.zeros(count, np.int64)
    pixels = pixels or Pixels(GREY, "files", (), zero.astype(np.int32)[:, None], zero, zero)
    table = pd.DataFrame({"key": zero.astype(str) if count < 2 else np.arange(count).astype(str)} | chips)
    return Listing("test", Origin("", "", "", "", ""), table, pd.DataFrame(index=range(count)), (pixels,), ())


def located(systems: list[str], affines: list[Affine], sizes: list[tuple[int, int]], **chips) -> pd.DataFrame:
    affine = np.array([tuple(a)[:6] for a in affines], np.float64)
    return locate(listing(len(systems), **chips), np.array(systems, object), affine, np.array(sizes))


@pytest.mark.parametrize("code", [32617, 3857, 4326, 3035, 32119])
def test_bounds_are_where_rasterio_says(code):
    centre = {32617: (5e5, 4e6), 3857: (1e6, 6e6), 4326: (8.0, 47.0), 3035: (4e6, 3e6), 32119: (6e5, 2e5)}[code]
    pixel = 1e-4 if code == 4326 else 10.0
    affines = [Affine(pixel, 0, centre[0] + i * 700 * pixel, 0, -pixel, centre[1]) for i in range(3)]
    table = located([f"EPSG:{code}"] * 3, affines, [(64, 80)] * 3)
    for row, affine in zip(table.itertuples(), affines, strict=True):
        x, y = affine @ (80, 64)
        wanted = transform_bounds(CRS.from_epsg(code), "EPSG:4326", affine.c, y, x, affine.f)
        assert [row.west, row.south, row.east, row.north] == pytest.approx(wanted, abs=1e-7)
        assert row.west < row.longitude < row.east


def test_a_turned_chip_has_the_bounds_of_its_corners():
    affine = Affine.translation(5e5, 4e6) @ Affine.rotation(45) @ Affine.scale(10, -10)
    turned, upright = (
        located(["EPSG:32631"], [a], [(100, 100)]).iloc[0] for a in (affine, Affine(10, 0, 5e5, 0, -10, 4e6))
    )
    assert turned["east"] - turned["west"] == pytest.approx((upright["east"] - upright["west"]) * 2**0.5, rel=1e-3)
    assert turned["gsd_m"] == pytest.approx(10)


def test_a_chip_across_the_antimeridian_does_not_span_the_world():
    table = located(
        ["EPSG:32601", "EPSG:4326", "EPSG:4326"],
        [
            Affine(10, 0, 166_000, 0, -10, 100_000),
            Affine(0.01, 0, 179.9, 0, -0.01, 5),
            Affine(0.01, 0, 181, 0, -0.01, 5),
        ],
        [(64, 64)] * 2 + [(50, 50)],
    )
    assert (table["east"] - table["west"] < 1).all()
    assert (table["west"].between(-180, 180) & table["longitude"].between(-180, 180)).all()
    assert table[BOUNDS].iloc[1].tolist() == pytest.approx([179.9, 4.36, 180.54, 5])
    assert table[BOUNDS].iloc[2].tolist() == pytest.approx([-179, 4.5, -178.5, 5])


def test_chips_without_a_transform_have_the_place_that_the_source_states():
    none = Affine(*[np.nan] * 6)
    table = located(
        ["EPSG:32631", "", "", ""], [Affine(10, 0, 5e5, 0, -10, 4e6), none, none, none], [(10, 10)] * 4,
        longitude=[99.0, 7.5, 500.0, None], latitude=[9.0, 51.0, 2.0, 4.0],
    )  # fmt: skip
    assert table["longitude"].iloc[0] == pytest.approx(3.0, abs=0.01)
    assert table[["longitude", "latitude"]].iloc[1].tolist() == [7.5, 51.0]
    assert table[["longitude", "latitude"]].iloc[2:].isna().all(axis=None)
    assert table[BOUNDS].iloc[1:].isna().all(axis=None)


def test_a_system_that_means_nothing_leaves_the_place_unknown():
    table = located(["EPSG:999999", "no such thing"], [Affine(10, 0, 0, 0, -10, 0)] * 2, [(8, 8)] * 2)
    assert table["longitude"].isna().all()


def test_windows_lie_where_their_raster_does(tmp_path):
    paths = (tmp_path / "a.tif", tmp_path / "b.tif")
    for path, west in zip(paths, (5e5, 7e5), strict=True):
        with rasterio.open(
            path, "w", driver="GTiff", count=1, height=60, width=50, dtype="uint8", crs="EPSG:32631",
            transform=Affine(10, 0, west, 0, -10, 4e6),
        ) as out:  # fmt: skip
            out.write(np.zeros((1, 60, 50), np.uint8))
    pixels = Pixels(
        GREY, "windows", paths, np.array([[0], [0], [1]], np.int32), np.array([0, 16, 8]), np.array([0, 8, 4]), 16
    )
    table = locate(listing(3, pixels), np.full(3, "", object), np.full((3, 6), np.nan), np.zeros((3, 2), np.int64))
    assert table["c"].tolist() == [5e5, 5e5 + 80, 7e5 + 40]
    assert table["f"].tolist() == [4e6, 4e6 - 160, 4e6 - 80]
    assert table[["row", "column", "height", "width"]].iloc[1].tolist() == [16, 8, 16, 16]
    assert set(table["crs"]) == {"EPSG:32631"}


def test_systems_are_said_by_code_where_they_have_one():
    assert crs_text(CRS.from_epsg(32617)) == "EPSG:32617"
    assert crs_text(None) == ""
    own = CRS.from_proj4("+proj=laea +lat_0=12 +lon_0=34 +units=m")
    assert CRS.from_string(crs_text(own)) == own
