import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from spatialnet.datasets.split_plans import SplitPlan
from spatialnet.errors import ImportRefused, SpatialNetError
from spatialnet.importing.import_plan import ImportPlan, propose_plan
from spatialnet.importing.listing import Listing, Origin, Pixels
from spatialnet.importing.prescan.scan import scan
from spatialnet.importing.target_plan import TargetPlan
from spatialnet.sensors import Sensor

ORIGIN = Origin("Rows {{7*7}}", "d", "CC0-1.0", "me", "here", synthetic=True)
KIND = TargetPlan(
    "kind", "multiclass", "Kind", ("kind",), ("a", "b"), {"A": "a", "B": "b", "C": ""}, colours=("#000000", "#ffffff")
)
TAGS = TargetPlan("tags", "multilabel", "Tags", ("tags",), ("x", "y"), {"x": "x", "y": "y"}, ";", "unknown")
PLAN = ImportPlan("rows", ORIGIN, (KIND, TAGS), SplitPlan("groups", column="region"), True, False)


@pytest.fixture
def scanned(tmp_path):
    np.save(tmp_path / "a.npy", np.random.default_rng(0).integers(0, 255, (20, 1, 8, 8), dtype=np.uint8))
    zero = np.zeros(20, np.int64)
    pixels = Pixels(
        Sensor("one", "sar", ("c",), (0.0,), 10.0), "npy", (tmp_path / "a.npy",), zero.astype(np.int32)[:, None],
        np.arange(20), zero,
    )  # fmt: skip
    table = pd.DataFrame({"key": [str(i) for i in range(20)], "split": "", "group": ""})
    labels = pd.DataFrame({"kind": ["A", "B"] * 10})
    return scan(Listing("test", ORIGIN, table, labels, (pixels,), (KIND,)))


def test_a_plan_is_read_back_as_it_was_written():
    text = json.dumps(PLAN.to_dict())
    assert ImportPlan.from_dict(json.loads(text)) == PLAN
    assert json.dumps(ImportPlan.from_dict(json.loads(text)).to_dict()) == text


def test_a_plan_needs_a_task_and_names_that_differ():
    with pytest.raises(ImportRefused, match=r"holds no task, so there is nothing to learn\. Keep at least one"):
        replace(PLAN, targets=())
    with pytest.raises(ImportRefused, match=r"Two tasks have one name \(kind, kind\)\. Rename one"):
        replace(PLAN, targets=(KIND, replace(TAGS, name="kind")))


@pytest.mark.parametrize(
    "damage",
    [
        {"targets": None}, {"targets": [{}]}, {"targets": [1]}, {"targets": []}, {"origin": None}, {"origin": {"colour": "red"}},
        {"split": None}, {"split": {"kind": "guess"}}, {"split": []}, {"targets": [{**KIND.to_dict(), "mapping": []}]},
    ],
)  # fmt: skip
def test_a_damaged_plan_is_one_sentence(damage):
    with pytest.raises(SpatialNetError) as error:
        ImportPlan.from_dict(PLAN.to_dict() | damage)
    assert "\n" not in str(error.value)
    for name in PLAN.to_dict():
        with pytest.raises(SpatialNetError):
            ImportPlan.from_dict({k: v for k, v in PLAN.to_dict().items() if k != name})


def test_the_proposal_is_the_listings_with_what_a_person_said(scanned):
    plan = propose_plan(scanned, "mine")
    assert (plan.name, plan.origin, plan.targets) == ("mine", ORIGIN, (KIND,))
    assert (plan.drop_duplicates, plan.keep_scenes) == (False, True)
    assert plan.split.kind == "random"  # no ground, no groups
    said = propose_plan(scanned, "mine", title="My title", licence="CC BY 4.0", citation="")
    assert said.origin == replace(ORIGIN, title="My title", licence="CC BY 4.0")
    assert ImportPlan.from_dict(json.loads(json.dumps(said.to_dict()))) == said
