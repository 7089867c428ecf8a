"""RSVQA-LR as it lies on disk after unpacking."""

import numpy as np

from spatialnet.importing.chip_reader import ChipReader
from spatialnet.importing.formats.rsvqa_lr import IMPORTER
from spatialnet.importing.importer import Source
from tests.importing.question_files import write_image, write_questions

ROWS = [
    (0, "presence", "Is there a road?", "yes"), (0, "rural_urban", "Is it a rural or an urban area?", "rural"),
    (1, "count", "How many roads are there?", "3"), (2, "presence", "Is there a forest?", "no"),
]  # fmt: skip
SPLITS = {"train": [0], "val": [1], "test": [2]}


def test_listed_and_read(tmp_path):
    write_questions(tmp_path, "LR_split", SPLITS, ROWS)
    listing = IMPORTER.listing(Source(tmp_path, {"min_images": "1"}))
    assert [plan.name for plan in listing.targets] == ["presence", "count", "rural_urban"]
    assert listing.sensors[0].gsd_m == 10
    assert "region" not in listing.chips
    with ChipReader(listing.pixels[0]) as reader:
        np.testing.assert_array_equal(reader.chip(2), write_image(tmp_path / "x.tif", 2))


def test_nested_images_and_a_folder_above_are_found(tmp_path):
    write_questions(tmp_path / "rsvqa", "LR_split", SPLITS, ROWS, images="Images_LR/Images_LR")
    listing = IMPORTER.listing(Source(tmp_path, {"min_images": "1"}))
    assert listing.chips["key"][0] == "Images_LR/Images_LR/0.tif"


def test_recognised_by_its_question_files(tmp_path):
    assert IMPORTER.recognise(tmp_path) is None
    assert IMPORTER.recognise(tmp_path / "none") is None
    write_questions(tmp_path, "LR_split", SPLITS, ROWS)
    assert "3 of 3 question files" in IMPORTER.recognise(tmp_path)
    assert IMPORTER.recognise(tmp_path / "LR_split_val_images.json") is None


def test_what_is_downloaded_is_what_is_read():
    names = [remote.name for remote in IMPORTER.downloads]
    assert len(names) == len(set(names)) == 10
    assert {"Images_LR.zip", "LR_split_val_answers.json"} <= set(names)
    assert all(remote.url.startswith("https://zenodo.org/records/6344334/files/") for remote in IMPORTER.downloads)
