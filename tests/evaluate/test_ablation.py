"""The statistics of an ablation, with known answers."""

import numpy as np
import pytest

from spatialnet.evaluate.ablation import BETTER, SAME, UNKNOWN, WORSE, compare_arms, sentence, verdict, worth
from spatialnet.evaluate.intervals import block_draws, drawn_values
from spatialnet.tasks import Task

LAND_USE = Task("land_use", "multiclass", ("forest", "water"), "Land use")
CARS = Task("cars", "count", ("cars",))


def measured(right: float, seed: int, blocks: int = 40, chips: int = 10) -> np.ndarray:
    """The draws of answers that are right with a probability, over chips in blocks."""
    generator = np.random.default_rng(seed)
    targets = generator.integers(0, 2, blocks * chips)
    answers = np.where(generator.random(len(targets)) < right, targets, 1 - targets)
    draws = block_draws(np.repeat(np.arange(blocks, dtype=np.int32), chips))
    return drawn_values(LAND_USE, np.eye(2, dtype=np.float32)[answers], targets, draws)


def test_two_identical_arms_are_no_difference():
    same = np.stack([measured(0.8, seed) for seed in range(3)])
    found = worth(LAND_USE, same, same, 40)
    assert (found["value"], found["low"], found["high"], found["verdict"]) == (0, 0, 0, SAME)


def test_a_clear_difference_is_better_and_the_other_way_round_worse():
    good = np.stack([measured(0.95, seed) for seed in range(3)])
    bad = np.stack([measured(0.7, seed) for seed in range(3)])
    found, other = worth(LAND_USE, good, bad, 40), worth(LAND_USE, bad, good, 40)
    assert (found["verdict"], other["verdict"]) == (BETTER, WORSE)
    assert found["value"] == pytest.approx((good[:, 0] - bad[:, 0]).mean())
    assert found["value"] == pytest.approx(0.25, abs=0.06)
    assert 0 < found["low"] < found["value"] < found["high"] < 0.5
    assert other["value"] == -found["value"]


def test_less_error_is_better():
    low, high = np.full((2, 401), 1.0), np.full((2, 401), 3.0)
    assert worth(CARS, low, high, 9) == {"value": 2, "low": 2, "high": 2, "verdict": BETTER}


def test_seeds_that_disagree_are_no_difference_however_sure_each_is_of_its_blocks():
    """Without the chance of training the mean of these would count as better."""
    base, arm = np.full((3, 401), 0.8), np.stack([np.full(401, v) for v in (0.70, 0.79, 0.81)])
    found = worth(LAND_USE, base, arm, 40)
    assert found["value"] == pytest.approx(0.0333, abs=1e-3)
    assert found["verdict"] == SAME
    assert found["low"] < -0.08
    alone = worth(LAND_USE, base[:1], arm[:1], 40)
    assert (alone["low"], alone["verdict"]) == (pytest.approx(0.1), BETTER)


def test_the_interval_holds_the_truth_as_often_as_it_says():
    """Two arms that differ by chance of training only: at 95 % about one in twenty is called a difference."""
    generator = np.random.default_rng(1)
    called = 0
    for _ in range(400):
        noise = generator.normal(0, 0.02, 3)
        base, arm = np.full((3, 51), 0.8), 0.8 + np.repeat(noise[:, None], 51, axis=1)
        called += worth(LAND_USE, base, arm, 40)["verdict"] != SAME
    assert 6 <= called <= 36


def test_a_control_has_no_seed_and_is_compared_with_every_seed():
    base = np.stack([np.full(11, v) for v in (0.8, 0.9)])
    assert worth(LAND_USE, base, np.full((1, 11), 0.5), 40)["value"] == pytest.approx(0.35)
    assert worth(LAND_USE, np.full((1, 11), 0.5), base, 40)["value"] == pytest.approx(-0.35)


def test_one_block_of_ground_says_nothing():
    found = worth(LAND_USE, np.ones((3, 11)), np.zeros((3, 11)), 1)
    assert (found["value"], found["low"], found["verdict"]) == (1, None, UNKNOWN)
    assert verdict(None, 1.0) == UNKNOWN


def test_undefined_values_are_unknown_and_not_an_error():
    nothing = np.full((2, 11), np.nan)
    found = worth(LAND_USE, nothing, nothing, 40)
    assert np.isnan(found["value"])
    assert found["verdict"] == UNKNOWN


def test_arms_are_compared_on_the_tasks_that_both_answer():
    values = [np.full(11, 0.9), np.full(11, 0.7)]
    found = compare_arms([LAND_USE, CARS], {"land_use": values, "cars": values}, {"land_use": values}, 40)
    assert list(found) == ["land_use"]
    assert found["land_use"]["base"] == {"values": [0.9, 0.7], "mean": pytest.approx(0.8)}
    assert (found["land_use"]["metric"], found["land_use"]["seeds"]) == ("macro_f1", 2)


def test_the_verdict_in_words():
    def held(value, low, high):
        return {"worth": {"value": value, "low": low, "high": high, "verdict": verdict(low, high)}}

    found = [
        ("A", held(0.02, 0.01, 0.03)),
        ("B", held(0.0, -0.1, 0.1)),
        ("C", held(-1, -2, -0.5)),
        ("D", held(0, 0, 0)),
    ]
    assert sentence("Augmentation", "none", found) == (
        "Augmentation against none: better on A (+0.020, 95 % interval +0.010 to +0.030); "
        "worse on C (-1.000, 95 % interval -2.000 to -0.500); no difference on B, D."
    )
    assert sentence("Weights", "none", found[1:2]) == "Weights against none: no difference on B."
    assert sentence("X", "y", [("A", held(1, None, None))]).endswith("too few blocks of test ground to say on A.")
