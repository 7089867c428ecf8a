import pytest

from spatialnet.errors import ImportRefused
from spatialnet.importing.images.sensor import image_sensor
from spatialnet.importing.importer import Source
from spatialnet.sensors import SENSORS
from tests.importing.image_trees import picture, tiff

MIXED = ("B8A", "B04", "B03", "B02", "B01", "B05", "B06", "B07", "B08", "B09", "B11", "B12")


def sensor_of(tmp_path, name, **options):
    return image_sensor(Source(tmp_path, options), tmp_path, [name])


def test_three_bands_are_rgb_and_a_note_says_so(tmp_path):
    picture(tmp_path / "a.jpg")
    sensor, bands, notes = sensor_of(tmp_path, "a.jpg")
    assert (sensor.name, bands) == ("rgb", (1, 2, 3))
    assert "taken for RGB" in notes[0].text
    assert "1 m per pixel is assumed" in notes[1].text
    assert sensor_of(tmp_path, "a.jpg", pixel_size="0.3")[0].gsd_m == 0.3


def test_bands_are_found_by_their_names_and_metres_by_the_place(tmp_path):
    tiff(tmp_path / "a.tif", 12, names=MIXED, metres=20)
    sensor, bands, _ = sensor_of(tmp_path, "a.tif")
    assert (sensor.name, sensor.gsd_m) == ("sentinel2_l2a", 20)
    assert [MIXED[band - 1] for band in bands] == list(SENSORS["sentinel2_l2a"].bands)


def test_people_may_say_it(tmp_path):
    tiff(tmp_path / "a.tif", 7)
    with pytest.raises(ImportRefused, match="7 bands, and nothing says which"):
        sensor_of(tmp_path, "a.tif")
    sensor, bands, notes = sensor_of(tmp_path, "a.tif", sensor="naip")
    assert (sensor.name, bands) == ("naip", (1, 2, 3, 4))
    assert "first 4" in notes[0].text
    own, _, _ = sensor_of(tmp_path, "a.tif", bands="green:560, nir: 842.5")
    assert (own.bands, own.wavelengths_nm) == (("green", "nir"), (560.0, 842.5))
    with pytest.raises(ImportRefused, match="13"):
        sensor_of(tmp_path, "a.tif", sensor="sentinel2_l1c")


@pytest.mark.parametrize(
    "options", [{"bands": "red"}, {"bands": "a:1,a:2"}, {"pixel_size": "no"}, {"pixel_size": "-1"}]
)
def test_answers_that_cannot_be_read_are_refused(tmp_path, options):
    picture(tmp_path / "a.jpg")
    with pytest.raises(ImportRefused, match=r"cannot be"):
        sensor_of(tmp_path, "a.jpg", **options)


def test_images_that_do_not_open_are_refused(tmp_path):
    (tmp_path / "a.jpg").write_bytes(b"no")
    with pytest.raises(ImportRefused, match="can be opened"):
        sensor_of(tmp_path, "a.jpg")
