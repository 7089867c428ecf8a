import pytest

from spatialnet.errors import ImportRefused
from spatialnet.importing.importer import Option, Source
from spatialnet.importing.scenes.chips import Chipping
from spatialnet.importing.scenes.options import band_numbers, chipping, find_places, own_origin
from spatialnet.sensors import SENSORS

COVER = Option("land_cover", "Land cover", "A file.")


@pytest.fixture
def folder(tmp_path):
    for name in (
        "S2/a.tif",
        "S2/b.tif",
        "S1/a.tif",
        "LULC/a.tif",
        "LULC/b.tif",
        "LULC/c.tif",
        "one.tif",
        "x/s.tif",
        "y/s.tif",
    ):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"")
    return tmp_path


def find(folder, scenes, land_cover=""):
    return find_places(Source(folder, {"scenes": scenes, "land_cover": land_cover}), [COVER])


def test_a_star_stands_for_the_place(folder):
    places, notes = find(folder, "sentinel2_l2a=S2/*.tif, sentinel1=S1/*.tif", "LULC/*.tif")
    assert [place.name for place in places] == ["a", "b"]
    assert places[0].scenes == {
        SENSORS["sentinel2_l2a"]: (folder / "S2/a.tif",), SENSORS["sentinel1"]: (folder / "S1/a.tif",),
    }  # fmt: skip
    assert list(places[1].scenes) == [SENSORS["sentinel2_l2a"]]
    assert places[1].further == {"land_cover": folder / "LULC/b.tif"}
    assert notes == []


def test_places_may_be_folders_and_share_one_land_cover(folder):
    places, _ = find(folder, "naip=*/s.tif", "one.tif")
    assert [place.name for place in places] == ["x", "y"]
    assert {place.further["land_cover"] for place in places} == {folder / "one.tif"}


def test_a_place_without_land_cover_is_left_out_and_named(folder):
    (folder / "LULC" / "b.tif").unlink()
    places, notes = find(folder, "sentinel2_l2a=S2/*.tif", "LULC/*.tif")
    assert [place.name for place in places] == ["a"]
    assert [(note.severity, note.names) for note in notes] == [("drop", ("b",))]
    with pytest.raises(ImportRefused, match="No place has all the files"):
        find(folder, "naip=*/s.tif", "LULC/*.tif")


def test_band_files_are_joined_and_one_file_needs_only_its_sensor(folder):
    (place,), _ = find(folder, "sentinel1=S2/a.tif + S2/b.tif", "one.tif")
    assert place.scenes[SENSORS["sentinel1"]] == (folder / "S2/a.tif", folder / "S2/b.tif")
    (place,), _ = find(folder / "one.tif", "naip", "LULC/a.tif")
    assert (place.name, place.scenes) == ("one", {SENSORS["naip"]: (folder / "one.tif",)})
    assert place.further["land_cover"] == folder / "LULC/a.tif"


@pytest.mark.parametrize(
    ("scenes", "land_cover", "said"),
    [
        ("", "", "The scenes are ''"),
        ("modis=one.tif", "", "There is no sensor 'modis'. Use one of rgb"),
        ("naip", "", "Scenes holds 'naip'"),
        ("naip=none.tif", "", "There is no file 'none.tif'"),
        ("naip=one.tif, naip=one.tif", "", "NAIP is named twice"),
        ("naip=one.tif, sentinel1=S1/*.tif", "", r"Use `\*` in every file name, or in none"),
        ("naip=*/*.tif", "", r"Use one `\*`"),
        ("naip=/etc/*.tif", "", r"a path that starts at the source folder"),
        ("naip=Z/*.tif", "", r"No file fits 'Z/\*\.tif' for NAIP"),
        ("naip=one.tif", "none.tif", "There is no file 'none.tif'"),
        ("naip=a\0b.tif", "", "There is no file"),
    ],
)
def test_scenes_that_cannot_be_found_are_one_sentence(folder, scenes, land_cover, said):
    with pytest.raises(ImportRefused, match=said) as error:
        find(folder, scenes, land_cover)
    assert "\n" not in str(error.value)


def test_band_numbers():
    assert band_numbers("landsat7=1+2+3+4+5+7, naip=4 + 1 + 2 + 3") == {
        "landsat7": (1, 2, 3, 4, 5, 7),
        "naip": (4, 1, 2, 3),
    }
    assert band_numbers("") == {}
    for wrong in ("landsat7=1-3", "modis=1", "landsat7"):
        with pytest.raises(ImportRefused):
            band_numbers(wrong)


def test_chips_follow_the_answers():
    assert chipping({}) == Chipping(64, 64, 0.95)
    assert chipping({"size": "16", "stride": "8", "min_valid": ".5"}) == Chipping(16, 8, 0.5)
    for wrong in (
        {"size": "-1"},
        {"size": "many"},
        {"size": "8", "stride": "9"},
        {"min_valid": "0"},
        {"min_valid": "2"},
        {"min_valid": "."},
    ):
        with pytest.raises(ImportRefused):
            chipping(wrong)


def test_a_persons_own_files_have_no_licence_until_they_say_so(folder):
    origin = own_origin(Source(folder / "one.tif"), "Chips.")
    assert (origin.title, origin.licence) == ("one", "Not stated by the files")
