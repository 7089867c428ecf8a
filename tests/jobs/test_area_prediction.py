from __future__ import annotations

import shutil

import numpy as np
import pytest
import rasterio
from rasterio.warp import transform_bounds

from spatialnet.datasets.catalogue import open_dataset
from spatialnet.jobs.area_prediction import (
    AreaRequest,
    kept_prediction,
    list_predictions,
    remove_prediction,
    request_area,
)
from spatialnet.runs import open_run
from tests.jobs.conftest import kill

PLACE = "landscape"


@pytest.fixture
def ground(finished):
    """(west, south, east, north) of the place."""
    data = open_dataset(finished, "landscape")
    with rasterio.open(data.scene_path(PLACE, "landsat7")) as scene:
        return transform_bounds(scene.crs, "EPSG:4326", *scene.bounds)


def quarter(ground):
    west, south, east, north = ground
    return west, (south + north) / 2, (west + east) / 2, north


def asked(jobs, finished, **changes):
    shutil.copytree(finished.workspace, jobs.settings.workspace, dirs_exist_ok=True)
    request = AreaRequest("run-done", "landscape", PLACE, **changes)
    return request, request_area(jobs, open_run(jobs.settings, "run-done"), request)


def test_an_area_is_predicted_as_files_that_say_where_they_come_from(finished, here, ground):
    request, job = asked(here, finished, area=quarter(ground))
    assert job.state == "done", job.message
    found = kept_prediction(here.settings, request.key)
    assert found.finished
    assert found.facts["area"] == list(request.area)
    assert list_predictions(here.settings, "landscape", "run-done") == [found]
    data = open_dataset(here.settings, "landscape")
    (path,) = found.rasters("land_use")
    with rasterio.open(path) as raster, rasterio.open(data.scene_path(PLACE, "landsat7")) as scene:
        assert raster.crs == scene.crs
        assert 0.2 < raster.width * raster.height / (scene.width * scene.height) < 0.35
        assert raster.tags()["RUN"] == "run-done"
        assert raster.read(1).min() < len(data.task("land_use").classes)
    assert kept_prediction(here.settings, "no key") is None
    remove_prediction(here.settings, request.key)
    assert kept_prediction(here.settings, request.key) is None


def test_one_step_per_chip_blends_nothing(finished, here):
    request, job = asked(here, finished, steps=1, scores=False)
    assert job.state == "done", job.message
    with rasterio.open(kept_prediction(here.settings, request.key).rasters("land_use")[0]) as raster:
        values = raster.read()
    assert values.shape[0] == 2
    blocks = values[0, :64, :64].reshape(4, 16, 4, 16)
    assert (blocks == blocks[:, :1, :, :1]).all()


@pytest.mark.parametrize(
    ("changes", "said"),
    [({"area": (100.0, 10.0, 101.0, 11.0)}, "does not meet the scene"), ({"place": "elsewhere"}, "has no place 'elsewhere'")],
)  # fmt: skip
def test_what_cannot_be_predicted_is_one_sentence(finished, here, changes, said):
    shutil.copytree(finished.workspace, here.settings.workspace, dirs_exist_ok=True)
    request = AreaRequest(**{"run": "run-done", "dataset": "landscape", "place": PLACE} | changes)
    job = request_area(here, open_run(here.settings, "run-done"), request)
    assert job.state == "failed"
    assert said in str(job.message)
    assert kept_prediction(here.settings, request.key) is None


def test_a_job_that_is_killed_shows_what_is_done_and_goes_on_without_a_seam(finished, jobs, here, until, ground):
    request, job = asked(jobs, finished, steps=8)

    def parts():
        found = kept_prediction(jobs.settings, request.key)
        return found.rasters("land_use") if found and not found.finished else []

    kill(until(job, lambda _job: len(parts()) >= 2))
    assert until(job, lambda job: not job.live).state == "lost"
    before = {path: path.stat().st_mtime_ns for path in parts()}
    assert len(before) >= 2
    for path in before:
        with rasterio.open(path) as part:
            _, south, _, north = transform_bounds(part.crs, "EPSG:4326", *part.bounds)
            assert ground[1] - 0.01 < south < north < ground[3] + 0.01
    again = jobs.resume(job.id)
    until(again, lambda job: len(parts()) > len(before) or not job.live)
    assert before.items() >= {path: path.stat().st_mtime_ns for path in before if path.exists()}.items()
    assert until(again, lambda job: not job.live).state == "done"
    with rasterio.open(kept_prediction(jobs.settings, request.key).rasters("land_use")[0]) as raster:
        resumed = raster.read()
    remove_prediction(jobs.settings, request.key)
    assert request_area(here, open_run(here.settings, "run-done"), request).state == "done"
    with rasterio.open(kept_prediction(here.settings, request.key).rasters("land_use")[0]) as raster:
        np.testing.assert_array_equal(raster.read(), resumed)
