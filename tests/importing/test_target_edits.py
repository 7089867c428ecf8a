"""What people change about a proposed task."""

from dataclasses import replace

import pandas as pd

from spatialnet.importing.target_edits import from_columns, mapped, own_names
from spatialnet.importing.target_plan import propose
from spatialnet.importing.vocabulary import suggest

LABELS = pd.DataFrame(
    {"use": ["SeaLake", "Forest", "Forest", None, "river"], "a": [1, 0, 1, None, 0], "b": [0, 0, 3, 1, 2]}
)


def proposed():
    return suggest(propose("use", "multiclass", "Use", "use", LABELS))


def test_values_of_one_class_name_are_merged_and_empty_ones_left_out():
    labels = pd.DataFrame({"use": ["SeaLake", "Forest", "Forest", None, "river", "road"]})
    plan = mapped(proposed(), {"SeaLake": " water ", "river": "water", "Forest": "", "road": "road"})
    assert plan.classes == ("water", "road")
    assert plan.make(labels).tolist() == [0, -100, -100, -100, 0, 1]
    assert plan.merged() == {"water": ("SeaLake", "river")}


def test_classes_keep_their_order_and_colours():
    before = proposed()
    after = mapped(before, {"river": before.mapping["river"], "SeaLake": "new", "Forest": before.mapping["Forest"]})
    kept = [name for name in before.classes if name in after.classes]
    assert after.classes == (*kept, "new")
    assert len(set(after.colours)) == len(after.classes)


def test_a_class_that_is_on_no_chip_here_stays():
    plan = replace(proposed(), classes=(*proposed().classes, "glacier", "tundra"), colours=())
    plan = replace(plan, mapping={**plan.mapping, "Tundra": "tundra"})
    after = mapped(plan, {"SeaLake": "water", "river": "water", "Forest": "forest"})
    assert after.classes == ("forest", "glacier", "tundra", "water")
    assert after.mapping["Tundra"] == "tundra"
    answers = propose("wet", "binary", "Wet", "wet", pd.DataFrame({"wet": ["yes", None]}))
    assert mapped(answers, {"yes": "yes"}).classes == ("no", "yes")


def test_shared_names_can_be_undone():
    plan = proposed()
    assert plan.mapping["SeaLake"] == "sea or lake"
    own = own_names(plan)
    assert own.mapping == {"Forest": "forest", "SeaLake": "sea lake", "river": "river"}
    assert own.make(LABELS).tolist() == plan.make(LABELS).tolist()
    assert suggest(own).mapping == plan.mapping


def test_columns_become_a_task_of_the_wanted_kind():
    counts = from_columns("count", "How many", ["b"], LABELS)
    assert (counts.name, counts.classes, counts.make(LABELS).ravel().tolist()) == ("how_many", ("b",), [0, 0, 3, 1, 2])
    several = from_columns("multilabel", "Objects", ["a"], LABELS.assign(a=["x|y", "y", "", None, "x"]), "|")
    assert several.classes == ("x", "y")
    one = from_columns("multiclass", "Use", ["use"], LABELS)
    assert one.make(LABELS).tolist() == proposed().make(LABELS).tolist()
