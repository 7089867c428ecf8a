"""RSVQA-HR as it lies on disk after unpacking."""

import pytest

from spatialnet.errors import ImportRefused
from spatialnet.importing.formats.rsvqa_hr import IMPORTER
from spatialnet.importing.importer import Source
from tests.importing.question_files import write_questions

ROWS = [
    (0, "presence", "Is there a road?", "yes"), (1, "count", "How many roads are there?", "89"),
    (1, "area", "What is the area covered by buildings?", "215m2"), (2, "presence", "Is there a road?", "no"),
    (3, "presence", "Is there a road?", "yes"),
]  # fmt: skip
SPLITS = {"train": [0], "val": [1], "test": [2], "test_phili": [3]}


def test_philadelphia_is_a_region_of_the_test_split(tmp_path):
    write_questions(tmp_path, "USGS_split", SPLITS, ROWS, images="Data")
    listing = IMPORTER.listing(Source(tmp_path, {"min_images": "1"}))
    assert listing.chips["split"].tolist() == ["train", "validation", "test", "test"]
    assert listing.chips["region"].tolist() == ["", "", "", "philadelphia"]
    assert [plan.name for plan in listing.targets] == ["presence", "count"]
    assert any("1 questions ask for an area" in note.text for note in listing.notes)
    assert listing.sensors[0].gsd_m == 0.15


def test_a_missing_split_is_said(tmp_path):
    write_questions(tmp_path, "USGS_split", {"train": [0], "val": [1]}, ROWS[:3], images="Data")
    listing = IMPORTER.listing(Source(tmp_path, {"min_images": "1"}))
    assert sum("that split is left out" in note.text for note in listing.notes) == 2


def test_the_other_rsvqa_is_not_taken_for_it(tmp_path):
    write_questions(tmp_path, "LR_split", {"train": [0]}, ROWS[:1])
    assert IMPORTER.recognise(tmp_path) is None
    with pytest.raises(ImportRefused, match=r"holds no USGS_split_train_questions\.json"):
        IMPORTER.listing(Source(tmp_path))
