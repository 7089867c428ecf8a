from dataclasses import replace

import pytest
import torch

from spatialnet.recipe import Recipe
from spatialnet.tasks import Task
from spatialnet.train.batches import Batch
from spatialnet.train.mixing import mix

TASKS = (
    Task("land_use", "multiclass", ("a", "b", "c")),
    Task("presence", "multilabel", ("x", "y")),
    Task("rural_urban", "binary", ("rural", "urban")),
    Task("cars", "count", ("cars",)),
)
NAN = float("nan")
MIXUP, CUTMIX, BOTH = Recipe(mixup=0.8), Recipe(cutmix=1.0), Recipe(mixup=0.8, cutmix=1.0)


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def made(count=33, unknown=(), sensors=("landsat7", "sentinel1"), soft=True):
    """Chip i is worth i everywhere, and of class i % 3."""
    level = torch.arange(float(count))
    classes = torch.arange(count) % 3
    shares = torch.nn.functional.one_hot(classes, 3).float()
    for row in unknown:
        shares[row], classes[row] = NAN, -100
    return Batch(
        images={
            name: level[:, None, None, None].repeat(1, bands, 8, 8) for name, bands in zip(sensors, (6, 2), strict=True)
        },
        present={name: torch.ones(count, dtype=torch.bool) for name in sensors},
        targets={
            "land_use": shares if soft else classes,
            "presence": torch.ones(count, 2),
            "rural_urban": torch.ones(count),
            "cars": torch.ones(count, 1),
        },
        weights={name: torch.ones(count) for name in ("land_use", "presence", "rural_urban", "cars")},
    )


def mixed_rows(before, after):
    """(batch,) bool: whose targets of other tasks were taken away."""
    assert not before.targets["cars"].isnan().any()
    return after.targets["cars"].isnan().any(-1)


@pytest.mark.parametrize("recipe", [MIXUP, CUTMIX, BOTH])
@pytest.mark.parametrize("count", [1, 2, 7, 32, 33])
def test_half_of_the_chips_are_mixed_and_lose_what_cannot_be(recipe, count):
    before = made(count)
    after = mix(before, recipe, TASKS, generator())
    mixed = mixed_rows(before, after)
    assert mixed.sum() == count // 2
    assert after.targets["presence"].isnan().all(-1).equal(mixed)
    assert after.targets["rural_urban"].isnan().equal(mixed)
    for name, pixels in after.images.items():
        assert torch.equal(pixels[~mixed], before.images[name][~mixed])
    assert torch.equal(after.targets["land_use"][~mixed], before.targets["land_use"][~mixed])
    torch.testing.assert_close(after.targets["land_use"].sum(1), torch.ones(count))


@pytest.mark.parametrize("recipe", [MIXUP, CUTMIX, BOTH])
def test_the_shares_follow_the_pixels_of_all_sensors_alike(recipe):
    # Two classes of chips, worth 0 and 1, so that a chip's mean is the share of the second.
    before = made(64)
    second = torch.arange(64) % 2
    images = {name: second.float()[:, None, None, None].expand_as(p).clone() for name, p in before.images.items()}
    shares = torch.nn.functional.one_hot(second, 3).float()
    before = replace(before, images=images, targets=before.targets | {"land_use": shares})
    after = mix(before, recipe, TASKS, generator())
    for pixels in after.images.values():
        torch.testing.assert_close(pixels.mean((1, 2, 3)), after.targets["land_use"][:, 1])
    assert torch.equal(after.images["landsat7"][:, :2], after.images["sentinel1"])
    between = (after.targets["land_use"][:, 1] % 1 > 0).sum()
    assert between > 5


