"""Why-maps over HTTP: as tiles in the colours of their legend, and as the file itself."""

from __future__ import annotations

import io
import json

import numpy as np
import pytest
import rasterio

from spatialnet.explain.overlay import DIVERGING, colour
from spatialnet.jobs.why_map import why_map_facts, why_map_raster
from spatialnet.palette import rgb
from spatialnet.raster import write_cog
from spatialnet.web import addresses
from tests.web.conftest import MERCATOR, TRANSFORM
from tests.web.test_tiles import CLEAR, cells, tile

KEY = "a1" * 20


@pytest.fixture
def why(settings):
    values = np.tile(np.array([-2.0, 0.0, 2.0, np.nan], np.float32), (4, 1))
    path = why_map_raster(settings, KEY)
    path.parent.mkdir(parents=True)
    write_cog(path, values[None], TRANSFORM, MERCATOR, nodata=float("nan"))
    with rasterio.open(path) as source:
        bounds = rasterio.warp.transform_bounds(source.crs, "EPSG:4326", *source.bounds)
    _, legend = colour(values, signed=True)
    facts = {
        "dataset": "hills",
        "task": "land_use",
        "class_index": 1,
        "chip": 3,
        "bounds": bounds,
        "legend": legend.to_dict(),
    }
    why_map_facts(settings, KEY).write_text(json.dumps(facts))
    return path


def test_tiles_show_evidence_for_and_against_in_the_legends_colours(client, why):
    against, nothing, for_it, unknown = cells(tile(client, addresses.why_map_tiles(KEY)))
    assert against == [*rgb(DIVERGING[0]), 255]
    assert nothing[3] == 0
    assert for_it == [*rgb(DIVERGING[-1]), 255]
    assert unknown == CLEAR


def test_the_file_opens_in_another_program_under_a_name_that_says_what_it_is(client, why):
    answer = client.get(addresses.why_map_file(KEY))
    assert answer.status_code == 200
    assert 'filename="why-hills-land-use-1-chip-3.tif"' in answer.headers["content-disposition"]
    with rasterio.open(io.BytesIO(answer.content)) as source:
        assert source.crs == MERCATOR
        assert source.transform == TRANSFORM
        assert source.read(1)[0, :3].tolist() == [-2.0, 0.0, 2.0]


@pytest.mark.parametrize("key", ["b2" * 20, "..%2F..%2Fetc%2Fpasswd", "A1" * 20, "a1"])
def test_a_map_that_is_not_there_is_a_sentence(client, why, key):
    for address in (f"/tiles/why/{key}/1/0/0.png", f"/api/why-maps/{key}.tif"):
        answer = client.get(address)
        assert answer.status_code == 404
    assert "not in the cache any more" in client.get(addresses.why_map_file("b2" * 20)).json()["error"]
