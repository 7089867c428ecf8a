import json

import numpy as np
import pytest

from spatialnet.evaluate.baselines import band_statistics, linear_scores
from spatialnet.evaluate.report import DRAWS, evaluate_run


def perfect(data) -> dict[str, np.ndarray]:
    """The scores of a run that is always right."""
    scores = {}
    for task in data.tasks:
        targets = data.targets(task.name)
        if task.kind == "multiclass":
            scores[task.name] = np.eye(len(task.classes), dtype=np.float32)[np.maximum(targets, 0)]
        elif task.kind == "binary":
            scores[task.name] = np.stack([1 - np.nan_to_num(targets), np.nan_to_num(targets)], axis=1)
        else:
            scores[task.name] = np.nan_to_num(targets)
    return scores


def targets_of(data) -> dict[str, np.ndarray]:
    return {task.name: data.targets(task.name) for task in data.tasks}


@pytest.fixture(scope="module")
def report(landscape):
    return evaluate_run(landscape, targets_of(landscape), perfect(landscape))


def test_a_run_that_is_always_right(landscape, report):
    test = landscape.in_split("test")
    assert (report["split"], report["chips"], report["draws"]) == ("test", len(test), DRAWS)
    assert report["blocks"] == len(np.unique(landscape.blocks[test]))
    for name, best in (("land_use", 1), ("presence", 1), ("rural_urban", 1), ("buildings", 0)):
        values = report["tasks"][name]
        assert values["metric"] == landscape.task(name).main_metric
        assert values["run"]["value"] == values["run"]["low"] == values["run"]["high"] == best
        assert values["margin"]["over"] in ("majority", "band_statistics")
        rival = values[values["margin"]["over"]]["value"]
        assert values["margin"]["value"] == pytest.approx(abs(best - rival))
        assert 0 <= values["margin"]["low"] <= values["margin"]["value"] <= values["margin"]["high"]
        assert values["chips"] == len(test)


def test_the_rival_is_the_better_baseline(report):
    for name in ("land_use", "presence", "rural_urban"):
        values = report["tasks"][name]
        other = {"majority": "band_statistics", "band_statistics": "majority"}[values["margin"]["over"]]
        assert values[values["margin"]["over"]]["value"] >= values[other]["value"]
    buildings = report["tasks"]["buildings"]
    other = {"majority": "band_statistics", "band_statistics": "majority"}[buildings["margin"]["over"]]
    assert buildings[buildings["margin"]["over"]]["value"] <= buildings[other]["value"]


def test_baselines_are_measured_on_the_same_chips_by_hand(landscape, report):
    train, test = landscape.in_split("train"), landscape.in_split("test")
    targets = landscape.targets("rural_urban")
    assert report["tasks"]["rural_urban"]["majority"]["value"] == 0.5  # one class is always right, the other never
    common = float(np.nanmean(targets[train]) > 0.5)
    assert report["tasks"]["rural_urban"]["majority"]["all"]["accuracy"] == pytest.approx(
        (targets[test] == common).mean()
    )
    buildings = landscape.targets("buildings")[:, 0]
    error = np.abs(buildings[test] - np.median(buildings[train])).mean()
    assert report["tasks"]["buildings"]["majority"]["value"] == pytest.approx(error)


def test_it_is_json(report):
    assert json.loads(json.dumps(report, allow_nan=False)) == report


def test_only_test_chips_count(landscape, report):
    scores = perfect(landscape)
    others = np.setdiff1d(np.arange(len(landscape)), landscape.in_split("test"))
    for values in scores.values():
        values[others] = 0.5
    again = evaluate_run(landscape, targets_of(landscape), scores)
    assert again["tasks"]["land_use"]["run"] == report["tasks"]["land_use"]["run"]


