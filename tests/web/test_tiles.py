import io
import math

import numpy as np
import pytest
from affine import Affine
from PIL import Image
from rasterio.crs import CRS
from rasterio.warp import transform

from spatialnet.datasets.packed import PackedChips
from spatialnet.palette import rgb
from spatialnet.raster import write_cog
from spatialnet.web import addresses
from spatialnet.web.colours import CONFIDENCE_RAMP, UNCHANGED
from tests.web.conftest import MERCATOR, TRANSFORM, X, Y, Z, write_run

CLEAR = [0, 0, 0, 0]


def tile(client, template: str, z: int = Z, x: int = X, y: int = Y) -> np.ndarray:
    answer = client.get(template.format(z=z, x=x, y=y))
    assert answer.status_code == 200, answer.text
    pixels = np.asarray(Image.open(io.BytesIO(answer.content)))
    assert pixels.shape == (256, 256, 4)
    return pixels


def tile_at(z: int, bounds) -> tuple[int, int]:
    """Column and row of the tile that a box in degrees begins in, at its north-west."""
    west, _, _, north = bounds
    column = (west + 180) / 360 * 2**z
    row = (1 - math.asinh(math.tan(math.radians(north))) / math.pi) / 2 * 2**z
    return int(column), int(row)


def cells(pixels: np.ndarray) -> list[list[int]]:
    """Middle of each of the raster's first four pixels along its second row."""
    return [pixels[48, 16 + 32 * i].tolist() for i in range(4)]


def test_scene_lies_where_its_transform_says(client):
    pixels = tile(client, addresses.scene_tiles("hills", "rgb", (0, 1, 2)))
    grey, red = [128, 128, 128, 255], [255, 0, 0, 255]
    # 4 x 4 raster pixels of 32 tile pixels each, from the tile's corner to its middle; the first one is missing.
    assert pixels[0, 0].tolist() == pixels[31, 31].tolist() == CLEAR
    assert pixels[32, 0].tolist() == pixels[0, 32].tolist() == pixels[127, 95].tolist() == grey
    assert pixels[0, 96].tolist() == pixels[127, 127].tolist() == red
    assert (pixels[128:, :, 3] == 0).all()
    assert (pixels[:, 128:, 3] == 0).all()


def test_scene_bands_and_stretch_can_be_chosen(client):
    template = addresses.scene_tiles("hills", "rgb", (1, 0, 2), low=(0, 0, 0), high=(20, 20, 40))
    assert tile(client, template)[48, 112].tolist() == [128, 255, 64, 255]


def test_zooming_in_shows_one_pixel_as_a_square(client):
    # At two levels deeper, one raster pixel is 128 tile pixels wide.
    pixels = tile(client, addresses.scene_tiles("hills", "rgb", (0, 1, 2)), Z + 2, X * 4 + 1, Y * 4)
    assert np.unique(pixels[:128, :128].reshape(-1, 4), axis=0).tolist() == [[128, 128, 128, 255]]
    assert pixels[0, 127].tolist() == [128, 128, 128, 255]
    assert pixels[0, 128].tolist() == [255, 0, 0, 255]


def test_tile_elsewhere_is_transparent(client):
    for z, x, y in ((Z, X + 1, Y), (Z, 0, 0), (3, 0, 0)):
        assert (tile(client, addresses.scene_tiles("hills", "rgb", (0, 1, 2)), z, x, y) == 0).all()


