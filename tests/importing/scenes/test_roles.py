"""First guesses at what rasters are."""

import numpy as np
import pytest

from spatialnet.importing.scenes.roles import LAND_COVER, answers, band_mismatch, first_file, propose_roles, sensors_of
from spatialnet.raster import image_header
from tests.sources import write_raster, write_stack


def pixels(count: int, dtype: str = "uint16") -> np.ndarray:
    return np.ones((count, 8, 8), dtype)


def test_a_stack_is_told_by_its_bands_and_names(tmp_path):
    folder = write_stack(tmp_path / "delta", side=32)
    roles = {raster.pattern: raster.role for raster in propose_roles(folder)}
    assert roles == {"land_cover.tif": LAND_COVER, "sentinel1.tif": "sentinel1", "sentinel2.tif": "sentinel2_10"}
    assert answers(roles) == {
        "scenes": "sentinel1=sentinel1.tif, sentinel2_10=sentinel2.tif",
        "land_cover": "land_cover.tif",
    }
    (alone,) = propose_roles(folder / "sentinel1.tif")
    assert (alone.pattern, alone.bands) == ("sentinel1.tif", ("VV", "VH"))


def test_folders_of_many_places_are_one_pattern(tmp_path):
    for folder, count in (("S2", 12), ("labels", 1)):
        (tmp_path / folder).mkdir()
        for place in ("a", "b"):
            write_raster(tmp_path / folder / f"{place}.tif", pixels(count))
    assert [(r.pattern, r.role) for r in propose_roles(tmp_path)] == [
        ("S2/*.tif", "sentinel2_l2a"),
        ("labels/*.tif", LAND_COVER),
    ]
    assert first_file(tmp_path, "S2/*.tif") == tmp_path / "S2" / "a.tif"


@pytest.mark.parametrize(
    ("name", "count", "dtype", "role"),
    [
        ("x.tif", 6, "uint8", "landsat7"), ("x.tif", 3, "uint8", "rgb"), ("dem.tif", 1, "float32", "elevation"),
        ("x.tif", 2, "float32", "sentinel1"), ("x.tif", 2, "uint16", ""), ("x.tif", 7, "uint16", ""),
        ("lulc_2020.tif", 1, "uint8", LAND_COVER),
    ],
)  # fmt: skip
def test_where_nothing_fits_nothing_is_guessed(tmp_path, name, count, dtype, role):
    write_raster(tmp_path / name, pixels(count, dtype))
    assert [raster.role for raster in propose_roles(tmp_path)] == [role]


def test_of_two_that_look_alike_the_second_is_left_to_people(tmp_path):
    for name in ("a.tif", "b.tif"):
        write_raster(tmp_path / name, pixels(3, "uint8"))
    assert [raster.role for raster in propose_roles(tmp_path)] == ["rgb", ""]
    (tmp_path / "a.tif").write_bytes(b"no raster")
    assert [raster.pattern for raster in propose_roles(tmp_path)] == ["b.tif"]


def test_bands_are_matched_by_name_and_else_by_order(tmp_path):
    def header(count, *names):
        return image_header(write_raster(tmp_path / "x.tif", pixels(count), names))

    assert band_mismatch("sentinel1", header(2, "VV", "VH")) is None
    assert band_mismatch("sentinel1", header(2)) is None
    assert band_mismatch("sentinel1", header(2, "VH", "VV")) == (2, 1)
    assert band_mismatch("sentinel1", header(3, "angle", "VV", "VH")) == (2, 3)
    assert band_mismatch("naip", header(3)) == (1, 2, 3, 0)
    assert sensors_of("naip=a.tif+b.tif, none=c.tif, broken") == [("naip", "a.tif")]
