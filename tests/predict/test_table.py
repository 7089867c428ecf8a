import subprocess
import sys

import numpy as np
import pytest

from spatialnet.errors import RunNotFound
from spatialnet.predict.table import answer, read_predictions, uncertainty, write_predictions
from spatialnet.settings import REPOSITORY
from spatialnet.tasks import Task

TASKS = (
    Task("land_use", "multiclass", ("forest", "{{7*7}} <b>'צ🌾")),
    Task("presence", "multilabel", ("road", "house")),
    Task("urban", "binary", ("rural", "urban")),
    Task("cars", "count", ("cars", "vans")),
)


@pytest.fixture
def scores():
    return {task.name: np.random.default_rng(0).random((50, 2)).astype(np.float32) for task in TASKS}


def test_predictions_are_read_as_they_were_written(tmp_path, scores):
    write_predictions(tmp_path / "p.parquet", TASKS, scores)
    found = read_predictions(tmp_path / "p.parquet", TASKS)
    for name, values in scores.items():
        assert found[name].dtype == np.float32
        assert np.array_equal(found[name], values)
    assert list(tmp_path.iterdir()) == [tmp_path / "p.parquet"]


def test_tasks_that_a_run_does_not_answer_are_left_out(tmp_path, scores):
    write_predictions(tmp_path / "p.parquet", TASKS[:2], scores)
    assert list(read_predictions(tmp_path / "p.parquet", TASKS)) == ["land_use", "presence"]
    changed = Task("presence", "multilabel", ("road", "barn"))
    assert list(read_predictions(tmp_path / "p.parquet", (TASKS[0], changed))) == ["land_use"]


def test_predictions_that_are_not_there_or_damaged_are_one_sentence(tmp_path, scores):
    with pytest.raises(RunNotFound, match="has no predictions yet"):
        read_predictions(tmp_path / "p.parquet", TASKS)
    write_predictions(tmp_path / "p.parquet", TASKS, scores)
    whole = (tmp_path / "p.parquet").read_bytes()
    for content in (b"", whole[:100], whole[:-20]):
        (tmp_path / "p.parquet").write_bytes(content)
        with pytest.raises(RunNotFound, match="cannot be read"):
            read_predictions(tmp_path / "p.parquet", TASKS)


def test_a_full_disk_leaves_the_old_predictions(tmp_path):
    code = (
        "import resource, sys\n"
        "from pathlib import Path\n"
        "import numpy as np\n"
        "from spatialnet.errors import NotEnoughDisk\n"
        "from spatialnet.predict.table import write_predictions\n"
        "from spatialnet.tasks import Task\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (5000, 5000))\n"
        "scores = {'t': np.random.default_rng(0).random((5000, 2)).astype(np.float32)}\n"
        "try:\n"
        "    write_predictions(Path(sys.argv[1]), [Task('t', 'binary', ('a', 'b'))], scores)\n"
        "except NotEnoughDisk as error:\n"
        "    print(error)\n"
    )
    path = tmp_path / "p.parquet"
    path.write_text("old")
    done = subprocess.run([sys.executable, "-c", code, path], capture_output=True, text=True, cwd=REPOSITORY)
    assert done.stdout == "The disk is full: p.parquet was not written. Free some space and try again.\n", done.stderr
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_answers_have_the_form_of_targets():
    values = np.array([[0.2, 0.8], [0.6, 0.4]], np.float32)
    assert answer(TASKS[0], values).tolist() == [1, 0]
    assert answer(TASKS[1], values).tolist() == [[0, 1], [1, 0]]
    assert answer(TASKS[2], values).tolist() == [1, 0]
    assert answer(TASKS[3], 10 * values).tolist() == [[2, 8], [6, 4]]


def test_uncertainty_is_none_where_sure_and_one_where_torn():
    values = np.array([[1, 0], [0.5, 0.5], [0.7, 0.3]], np.float32)
    assert uncertainty(TASKS[0], values) == pytest.approx([0, 1, 0.6])
    assert uncertainty(TASKS[2], values) == pytest.approx([0, 1, 0.6])
    # The least sure yes or no counts, however sure the others are.
    assert uncertainty(TASKS[1], np.array([[1, 0], [1, 0.5], [0.9, 0.7]])) == pytest.approx([0, 1, 0.6])
    assert uncertainty(TASKS[3], values).tolist() == [0, 0, 0]
