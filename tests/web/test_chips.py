import io
import json

import numpy as np
import pytest
from PIL import Image

from spatialnet.web.addresses import chip_picture, contact_sheet


def picture(client, address: str) -> np.ndarray:
    answer = client.get(address)
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "image/png"
    return np.asarray(Image.open(io.BytesIO(answer.content)))


def test_chip_is_stretched_from_low_to_high_and_enlarged(client):
    pixels = picture(client, chip_picture("hills", 1, size=64))
    assert pixels.shape == (64, 64, 4)
    assert np.unique(pixels.reshape(-1, 4), axis=0).tolist() == [[0, 128, 255, 255]]


def test_bands_and_stretch_can_be_chosen(client):
    assert picture(client, chip_picture("hills", 1, bands=(2, 1, 0)))[0, 0].tolist() == [255, 128, 0, 255]
    assert picture(client, "/chips/hills/1.png?bands=0,1,2&low=0&high=20,30,80")[0, 0].tolist() == [128, 128, 64, 255]


def test_enlarging_keeps_every_pixel_a_square(client, settings):
    chips = np.zeros((5, 3, 4, 4), np.float32)
    chips[0, :, 0, 1] = 20
    np.save(settings.datasets / "hills" / "chips" / "rgb.npy", chips)
    bright = picture(client, chip_picture("hills", 0, size=64))[..., 0] == 255
    assert bright[:16, 16:32].all()
    assert bright.sum() == 16 * 16


def test_missing_pixels_are_transparent(client):
    assert (picture(client, chip_picture("hills", 2))[..., 3] == 0).all()


def test_browser_keeps_a_picture_until_the_data_change(client, settings):
    address = chip_picture("hills", 1)
    first = client.get(address)
    assert first.headers["cache-control"] == "private, no-cache"
    again = client.get(address, headers={"if-none-match": first.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    assert "immutable" in client.get(chip_picture("hills", 1, version="f00d")).headers["cache-control"]
    manifest = settings.datasets / "hills" / "dataset.json"
    manifest.write_text(json.dumps(json.loads(manifest.read_text()) | {"fingerprint": "beef"}))
    assert client.get(address, headers={"if-none-match": first.headers["etag"]}).status_code == 200


@pytest.mark.parametrize(
    ("address", "status", "words"),
    [
        ("/chips/hills/5.png", 404, "there is no chip 5"),
        ("/chips/nowhere/0.png", 404, "No data set called nowhere"),
        ("/chips/..%2Fhills/0.png", 404, ""),
        ("/chips/Hills%00/0.png", 404, "not a valid name"),
        ("/chips/%7B%7B7*7%7D%7D/0.png", 404, "not a valid name"),
        ("/chips/hills/0.png?sensor=radar", 404, "no sensor 'radar'"),
        ("/chips/hills/0.png?bands=0-1", 400, "three bands"),
        ("/chips/hills/0.png?bands=0-1-3", 400, "numbers from 0 to 2"),
        ("/chips/hills/0.png?bands=0-1-²", 400, "three bands"),
        ("/chips/hills/0.png?size=63", 400, "from 64 to 512"),
        ("/chips/hills/0.png?size=1e9", 400, "from 64 to 512"),
        ("/chips/hills/0.png?low=nan", 400, "stretch"),
        ("/chips/hills/0.png?low=30", 400, "below its high"),
        ("/chips/hills/-1.png", 404, ""),
    ],
)
def test_what_cannot_be_drawn_is_a_sentence(client, address, status, words):
    answer = client.get(address)
    assert answer.status_code == status
    if words:
        assert words in answer.json()["error"]


def test_damaged_data_is_a_sentence_without_paths(client, settings):
    (settings.datasets / "hills" / "chips" / "rgb.npy").write_bytes(b"\x93NUMPY")
    answer = client.get("/chips/hills/0.png")
    assert answer.status_code == 500
    assert "Build it again" in answer.json()["error"]
    assert str(settings.workspace) not in answer.text


def test_a_sensor_that_a_chip_lacks_is_a_plain_picture(client, banks):
    there, missing = (picture(client, chip_picture("banks", chip, sensor="sentinel1")) for chip in (0, 100))
    assert (missing[..., 3] == 255).all()
    assert (missing[0, 0, :3] == missing[0, 0, 0]).sum() < 3
    assert not (there == missing).all()


def test_no_data_of_a_native_type_is_transparent_and_the_rest_is_not(client, banks):
    pixels = picture(client, chip_picture("banks", 0, sensor="sentinel2_l2a", size=64))
    assert (pixels[:32, :32, 3] == 0).all()  # the first 8 of 16 pixels are 0, which means no data
    assert (pixels[32:, :, 3] == 255).all()


def test_large_chips_are_shrunk(client, settings):
    chips = np.full((5, 3, 700, 700), 15, np.float32)
    chips[:, :, 350:] = 20
    np.save(settings.datasets / "hills" / "chips" / "rgb.npy", chips)
    pixels = picture(client, chip_picture("hills", 0, size=512))
    assert pixels.shape == (512, 512, 4)
    assert pixels[[10, 250, 262, 500], 10, 0].tolist() == [128, 128, 255, 255]


def test_a_sheet_holds_each_chip_in_its_cell(client):
    pixels = picture(client, contact_sheet("hills", [1, 0] * 6 + [1], side=16))
    assert pixels.shape == (32, 12 * 16, 4)
    assert np.unique(pixels[:16, :16].reshape(-1, 4), axis=0).tolist() == [[0, 128, 255, 255]]
    assert np.unique(pixels[:16, 16:32].reshape(-1, 4), axis=0).tolist() == [[0, 0, 0, 255]]
    assert np.unique(pixels[16:, :16].reshape(-1, 4), axis=0).tolist() == [[0, 128, 255, 255]]
    assert (pixels[16:, 16:, 3] == 0).all()


def test_a_sheet_shows_missing_sensors(client, banks):
    pixels = picture(client, contact_sheet("banks", [0, 100], sensor="sentinel1", side=64))
    assert (pixels[:, 64:128, 3] == 255).all()


@pytest.mark.parametrize(
    ("query", "status", "words"),
    [
        ("", 400, "Name 1 to 200 chips"), ("chips=", 400, "Name 1 to 200"), ("chips=1-a", 400, "Name 1"), ("chips=-1", 400, "Name 1"),
        ("chips=" + "-".join(["1"] * 201), 400, "Name 1 to 200"), ("chips=1-5", 404, "there is no chip 5"),
        ("chips=1&side=8", 400, "from 16 to 128"), ("chips=1&sensor=radar", 404, "no sensor"),
    ],
)  # fmt: skip
def test_sheets_that_cannot_be_drawn_are_a_sentence(client, query, status, words):
    answer = client.get(f"/chips/hills/sheet.png?{query}")
    assert answer.status_code == status
    assert words in answer.json()["error"]