def test_another_projection_lands_on_the_same_ground(client, settings):
    # A bright square in a UTM raster; its centre must show at the tile pixel that its coordinates say.
    values = np.full((3, 200, 200), 15, np.float32)
    values[:, 98:103, 98:103] = 20
    west, north = transform("EPSG:3857", "EPSG:32617", [TRANSFORM.c], [TRANSFORM.f])
    place = Affine(30, 0, west[0], 0, -30, north[0])
    path = settings.datasets / "hills" / "places" / "valley" / "rgb.tif"
    write_cog(path, values, place, CRS.from_epsg(32617), nodata=float("nan"))
    px, py = transform("EPSG:32617", "EPSG:3857", *([c] for c in place @ (100.5, 100.5)))
    column, row = ~TRANSFORM @ (px[0], py[0])
    pixels = tile(client, addresses.scene_tiles("hills", "rgb", (0, 1, 2)))
    rows, columns = np.nonzero(pixels[..., 0] > 190)
    assert math.isclose(rows.mean() + 0.5, row * 32, abs_tol=0.75)
    assert math.isclose(columns.mean() + 0.5, column * 32, abs_tol=0.75)


def test_land_cover_has_the_colours_of_its_own_table(client):
    assert cells(tile(client, addresses.land_cover_tiles("hills"))) == [[1, 2, 3, 255], *[[9, 8, 7, 255]] * 2, CLEAR]


def test_all_places_of_a_data_set_are_one_layer(client, banks):
    data = PackedChips.open(banks.datasets / "banks")
    z = 11
    shown = [
        tile(client, addresses.scene_tiles("banks", "sentinel2_l2a", (3, 2, 1)), z, *tile_at(z, p["bounds"]))
        for p in data.places
    ]
    assert all((pixels[..., 3] > 0).sum() > 4 for pixels in shown)
    # From far away a place is a dot that can be seen.
    assert (
        tile(client, addresses.scene_tiles("banks", "sentinel2_l2a", (3, 2, 1)), 2, *tile_at(2, data.bounds))[..., 3]
        > 0
    ).any()


def test_a_sensor_is_shown_only_where_there_is_a_scene_of_it(client, banks):
    data = PackedChips.open(banks.datasets / "banks")
    template, z = addresses.scene_tiles("banks", "sentinel1", (0, 1, 0)), 12
    shown = [tile(client, template, z, *tile_at(z, place["bounds"]))[..., 3].any() for place in data.places]
    assert shown == [True, False]


def test_no_data_of_a_native_type_is_transparent(client, banks):
    place = PackedChips.open(banks.datasets / "banks").places[0]
    pixels = tile(client, addresses.scene_tiles("banks", "sentinel2_l2a", (3, 2, 1)), 15, *tile_at(15, place["bounds"]))
    assert 0 < (pixels[..., 3] == 0).mean() < 1


def test_run_shows_class_confidence_and_scores(client, settings):
    write_run(settings, "run-1", np.array([[0, 1, 255, 0]] * 4))
    forest, water = [0, 100, 0, 255], [0, 0, 255, 255]
    assert cells(tile(client, addresses.run_tiles("run-1", "land_use"))) == [forest, water, CLEAR, forest]
    at = 80 / 100 * (len(CONFIDENCE_RAMP) - 1)
    low, high = rgb(CONFIDENCE_RAMP[int(at)]), rgb(CONFIDENCE_RAMP[int(at) + 1])
    expected = [*(round(a + (b - a) * (at - int(at))) for a, b in zip(low, high, strict=True)), 255]
    found = cells(tile(client, addresses.run_tiles("run-1", "land_use", "confidence")))
    assert found == [expected, expected, CLEAR, expected]
    scores = cells(tile(client, addresses.run_tiles("run-1", "land_use", "p1")))
    assert scores[1] == expected
    assert scores[0] == scores[3] != expected


def test_change_shows_the_new_class_and_veils_the_rest(client, settings):
    write_run(settings, "before", np.array([[0, 0, 255, 1]] * 4))
    write_run(settings, "after", np.array([[0, 1, 1, 1]] * 4))
    found = cells(tile(client, addresses.change_tiles("after", "land_use", "before")))
    assert found == [list(UNCHANGED), [0, 0, 255, 255], CLEAR, list(UNCHANGED)]


