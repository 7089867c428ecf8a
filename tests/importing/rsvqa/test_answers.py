"""Questions become labels of images; what was not asked, or is contradicted, stays unknown."""

import numpy as np
import pytest

from spatialnet.errors import ImportRefused
from spatialnet.importing.formats.rsvqa_lr import IMPORTER
from spatialnet.importing.importer import Source
from tests.importing.question_files import write_questions

SPLITS = {"train": [0, 1, 2], "val": [3], "test": [4]}
QUESTIONS = [
    (0, "presence", "Is there a road?", "yes"),
    (0, "presence", "Is a building present in the image?", "no"),
    (0, "presence", "Is there a small building?", "yes"),
    (0, "count", "How many roads are there?", "7"),
    (0, "count", "What is the number of buildings?", "0"),
    (0, "comp", "Are there more roads than buildings?", "yes"),
    (0, "comp", "Is the number of roads equal to the number of buildings?", "yes"),
    (0, "comp", "Are there less small roads than buildings?", "yes"),
    (0, "rural_urban", "Is it a rural or an urban area?", "rural"),
    (1, "presence", "Is there a road?", "yes"),
    (1, "presence", "Is a road present?", "no"),
    (1, "rural_urban", "Is it a rural or an urban area?", "urban"),
    (2, "presence", "Is there a building?", "yes"),
    (2, "presence", "Is there a orchard at the top of a  road?", "yes"),
    (2, "presence", "Is there a vineyard?", "no"),
    (2, "count", "What is the meaning of roads?", "3"),
    (2, "count", "How many roads are there?", "several"),
    (3, "presence", "Is there a road?", "no"),
    (3, "count", "How many buildings are there?", "1204"),
    (4, "count", "What is the amount of roads?", "2"),
    (4, "comp", "Is there a road?", "yes"),
]


@pytest.fixture
def root(tmp_path):
    write_questions(tmp_path / "rsvqa", "LR_split", SPLITS, QUESTIONS)
    return tmp_path / "rsvqa"


def listed(path, least="1"):
    return IMPORTER.listing(Source(path, {"min_images": least}))


def test_targets_hold_what_was_answered_and_nothing_else(root):
    listing = listed(root)
    assert listing.chips["key"].tolist() == [f"Images_LR/{i}.tif" for i in range(5)]
    assert listing.chips["split"].tolist() == ["train"] * 3 + ["validation", "test"]
    presence, count, rural = listing.targets
    assert presence.classes == ("building", "road", "vineyard")
    nan = np.nan
    np.testing.assert_array_equal(
        presence.make(listing.labels),
        [[0, 1, nan], [nan, nan, nan], [1, nan, 0], [nan, 0, nan], [nan, nan, nan]],
    )
    assert count.classes == ("building", "road")
    np.testing.assert_array_equal(count.make(listing.labels), [[0, 7], [nan, nan], [nan, nan], [1204, nan], [nan, 2]])
    np.testing.assert_array_equal(rural.make(listing.labels), [0, 1, nan, nan, nan])


def test_what_was_left_out_is_said(root):
    text = " ".join(note.text for note in listed(root).notes)
    assert "1 answers to presence questions contradict" in text
    assert "3 of 21 questions ask for some objects only" in text
    assert "2 of 21 questions fit no template" in text
    assert "1 answers were of no expected form" in text
    assert "1 of 2 comparison questions agree with the counts" in text


def test_comparisons_are_a_check_and_no_task(root):
    listing = listed(root)
    assert listing.labels["comparisons checked"].tolist() == [2, 0, 0, 0, 0]
    assert listing.labels["comparisons agreeing"].tolist() == [1, 0, 0, 0, 0]
    assert {plan.name for plan in listing.targets} == {"presence", "count", "rural_urban"}


def test_rare_objects_become_no_class_and_are_counted(root):
    listing = listed(root, "2")
    assert listing.targets[0].classes == ("building", "road")
    (note,) = [n for n in listing.notes if "objects of presence" in n.text]
    assert note.names == ("vineyard",)
    assert "1 of 3 objects" in note.text


def test_a_single_object_still_makes_a_task(tmp_path):
    rows = [(0, "presence", "Is there a road?", "yes"), (1, "presence", "Is there a road?", "no")]
    write_questions(tmp_path, "LR_split", {"train": [0, 1, 2]}, rows)
    listing = listed(tmp_path)
    np.testing.assert_array_equal(listing.targets[0].make(listing.labels), [[1], [0], [np.nan]])


def test_missing_images_are_dropped_and_named(tmp_path):
    write_questions(tmp_path, "LR_split", SPLITS, QUESTIONS, without=(1,))
    listing = listed(tmp_path)
    assert len(listing) == 4
    assert [note.names for note in listing.notes if note.severity == "drop"] == [("1.tif",)]


def test_images_in_two_splits_stay_in_the_first(tmp_path):
    write_questions(tmp_path, "LR_split", {"train": [0, 1], "test": [1, 2]}, QUESTIONS[:12])
    listing = listed(tmp_path)
    assert listing.chips["split"].tolist() == ["train", "train", "test"]
    assert any("already in another split" in note.text for note in listing.notes)


def test_a_split_without_images_is_refused(tmp_path):
    write_questions(tmp_path, "LR_split", SPLITS, QUESTIONS, without=(3,))
    with pytest.raises(ImportRefused, match=r"None of the 1 images of LR_split_val_images\.json"):
        listed(tmp_path)


def test_no_images_at_all_are_refused(tmp_path):
    write_questions(tmp_path, "LR_split", SPLITS, QUESTIONS, without=range(5))
    with pytest.raises(ImportRefused, match="No images are in"):
        listed(tmp_path)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("", "empty, cut short or no JSON"),
        ('{"questions": [', "empty, cut short or no JSON"),
        ("[" * 100_000, "empty, cut short or no JSON"),
        ("[1, 2]", "another form"),
        ('{"answers": []}', "another form"),
        ('{"questions": [1]}', "another form"),
        ('{"questions": [{"id": 0, "active": true, "question": "x"}]}', "row without img_id"),
        ('{"questions": [{"id": 0, "active": false}]}', "no active row"),
    ],
)
def test_json_of_the_right_name_and_another_form_is_refused(root, content, said):
    (root / "LR_split_train_questions.json").write_text(content)
    with pytest.raises(ImportRefused, match=said):
        listed(root)


def test_questions_without_their_answers_are_refused(root):
    (root / "LR_split_val_answers.json").unlink()
    with pytest.raises(ImportRefused, match=r"There is no LR_split_val_answers\.json"):
        listed(root)


@pytest.mark.parametrize("least", ["0", "-1", "many", "1.5"])
def test_a_least_number_that_is_none_is_refused(root, least):
    with pytest.raises(ImportRefused, match="whole number"):
        listed(root, least)


def test_objects_that_nobody_asks_for_often_are_refused(tmp_path):
    write_questions(tmp_path, "LR_split", {"train": [0]}, QUESTIONS[:3])
    with pytest.raises(ImportRefused, match="Lower 'Images per object'"):
        listed(tmp_path, "20")
