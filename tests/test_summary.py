import subprocess
import sys

import numpy as np
import pytest

from spatialnet.summary import chip_summary, count_text, summary
from spatialnet.tasks import Task

LAND = Task("land_use", "multiclass", ("residential", "forest", "water"), "Land use")
URBAN = Task("rural_urban", "binary", ("rural", "urban"))
OBJECTS = Task("presence", "multilabel", ("water", "road", "parking lot", "ship"), "Objects")
HOUSES = Task("count", "count", ("houses",))
TASKS = (LAND, URBAN, OBJECTS, HOUSES)


def _scores(**values):
    return {name: np.array(row, np.float32) for name, row in values.items()}


def test_all_tasks_of_a_chip_are_one_sentence():
    found = _scores(land_use=[0.81, 0.1, 0.09], rural_urban=[0.03, 0.97], presence=[0.9, 0.7, 0.5, 0.1], count=[14.2])
    assert summary(TASKS, found) == (
        "Residential (0.81), urban (0.97); water and road are likely there; about 14 houses; unsure about parking lot."
    )


def test_low_confidence_is_said_as_unsure_with_what_it_is_torn_between():
    found = _scores(land_use=[0.3, 0.42, 0.28], rural_urban=[0.6, 0.4], presence=[0.66, 0.5, 0.4, 0.2])
    assert summary(TASKS, found) == (
        "Water is likely there; unsure about land use (forest 0.42, residential 0.30), "
        "rural urban (rural 0.60, urban 0.40), road and parking lot."
    )


@pytest.mark.parametrize(
    ("scores", "text"),
    [
        ({}, ""),
        ({"count": [0.4]}, "No houses."),
        ({"count": [1234.5]}, "About 1,234 houses."),
        ({"presence": [0.1, 0.2, 0.3, 0.35]}, "No objects likely there."),
        ({"presence": [0.1, 0.2, 0.3, 0.36]}, "Unsure about ship."),
        ({"presence": [0.1, 0.2, 0.3, np.nan]}, ""),
        ({"rural_urban": [0.35, 0.65]}, "Urban (0.65)."),
        ({"land_use": [0.5, 0.4, 0.1]}, "Residential (0.50)."),
        ({"land_use": [0.5, 0.5]}, ""),
    ],
)
def test_nothing_is_invented_for_tasks_without_scores(scores, text):
    assert summary(TASKS, _scores(**scores)) == text


def test_several_counts_are_named_from_the_largest_and_zeros_left_out():
    task = Task("vehicles", "count", ("cars", "vans", "buses"))
    assert summary([task], _scores(vehicles=[3.0, 0.1, 40.0])) == "About 40 buses and about 3 cars."
    assert summary([task], _scores(vehicles=[0.1, 0.2, 0.0])) == "No cars, vans or buses."


def test_yes_and_no_are_told_by_the_task_and_long_lists_are_cut():
    task = Task("flooded", "binary", ("no", "yes"))
    assert summary([task], _scores(flooded=[0.9, 0.1])) == "Flooded: no (0.90)."
    assert summary([task], _scores(flooded=[0.2, 0.8])) == "Flooded: yes (0.80)."
    many = Task("presence", "multilabel", tuple(f"thing {i}" for i in range(9)))
    text = summary([many], _scores(presence=np.linspace(0.99, 0.7, 9)))
    assert text == "Thing 0, thing 1, thing 2, thing 3, thing 4 and 4 more are likely there."


def test_one_chip_out_of_all_and_none_beyond_them():
    scores = _scores(rural_urban=[[0.9, 0.1], [0.2, 0.8]])
    assert [chip_summary(TASKS, scores, chip) for chip in (0, 1, 2, -1)] == ["Rural (0.90).", "Urban (0.80).", "", ""]


def test_class_names_are_kept_as_they_are():
    task = Task("land_use", "multiclass", ("{{7*7}} <b>'צ🌾", "%s"))
    assert summary([task], _scores(land_use=[0.9, 0.1])) == "{{7*7}} <b>'צ🌾 (0.90)."


def test_a_count_is_read_out_with_its_range():
    assert count_text("houses", 14.4) == "about 14 houses, in 11-100"
    assert count_text("houses", 0.3) == "no houses"
    assert count_text("houses", 12345.0) == "about 12,345 houses, in >1000"
    assert count_text("houses", 10.5) == "about 10 houses, in 1-10"


def test_it_needs_no_torch():
    code = "import sys, spatialnet.summary; assert not {'torch', 'pandas', 'streamlit'} & sys.modules.keys()"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True).returncode == 0
