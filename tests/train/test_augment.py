from dataclasses import replace

import pytest
import torch

from spatialnet.recipe import Recipe
from spatialnet.sensors import SENSORS
from spatialnet.train.augment import augment, drop_sensors, turn

STILL = Recipe(flips=False, brightness=0.0, noise=0.0, band_dropout=0.0, speckle=0.0)


def generator():
    return torch.Generator().manual_seed(0)


def test_the_eight_turns_are_eight_different_ones_and_lose_nothing():
    picture = torch.arange(9.0).reshape(1, 1, 3, 3).expand(8, 1, 3, 3)
    turned = turn(picture, torch.arange(8))
    assert len({tuple(t.flatten().tolist()) for t in turned}) == 8
    assert torch.equal(turned.flatten(1).sort(1).values, picture.flatten(1))
    assert torch.equal(turned[0], picture[0])


def test_all_sensors_of_a_chip_are_turned_alike():
    picture = torch.rand(64, 1, 4, 4)
    sensors = {"landsat7": SENSORS["landsat7"], "sentinel1": SENSORS["sentinel1"]}
    images = {"landsat7": picture.repeat(1, 6, 1, 1), "sentinel1": picture.repeat(1, 2, 1, 1)}
    changed = augment(images, sensors, replace(STILL, flips=True), generator())
    assert torch.equal(changed["landsat7"][:, :2], changed["sentinel1"])
    assert not torch.equal(changed["sentinel1"], images["sentinel1"])


@pytest.mark.parametrize(
    ("option", "optical", "radar", "height"),
    [
        ("brightness", True, False, False),
        ("noise", True, False, False),
        ("band_dropout", True, False, False),
        ("speckle", False, True, False),
    ],
)
def test_each_disturbance_meets_its_own_kind_of_sensor(option, optical, radar, height):
    names = ("landsat7", "sentinel1", "elevation")
    images = {n: torch.ones(16, len(SENSORS[n].bands), 4, 4) for n in names}
    changed = augment(images, {n: SENSORS[n] for n in names}, replace(STILL, **{option: 0.5}), generator())
    touched = [not torch.equal(changed[n], images[n]) for n in names]
    assert touched == [optical, radar, height]


def test_band_dropout_never_blanks_every_band():
    images = {"landsat7": torch.ones(500, 6, 2, 2)}
    changed = augment(images, SENSORS, replace(STILL, band_dropout=0.9), generator())["landsat7"]
    assert (changed.sum((1, 2, 3)) > 0).all()
    assert (changed == 0).any()


def test_sensor_dropout_never_takes_the_last_and_never_gives_one_back():
    there = {"a": torch.tensor([True, False, True]).repeat(300), "b": torch.tensor([True, True, False]).repeat(300)}
    kept = drop_sensors(there, 0.8, generator())
    assert (kept["a"] | kept["b"]).all()
    assert not (kept["a"] & ~there["a"]).any()
    assert (kept["a"] != there["a"]).any()


def test_the_same_seed_gives_the_same_disturbance():
    images = {"landsat7": torch.rand(8, 6, 4, 4)}
    recipe = Recipe(brightness=0.2, noise=0.1, band_dropout=0.2)
    first, second = (augment(images, SENSORS, recipe, generator())["landsat7"] for _ in range(2))
    assert torch.equal(first, second)
