"""Scenes with land cover, from a small tree of files as people have it."""

import numpy as np
import pytest
from affine import Affine

from spatialnet.errors import BandsDoNotMatch, ImportRefused, PathRefused, RulesInvalid, SceneUnreadable
from spatialnet.importing.formats.land_cover import IMPORTER
from spatialnet.importing.importer import Source
from spatialnet.importing.scenes.derive import RULES_FOLDER
from tests.conftest import TRANSFORM

OPTIONS = {
    "scenes": "landsat7=L7/*.tif, sentinel1=S1/*.tif", "land_cover": "LULC/*.tif", "rules": "landscape",
    "size": "16", "stride": "8",
}  # fmt: skip


@pytest.fixture
def tree(tmp_path, write_scene):
    random = np.random.default_rng(2)
    for name in ("a", "b"):
        write_scene(f"L7/{name}.tif", random.uniform(0, 90, (6, 48, 48)).astype(np.float32))
        write_scene(f"LULC/{name}.tif", random.integers(1, 7, (1, 48, 48)).astype(np.uint8))
    radar = random.normal(size=(2, 24, 24)).astype(np.float32)
    write_scene("S1/a.tif", radar, transform=TRANSFORM @ Affine.scale(2))
    return tmp_path


def listed(folder, **options):
    return IMPORTER.listing(Source(folder, OPTIONS | options))


def test_a_tree_of_two_places_and_two_sensors(tree):
    found = listed(tree)
    assert len(found) == 50
    assert [sensor.name for sensor in found.sensors] == ["landsat7", "sentinel1"]
    assert found.pixels[1].present.sum() == 25
    assert [plan.name for plan in found.targets] == ["land_use", "presence", "rural_urban"]
    assert [place.name for place in found.places] == ["a", "b"]
    assert found.places[1].land_cover == tree / "LULC/b.tif"
    assert found.origin.licence == "Not stated by the files"
    assert found.importer == IMPORTER.name == "land_cover"
    assert found.rules["title"] == "Generated land cover"


def test_a_single_file_and_a_rules_file_of_ones_own(tree):
    (tree / "mine.toml").write_text((RULES_FOLDER / "landscape.toml").read_text().replace("Generated", "My"))
    found = IMPORTER.listing(
        Source(
            tree / "L7" / "a.tif",
            {"scenes": "landsat7", "land_cover": "../LULC/a.tif", "rules": "../mine.toml", "size": "16"},
        )
    )
    assert found.rules["title"] == "My land cover"
    assert found.chips["place"].unique().tolist() == ["a"]
    assert (len(found), found.stride) == (9, 16)


def test_a_tree_is_recognised_by_its_land_cover(tree):
    assert IMPORTER.recognise(tree) == "scenes with the land cover 'LULC'"
    assert IMPORTER.recognise(tree / "L7") is None
    assert IMPORTER.recognise(tree / "L7" / "a.tif") is None


@pytest.mark.parametrize(
    ("options", "error", "said"),
    [
        ({"rules": "mine"}, ImportRefused, "The rules are 'mine'. Use corine"),
        ({"rules": "mine.toml"}, ImportRefused, "There is no file 'mine.toml'"),
        ({"rules": "L7/a.tif"}, ImportRefused, r"Use corine, dynamic_world, .*or a file that ends in \.toml"),
        ({"rules": "worldcover"}, RulesInvalid, "name none of them"),
        ({"rules": ""}, ImportRefused, "needs an answer for 'Rules'"),
        ({"scenes": ""}, ImportRefused, "needs an answer for 'Scenes'"),
        ({"scenes": "sentinel1=L7/*.tif"}, BandsDoNotMatch, r"has 6 bands .*Sentinel-1 has 2 \(VV, VH\)"),
        ({"size": "big"}, ImportRefused, "Chip size is 'big'"),
        ({"unknown": "1"}, ImportRefused, "has no option 'unknown'"),
    ],
)
def test_answers_that_do_not_fit_are_one_sentence(tree, options, error, said):
    with pytest.raises(error, match=said):
        listed(tree, **options)


@pytest.mark.parametrize(
    "content", [b"", b"<VRTDataset rasterXSize='9' rasterYSize='9'><SRS>EPSG:4326</SRS></VRTDataset>"]
)
@pytest.mark.parametrize("name", ["L7/b.tif", "LULC/b.tif"])
def test_files_that_are_no_geotiff_are_one_sentence(tree, content, name):
    (tree / name).write_bytes(content)
    with pytest.raises(SceneUnreadable, match=r"'b.tif' cannot be read as a GeoTIFF"):
        listed(tree)


def test_a_virtual_raster_is_refused_by_its_suffix(tree):
    (tree / "L7" / "a.tif").rename(tree / "a.vrt")
    with pytest.raises(PathRefused, match="not a GeoTIFF file"):
        listed(tree, scenes="landsat7=a.vrt", land_cover="LULC/a.tif")


def test_two_coordinate_reference_systems_in_one_place_are_one_sentence(tree, write_scene):
    write_scene(
        "S1/a.tif", np.ones((2, 24, 24), np.float32), crs="EPSG:4326", transform=Affine(1e-3, 0, -81, 0, -1e-3, 36)
    )
    with pytest.raises(BandsDoNotMatch, match="need one coordinate reference system"):
        listed(tree)
