from pathlib import Path

import numpy as np
import pytest

from spatialnet.errors import RulesInvalid
from spatialnet.importing.scenes.derive import (
    RULES_FOLDER,
    Rules,
    cover_shares,
    derive_targets,
    load_rules,
    window_means,
)

RULES = """
[land_cover]
title = "Hand made"
classes = [
    {code = 1, name = "water", colour = "#0000ff"},
    {code = 2, name = "forest", colour = "#006400"},
    {code = 7, name = "town", colour = "#ff0000"},
]

[[tasks]]
name = "land_use"
rule = "majority"
classes = ["forest", "water"]

[[tasks]]
name = "presence"
rule = "presence"
min_share = 0.25
classes = ["water", "forest", "town"]

[[tasks]]
name = "rural_urban"
rule = "share"
min_share = 0.5
of = ["town"]
answers = ["rural", "urban"]
colours = ["#7fb069", "#6c3483"]
"""

# Four chips of 4 x 4 pixels in one row.
COVER = np.array(
    [
        [2, 2, 2, 2, 1, 1, 7, 7, 7, 7, 7, 7, -1, -1, -1, -1],
        [2, 2, 2, 2, 1, 1, 7, 7, 7, 7, 7, 7, -1, -1, -1, -1],
        [2, 2, 2, 1, 1, 1, 2, 2, 7, 2, 2, 2, -1, 1, 1, 1],
        [2, 2, 2, 1, 1, 1, 2, 2, 1, 1, 1, 1, -1, 1, 1, 1],
    ],
    np.int32,
)
ROWS, COLUMNS = np.zeros(4, np.int64), np.array([0, 4, 8, 12])


@pytest.fixture
def rules_file(tmp_path: Path) -> Path:
    path = tmp_path / "rules.toml"
    path.write_text(RULES)
    return path


@pytest.fixture
def derived(rules_file):
    rules = load_rules(rules_file)
    shares = cover_shares(COVER, ROWS, COLUMNS, 4, list(rules.names))
    return {rule.task.name: derive_targets(shares, rule) for rule in rules.rules}


def test_shares_are_pixels_counted():
    shares = cover_shares(COVER, ROWS, COLUMNS, 4, [1, 2, 7])
    assert (shares[1] * 16).tolist() == [2, 8, 4, 6]
    assert (shares[2] * 16).tolist() == [14, 4, 3, 0]
    assert (shares[7] * 16).tolist() == [0, 4, 9, 0]


def test_window_means_are_those_of_a_loop():
    random = np.random.default_rng(0)
    values = random.normal(size=(50, 70))
    rows, columns = random.integers(0, 50 - 9, 200), random.integers(0, 70 - 9, 200)
    wanted = [values[r : r + 9, c : c + 9].mean() for r, c in zip(rows, columns, strict=True)]
    assert window_means(values, rows, columns, 9) == pytest.approx(wanted, abs=1e-6)


def test_majority_is_the_largest_class_or_unknown(derived):
    # Chip 2 is mostly town, which is none of the task's classes; chip 3 is known for less than half.
    assert derived["land_use"].hard.tolist() == [0, 1, -100, -100]
    assert derived["land_use"].hard.dtype == np.int64
    soft = derived["land_use"].soft
    assert soft[0] == pytest.approx([14 / 16, 2 / 16])
    assert soft[1] == pytest.approx([4 / 12, 8 / 12])
    assert np.isnan(soft[2:]).all()


def test_presence_starts_at_its_share(derived):
    found = derived["presence"]
    assert found.hard[:3].tolist() == [[0, 1, 0], [1, 1, 1], [1, 0, 1]]
    assert np.isnan(found.hard[3]).all()
    assert found.soft[0] == pytest.approx([0.25, 1, 0])  # 2 pixels of the 8 that are twice the share; 14; none
    assert found.soft[1] == pytest.approx([1, 0.5, 0.5])
    assert np.isnan(found.soft[3]).all()
    assert found.hard.dtype == found.soft.dtype == np.float32


def test_share_sums_the_named_classes(derived):
    found = derived["rural_urban"]
    assert found.hard[:3].tolist() == [0, 0, 1]
    assert np.isnan(found.hard[3])
    assert found.soft[:3] == pytest.approx([0, 0.25, 9 / 16])


