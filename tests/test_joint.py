import numpy as np
import pytest

from spatialnet.errors import DataSetInvalid, TargetsInvalid
from spatialnet.joint import FILE, JointTasks, Share, part_of
from spatialnet.tasks import UNKNOWN_CLASS, Task

N = np.nan
JOINT = JointTasks(
    (
        Task("land_use", "multiclass", ("forest", "beach", "water")),
        Task("presence", "multilabel", ("car", "tree", "ship")),
        Task("rural_urban", "binary", ("rural", "urban")),
    ),
    {
        "aid": {"land_use": Share("land_use", (0, 1)), "presence": Share("presence", (0, 1))},
        "raleigh": {
            "cover": Share("land_use", (2, 0)),
            "presence": Share("presence", (1, 2)),
            "town": Share("rural_urban", (0, 1)),
        },
    },
)


def test_class_numbers_become_those_of_the_joint_task_and_unknown_stays_unknown():
    lifted = JOINT.lift("raleigh", {"cover": np.array([0, 1, UNKNOWN_CLASS])})
    assert lifted["land_use"].tolist() == [2, 0, UNKNOWN_CLASS]


def test_a_class_that_a_data_set_does_not_know_is_unknown_in_its_rows():
    lifted = JOINT.lift("raleigh", {"presence": np.array([[1, 0], [N, 1]], np.float32)})
    assert np.array_equal(lifted["presence"], [[N, 1, 0], [N, N, 1]], equal_nan=True)


def test_shares_of_classes_that_a_data_set_does_not_know_are_zero():
    lifted = JOINT.lift("aid", {"land_use": np.array([[0.25, 0.75], [N, N]], np.float32)})
    assert np.array_equal(lifted["land_use"], [[0.25, 0.75, 0], [N, N, N]], equal_nan=True)


def test_binary_targets_stay_as_they_are_and_turn_where_the_classes_are_swapped():
    assert JOINT.lift("raleigh", {"town": np.array([1.0, N])})["rural_urban"][0] == 1.0
    swapped = JointTasks(JOINT.tasks, {"raleigh": {"town": Share("rural_urban", (1, 0))}})
    assert np.array_equal(swapped.lift("raleigh", {"town": np.array([1.0, N])})["rural_urban"], [0, N], equal_nan=True)


def test_scores_come_back_in_the_data_sets_own_classes_and_sum_to_one():
    own = JOINT.project(
        "raleigh", {"land_use": np.array([[0.2, 0.6, 0.2]], np.float32), "presence": np.eye(3, dtype=np.float32)}
    )
    assert own["cover"] == pytest.approx(np.array([[0.5, 0.5]]))
    assert own["presence"].tolist() == [[0, 0], [1, 0], [0, 1]]


def test_a_run_folder_keeps_them(tmp_path):
    assert JointTasks.load(tmp_path) is None
    assert part_of(tmp_path, "anything") == tmp_path
    JOINT.save(tmp_path)
    assert JointTasks.load(tmp_path) == JOINT
    assert part_of(tmp_path, "aid") == tmp_path
    assert part_of(tmp_path, "raleigh") == tmp_path / "sets" / "raleigh"


def test_what_does_not_fit_is_refused_with_a_sentence(tmp_path):
    with pytest.raises(DataSetInvalid, match="trained on aid, raleigh, not on 'mars'"):
        JOINT.lift("mars", {})
    with pytest.raises(TargetsInvalid, match="beyond the 2"):
        JOINT.lift("aid", {"land_use": np.array([2])})
    with pytest.raises(TargetsInvalid, match="2 classes"):
        JOINT.lift("aid", {"presence": np.zeros((1, 3), np.float32)})
    (tmp_path / FILE).write_text("{")
    with pytest.raises(DataSetInvalid, match="Start a new run"):
        JointTasks.load(tmp_path)