def test_a_joint_run_shows_each_data_sets_own_maps(client, settings, banks):
    write_run(settings, "joint", np.zeros((4, 4)), ("banks", "hills"))
    write_run(settings, "before", np.full((4, 4), 1), ("hills", "banks"))
    forest, water = [0, 100, 0, 255], [0, 0, 255, 255]
    there = cells(tile(client, addresses.run_tiles("joint", "land_use", dataset="hills")))
    assert there == [forest] * 4
    assert (
        client.get(addresses.run_tiles("joint", "land_use").format(z=Z, x=X, y=Y)).status_code == 404
    )  # banks has no map
    changed = cells(tile(client, addresses.change_tiles("before", "land_use", "joint", dataset="hills")))
    assert changed == [water] * 4
    answer = client.get(addresses.run_tiles("joint", "land_use", dataset="elsewhere").format(z=Z, x=X, y=Y))
    assert (answer.status_code, "was not trained on 'elsewhere'. Choose banks or hills" in answer.text) == (404, True)


def test_a_map_that_is_written_anew_is_shown_anew(client, settings):
    address = addresses.run_tiles("run-1", "land_use")
    write_run(settings, "run-1", np.zeros((4, 4)))
    first = client.get(address.format(z=Z, x=X, y=Y))
    path = settings.runs / "run-1" / "maps" / "valley" / "land_use.tif"
    write_cog(path, np.ones((4, 4, 4), np.uint8), TRANSFORM, MERCATOR, nodata=255)
    second = client.get(address.format(z=Z, x=X, y=Y), headers={"if-none-match": first.headers["etag"]})
    assert second.status_code == 200
    assert second.content != first.content


@pytest.mark.parametrize(
    ("path", "status", "words"),
    [
        ("scene/hills/rgb/0-1-2/25/0/0", 400, "Zoom goes from 0 to 24"),
        ("scene/hills/rgb/0-1-2/2/4/0", 400, "no tile 4, 0 at zoom 2"),
        ("scene/hills/rgb/0-1-9/2/0/0", 400, "three bands"),
        ("scene/hills/radar/0-1-2/2/0/0", 404, "no sensor"),
        ("scene/etc/rgb/0-1-2/2/0/0", 404, "No data set"),
        ("run/none/land-use/class/2/0/0", 404, "No run called none"),
        ("run/..%2f..%2fetc/land-use/class/2/0/0", 404, ""),
        ("run/run-1/presence/class/2/0/0", 404, "no map of Presence by this run"),
        ("run/run-1/land-use/p2/2/0/0", 404, "no layer 'p2'"),
    ],
)
def test_what_cannot_be_drawn_is_a_sentence(client, settings, path, status, words):
    write_run(settings, "run-1", np.zeros((4, 4)))
    answer = client.get(f"/tiles/{path}.png")
    assert answer.status_code == status
    if words:
        assert words in answer.json()["error"]


@pytest.mark.parametrize("content", [b"", b"II*\x00", b"<VRTDataset><SRSx/></VRTDataset>"])
def test_damaged_raster_is_a_sentence_without_paths(client, settings, content):
    (settings.datasets / "hills" / "places" / "valley" / "land_cover.tif").write_bytes(content)
    answer = client.get(addresses.land_cover_tiles("hills").format(z=Z, x=X, y=Y))
    assert answer.status_code == 500
    assert "cannot be read as a GeoTIFF" in answer.json()["error"]
    assert str(settings.workspace) not in answer.text


def test_link_out_of_the_workspace_is_refused(client, settings, tmp_path):
    inside = settings.datasets / "hills" / "places" / "valley" / "land_cover.tif"
    outside = tmp_path / "outside.tif"
    inside.rename(outside)
    inside.symlink_to(outside)
    answer = client.get(addresses.land_cover_tiles("hills").format(z=Z, x=X, y=Y))
    assert answer.status_code == 404
    assert "outside the workspace" in answer.json()["error"]