def test_a_target_is_known_from_half_of_the_chip_on(rules_file):
    rules = load_rules(rules_file)
    cover = np.full((4, 8), -1, np.int32)
    cover[:2, :4], cover[:2, 4:], cover[1, 7] = 1, 1, -1
    shares = cover_shares(cover, np.zeros(2, np.int64), np.array([0, 4]), 4, list(rules.names))
    assert derive_targets(shares, rules.rules[0]).hard.tolist() == [1, -100]


def test_rules_say_in_words_what_they_do(rules_file):
    told = load_rules(rules_file).to_dict()
    assert told["classes"][2] == {"code": 7, "name": "town", "colour": "#ff0000"}
    assert told["sentences"] == {
        "land_use": "the land-cover class with the largest share of the chip",
        "presence": "each land-cover class that covers at least 25% of the chip",
        "rural_urban": "urban where town covers at least 50% of the chip, else rural",
    }


GROUPED = """
[land_cover]
title = "Grouped"
classes = [
    {code = 1, name = "pine", colour = "#000001"},
    {code = 2, name = "oak", colour = "#000002"},
    {code = 7, name = "town", colour = "#ff0000"},
]

[[tasks]]
name = "land_use"
rule = "majority"
classes = [{name = "forest", of = ["pine", "oak"], colour = "#006400"}, "town"]

[[tasks]]
name = "presence"
rule = "presence"
min_share = 0.5
classes = [{name = "forest", of = ["pine", "oak"]}, "town"]
"""


def test_a_class_can_be_made_of_several_codes(tmp_path):
    path = tmp_path / "grouped.toml"
    path.write_text(GROUPED)
    rules = load_rules(path)
    # Town is the largest single class of the first chip (6 of 16 pixels), but pine and oak together cover 10.
    cover = np.repeat([1, 2, 7, 7, 2, 7], [5, 5, 6, 12, 1, 3]).astype(np.int32).reshape(2, 4, 4)
    shares = cover_shares(np.hstack(list(cover)), np.zeros(2, np.int64), np.array([0, 4]), 4, list(rules.names))
    found = rules.derive(shares)
    assert found["land_use"].hard.tolist() == [0, 1]
    assert found["land_use"].soft[0] == pytest.approx([10 / 16, 6 / 16])
    assert found["presence"].hard.tolist() == [[1, 0], [0, 1]]
    assert rules.tasks[0].classes == ("forest", "town")
    assert rules.tasks[0].colours == ("#006400", "#ff0000")
    assert rules.tasks[1].colours == ("#000001", "#ff0000")
    told = rules.to_dict()
    assert told["merged"]["land_use"] == {"forest": ["pine", "oak"], "town": ["town"]}
    assert told["sentences"]["land_use"] == "the group of land-cover classes with the largest share of the chip"


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        ('of = ["pine", "oak"], colour', 'of = ["pine", "town"], colour', "'town' more than once"),
        ('of = ["pine", "oak"], colour', "of = [], colour", "no class"),
        ('of = ["pine", "oak"], colour', 'of = ["palm"], colour', "palm"),
        ('{name = "forest", of = ["pine", "oak"], colour', '{of = ["pine", "oak"], colour', "lacks 'name'"),
    ],
)
def test_groups_that_contradict_themselves_are_refused(tmp_path, before, after, said):
    assert before in GROUPED
    path = tmp_path / "grouped.toml"
    path.write_text(GROUPED.replace(before, after))
    with pytest.raises(RulesInvalid, match=said):
        load_rules(path)


def test_where_labels_have_gaps_a_class_is_absent_only_on_ground_known_throughout(rules_file):
    rules = load_rules(rules_file)
    partly = Rules(rules.title, rules.names, rules.colours, rules.rules, min_known=0.25, complete=False)
    cover = np.full((4, 12), -1, np.int32)
    cover[:, :4], cover[:2, 4:8], cover[0, 8] = 2, 2, 2  # whole; half; one pixel of 16
    shares = cover_shares(cover, np.zeros(3, np.int64), np.array([0, 4, 8]), 4, list(rules.names))
    found = partly.derive(shares)
    assert found["presence"].hard[0].tolist() == [0, 1, 0]
    assert np.isnan(found["presence"].hard[1]).tolist() == [True, False, True]
    assert np.isnan(found["presence"].hard[2]).all()
    assert np.isnan(found["rural_urban"].hard).tolist() == [False, True, True]
    assert found["land_use"].hard.tolist() == [0, 0, -100]
    assert partly.to_dict()["sentences"]["presence"].endswith("; absent only where the whole chip is known")


