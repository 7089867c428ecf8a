from dataclasses import replace

import pytest
import torch

from spatialnet.recipe import Recipe
from spatialnet.sensors import SENSORS
from spatialnet.train.augment import CAREFUL_CROP, augment, crop, draw_view, drop_sensors, turn

STILL = Recipe(flips=False, brightness=0.0, noise=0.0, band_dropout=0.0, speckle=0.0, crop=1.0, erase=0.0)


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


def test_a_crop_is_the_window_zoomed_to_the_chips_size():
    ramp = torch.arange(8.0).repeat(1, 1, 8, 1)
    # The right upper quarter: columns 4 to 8, whose middles lie at 4.25 - 0.5, 4.75 - 0.5 and so on.
    found = crop(ramp + 10 * ramp.mT, torch.tensor([[0.5, 0.25, 0.75]]))[0, 0]
    columns = (4 + (torch.arange(8) + 0.5) / 2 - 0.5).clamp(0, 7)
    rows = ((torch.arange(8) + 0.5) / 2 - 0.5).clamp(0, 7)
    torch.testing.assert_close(found, columns[None] + 10 * rows[:, None])


def test_a_crop_of_everything_is_the_turned_chip():
    pixels, turns = torch.rand(8, 2, 6, 6), torch.arange(8)
    whole = torch.tensor([[1.0, 0.5, 0.5]]).repeat(8, 1)
    torch.testing.assert_close(crop(pixels, whole, turns), turn(pixels, turns))
    torch.testing.assert_close(crop(pixels, whole), pixels)


def test_crops_lie_within_the_chip_and_stay_large_where_care_is_wanted():
    recipe = replace(STILL, crop=0.3)
    for careful, least in ((False, 0.3), (True, CAREFUL_CROP)):
        windows = draw_view(2000, recipe, generator(), careful=careful).windows
        side, centre = windows[:, :1], windows[:, 1:]
        assert least <= side.min() < least + 0.05
        assert side.max() <= 1
        assert (centre - side / 2).min() >= -1e-6
        assert (centre + side / 2).max() <= 1 + 1e-6
    assert draw_view(4, STILL, generator()).windows is None
    assert draw_view(4, replace(STILL, crop=0.9), generator(), careful=True).windows[:, 0].min() >= 0.9


def test_all_sensors_of_a_chip_are_cropped_and_blanked_alike():
    picture = 1 + torch.rand(64, 1, 16, 16)
    names = ("landsat7", "sentinel1", "elevation")
    images = {n: picture.repeat(1, len(SENSORS[n].bands), 1, 1) for n in names}
    before = {n: pixels.clone() for n, pixels in images.items()}
    changed = augment(images, SENSORS, replace(STILL, flips=True, crop=0.5, erase=0.5), generator())
    for name, pixels in changed.items():
        assert torch.equal(pixels, changed["landsat7"][:, :1].expand_as(pixels))
        assert torch.equal(images[name], before[name])
        assert pixels.shape == images[name].shape


def test_a_blanked_part_is_one_rectangle_of_at_most_a_quarter():
    images = {"sentinel1": torch.ones(400, 2, 32, 32)}
    blank = augment(images, SENSORS, replace(STILL, erase=0.5), generator())["sentinel1"][:, 0] == 0
    touched = blank.any(-1).any(-1)
    assert 0.4 < touched.float().mean() < 0.6
    area = blank.float().mean((1, 2))[touched]
    assert 0.25 > area.max() > 0.15
    assert (blank.sum((1, 2)) == blank.any(1).sum(1) * blank.any(2).sum(1)).all()


def test_without_any_change_the_pixels_are_the_given_ones():
    images = {"landsat7": torch.rand(4, 6, 4, 4)}
    assert augment(images, SENSORS, STILL, generator())["landsat7"] is images["landsat7"]


@pytest.mark.parametrize("option", ["brightness", "noise", "band_dropout", "erase", "speckle"])
def test_the_given_pixels_are_never_written_to(option):
    images = {n: torch.ones(16, len(SENSORS[n].bands), 4, 4) for n in ("landsat7", "sentinel1")}
    augment(images, SENSORS, replace(STILL, **{option: 0.9}), generator())
    assert all((pixels == 1).all() for pixels in images.values())
