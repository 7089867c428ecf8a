import time

import numpy as np
import pandas as pd
import pytest

from spatialnet.errors import ImportRefused
from spatialnet.importing.target_plan import (
    TargetPlan,
    as_text,
    class_name,
    identifier,
    propose,
    propose_columns,
    same_form,
)
from spatialnet.tasks import UNKNOWN_CLASS


def test_spellings_of_one_value_are_one_class_with_the_clearest_name():
    labels = pd.DataFrame({"c": ["SeaLake", "sea_lake", "sealake", "SEA LAKE", "River", None]})
    plan = propose("land_use", "multiclass", "Land use", "c", labels)
    assert plan.classes == ("river", "sea lake")
    assert plan.merged() == {"sea lake": ("SEA LAKE", "SeaLake", "sea_lake", "sealake")}
    assert plan.make(labels).tolist() == [1, 1, 1, 1, 0, UNKNOWN_CLASS]


def test_what_is_not_mapped_or_empty_is_unknown():
    labels = pd.DataFrame({"c": ["a", "b", "", "  ", None, float("nan"), pd.NA, "new"]}, dtype=object)
    plan = TargetPlan("t", "multiclass", "T", ("c",), ("a", "b"), {"a": "a", "b": "b", "new": ""})
    assert plan.make(labels).tolist() == [0, 1] + [UNKNOWN_CLASS] * 6
    binary = TargetPlan("t", "binary", "T", ("c",), ("b", "a"), {"a": "a", "b": "b"})
    assert np.array_equal(binary.make(labels), [1, 0] + [np.nan] * 6, equal_nan=True)


def test_numbers_as_class_codes_keep_their_order_and_lose_their_point():
    labels = pd.DataFrame({"c": [10.0, 2.0, 1.0, np.nan]})
    plan = propose("t", "multiclass", "T", "c", labels)
    assert plan.classes == ("1", "2", "10")
    assert plan.make(labels).tolist() == [2, 1, 0, UNKNOWN_CLASS]


def test_true_and_one_in_one_column_are_two_values():
    labels = pd.DataFrame({"c": [True, 1, "1", 1.0]}, dtype=object)
    assert propose("t", "multiclass", "T", "c", labels).found(labels) == {"1": 3, "True": 1}


def test_yes_and_no_make_a_binary_task_with_no_first():
    labels = pd.DataFrame({"c": ["yes", "No", "TRUE", None]})
    plan = propose("t", "binary", "T", "c", labels)
    assert plan.classes == ("no", "yes")
    assert np.array_equal(plan.make(labels), [1, 0, 1, np.nan], equal_nan=True)


LISTS = pd.DataFrame({"l": [["a", "b"], [], None, np.array(["b"]), ("c", "x")]}, dtype=object)


def test_silence_of_a_list_is_no_or_unknown():
    plan = TargetPlan("t", "multilabel", "T", ("l",), ("a", "b"), {"a": "a", "b": "b", "c": ""})
    n = np.nan
    assert np.array_equal(plan.make(LISTS), [[1, 1], [0, 0], [n, n], [0, 1], [0, 0]], equal_nan=True)
    unknown = TargetPlan("t", "multilabel", "T", ("l",), ("a", "b"), {"a": "a", "b": "b"}, silence="unknown")
    assert np.array_equal(unknown.make(LISTS), [[1, 1], [n, n], [n, n], [n, 1], [n, n]], equal_nan=True)
    assert plan.found(LISTS) == {"a": 1, "b": 2, "c": 1, "x": 1}


def test_text_lists_are_split_and_empty_cells_are_unknown():
    labels = pd.DataFrame({"l": ["tree; water", "water;", "", None]})
    plan = propose("t", "multilabel", "T", "l", labels, separator=";")
    assert plan.classes == ("tree", "water")
    n = np.nan
    assert np.array_equal(plan.make(labels), [[1, 1], [0, 1], [n, n], [n, n]], equal_nan=True)


def test_merged_columns_are_yes_if_any_is_and_no_only_if_all_are():
    n = np.nan
    labels = pd.DataFrame({"p_car": [1, 0, 0, n, n], "p_bus": [0, 0, n, n, 1], "p_tree": [1, n, 0, 1, 0]})
    plan = TargetPlan(
        "t", "multilabel", "T", ("p_car", "p_bus", "p_tree"), ("vehicle", "tree"),
        {"p_car": "vehicle", "p_bus": "vehicle", "p_tree": "tree"},
    )  # fmt: skip
    assert np.array_equal(plan.make(labels), [[1, 1], [0, n], [n, 0], [n, 1], [1, 0]], equal_nan=True)
    assert plan.found(labels) == {"p_car": 1, "p_bus": 1, "p_tree": 2}


