import io
import json
import uuid

import numpy as np
import pytest
from PIL import Image

from spatialnet.database import open_database
from spatialnet.datasets.packed import PackedChips
from spatialnet.label import LabelEvent, LabelStore
from spatialnet.palette import rgb
from spatialnet.web import addresses
from spatialnet.web.colours import FOOTPRINT_COLOUR, LEAK_COLOURS, SPLIT_COLOURS
from spatialnet.web.footprints import DOT
from tests.data_sets import pictures_only, scattered_chips
from tests.web.conftest import X, Y, Z
from tests.web.test_tiles import CLEAR, cells, tile, tile_at

FOREST, WATER, NOTHING = [0, 100, 0, 255], [0, 0, 255, 255], [217, 217, 217, 255]


def test_splits_have_the_colours_of_the_legend(client):
    found = cells(tile(client, addresses.split_tiles("hills")))
    assert found == [[*rgb(colour), 255] for colour in SPLIT_COLOURS.values()]


def test_a_target_shows_its_class_and_unknown_is_clear(client):
    assert cells(tile(client, addresses.target_tiles("hills", "land_use"))) == [FOREST, WATER, CLEAR, FOREST]


def test_a_target_without_any_class_is_not_missing(client):
    shown = cells(tile(client, addresses.target_tiles("hills", "presence")))
    assert shown[0] == NOTHING
    assert shown[1] == shown[3]
    assert shown[1] not in (NOTHING, CLEAR)
    assert shown[2] == CLEAR


def test_one_class_is_yes_no_or_unknown(client):
    shown = cells(tile(client, addresses.target_tiles("hills", "presence", "p0")))
    assert shown[1] == shown[3] != shown[0]
    assert shown[2] == CLEAR
    assert cells(tile(client, addresses.target_tiles("hills", "land_use", "p1")))[2] == CLEAR


def test_leaks_are_marked_by_kind(client):
    leak = [*rgb(LEAK_COLOURS["near duplicate"]), 255]
    assert cells(tile(client, addresses.leak_tiles("hills", "given-1"))) == [leak, leak, CLEAR, CLEAR]


def test_only_chosen_chips_are_painted(client):
    template = addresses.target_tiles("hills", "land_use", chosen={"split": ["train", "validation"]})
    assert cells(tile(client, template)) == [FOREST, WATER, CLEAR, CLEAR]
    assert cells(tile(client, addresses.split_tiles("hills", chosen={"key": "hill/3"})))[:3] == [CLEAR] * 3


def test_corrections_choose_chips_at_once(client, settings):
    template = addresses.split_tiles("hills", chosen={"corrected": "1"})
    assert cells(tile(client, template)) == [CLEAR] * 4
    engine = open_database(settings.database_url)
    event = LabelEvent(
        uuid=str(uuid.uuid4()), person="A", kind="label", dataset="hills", chip=1, task="land_use", value=0
    )
    LabelStore(engine).append([event])
    engine.dispose()
    assert [cell != CLEAR for cell in cells(tile(client, template))] == [False, True, False, False]


def test_pictures_of_chips_lie_where_the_chips_are(client):
    shown = cells(tile(client, addresses.chip_tiles("hills", "rgb", (0, 1, 2))))
    assert shown[:3] == [[0, 0, 0, 255], [0, 128, 255, 255], CLEAR]


def test_small_chips_are_dots_and_large_ones_pictures(client, settings):
    data = scattered_chips(settings.datasets / "far", 40, 32)
    template = addresses.chip_tiles("far", "rgb", (0, 1, 2))
    far = tile(client, template, 5, *tile_at(5, data.bounds))
    assert np.unique(far.reshape(-1, 4), axis=0).tolist() == [CLEAR, [*rgb(FOOTPRINT_COLOUR), 255]]
    import pandas as pd

    chip = pd.read_parquet(data.folder / "chips.parquet").iloc[0]
    bounds = chip[["west", "south", "east", "north"]].tolist()
    near = tile(client, template, 15, *tile_at(15, bounds))
    assert len(np.unique(near.reshape(-1, 4), axis=0)) > 50