LEGENDS = {
    "worldcover": ([10, 20, 30, 40, 50, 60, 70, 80, 90, 95, 100], {10: "#006400", 50: "#fa0000", 80: "#0064c8"}),
    "corine": (list(range(1, 45)), {1: "#e6004d", 23: "#80ff00", 44: "#e6f2ff"}),
    "nlcd": (
        [11, 12, 21, 22, 23, 24, 31, 41, 42, 43, 51, 52, 71, 72, 73, 74, 81, 82, 90, 95],
        {11: "#466b9f", 24: "#ab0000", 95: "#6c9fb8"},
    ),
    "dynamic_world": (list(range(9)), {0: "#419bdf", 6: "#c4281b", 8: "#b39fe1"}),
    "esri_lulc": ([1, 2, 4, 5, 7, 8, 9, 11], {1: "#1a5bab", 7: "#ed022a"}),
}


@pytest.mark.parametrize("name", LEGENDS)
def test_ready_legends_are_those_of_their_publishers(name):
    codes, colours = LEGENDS[name]
    rules = load_rules(RULES_FOLDER / f"{name}.toml")
    assert list(rules.names) == codes
    assert colours.items() <= rules.colours.items()
    for rule in rules.rules[:2]:  # every class of the legend counts, once
        assert sorted(code for group in rule.codes for code in group) == codes
        assert len(rule.task.colours) == len(rule.task.classes)


@pytest.mark.parametrize("path", sorted(RULES_FOLDER.glob("*.toml")), ids=lambda path: path.stem)
def test_the_rules_that_come_along_are_valid(path):
    assert [task.name for task in load_rules(path).tasks] == ["land_use", "presence", "rural_urban"]


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        ('"majority"', '"most"', "rule 'most' is unknown"),
        ('["forest", "water"]', '["forest", "swamp"]', "swamp"),
        ('["forest", "water"]', "[]", "no class"),
        ('["forest", "water"]', '["forest", "forest"]', "distinct"),
        ("min_share = 0.25", "min_share = 0", "min_share 0"),
        ("min_share = 0.25", "min_share = 25", "up to 1"),
        ("min_share = 0.25", "min_share = nan", "min_share nan"),
        ("min_share = 0.25\n", "", "above 0"),
        ("min_share = 0.25", 'min_share = "a lot"', "a lot"),
        ('["rural", "urban"]', '["rural", "urban", "both"]', "exactly two"),
        ('of = ["town"]\n', "", "lacks 'of'"),
        ('"rural_urban"', '"land_use"', "name of its own"),
        ('"rural_urban"', '"{{7*7}}"', "identifier"),
        ("code = 7", "code = 2", "code of its own"),
        ("code = 7", "code = 255", "0 to 254"),
        ("code = 7", "code = -1", "0 to 254"),
        ('name = "town"', 'name = "water"', "name of its own"),
        ('"#ff0000"', '"red; } <script>"', "like #1b6e3c"),
        ("title =", "titles =", "lacks 'title'"),
        ("[land_cover]", "[cover]", "lacks 'land_cover'"),
        ("classes = [\n", "classes = [3, \n", "cannot be used"),
        ("[[tasks]]", "[[task]]", "lacks 'tasks'"),
        ("rule =", "rule", "cannot be used"),
    ],
)
def test_rules_that_contradict_themselves_are_refused(rules_file, before, after, said):
    assert before in RULES
    rules_file.write_text(RULES.replace(before, after))
    with pytest.raises(RulesInvalid, match=said) as error:
        load_rules(rules_file)
    assert str(error.value).startswith("The rules in rules.toml cannot be used: ")
    assert "\n" not in str(error.value)


def test_rules_that_are_not_there_or_not_text_are_refused(tmp_path):
    (tmp_path / "binary.toml").write_bytes(b"\xff\xfe\0")
    for name in ("none.toml", "binary.toml"):
        with pytest.raises(RulesInvalid, match=name):
            load_rules(tmp_path / name)
