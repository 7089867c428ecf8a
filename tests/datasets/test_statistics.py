import json

import numpy as np
import pytest

from spatialnet.datasets import statistics
from spatialnet.datasets.packed import ChipArray
from spatialnet.datasets.statistics import band_statistics


@pytest.fixture
def values():
    return np.random.default_rng(0).normal([[[[10]], [[-50]]]], 3, (60, 2, 8, 8)).astype(np.float32)


def splits(train, count=60):
    found = np.full(count, 2, np.int8)
    found[train] = 0
    return found


def test_only_training_chips_count_that_have_the_sensor(values):
    train, present = np.arange(20), np.ones(60, bool)
    present[[0, 3]] = False
    values[[0, 3]], values[20:] = 1e6, -1e6
    found = band_statistics(ChipArray(values, None), splits(train), present)
    chosen = values[np.setdiff1d(train, [0, 3])].astype(np.float64)
    assert found["mean"] == pytest.approx(chosen.mean(axis=(0, 2, 3)))
    assert found["std"] == pytest.approx(chosen.std(axis=(0, 2, 3)))
    assert found["low"] == pytest.approx(np.percentile(chosen, 2, axis=(0, 2, 3)))
    assert found["high"] == pytest.approx(np.percentile(chosen, 98, axis=(0, 2, 3)))
    assert (found["sampled_chips"], found["percentiles"]) == (18, [2.0, 98.0])


def test_pixels_without_data_do_not_count(values):
    raw = np.where(np.isnan(values), 0, values * 10 + 2000).astype(np.uint16)
    raw[:, 0, :4] = 65535
    found = band_statistics(ChipArray(raw, 65535), splits(np.arange(60)), np.ones(60, bool))
    assert found["mean"] == pytest.approx([raw[:, 0, 4:].mean(), raw[:, 1].mean()])
    holes = values.copy()
    holes[:, 0, :4], holes[1, 1, 2, 2] = np.nan, np.inf
    again = band_statistics(ChipArray(holes, None), splits(np.arange(60)), np.ones(60, bool))
    assert again["mean"][0] == pytest.approx(values[:, 0, 4:].mean(), rel=1e-5)
    assert np.isfinite(again["mean"] + again["std"]).all()


def test_a_band_without_any_pixel_and_a_band_of_one_value_can_be_divided_by(values):
    values[:, 0], values[:, 1] = np.nan, 7
    found = band_statistics(ChipArray(values, None), splits(np.arange(60)), np.ones(60, bool))
    assert (found["mean"], found["low"], found["high"]) == ([0.0, 7.0], [0.0, 7.0], [1.0, 7.0])
    assert found["std"] == [1.0, 1e-6]


def test_without_a_training_chip_all_that_have_the_sensor_are_taken(values):
    present = np.arange(60) >= 50
    found = band_statistics(ChipArray(values, None), splits([]), present)
    assert found["mean"] == pytest.approx(values[50:].mean(axis=(0, 2, 3)), rel=1e-5)
    assert found["sampled_chips"] == 10
    nobody = band_statistics(ChipArray(values, None), splits([]), np.zeros(60, bool))
    assert (nobody["mean"], nobody["std"], nobody["sampled_chips"]) == ([0.0, 0.0], [1.0, 1.0], 0)


def test_of_many_chips_a_sample_is_taken_whose_size_is_said_and_which_is_always_the_same(values, monkeypatch):
    monkeypatch.setattr(statistics, "SAMPLE_CHIPS", 25)
    everything = np.ones(60, bool)
    found = band_statistics(ChipArray(values, None), splits(np.arange(60)), everything)
    assert found["sampled_chips"] == 25
    assert found == band_statistics(ChipArray(values, None), splits(np.arange(60)), everything)
    assert found["mean"] == pytest.approx(values.mean(axis=(0, 2, 3)), abs=0.5)
    assert found["mean"] != pytest.approx(values.mean(axis=(0, 2, 3)), rel=1e-6)
    monkeypatch.setattr(statistics, "SAMPLE_BYTES", 1)
    assert band_statistics(ChipArray(values, None), splits(np.arange(60)), everything)["sampled_chips"] == 16


def test_the_result_is_plain_json(values):
    found = band_statistics(ChipArray(values, None), splits(np.arange(60)), np.ones(60, bool))
    assert json.loads(json.dumps(found)) == found
