import colorsys
import re

import numpy as np
import pandas as pd
import pytest

from spatialnet.errors import ImportRefused
from spatialnet.importing.target_plan import TargetPlan, propose, propose_columns, same_form
from spatialnet.importing.vocabulary import (
    colours_of,
    join_tasks,
    merged_task,
    renamed,
    shared_name,
    suggest,
    vocabulary,
)
from spatialnet.tasks import Task


def test_every_name_has_a_colour_of_its_own_and_no_synonym_means_two_things():
    import tomllib
    from importlib.resources import files

    text = files("spatialnet.importing").joinpath("vocabulary.toml").read_text(encoding="utf-8")
    for kind, entries in tomllib.loads(text).items():
        colours = [entry["colour"] for entry in entries.values()]
        assert len(set(colours)) == len(colours), kind
        assert all(re.fullmatch("#[0-9a-f]{6}", colour) for colour in colours)
        forms = [same_form(text) for name, entry in entries.items() for text in (name, *entry["synonyms"])]
        assert {form for form in forms if forms.count(form) > 1} == set(), kind
        assert all(name == name.lower() for name in entries)
    assert len(vocabulary()["land_use"]) >= 60


def test_colours_follow_the_fields_habits():
    def hue(name):
        red, green, blue = (int(vocabulary()["land_use"][name][i : i + 2], 16) / 255 for i in (1, 3, 5))
        return colorsys.rgb_to_hls(red, green, blue)[0] * 360

    assert 190 < hue("water") < 230
    assert 100 < hue("forest") < 150
    assert 40 < hue("farmland") < 60
    assert hue("dense residential") > 330 or hue("dense residential") < 20


@pytest.mark.parametrize(
    ("value", "kind", "name"),
    [
        ("SeaLake", "land_use", "sea or lake"), ("AnnualCrop", "land_use", "annual crop"), ("harbor", "land_use", "harbour"),
        ("Port", "land_use", "harbour"), ("storagetanks", "land_use", "storage tank"), ("PARKING_LOT", "land_use", "parking lot"),
        ("Inland waters", "land_use", "inland waters"), ("LCZ 10", "land_use", "heavy industry"), ("cars", "object", "car"),
        ("bare-soil", "object", "bare soil"), ("unheard of", "land_use", None), ("cars", "land_use", None),
    ],
)  # fmt: skip
def test_shared_names(value, kind, name):
    assert shared_name(value, kind) == name


def test_a_class_is_renamed_only_where_one_class_has_that_name():
    labels = pd.DataFrame({"c": ["Harbor", "StorageTanks", "parking", "parking lot", "castle"]})
    plan = propose("land_use", "multiclass", "Land use", "c", labels)
    after = suggest(plan)
    assert after.classes == ("harbour", "storage tank", "castle", "parking", "parking lot")
    assert np.array_equal(after.make(labels), plan.make(labels))
    (note,) = renamed(plan, after)
    assert note.names == ("harbor → harbour", "storage tanks → storage tank")
    assert len(set(after.colours)) == 5
    assert after.colours[0] == vocabulary()["land_use"]["harbour"]


def test_objects_get_the_names_of_objects():
    plan = propose_columns("presence", "multilabel", "Objects", ["p_cars", "p_trees", "p_field"], "p_")
    assert suggest(plan).classes == ("car", "tree", "field")
    assert suggest(plan).mapping == {"p_cars": "car", "p_trees": "tree", "p_field": "field"}


def test_land_use_may_be_multilabel():
    plan = TargetPlan(
        "t", "multilabel", "T", ("l",), ("Inland waters", "Arable land"), {"Inland waters": "Inland waters"}
    )
    assert suggest(plan).classes == ("inland waters", "arable land")


def test_colours_are_all_different_also_of_many_unknown_classes():
    colours = colours_of(["water", *(f"class {i}" for i in range(80))])
    assert len(set(colours)) == 81
    assert colours[0] == vocabulary()["land_use"]["water"]
    assert all(re.fullmatch("#[0-9a-f]{6}", colour) for colour in colours)


def test_two_data_sets_become_one_multiclass_task():
    a = Task("land_use", "multiclass", ("forest", "river"), "Land use", ("#111111", "#222222"))
    b = Task("scene", "multiclass", ("airport", "forest", "beach"), "Scene", ("#333333", "#444444", "#555555"))
    task, maps = merged_task([a, b])
    assert task == Task(
        "land_use",
        "multiclass",
        ("forest", "river", "airport", "beach"),
        "Land use",
        ("#111111", "#222222", "#333333", "#555555"),
    )
    assert [m.tolist() for m in maps] == [[0, 1], [2, 0, 3]]


def test_tasks_that_cannot_be_one_are_refused():
    with pytest.raises(ImportRefused, match="one kind"):
        merged_task([Task("a", "multiclass", ("x", "y")), Task("a", "multilabel", ("x", "y"))])
    with pytest.raises(ImportRefused, match="same two classes"):
        merged_task([Task("a", "binary", ("rural", "urban")), Task("a", "binary", ("no", "yes"))])
    with pytest.raises(ImportRefused, match="at least one"):
        merged_task([])


def test_tasks_of_one_name_and_kind_become_one_and_others_keep_their_own_head():
    aid = (Task("land_use", "multiclass", ("forest", "beach")), Task("presence", "multilabel", ("car", "tree")))
    raleigh = (
        Task("land_use", "multiclass", ("water", "forest")),
        Task("presence", "binary", ("no", "yes")),
        Task("rural_urban", "binary", ("rural", "urban")),
    )
    joint = join_tasks({"aid": aid, "near-raleigh": raleigh})
    assert [(t.name, t.classes) for t in joint.tasks] == [
        ("land_use", ("forest", "beach", "water")),
        ("presence", ("car", "tree")),
        ("presence_near_raleigh", ("no", "yes")),
        ("rural_urban", ("rural", "urban")),
    ]
    assert joint.shares["near-raleigh"]["land_use"].classes == (2, 0)
    assert joint.shares["near-raleigh"]["presence"].task == "presence_near_raleigh"
    assert joint.shares["aid"].keys() == {"land_use", "presence"}
    with pytest.raises(ImportRefused, match="at least one"):
        join_tasks({})
