"""The badge is calibrated: right maps are faithful, random maps are not."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch

from spatialnet.errors import ExplanationFailed
from spatialnet.explain.attribute import attribute
from spatialnet.explain.faithfulness import faithfulness, random_maps


@pytest.fixture(scope="module")
def chip(planted):
    index = int(torch.nonzero(planted.kind == 1)[0, 0])
    return {"rgb": planted.images[index : index + 1]}, planted.mask[index].astype(float)


def test_random_maps_have_the_same_autocorrelation():
    generator = np.random.default_rng(0)
    values = np.add.outer(np.linspace(0, 1, 8), np.linspace(0, 2, 9) ** 2)
    maps = random_maps(values, 3, generator)
    power = np.abs(np.fft.fft2(values - values.mean())) ** 2
    for drawn in maps:
        np.testing.assert_allclose(np.abs(np.fft.fft2(drawn)) ** 2, power, atol=1e-8)
    assert np.abs(maps.mean((1, 2))).max() < 1e-9
    assert np.corrcoef(maps.reshape(3, -1))[0, 1] < 0.99


def test_a_flat_map_is_compared_with_noise():
    maps = random_maps(np.ones((6, 6)), 4, np.random.default_rng(0))
    assert np.isfinite(maps).all()
    assert maps.std() > 0


def test_the_truth_is_faithful(trained, chip):
    images, mask = chip
    badge = faithfulness(trained, images, "square", 1, mask)
    assert badge.verdict == "faithful"
    assert badge.deletion < 0.4 < badge.random_deletion < badge.insertion
    assert badge.margin > 2
    assert badge.chance <= 0.03
    assert "times as much as removing random places of the same smoothness." in badge.sentence
    ends = badge.curves
    assert ends["fraction"][0] == 0
    assert ends["fraction"][-1] == 1
    assert ends["deletion"][0] == pytest.approx(ends["insertion"][-1], abs=1e-6)
    assert ends["deletion"][-1] == pytest.approx(ends["insertion"][0], abs=1e-6)
    assert len({len(curve) for curve in ends.values()}) == 1
    json.dumps(badge.to_dict())


def test_the_known_area_of_a_curve(trained, chip):
    images, mask = chip
    badge = faithfulness(trained, images, "square", 1, mask)
    assert badge.deletion == pytest.approx(np.trapezoid(badge.curves["deletion"], badge.curves["fraction"]))
    fraction = badge.curves["fraction"][1]
    ranked = np.argsort(-mask[::4, ::4].ravel(), kind="stable")[: round(fraction * 36)]
    assert mask[::4, ::4].ravel()[ranked].all()  # the square has 4 of 36 patches, the first cut takes 4
    removed = images["rgb"] * torch.from_numpy(mask == 0)
    with torch.no_grad():
        expected = float(trained(removed)["square"].softmax(1)[0, 1])
    assert badge.curves["deletion"][1] == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize("method", ["gradient_attention", "integrated_gradients"])
def test_a_good_method_is_faithful_on_most_chips(trained, planted, method):
    verdicts = []
    for index in torch.nonzero(planted.kind == 1)[:4, 0]:
        images = {"rgb": planted.images[index : index + 1]}
        found = attribute(trained, images, "square", 1, method)
        verdicts.append(faithfulness(trained, images, "square", 1, found.values).verdict)
    assert verdicts.count("faithful") >= 3


def test_a_random_map_is_no_better_than_chance(trained, chip):
    images, mask = chip
    maps = random_maps(mask, 8, np.random.default_rng(3))
    verdicts = [faithfulness(trained, images, "square", 1, drawn, seed=i).verdict for i, drawn in enumerate(maps)]
    assert verdicts.count("no better than chance") >= 7


def test_a_map_upside_down_loses_what_the_map_gains(trained, chip):
    images, _ = chip
    values = attribute(trained, images, "square", 1, "integrated_gradients").values[0]
    up, down = (faithfulness(trained, images, "square", 1, sign * values) for sign in (1, -1))
    assert down.insertion - down.deletion == pytest.approx(up.deletion - up.insertion, abs=1e-5)
    assert down.verdict == "no better than chance"
    assert "does not change the answer clearly more" in down.sentence


def test_a_flat_map_is_no_better_than_chance(trained, chip):
    images, _ = chip
    for seed in range(3):
        badge = faithfulness(trained, images, "square", 1, np.ones((24, 24)), seed=seed)
        assert badge.verdict == "no better than chance"


def test_the_same_seed_gives_the_same_badge(trained, chip):
    images, mask = chip
    assert faithfulness(trained, images, "square", 1, mask, seed=5, draws=4) == faithfulness(
        trained, images, "square", 1, mask[None], seed=5, draws=4
    )


@pytest.mark.parametrize(("task", "class_index"), [("colours", 0), ("empty", 1), ("squares", 0)])
def test_every_task_kind_has_a_badge(trained, chip, task, class_index):
    images, mask = chip
    assert faithfulness(trained, images, task, class_index, mask).verdict == "faithful"


def test_the_model_is_left_as_found(trained, chip):
    images, mask = chip
    trained.train()
    try:
        faithfulness(trained, images, "square", 1, mask, draws=2)
        assert all(module.training for module in trained.modules())
    finally:
        trained.eval()
    assert all(parameter.grad is None for parameter in trained.parameters())


@pytest.mark.parametrize(
    "values", [np.zeros((23, 24)), np.zeros((2, 24, 24)), np.full((24, 24), np.nan), np.zeros((0, 0)), np.zeros(24)]
)
def test_a_map_that_does_not_fit_is_refused(trained, chip, values):
    with pytest.raises(ExplanationFailed, match="one chip and its map"):
        faithfulness(trained, chip[0], "square", 1, values)


def test_a_batch_is_refused(trained, planted):
    with pytest.raises(ExplanationFailed, match="one chip at a time"):
        faithfulness(trained, {"rgb": planted.images[:2]}, "square", 1, np.zeros((24, 24)))