def test_a_run_equal_to_its_rival_has_no_margin_because_draws_are_paired(landscape):
    """Each draw takes the same chips for both; drawn apart, two equal runs would differ in almost every draw."""
    data, task = landscape, landscape.task("rural_urban")
    train, every = data.in_split("train"), np.arange(len(data))
    features, targets = band_statistics(data, every), data.targets(task.name).astype(float)
    margins = []
    for balanced in (False, True):
        same = linear_scores(task, features[train], targets[train], features, balanced=balanced)
        values = evaluate_run(data, {task.name: data.targets(task.name)}, {task.name: same})["tasks"][task.name]
        assert values["margin"]["over"] == "band_statistics"
        assert values["run"]["high"] > values["run"]["low"]
        margins.append(values["margin"])
    assert {"over": "band_statistics", "value": 0, "low": 0, "high": 0} in margins


def test_intervals_hold_the_value_and_are_wide_where_blocks_differ(landscape):
    """Right in half of the blocks and wrong in the others: as many chips decide, but only a few blocks do."""
    data, test = landscape, landscape.in_split("test")
    scores = perfect(data)["rural_urban"]
    by_block, by_chip = scores.copy(), scores.copy()
    wrong_blocks = np.unique(data.blocks[test])[::2]
    wrong = np.isin(data.blocks, wrong_blocks)
    by_block[wrong] = by_block[wrong][:, ::-1]
    random = np.random.default_rng(0).random(len(data)) < wrong[test].mean()
    by_chip[random] = by_chip[random][:, ::-1]
    targets = {"rural_urban": data.targets("rural_urban")}
    widths = []
    for values in (by_block, by_chip):
        run = evaluate_run(data, targets, {"rural_urban": values})["tasks"]["rural_urban"]["run"]
        assert 0 <= run["low"] <= run["value"] <= run["high"] <= 1
        widths.append(run["high"] - run["low"])
    assert widths[0] > 1.5 * widths[1]


def test_unknown_targets_are_left_out(landscape):
    targets = targets_of(landscape)
    test = landscape.in_split("test")
    half = test[: len(test) // 2]
    targets = {name: values.copy() for name, values in targets.items()}
    targets["land_use"][half] = -100
    targets["rural_urban"][half] = np.nan
    scores = perfect(landscape)
    scores["land_use"][half] = scores["land_use"][half][:, ::-1]
    values = evaluate_run(landscape, targets, scores)["tasks"]
    assert values["land_use"]["chips"] == values["rural_urban"]["chips"] == len(test) - len(half)
    assert values["land_use"]["run"]["value"] == 1


def test_a_task_without_any_known_target_is_not_a_number_and_not_an_error(landscape):
    targets = {
        "land_use": np.full(len(landscape), -100),
        "presence": np.zeros_like(landscape.targets("presence")),  # no class ever occurs
        "rural_urban": np.full(len(landscape), np.nan, np.float32),
        "buildings": np.full((len(landscape), 1), np.nan, np.float32),
    }
    for name, values in evaluate_run(landscape, targets, perfect(landscape))["tasks"].items():
        assert np.isnan(values["run"]["value"]), name
        assert values["run"]["low"] is None
        assert values["chips"] == (len(landscape.in_split("test")) if name == "presence" else 0)


def test_only_tasks_that_the_run_answers_are_measured(landscape):
    scores = {"land_use": perfect(landscape)["land_use"]}
    assert list(evaluate_run(landscape, targets_of(landscape), scores)["tasks"]) == ["land_use"]


def test_further_features_are_controls_and_may_be_the_rival(landscape):
    """Features that hold the answer make a control that is always right; random ones do not."""
    task = landscape.task("rural_urban")
    answers = np.nan_to_num(landscape.targets(task.name))
    noise = np.random.default_rng(0).normal(size=(len(landscape), 3))
    features = {"frozen_features": np.c_[answers, noise], "noise": noise}
    scores = {task.name: perfect(landscape)[task.name][:, ::-1]}
    values = evaluate_run(landscape, targets_of(landscape), scores, features=features)["tasks"][task.name]
    assert values["controls"].keys() == features.keys()
    assert values["controls"]["frozen_features"]["value"] == 1
    assert values["controls"]["noise"]["value"] < 0.8
    assert values["margin"] == {"over": "frozen_features", "value": -1, "low": -1, "high": -1}
