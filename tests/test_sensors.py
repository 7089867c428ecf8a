import json

import pytest

from spatialnet.errors import BandsDoNotMatch
from spatialnet.sensors import SENSORS, Sensor


def test_a_sensor_survives_json():
    sensor = SENSORS["sentinel2_l2a"]
    assert Sensor.from_dict(json.loads(json.dumps(sensor.to_dict()))) == sensor


@pytest.mark.parametrize(
    ("name", "rgb"),
    [
        ("rgb", (0, 1, 2)), ("naip", (0, 1, 2)), ("landsat7", (2, 1, 0)), ("sentinel2_l1c", (3, 2, 1)),
        ("sentinel1", (0, 1, 0)), ("elevation", (0, 0, 0)),
    ],
)  # fmt: skip
def test_red_green_and_blue_are_found_by_wavelength(name, rgb):
    assert SENSORS[name].rgb() == rgb


def test_composites_are_those_the_bands_allow():
    assert SENSORS["landsat7"].composites() == {
        "True colour": (2, 1, 0), "Colour infrared": (3, 2, 1), "Short-wave infrared": (4, 3, 2),
    }  # fmt: skip
    assert list(SENSORS["rgb"].composites()) == ["True colour"]
    assert list(SENSORS["sentinel1"].composites()) == ["Sentinel-1"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("x", "lidar", ("a",), (0.0,), 1.0), "kind 'lidar'"),
        (("x", "sar", ("a", "b"), (0.0,), 1.0), "2 bands and 1 wavelengths"),
        (("x", "sar", (), (), 1.0), "0 bands"),
        (("x", "sar", ("a",), (0.0,), 0.0), "above 0"),
    ],
)
def test_a_sensor_that_contradicts_itself_is_refused(arguments, said):
    with pytest.raises(BandsDoNotMatch, match=said):
        Sensor(*arguments)
