"""Other classes from the labels that were kept."""

import os

import numpy as np
import pytest

from spatialnet.datasets.packed import PackedChips
from spatialnet.errors import ImportRefused
from spatialnet.importing.retarget import changes, current_plans, kept_labels, retarget
from spatialnet.importing.target_edits import mapped
from spatialnet.importing.target_plan import TargetPlan
from tests.sources import build_pictures


@pytest.fixture
def data(tmp_path):
    return build_pictures(tmp_path / "pictures", tmp_path / "source")


def test_two_values_become_one_class(data):
    (plan,) = current_plans(data)
    assert kept_labels(data)["land_use"].value_counts().to_dict() == {"Forest": 12, "SeaLake": 12, "river": 12}
    chips = (data.folder / "chips" / "rgb.npy").stat().st_ino
    before = data.targets("land_use")
    new = retarget(data, [mapped(plan, {"Forest": "trees", "SeaLake": "water", "river": "water"})])
    assert new.task("land_use").classes == ("trees", "water")
    assert new.targets("land_use").tolist() == np.where(before == plan.classes.index("forest"), 0, 1).tolist()
    assert (new.manifest["version"], new.fingerprint != data.fingerprint) == (2, True)
    assert np.array_equal(new.splits, data.splits)
    assert (new.folder / "chips" / "rgb.npy").stat().st_ino == chips  # no chip is written again
    assert retarget(new, [plan]).fingerprint == data.fingerprint
    assert [path.name for path in data.folder.parent.iterdir() if "partial" in path.name] == []


def test_without_hard_links_files_are_copied(data, monkeypatch):
    def refuse(*_arguments, **_more):
        raise OSError(1, "Operation not permitted")

    monkeypatch.setattr(os, "link", refuse)
    (plan,) = current_plans(data)
    new = retarget(data, [mapped(plan, {"Forest": "forest", "SeaLake": "", "river": "river"})])
    assert (new.targets("land_use") < 0).sum() == 12
    assert len(new.images("rgb")) == 36


def test_what_people_labelled_is_not_given_another_meaning(data):
    (plan,) = current_plans(data)
    before = (data.folder / "dataset.json").read_bytes()
    merged = mapped(plan, {"Forest": "trees", "SeaLake": "water", "river": "water"})
    more = TargetPlan("water", "binary", "Water", ("land_use",), ("no", "yes"), {"river": "yes", "Forest": "no"})
    for plans in ([merged], [more]):
        with pytest.raises(ImportRefused, match=r"People have labelled 'Land use' .* under another name"):
            retarget(data, plans, {"land_use"})
    assert (data.folder / "dataset.json").read_bytes() == before
    both = retarget(data, [plan, more], {"land_use"})
    assert [task.name for task in both.tasks] == ["land_use", "water"]
    assert np.isnan(both.targets("water")).sum() == 12


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"columns": ("none",)}, "needs label column 'none'"),
        ({"columns": ()}, None),
        ({"columns": (), "classes": ("a", "b"), "colours": ()}, "names no label column"),
        ({"classes": ("a", "b"), "colours": ()}, "which is none of its classes"),
    ],
)
def test_plans_that_do_not_fit_are_refused_and_nothing_is_changed(data, change, said):
    (plan,) = current_plans(data)
    changed = TargetPlan(**{**plan.__dict__, **change})
    if said is None:
        assert np.array_equal(retarget(data, [changed]).targets("land_use"), data.targets("land_use"))
        return
    with pytest.raises(ImportRefused, match=said):
        retarget(data, [changed])
    assert PackedChips.open(data.folder).fingerprint == data.fingerprint


def test_no_task_and_two_tasks_of_one_name_are_refused(data):
    (plan,) = current_plans(data)
    for plans in ([], [plan, plan]):
        with pytest.raises(ImportRefused, match="at least one task, and each a name of its own"):
            retarget(data, plans)


def told(data, *plans):
    return [
        (change.task.name, change.what, change.chips, change.known)
        for change in changes(data, plans, kept_labels(data))
    ]


def test_what_would_change_is_counted_by_meaning(data):
    (plan,) = current_plans(data)
    assert told(data, plan) == [("land_use", "same", 0, 36)]
    same = dict(plan.mapping)
    assert told(data, mapped(plan, same)) == [("land_use", "same", 0, 36)]
    # Another name for the same chips changes what people read, but no chip.
    assert told(data, mapped(plan, same | {"river": "stream"})) == [("land_use", "changed", 0, 36)]
    assert told(data, mapped(plan, same | {"river": ""})) == [("land_use", "changed", 12, 24)]
    assert told(data, mapped(plan, same | {"river": "forest"})) == [("land_use", "changed", 12, 36)]
    assert told(data, mapped(plan, same | {"river": "water", "SeaLake": "water"})) == [("land_use", "changed", 24, 36)]
    order = TargetPlan(**{**plan.__dict__, "classes": plan.classes[::-1], "colours": ()})
    assert told(data, order) == [("land_use", "changed", 0, 36)]
    more = TargetPlan("wet", "binary", "Wet", ("land_use",), ("no", "yes"), {"river": "yes", "Forest": "no"})
    assert told(data, more) == [("wet", "new", 24, 24), ("land_use", "gone", 36, 0)]
    assert PackedChips.open(data.folder).fingerprint == data.fingerprint


def test_counts_and_lists_are_compared_class_by_class(data):
    labels = kept_labels(data).assign(cars=[0, 2, None] * 12, huts=[1, 0, 0] * 12)
    labels.to_parquet(data.folder / "labels.parquet")
    (use,) = current_plans(data)
    counts = TargetPlan("n", "count", "How many", ("cars", "huts"), ("cars", "huts"), {"cars": "cars", "huts": "huts"})
    data = retarget(data, [use, counts])
    assert told(data, use, counts)[1] == ("n", "same", 0, 36)
    assert told(data, use, mapped(counts, {"cars": "things", "huts": "things"}))[1] == ("n", "changed", 24, 24)
    assert told(data, use, mapped(counts, {"cars": "", "huts": "huts"}))[1] == ("n", "changed", 12, 36)
    present = TargetPlan(**{**counts.__dict__, "kind": "multilabel", "columns": ("huts",), "classes": ("huts",),
                            "mapping": {"huts": "huts"}})  # fmt: skip
    assert told(data, use, present)[1] == ("n", "changed", 36, 36)


def test_another_name_of_a_class_is_another_state_of_the_data_set(data):
    (plan,) = current_plans(data)
    new = retarget(data, [mapped(plan, {**plan.mapping, "river": "stream"})])
    assert np.array_equal(new.targets("land_use"), data.targets("land_use"))
    assert new.fingerprint != data.fingerprint
