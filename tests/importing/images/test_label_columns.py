import numpy as np
import pandas as pd
import pytest

from spatialnet.errors import ImportRefused
from spatialnet.importing.images.label_columns import named_plans, presence_from, proposed_plans

TABLE = pd.DataFrame(
    {
        "land_use": ["Forest", "River", "forest", "River"],
        "area": ["rural", "urban", None, "urban"],
        "objects": ["tree; car", "tree", "car", ""],
        "label_tree": [1, 0, 1, 0],
        "label_car": [0, 1, None, 0],
        "votes_ship": [0, 5, 2, 1],
        "votes_dock": [3, 0, 0, 1],
        "height": [1.5, 2.5, 1.5, 2.5],
        "note": ["a", "b", "c", "d"],
        "flag": ["yes", "no", None, "yes"],
    }
)


def test_tasks_are_proposed_from_the_cells_and_every_column_is_accounted_for():
    plans, notes = proposed_plans(TABLE)
    found = {plan.name: (plan.kind, plan.classes) for plan in plans}
    assert found == {
        "presence": ("multilabel", ("tree", "car")),
        "land_use": ("multiclass", ("forest", "river")),
        "area": ("binary", ("rural", "urban")),
        "objects": ("multilabel", ("car", "tree")),
        "flag": ("binary", ("no", "yes")),
    }
    said = " ".join(f"{note.text} {' '.join(note.names)}" for note in notes)
    assert [column for column in TABLE if column not in said] == []
    assert "hold numbers and are not used" in said
    for plan in plans:
        plan.make(TABLE)


def test_named_columns_and_kinds():
    plans, _ = named_plans(TABLE, "land_use:multiclass, objects:multilabel, votes_*:count, area")
    assert [(p.name, p.kind, p.classes) for p in plans] == [
        ("land_use", "multiclass", ("forest", "river")),
        ("objects", "multilabel", ("car", "tree")),
        ("votes", "count", ("ship", "dock")),
        ("area", "binary", ("rural", "urban")),
    ]
    assert plans[2].make(TABLE).tolist() == [[0, 3], [5, 0], [2, 0], [1, 1]]
    again, _ = named_plans(TABLE, "land_use, land_use")
    assert [plan.name for plan in again] == ["land_use", "land_use_2"]


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ("nothing", "no column"), ("land_use:picture", "no kind"), ("votes_*:multiclass", "several columns"),
        ("votes_*:multilabel", "Write 1, 0 or nothing"), ("land_use:count", "count"), ("note:binary", "4 different values"),
    ],
)  # fmt: skip
def test_names_that_do_not_fit_are_refused(answer, said):
    with pytest.raises(ImportRefused, match=said):
        named_plans(TABLE, answer)


def test_votes_become_presence_and_silence_stays_unknown():
    columns, ((plan,), notes) = presence_from(TABLE, "votes_: yes>=2")
    n = np.nan
    assert plan.classes == ("ship", "dock")
    assert np.array_equal(plan.make(columns), [[n, 1], [1, n], [1, n], [n, n]], equal_nan=True)
    assert "everything else is unknown" in plan.derived
    assert notes[0].names == ("votes_ship", "votes_dock")
    columns, ((plan,), _) = presence_from(TABLE, "votes_: yes>=2, no<=0")
    assert np.array_equal(plan.make(columns), [[0, 1], [1, 0], [1, 0], [n, n]], equal_nan=True)


def test_two_rules_make_two_tasks():
    _, (plans, _) = presence_from(TABLE, "votes_: yes>=2; label_: yes>=1, no<=0;")
    assert [plan.name for plan in plans] == ["presence_votes", "presence_label"]


@pytest.mark.parametrize(
    ("rule", "said"),
    [
        ("votes_ yes>=2", "cannot be read"), ("votes_: yes>=2, no<=2", "yes and no"), ("x_: yes>=2", "No column begins"),
        ("note: yes>=2", "else than numbers"),
    ],
)  # fmt: skip
def test_rules_that_do_not_fit_are_refused(rule, said):
    with pytest.raises(ImportRefused, match=said):
        presence_from(TABLE, rule)


def test_lists_of_a_parquet_table_are_multilabel():
    table = pd.DataFrame({"l": [["a", "b"], ["b"], []]})
    (plan,), _ = proposed_plans(table)
    assert (plan.kind, plan.classes) == ("multilabel", ("a", "b"))
