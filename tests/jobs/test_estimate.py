import json

import pytest

from spatialnet.jobs.estimate import START_SECONDS, estimate_seconds
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


def test_a_larger_network_takes_longer(settings, landscape):
    runs = [run_of(settings, Recipe(preset="tiny"), [{"chips_per_second": 50}])]
    nano, tiny, small = (estimate_seconds(Recipe(preset=p), landscape, runs) for p in ("nano", "tiny", "small"))
    assert nano < tiny < small