def test_a_sum_of_counts_with_an_unknown_part_is_unknown():
    labels = pd.DataFrame({"a": [1, 2, np.nan], "b": ["3", "", "4"], "c": [1, 1, 1]})
    plan = TargetPlan("t", "count", "T", ("a", "b", "c"), ("x", "y"), {"a": "x", "b": "x", "c": "y"})
    assert np.array_equal(plan.make(labels), [[4, 1], [np.nan, 1], [np.nan, 1]], equal_nan=True)


def test_a_single_column_of_yes_and_no_can_be_a_multilabel_task():
    labels = pd.DataFrame({"has_tree": [1, 0, None]})
    plan = propose_columns("t", "multilabel", "T", ["has_tree"], "has_")
    assert plan.classes == ("tree",)
    assert np.array_equal(plan.make(labels), [[1], [0], [np.nan]], equal_nan=True)


@pytest.mark.parametrize(
    ("kind", "cell", "said"),
    [
        ("multilabel", "maybe", "Write 1, 0 or nothing"), ("count", "many", "count"), ("count", "-1", "0 or more"),
        ("count", "inf", "0 or more"),
    ],
)  # fmt: skip
def test_cells_that_cannot_be_read_are_refused(kind, cell, said):
    labels = pd.DataFrame({"a": ["1", cell], "b": ["0", "0"]})
    with pytest.raises(ImportRefused, match=said):
        propose_columns("t", kind, "T", ["a", "b"]).make(labels)


def test_plans_that_contradict_themselves_are_refused():
    labels = pd.DataFrame({"c": ["a", "b"]})
    with pytest.raises(ImportRefused, match="needs label column 'd'"):
        TargetPlan("t", "multiclass", "T", ("d",), ("a", "b")).make(labels)
    with pytest.raises(ImportRefused, match="none of its classes"):
        TargetPlan("t", "multiclass", "T", ("c",), ("a", "b"), {"a": "z"}).make(labels)
    with pytest.raises(ImportRefused, match="one class"):
        TargetPlan("t", "multiclass", "T", ("c",), ("a",), {"a": "a"}).make(labels)


def test_a_plan_is_the_same_after_it_was_written():
    plan = TargetPlan(
        "t",
        "multilabel",
        "T",
        ("c",),
        ("a",),
        {"A": "a"},
        separator=";",
        silence="unknown",
        derived="x",
        colours=("#000000",),
    )
    assert TargetPlan.from_dict(plan.to_dict()) == plan


def test_long_values_that_begin_alike_stay_two_classes():
    labels = pd.DataFrame({"c": ["x" * 70 + "a", "x" * 70 + "b"]})
    plan = propose("t", "multiclass", "T", "c", labels)
    assert len(plan.classes) == 2
    assert plan.make(labels).tolist() == [0, 1]


def test_names():
    assert class_name("DenseResidential") == class_name("dense_residential") == "dense residential"
    assert same_form("Dense-Residential") == same_form("dense residential")
    assert identifier("Land Use (2020)") == "land_use_2020"
    assert identifier("2020").isidentifier()
    assert identifier("Übung") == "bung"
    assert (as_text(3.0), as_text(3.5), as_text(" a "), as_text(pd.NaT)) == ("3", "3.5", "a", None)


def test_a_hundred_thousand_rows_take_a_moment():
    random = np.random.default_rng(0)
    names = np.array([f"class {i}" for i in range(40)])
    labels = pd.DataFrame({"c": names[random.integers(0, 40, 100_000)], "n": random.integers(0, 2, 100_000)})
    labels["l"] = (labels["c"] + ";" + names[random.integers(0, 40, 100_000)]).astype(object)
    start = time.process_time()
    propose("t", "multiclass", "T", "c", labels).make(labels)
    propose("t", "multilabel", "T", "l", labels, separator=";").make(labels)
    propose_columns("t", "multilabel", "T", ["n"]).make(labels)
    assert time.process_time() - start < 3
