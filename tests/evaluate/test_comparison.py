"""Runs side by side, with answers that are known beforehand."""

from __future__ import annotations

import pytest

from spatialnet.evaluate.comparison import compare
from spatialnet.recipe import Recipe
from spatialnet.runs import create_run, write_json
from spatialnet.tasks import Task

LAND_USE = Task("land_use", "multiclass", ("forest", "water"))


@pytest.fixture
def measured(settings):
    """A run on `hills` whose one metric and its interval are these; None: not done."""

    def make(title, value, low=None, high=None, metric="balanced_accuracy", baseline=0.4, seed=0, **info):
        info = {"title": title, "dataset": "hills", "fingerprint": "f", "tasks": [LAND_USE.to_dict()], **info}
        run = create_run(settings, info, Recipe(name=title, seed=seed).to_toml())
        if value is not None:
            rival = {"value": baseline, "low": baseline, "high": baseline}
            entry = {
                "metric": metric, "chips": 50, "run": {"value": value, "low": low, "high": high},
                "majority": rival, "margin": {"over": "majority"},
            }  # fmt: skip
            write_json(run.folder / "report.json", {"tasks": {"land_use": entry}})
        return run

    return make


@pytest.mark.parametrize(
    ("first", "second", "best", "clear"),
    [
        ((0.9, 0.85, 0.95), (0.7, 0.6, 0.8), 0, True),
        ((0.7, 0.6, 0.8), (0.9, 0.85, 0.95), 1, True),
        ((0.9, 0.75, 0.95), (0.7, 0.6, 0.8), 0, False),
        ((0.9, 0.8, 0.95), (0.7, 0.6, 0.8), 0, False),  # intervals that touch are not apart
        ((0.9, None, None), (0.1, 0.0, 0.2), 0, False),  # nothing is clear where an interval is unknown
        ((0.9, 0.8, 1.0), (0.9, 0.8, 1.0), None, False),
        ((float("nan"), None, None), (0.7, 0.6, 0.8), None, False),
    ],
)
def test_the_best_run_and_whether_intervals_clearly_differ(measured, first, second, best, clear):
    row = compare([measured("a", *first), measured("b", *second)]).rows[0]
    assert (row.best, row.clear) == (best, clear)
    assert row.values[1].value == second[0]
    assert (row.values[1].chips, row.values[1].baseline) == (50, 0.4)


def test_of_errors_the_smallest_is_best(measured):
    small, large = (2.0, 1.5, 2.5), (5.0, 4.0, 6.0)
    row = compare([measured("a", *large, metric="mae"), measured("b", *small, metric="mae")]).rows[0]
    assert (row.best, row.clear) == (1, True)


def test_clear_is_said_of_the_best_and_the_worst_of_many(measured):
    three = [measured("a", 0.8, 0.7, 0.9), measured("b", 0.9, 0.86, 0.95), measured("c", 0.5, 0.4, 0.65)]
    row = compare(three).rows[0]
    assert (row.best, row.clear) == (1, True)


def test_another_metric_is_not_compared_and_a_run_without_metrics_is_said(measured):
    found = compare([measured("a", 0.9, 0.8, 1.0), measured("b", 3.0, 2.0, 4.0, metric="mae"), measured("c", None)])
    assert [values is None for values in found.rows[0].values] == [False, True, True]
    assert found.rows[0].best is None
    assert found.cautions == ("Run 'c' is not done; it has no metrics yet.",)


def test_recipes_show_only_the_fields_in_which_they_differ(measured):
    found = compare([measured("same", 0.9, 0.8, 1.0), measured("same", 0.8, 0.7, 0.9, seed=7)])
    assert [(each.field, each.values) for each in found.differences] == [("seed", (0, 7))]


def test_another_state_of_the_data_and_other_data_are_cautions(measured):
    one = measured("a", 0.9, 0.8, 1.0)
    assert "2 states of data set hills" in compare([one, measured("b", 0.8, 0.7, 0.9, fingerprint="g")]).cautions[0]
    assert "no data set in common" in compare([one, measured("b", 0.8, 0.7, 0.9, dataset="plains")]).cautions[0]


def test_a_recipe_that_cannot_be_read_leaves_the_metrics(measured):
    one, other = measured("a", 0.9, 0.8, 1.0), measured("b", 0.8, 0.7, 0.9)
    (other.folder / "recipe.toml").write_text("no = [")
    found = compare([one, other])
    assert found.rows[0].best == 0
    assert found.differences == ()
