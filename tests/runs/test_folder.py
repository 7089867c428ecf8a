import json
import subprocess
import sys

import pytest

from spatialnet.errors import PathRefused, RunNotFound
from spatialnet.runs import create_run, list_runs, open_run, write_json
from spatialnet.settings import REPOSITORY, inside
from spatialnet.tasks import Task

TASK = Task("land_use", "multiclass", ("forest", "water"))
INFO = {"title": "first {{7*7}} <b>", "dataset": "hills", "tasks": [TASK.to_dict()], "parent": ""}


def test_a_run_is_read_as_it_was_created(settings):
    made = create_run(settings, INFO, 'name = "first"\n')
    run = open_run(settings, made.name)
    assert (run.title, run.dataset, run.parent, run.tasks) == (INFO["title"], "hills", None, (TASK,))
    assert (run.folder / "recipe.toml").read_text() == 'name = "first"\n'
    assert not run.done
    assert run.history() == []


def test_runs_of_one_second_have_names_of_their_own(settings):
    names = {create_run(settings, INFO, "").name for _ in range(30)}
    assert len(names) == 30
    for name in names:
        assert inside(settings.runs, name).is_dir()


def test_runs_are_listed_newest_first_and_by_data_set(settings):
    runs = [create_run(settings, {**INFO, "dataset": name}, "") for name in ("hills", "coast", "hills")]
    assert [run.name for run in list_runs(settings)] == [run.name for run in reversed(runs)]
    assert [run.name for run in list_runs(settings, "hills")] == [runs[2].name, runs[0].name]


def test_what_is_no_run_is_not_listed(settings):
    good = create_run(settings, INFO, "")
    (settings.runs / "README").write_text("x")
    (settings.runs / "empty").mkdir()
    (settings.runs / "UPPER").mkdir()
    for name, content in (("half", '{"dataset": "hi'), ("list", "[1, 2]"), ("bare", "{}"), ("binary", "\udcff")):
        (settings.runs / name).mkdir()
        (settings.runs / name / "run.json").write_bytes(content.encode(errors="surrogateescape"))
    assert [run.name for run in list_runs(settings)] == [good.name]
    for name in ("half", "list", "bare", "binary", "empty", "none"):
        with pytest.raises(RunNotFound, match="Choose a listed run"):
            open_run(settings, name)
    with pytest.raises(PathRefused):
        open_run(settings, "../datasets")


def test_a_history_that_is_being_written_is_read_up_to_its_last_whole_line(settings):
    run = create_run(settings, INFO, "")
    (run.folder / "history.jsonl").write_text('{"step": 1}\n{"step": 2}\n{"st')
    assert run.history() == [{"step": 1}, {"step": 2}]


def test_a_run_is_done_when_its_report_is_there(settings):
    run = create_run(settings, INFO, "")
    with pytest.raises(RunNotFound, match=r"report\.json"):
        _ = run.report
    write_json(run.folder / "report.json", {"tasks": {}})
    assert run.done
    assert run.report == {"tasks": {}}


def test_json_is_replaced_whole_or_not_at_all(tmp_path):
    path = tmp_path / "a.json"
    write_json(path, {"a": 1})
    with pytest.raises(TypeError):
        write_json(path, {"a": object()})
    assert json.loads(path.read_text()) == {"a": 1}
    assert list(tmp_path.iterdir()) == [path]


def test_a_full_disk_leaves_no_half_run(settings):
    code = (
        "import resource, sys\n"
        "from pathlib import Path\n"
        "from spatialnet.errors import NotEnoughDisk\n"
        "from spatialnet.runs import create_run, write_json\n"
        "from spatialnet.settings import load_settings\n"
        "settings = load_settings(Path(sys.argv[1]))\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))\n"
        "for attempt in (lambda: create_run(settings, {'title': 'x' * 2000}, ''), lambda: create_run(settings, {}, 'x' * 2000)):\n"
        "    try:\n"
        "        attempt()\n"
        "    except NotEnoughDisk as error:\n"
        "        print(error)\n"
    )
    command = [sys.executable, "-c", code, str(settings.workspace)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=REPOSITORY)
    assert done.stdout.splitlines() == [
        "The disk is full: run.json was not written. Free some space and try again.",
        "The disk is full: recipe.toml was not written. Free some space and try again.",
    ], done.stderr
    assert list(settings.runs.iterdir()) == []
