"""Predictions over areas over HTTP: as tiles, also of the parts that are done, and as files."""

from __future__ import annotations

import io
import json

import numpy as np
import pytest
import rasterio
from affine import Affine

from spatialnet.jobs.area_prediction import area_folder
from spatialnet.raster import write_cog
from spatialnet.shards.manifest import STATE
from spatialnet.web import addresses
from tests.web.conftest import MERCATOR, TRANSFORM
from tests.web.test_tiles import CLEAR, cells, tile

KEY = "c3" * 20
PIXELS = np.array([[[0, 1, 255, 0]] * 4, [[90, 60, 255, 50]] * 4], np.uint8)


@pytest.fixture
def folder(settings):
    folder = area_folder(settings, KEY)
    (folder / STATE / "parts" / "x-00000").mkdir(parents=True)
    facts = {
        "dataset": "hills",
        "run": "run-1",
        "place": "x",
        "tasks": ["land_use"],
        "area": None,
        "steps": 2,
        "title": "t",
    }
    (folder / "facts.json").write_text(json.dumps(facts))
    return folder


def finish(folder):
    write_cog(folder / "land_use.tif", PIXELS, TRANSFORM, MERCATOR, nodata=255)
    write_cog(folder / "land_use-classes.tif", PIXELS[:1], TRANSFORM, MERCATOR, nodata=255)
    (folder / STATE / "finished.json").write_text("{}")


def test_a_part_that_is_done_is_shown_before_the_rest_is(client, folder):
    template = addresses.prediction_tiles(KEY, "land_use")
    assert (tile(client, template)[..., 3] == 0).all()
    path = folder / STATE / "parts" / "x-00000" / "land_use.tif"
    write_cog(path, PIXELS[:, :2], TRANSFORM, MERCATOR, nodata=255)
    pixels = tile(client, template)
    assert pixels[32, 16, 3] == 255
    assert pixels[96, 16, 3] == 0  # the second part is still to come
    again = TRANSFORM @ Affine.translation(0, 2)
    (folder / STATE / "parts" / "x-00001").mkdir()
    write_cog(folder / STATE / "parts" / "x-00001" / "land_use.tif", PIXELS[:, 2:], again, MERCATOR, nodata=255)
    assert tile(client, template)[96, 16, 3] == 255


def test_a_finished_prediction_is_shown_by_class_and_by_confidence(client, folder):
    finish(folder)
    first, second, unknown, _ = cells(tile(client, addresses.prediction_tiles(KEY, "land_use")))
    assert first != second
    assert unknown == CLEAR
    sure, unsure, *_ = cells(tile(client, addresses.prediction_tiles(KEY, "land_use", "confidence")))
    assert sum(sure[:3]) > sum(unsure[:3])


def test_classes_can_be_switched(client, folder):
    finish(folder)
    template = addresses.prediction_tiles(KEY, "land_use")
    both = cells(tile(client, template))
    only = cells(tile(client, addresses.only_classes(template, (1,))))
    assert only == [CLEAR, both[1], CLEAR, CLEAR]
    assert cells(tile(client, addresses.only_classes(template, ()))) == both


def test_files_open_in_another_program_once_they_are_whole(client, folder):
    address = addresses.prediction_file(KEY, "land_use-classes")
    assert client.get(address).status_code == 404
    finish(folder)
    answer = client.get(address)
    assert 'filename="hills-x-land-use-classes.tif"' in answer.headers["content-disposition"]
    with rasterio.open(io.BytesIO(answer.content)) as source:
        np.testing.assert_array_equal(source.read(1), PIXELS[0])


@pytest.mark.parametrize("file", ["facts", "other", "..%2Ffacts", "land_use%00"])
def test_no_other_file_is_served(client, folder, file):
    finish(folder)
    assert client.get(f"/api/predictions/{KEY}/{file}.tif").status_code == 404


@pytest.mark.parametrize("key", ["d4" * 20, "..%2F..%2Fetc", "C3" * 20])
def test_a_prediction_that_is_not_there_is_a_sentence(client, folder, key):
    assert client.get(f"/tiles/prediction/{key}/land_use/class/1/0/0.png").status_code == 404
    assert client.get(f"/api/predictions/{key}/land_use.tif").status_code == 404
    assert (
        "not in the workspace any more" in client.get(addresses.prediction_file("d4" * 20, "land_use")).json()["error"]
    )
