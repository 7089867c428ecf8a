import json

import numpy as np
import pytest

from spatialnet.evaluate.missing_sensors import missing_sensors
from spatialnet.tasks import Task

TASK = Task("urban", "binary", ("rural", "urban"))
TARGETS = {"urban": np.tile([0.0, 1.0], 20).astype(np.float32)}
BLOCKS = np.repeat(np.arange(10), 4).astype(np.int32)


def answered(right: bool) -> dict[str, np.ndarray]:
    yes = TARGETS["urban"] if right else np.ones(40, np.float32)
    return {"urban": np.stack([1 - yes, yes], axis=1)}


def test_a_sensor_that_carries_everything_and_two_that_carry_nothing():
    asked = []

    def predict(gone):
        asked.append(gone)
        return answered("optical" not in gone)

    sensors = ["optical", "radar", "height"]
    found = missing_sensors([TASK], sensors, TARGETS, BLOCKS, answered(True), predict)
    assert json.loads(json.dumps(found)) == found
    assert list(found["without"]) == list(found["alone"]) == sensors
    lost, kept = found["without"]["optical"]["urban"], found["without"]["radar"]["urban"]
    assert (lost["metric"], lost["value"]) == ("balanced_accuracy", 0.5)
    assert lost["change"] == {"value": -0.5, "low": -0.5, "high": -0.5}
    assert (kept["value"], kept["change"]["value"]) == (1, 0)
    assert found["alone"]["optical"]["urban"]["value"] == 1
    assert found["alone"]["height"]["urban"]["value"] == 0.5
    assert set(asked) == {
        ("optical",), ("radar",), ("height",), ("radar", "height"), ("optical", "height"), ("optical", "radar"),
    }  # fmt: skip


def test_of_two_sensors_each_is_asked_for_once():
    asked = []
    found = missing_sensors(
        [TASK], ["a", "b"], TARGETS, BLOCKS, answered(True), lambda gone: asked.append(gone) or answered(gone == ("a",))
    )
    assert asked == [("a",), ("b",)]
    assert found["alone"]["b"] == found["without"]["a"]


@pytest.mark.parametrize("sensors", [[], ["a"]])
def test_one_sensor_cannot_be_missing(sensors):
    found = missing_sensors([TASK], sensors, TARGETS, BLOCKS, answered(True), lambda _: pytest.fail("asked"))
    assert found == {"without": {}, "alone": {}}


def test_more_error_without_a_sensor_is_worse():
    count = Task("cars", "count", ("cars",))
    targets, zero = {"cars": np.full((40, 1), 3.0)}, {"cars": np.zeros((40, 1), np.float32)}
    found = missing_sensors(
        [count], ["a", "b"], targets, BLOCKS, {"cars": targets["cars"].astype(np.float32)}, lambda _: zero
    )
    assert found["without"]["a"]["cars"]["value"] == 3
    assert found["without"]["a"]["cars"]["change"]["value"] == -3
