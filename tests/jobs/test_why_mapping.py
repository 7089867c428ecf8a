"""Why-maps: where they lie, what they blend, and that windows leave no seams."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pandas as pd
import pytest
import rasterio
import torch
from rasterio.warp import transform

from spatialnet.datasets.catalogue import chip_table, open_dataset
from spatialnet.errors import ExplanationFailed, PredictionRefused
from spatialnet.explain.attribute import attribute
from spatialnet.jobs.compute import Compute
from spatialnet.jobs.why_map import WHOLE_PLACE, WhyMapRequest, is_quick, kept_why_map, request_why_map, why_map_raster
from spatialnet.jobs.why_mapping import why_map
from spatialnet.model import load_model
from spatialnet.runs import open_run

SIZE = 16


@pytest.fixture(scope="module")
def model(finished):
    return load_model(finished.runs / "run-done" / "model.safetensors", torch.device("cpu"))[0]


@pytest.fixture(autouse=True)
def no_maps_before(finished):
    shutil.rmtree(finished.cache / "why", ignore_errors=True)


def request(chip: int = 9, around: int = 1, **changes) -> WhyMapRequest:
    asked = {
        "run": "run-done",
        "dataset": "landscape",
        "chip": chip,
        "around": around,
        "task": "land_use",
        "class_index": 1,
    }
    return WhyMapRequest(**asked | {"method": "corrected_gradient"} | changes)  # fmt: skip


def raster(settings, asked: WhyMapRequest):
    with rasterio.open(why_map_raster(settings, asked.key)) as source:
        return source.read(1), source.transform, source.crs, source.tags(), source.nodata


def test_it_lies_on_the_scenes_grid_around_the_chip(finished, model):
    asked = request()
    facts = why_map(finished, asked, model)
    values, transform, crs, tags, nodata = raster(finished, asked)
    data = open_dataset(finished, "landscape")
    chip = chip_table(data).loc[9]
    with rasterio.open(data.scene_path("landscape", "landsat7")) as scene:
        row, column = (int(chip[name]) for name in ("row", "column"))
        top, left = max(0, row - SIZE), max(0, column - SIZE)
        bottom, right = min(scene.height, row + 2 * SIZE), min(scene.width, column + 2 * SIZE)
        assert crs == scene.crs
        assert values.shape == (bottom - top, right - left)
        assert transform @ (0, 0) == pytest.approx(scene.transform @ (left, top))
        assert transform @ (1, 1) == pytest.approx(scene.transform @ (left + 1, top + 1))
        known = np.isfinite(scene.read()).all(axis=0)[top:bottom, left:right]
    assert np.isnan(nodata)
    assert np.array_equal(np.isfinite(values), known)
    assert (tags["RUN"], tags["TASK"], tags["METHOD"]) == ("run-done", "land_use", "corrected_gradient")
    west, south, east, north = facts["bounds"]
    assert west < chip["longitude"] < east
    assert south < chip["latitude"] < north
    assert sum(sum(shares) for shares in facts["bands"].values()) == pytest.approx(1.0)
    assert facts["tested"] == 3
    assert kept_why_map(finished, asked.key) == json.loads(json.dumps(facts))


def test_a_pixel_is_the_weighted_mean_of_the_chips_that_see_it(finished, model):
    """The chips of the data set lie half a chip apart too: their own explanations, blended by hand, give the map."""
    asked = request(chip=33, around=0)
    why_map(finished, asked, model)
    values, *_ = raster(finished, asked)
    data = open_dataset(finished, "landscape")
    table = chip_table(data)
    row, column = (int(table.loc[33, name]) for name in ("row", "column"))
    near = table[(abs(table["row"] - row) < SIZE) & (abs(table["column"] - column) < SIZE)]
    ramp = np.minimum(np.arange(SIZE), np.arange(SIZE)[::-1]) + 0.5
    tent = np.outer(ramp, ramp)
    total, weight = np.zeros((3 * SIZE, 3 * SIZE)), np.zeros((3 * SIZE, 3 * SIZE))
    for chip, place in near.iterrows():
        pixels = {"landsat7": data.images("landsat7")[chip : chip + 1]}
        one = attribute(model, model.prepare(pixels), "land_use", 1, "corrected_gradient").values[0]
        at = (
            slice(place["row"] - row + SIZE, place["row"] - row + 2 * SIZE),
            slice(place["column"] - column + SIZE, place["column"] - column + 2 * SIZE),
        )
        total[at] += one * tent
        weight[at] += tent
    assert len(near) == 9
    middle = slice(SIZE, 2 * SIZE)
    expected = (total / np.maximum(weight, 1e-12))[middle, middle]
    assert values == pytest.approx(expected, abs=1e-4 * np.abs(expected).max())


def test_a_larger_area_says_the_same_where_both_are_whole(finished, model):
    small, large = request(around=1), request(around=2)
    why_map(finished, small, model)
    why_map(finished, large, model)
    a, here, *_ = raster(finished, small)
    b, there, *_ = raster(finished, large)
    column, row = (round(v) for v in ~there @ (here @ (0, 0)))
    again = b[row : row + a.shape[0], column : column + a.shape[1]]
    assert np.nanmax(np.abs(again - a)) <= 1e-5 * np.nanmax(np.abs(a))


def test_a_drawn_area_says_what_the_whole_scene_says_there(finished, model):
    data = open_dataset(finished, "landscape")
    with rasterio.open(data.scene_path("landscape", "landsat7")) as scene:
        corners = [scene.transform @ corner for corner in ((30, 40), (90, 40), (30, 100), (90, 100))]
        longitudes, latitudes = transform(scene.crs, "EPSG:4326", *zip(*corners, strict=True))
    drawn = request(around=0, area=(min(longitudes), min(latitudes), max(longitudes), max(latitudes)))
    whole = request(around=WHOLE_PLACE)
    assert drawn.key != request(around=0).key
    why_map(finished, drawn, model)
    why_map(finished, whole, model)
    part, here, *_ = raster(finished, drawn)
    everything, there, *_ = raster(finished, whole)
    left, top = (round(value) for value in ~there @ (here.c, here.f))
    assert 20 <= left <= 30
    assert 30 <= top <= 40
    assert min(part.shape) >= 60
    inner = everything[top : top + part.shape[0], left : left + part.shape[1]]
    cut = np.s_[SIZE:-SIZE, SIZE:-SIZE]  # windows at its edges are the area's own
    assert part[cut] == pytest.approx(inner[cut], abs=1e-4 * float(np.nanmax(np.abs(inner))))


def test_a_drawn_area_elsewhere_is_a_sentence(finished, model):
    with pytest.raises(PredictionRefused, match="does not meet the scene"):
        why_map(finished, request(area=(100.0, 10.0, 101.0, 11.0)), model)


def test_a_contrast_is_the_difference_of_two_maps(finished, model):
    asked = [request(), request(class_index=2), request(against=2)]
    for one in asked:
        why_map(finished, one, model)
    own, other, both = (raster(finished, one)[0] for one in asked)
    assert np.nanmax(np.abs(both - (own - other))) <= 1e-4 * np.nanmax(np.abs(own))
    assert raster(finished, asked[2])[3]["CLASS"].count(" rather than ") == 1


def test_windows_leave_no_seams(finished, model):
    """A jump from one pixel to the next is no larger where windows begin or end than elsewhere."""
    asked = request(around=WHOLE_PLACE)
    facts = why_map(finished, asked, model)
    values, *_ = raster(finished, asked)
    jumps = np.abs(np.diff(values, axis=1))[SIZE:-SIZE, SIZE:-SIZE]
    first = int(chip_table(open_dataset(finished, "landscape")).loc[9, "column"])
    at_window = (np.arange(SIZE, SIZE + jumps.shape[1]) + 1 - first) % (SIZE // 2) == 0
    assert facts["windows"] > 50
    assert np.nanmean(jumps[:, at_window]) <= 1.2 * np.nanmean(jumps[:, ~at_window])


def test_a_chip_that_lies_in_no_scene_is_refused(finished, model):
    data = open_dataset(finished, "landscape")
    folder = finished.datasets / "loose"
    shutil.copytree(data.folder, folder)
    try:
        table = pd.read_parquet(folder / "chips.parquet").drop(columns="place")
        table.to_parquet(folder / "chips.parquet")
        with pytest.raises(ExplanationFailed, match="lies in no scene"):
            why_map(finished, request(dataset="loose"), model)
    finally:
        shutil.rmtree(folder)
    with pytest.raises(ExplanationFailed, match="There is no chip 99999"):
        why_map(finished, request(chip=99_999), model)


def test_the_app_asks_its_compute_process_once(finished):
    compute = Compute(finished)
    try:
        facts = compute.why_map(request())
        pid = compute.pid
        assert pid is not None
        assert why_map_raster(finished, request().key).is_file()
    finally:
        compute.stop()
    assert compute.why_map(request()) == facts
    assert compute.pid is None


def test_a_large_area_is_a_job(finished, here):
    shutil.copytree(finished.workspace, here.settings.workspace, dirs_exist_ok=True)
    job = request_why_map(here, open_run(here.settings, "run-done"), request(around=WHOLE_PLACE))
    assert (job.state, job.message) == ("done", job.message)
    assert "overlapping chips explained" in str(job.message)
    assert kept_why_map(here.settings, request(around=WHOLE_PLACE).key)


def test_what_is_quick_depends_on_area_and_method(finished):
    data = open_dataset(finished, "landscape")
    (place,) = data.places
    assert is_quick(data, place, request(around=1))
    assert not is_quick(data, place, request(around=1, method="integrated_gradients"))


def test_a_key_that_is_no_key_names_nothing(finished):
    assert kept_why_map(finished, "../../../etc/passwd") is None
    assert kept_why_map(finished, "") is None
