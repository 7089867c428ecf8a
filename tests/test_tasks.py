import json

import pytest

from spatialnet.errors import TargetsInvalid
from spatialnet.tasks import Task


def test_a_task_survives_json():
    task = Task("land_use", "multiclass", ("forest", "water"), "Land use", ("#006400", "#0000ff"))
    assert Task.from_dict(json.loads(json.dumps(task.to_dict()))) == task


@pytest.mark.parametrize(
    ("kind", "outputs", "metric"),
    [
        ("multiclass", 2, "macro_f1"),
        ("multilabel", 2, "mean_ap"),
        ("binary", 1, "balanced_accuracy"),
        ("count", 2, "mae"),
    ],
)
def test_each_kind_has_its_outputs_and_metric(kind, outputs, metric):
    task = Task("cover_of_trees", kind, ("no", "yes"))
    assert (task.outputs, task.main_metric, task.label) == (outputs, metric, "Cover of trees")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("Land use", "multiclass", ("a", "b")), "identifier"),
        (("../etc", "multiclass", ("a", "b")), "identifier"),
        (("land_use", "regression", ("a", "b")), "kind 'regression'"),
        (("land_use", "multiclass", ("a", "a")), "distinct"),
        (("land_use", "multilabel", ()), "distinct"),
        (("land_use", "multiclass", ("a",)), "at least two"),
        (("urban", "binary", ("a", "b", "c")), "exactly two"),
        (("land_use", "multiclass", ("a", "b"), "", ("#fff",)), "1 colours"),
    ],
)
def test_a_task_that_contradicts_itself_is_refused(arguments, said):
    with pytest.raises(TargetsInvalid, match=said):
        Task(*arguments)
