from dataclasses import replace

import pytest
import torch

from spatialnet.recipe import Recipe
from spatialnet.sensors import SENSORS
from spatialnet.train import augment as plain
from spatialnet.train import fused

STRONG = Recipe(flips=True, crop=0.5, brightness=0.3, noise=0.0, band_dropout=0.3, erase=0.7)


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("crop", [0.4, 1.0])
@pytest.mark.parametrize("flips", [True, False])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_one_function_does_what_the_operators_do(crop, flips, dtype):
    pixels = torch.randn(64, 6, 12, 12, generator=generator()).to(dtype)
    before = pixels.clone()
    recipe = replace(STRONG, crop=crop, flips=flips)
    draw = generator(1)
    view = plain.draw_view(64, recipe, draw)
    disturbance = plain.draw_disturbance((64, 6), SENSORS["landsat7"], recipe, draw)
    expected = plain.apply(pixels, view, disturbance, draw)
    found = fused.apply(pixels, view, disturbance, fused.draw_seeds(64, draw))
    tolerance = 1e-4 if dtype is torch.float32 else 0.1
    torch.testing.assert_close(found, expected, atol=tolerance, rtol=tolerance)
    assert found.dtype == expected.dtype == dtype
    assert torch.equal(pixels, before)


def test_gathered_turns_are_exactly_the_copied_ones():
    pixels, turns = torch.randn(32, 2, 7, 7, generator=generator()), torch.arange(32) % 8
    assert torch.equal(fused.looked_at(pixels, turns, None), plain.turn(pixels, turns))


def test_the_noise_is_normal_and_its_neighbours_and_chips_are_unrelated():
    seeds = fused.draw_seeds(64, generator())
    noise = fused.normal(seeds, (64, 4, 64, 64))
    assert noise.mean().item() == pytest.approx(0, abs=0.004)
    assert noise.std().item() == pytest.approx(1, abs=0.004)
    assert (noise**3).mean().item() == pytest.approx(0, abs=0.02)
    assert (noise**4).mean().item() == pytest.approx(3, abs=0.04)
    assert (noise.abs() < 1).float().mean().item() == pytest.approx(0.6827, abs=0.002)
    assert (noise.abs() > 3).float().mean().item() == pytest.approx(0.0027, abs=0.0004)
    for moved in (noise.roll(1, -1), noise.roll(1, -2), noise.roll(1, 1), noise.roll(1, 0)):
        assert (noise * moved).mean().item() == pytest.approx(0, abs=0.005)
    assert torch.equal(noise, fused.normal(seeds, (64, 4, 64, 64)))


def test_noise_comes_in_the_recipes_strength():
    view, zeros = plain.View(None, None, None), torch.zeros(8, 3, 32, 32)
    found = fused.apply(zeros, view, plain.Disturbance(noise=0.25), fused.draw_seeds(8, generator()))
    assert found.std().item() == pytest.approx(0.25, rel=0.02)