def test_cutmix_pastes_one_rectangle_and_mixup_blends_everywhere():
    before = made(64)
    pasted = mix(before, CUTMIX, TASKS, generator())
    blended = mix(before, MIXUP, TASKS, generator())
    both = mix(before, BOTH, TASKS, generator())

    def kinds(after):
        """How many different values a mixed chip holds: 1 if blended or wholly one chip, 2 if pasted."""
        chips = after.images["landsat7"][mixed_rows(before, after), 0]
        return [len(chip.unique()) for chip in chips]

    assert set(kinds(blended)) == {1}
    assert 2 in kinds(pasted)
    assert max(kinds(pasted)) == 2
    assert {1, 2} == set(kinds(both))
    whole = {float(v) for v in pasted.images["landsat7"].unique()}
    assert whole <= set(map(float, range(64)))
    for own, chip in enumerate(pasted.images["landsat7"][:, 0]):
        foreign = chip != own
        assert foreign.sum() == foreign.any(1).sum() * foreign.any(0).sum()


def test_unknown_classes_are_neither_mixed_nor_mixed_in():
    unknown = (0, 3, 4, 5, 30)
    before = made(31, unknown)
    for seed in range(5):
        after = mix(before, BOTH, TASKS, generator(seed))
        mixed = mixed_rows(before, after)
        assert mixed.sum() == 13
        assert not mixed[list(unknown)].any()
        assert not after.targets["land_use"][mixed].isnan().any()
        assert after.targets["land_use"][list(unknown)].isnan().all()


def test_hard_classes_are_mixed_as_shares():
    before = made(10, (2,), soft=False)
    after = mix(before, MIXUP, TASKS, generator())
    soft = mix(made(10, (2,)), MIXUP, TASKS, generator())
    torch.testing.assert_close(after.targets["land_use"], soft.targets["land_use"], equal_nan=True)


def test_a_chip_that_counts_nothing_adds_nothing_to_the_classes():
    before = made(40)
    weights = before.weights | {"land_use": (torch.arange(40) % 3 != 1).float() * 2}
    after = mix(replace(before, weights=weights), MIXUP, TASKS, generator())
    mixed = mixed_rows(before, after)
    counted = mixed & (after.weights["land_use"] > 0)
    assert (after.targets["land_use"][counted][:, 1] == 0).all()
    assert not after.targets["land_use"].isnan().any()
    assert ((after.weights["land_use"][mixed] > 0) & (after.weights["land_use"][mixed] < 2)).any()
    assert torch.equal(after.weights["cars"], before.weights["cars"])


def test_a_sensor_is_there_only_where_both_chips_have_it():
    before = made(40)
    present = {"landsat7": torch.arange(40) % 2 == 0, "sentinel1": torch.arange(40) % 2 == 1}
    after = mix(replace(before, present=present), MIXUP, TASKS, generator())
    mixed = mixed_rows(before, after)
    assert 0 < mixed.sum() < 20
    assert (after.present["landsat7"] | after.present["sentinel1"]).all()
    # Only chips with the same sensor were mixed: the level of each mixed pair has one parity, as its sum is even.
    assert torch.equal(after.present["landsat7"], present["landsat7"])


def test_the_same_seed_mixes_alike_and_the_batch_given_is_not_changed():
    before = made()
    copies = {name: pixels.clone() for name, pixels in before.images.items()}
    first, second = (mix(before, BOTH, TASKS, generator(3)) for _ in range(2))
    assert all(torch.equal(first.images[n], second.images[n]) for n in copies)
    assert all(torch.equal(before.images[n], copies[n]) for n in copies)
    assert not torch.equal(first.images["landsat7"], mix(before, BOTH, TASKS, generator(4)).images["landsat7"])


def test_nothing_is_mixed_without_strength_or_without_a_multiclass_task():
    before = made()
    assert mix(before, Recipe(), TASKS, generator()) is before
    others = replace(before, targets={n: v for n, v in before.targets.items() if n != "land_use"})
    assert mix(others, BOTH, TASKS, generator()) is others


def test_two_multiclass_tasks_stay_unknown_where_either_chip_is():
    tasks = (*TASKS, Task("zone", "multiclass", ("p", "q")))
    before = made(20)
    zone = torch.tensor([1.0, 0.0]).repeat(20, 1)
    zone[:10] = NAN
    after = mix(replace(before, targets=before.targets | {"zone": zone}), MIXUP, tasks, generator())
    mixed = mixed_rows(before, after)
    assert mixed.sum() == 10
    assert after.targets["zone"][:10].isnan().all()
    assert not after.targets["land_use"].isnan().any()
