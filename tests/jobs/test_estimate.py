import json
from dataclasses import replace

import pytest

from spatialnet.jobs.estimate import (
    START_SECONDS,
    estimate_checkpoint,
    estimate_disk,
    estimate_memory,
    estimate_seconds,
    memory_warning,
)
from spatialnet.jobs.machine import Device
from spatialnet.recipe import Recipe
from spatialnet.runs import create_run


def run_of(settings, recipe, history):
    run = create_run(settings, {"dataset": "landscape", "title": "x", "tasks": []}, recipe.to_toml())
    (run.folder / "history.jsonl").write_text("".join(json.dumps(line) + "\n" for line in history))
    return run


def test_nothing_is_said_before_anything_was_measured(settings, landscape):
    recipe = Recipe(preset="nano")
    assert estimate_seconds(recipe, landscape, []) is None
    assert estimate_seconds(recipe, landscape, [run_of(settings, recipe, [])]) is None


def test_time_follows_epochs_and_the_measured_rate(settings, landscape):
    recipe = Recipe(preset="nano", epochs=10)
    runs = [run_of(settings, recipe, []), run_of(settings, recipe, [{"chips_per_second": 1}, {"chips_per_second": 50}])]
    chips = len(landscape.in_split("train"))
    assert estimate_seconds(recipe, landscape, runs) == pytest.approx(START_SECONDS + 10 * chips / 50)
    longer = Recipe(preset="nano", epochs=20)
    assert estimate_seconds(longer, landscape, runs) == pytest.approx(START_SECONDS + 20 * chips / 50)


def test_a_further_data_set_adds_its_chips(settings, landscape):
    recipe = Recipe(preset="nano", epochs=10)
    runs = [run_of(settings, recipe, [{"chips_per_second": 50}])]
    alone = estimate_seconds(recipe, landscape, runs) - START_SECONDS
    assert estimate_seconds(recipe, landscape, runs, [landscape]) == pytest.approx(START_SECONDS + 2 * alone)


def test_a_larger_network_takes_longer(settings, landscape):
    runs = [run_of(settings, Recipe(preset="tiny"), [{"chips_per_second": 50}])]
    nano, tiny, small = (estimate_seconds(Recipe(preset=p), landscape, runs) for p in ("nano", "tiny", "small"))
    assert nano < tiny < small


def test_time_follows_size_stages_and_what_learns(settings, landscape):
    basis = Recipe(preset="tiny", epochs=10, patch=4)
    runs = [
        run_of(
            settings, basis, [{"chips_per_second": 5000, "stage": "heads"}, {"chips_per_second": 50, "stage": "all"}]
        )
    ]

    def seconds(**changes):
        return estimate_seconds(replace(basis, **changes), landscape, runs) - START_SECONDS

    whole = 10 * len(landscape.in_split("train")) / 50
    assert seconds() == pytest.approx(whole)
    assert seconds(size=32) > 3 * whole
    assert seconds(patch_drop=0.5) < 0.55 * whole
    assert seconds(tune="last", tuned_blocks=3) == pytest.approx(whole * 1.5 / 3)
    assert seconds(checkpointing=True) == pytest.approx(whole * 4 / 3)
    assert seconds(head_epochs=50) == pytest.approx(whole * (1 + 1 / 30))
    assert (
        estimate_seconds(basis, landscape, [run_of(settings, basis, [{"chips_per_second": 9, "stage": "heads"}])])
        is None
    )


# Peak resident memory of three steps with AdamW and two copies of the weights, six bands, one process, in GiB.
MEASURED = [
    ("nano", 16, 32, 0.79),
    ("tiny", 64, 32, 1.29),
    ("small", 64, 32, 2.07),
    ("small", 112, 32, 2.13),
    ("tiny", 112, 128, 2.45),
]


@pytest.mark.parametrize(("preset", "size", "batch", "gib"), MEASURED)
def test_memory_is_near_what_was_measured(landscape, preset, size, batch, gib):
    needed = estimate_memory(Recipe(preset=preset, size=size, batch_size=batch), landscape) / 2**30
    assert 0.9 < needed / gib < 1.1


def test_memory_shrinks_with_what_saves_memory(landscape):
    basis = Recipe(preset="small", size=112, batch_size=256)
    whole = estimate_memory(basis, landscape)
    for changes in (
        {"accumulate": 8},
        {"checkpointing": True},
        {"precision": "bfloat16"},
        {"patch_drop": 0.5},
        {"tune": "last"},
    ):
        assert estimate_memory(replace(basis, **changes), landscape) < 0.8 * whole, changes
    assert memory_warning(2 * 2**30, Device("cpu", "CPU, 2 cores", 8.0, 2.0)) == ""
    assert "needs about 3.0 GiB of memory, and CPU, 2 cores has 2.0 of 8.0 GiB free" in memory_warning(
        3 * 2**30, Device("cpu", "CPU, 2 cores", 8.0, 2.0)
    )


def test_disk_holds_two_checkpoints_and_the_maps(landscape):
    recipe = Recipe(preset="small")
    assert estimate_checkpoint(recipe) == pytest.approx(5 * 22e6 * 4, rel=0.15)
    assert estimate_disk(recipe, landscape) > 2 * estimate_checkpoint(recipe)