def test_places_far_apart_are_seen_from_afar_on_every_layer(client, banks):
    data = PackedChips.open(banks.datasets / "banks")
    x, y = tile_at(5, data.bounds)
    layers = {
        "splits": addresses.split_tiles("banks"), "target": addresses.target_tiles("banks", "land_use"),
        "leaks": addresses.leak_tiles("banks", "given-1"), "chips": addresses.chip_tiles("banks", "sentinel2_l2a", (0, 1, 2)),
        "scene": addresses.scene_tiles("banks", "sentinel2_l2a", (3, 2, 1)), "cover": addresses.land_cover_tiles("banks"),
    }  # fmt: skip
    boxes = {name: np.argwhere(tile(client, template, 5, x, y)[..., 3]) for name, template in layers.items()}
    middle = boxes["scene"].mean(axis=0)
    for name, box in boxes.items():
        assert (np.ptp(box, axis=0) + 1 >= DOT).all(), name
        assert box.mean(axis=0) == pytest.approx(middle, abs=4), name


def test_few_chosen_chips_among_many_are_dots(client, banks):
    data = PackedChips.open(banks.datasets / "banks")
    spot = (11, *tile_at(11, data.places[0]["bounds"]))
    one = tile(client, addresses.split_tiles("banks", chosen={"key": "west-bank/8-16"}), *spot)
    assert (one[..., 3] > 0).sum() == DOT**2 - 4
    every = tile(client, addresses.split_tiles("banks"), *spot)
    assert 0 < (every[..., 3] > 0).sum() < 300


def test_chips_of_a_missing_sensor_say_so(client, banks):
    data = PackedChips.open(banks.datasets / "banks")
    shown = [
        tile(client, addresses.chip_tiles("banks", "sentinel1", (0, 1, 0)), 15, *tile_at(15, p["bounds"]))
        for p in data.places
    ]
    greys = [(pixels[..., 0] == 120) & (pixels[..., 1] == 126) & (pixels[..., 3] == 255) for pixels in shown]
    assert [grey.mean() > 0.05 for grey in greys] == [False, True]


def test_a_data_set_without_ground_has_empty_tiles(client, settings):
    pictures_only(settings.datasets / "flat")
    for template in (addresses.split_tiles("flat"), addresses.chip_tiles("flat", "rgb", (0, 1, 2))):
        assert not tile(client, template, 0, 0, 0).any()


def test_the_browser_keeps_a_tile_until_the_data_set_changes(client, settings):
    address = addresses.split_tiles("hills").format(z=Z, x=X, y=Y)
    first = client.get(address)
    assert client.get(address, headers={"if-none-match": first.headers["etag"]}).status_code == 304
    manifest = settings.datasets / "hills" / "dataset.json"
    manifest.write_text(json.dumps(json.loads(manifest.read_text()) | {"fingerprint": "beef"}))
    np.save(settings.datasets / "hills" / "splits" / "given-1.npy", np.array([2, 2, 2, 2, 2], np.int8))
    second = client.get(address, headers={"if-none-match": first.headers["etag"]})
    assert second.status_code == 200
    assert cells(np.asarray(Image.open(io.BytesIO(second.content)))) == [[*rgb(SPLIT_COLOURS["test"]), 255]] * 4


@pytest.mark.parametrize(
    ("path", "status", "words"),
    [
        ("target/hills/roads/class/2/0/0", 404, "no task"),
        ("target/hills/presence/p2/2/0/0", 404, "no layer 'p2'"),
        ("target/hills/presence/confidence/2/0/0", 404, "Use class, p0, p1"),
        ("leaks/hills/other-1/2/0/0", 404, "no split 'other-1'"),
        ("leaks/hills/..%2f..%2fx/2/0/0", 404, ""),
        ("chips/hills/radar/0-1-2/2/0/0", 404, "no sensor"),
        ("chips/hills/rgb/0-1-9/2/0/0", 400, "three bands"),
        ("splits/hills/25/0/0", 400, "Zoom goes from 0 to 24"),
        ("splits/none/2/0/0", 404, "No data set"),
        ("splits/hills/-1/0/0", 404, ""),
        ("splits/hills/a/0/0", 404, ""),
    ],
)
def test_what_cannot_be_drawn_is_a_sentence(client, path, status, words):
    answer = client.get(f"/tiles/{path}.png")
    assert answer.status_code == status
    if words:
        assert words in answer.json()["error"]
