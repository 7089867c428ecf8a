import pytest

from spatialnet.errors import JobRefused, NotEnoughDisk, RecipeInvalid
from spatialnet.jobs.launch import Jobs
from spatialnet.jobs.requests import newest_done, request_first_run, request_sample, request_training
from spatialnet.recipe import Recipe
from spatialnet.runs import list_runs, open_run, write_json


class Waiting(Jobs):
    """Jobs that wait for ever: no process is started."""

    def _start(self, job):
        return job


@pytest.fixture
def waiting(settings, engine) -> Waiting:
    return Waiting(settings, engine)


RECIPE = Recipe(name="first {{7*7}}", preset="nano", epochs=2)


def test_a_training_has_a_run_that_says_where_it_comes_from(waiting, in_workspace):
    job = request_training(waiting, in_workspace, Recipe(name="again", parent="run-1"), label_version=7, corrections=3)
    run = open_run(waiting.settings, job.spec["run"])
    assert (run.title, run.dataset, run.parent) == ("again", "landscape", "run-1")
    assert (run.info["label_version"], run.info["corrections"]) == (7, 3)
    assert run.info["fingerprint"] == in_workspace.fingerprint
    assert run.tasks == in_workspace.tasks
    assert Recipe.load(run.folder / "recipe.toml") == Recipe(name="again", parent="run-1")


def test_the_same_training_is_not_started_twice_and_leaves_no_run(waiting, in_workspace):
    first = request_training(waiting, in_workspace, RECIPE, label_version=0)
    with pytest.raises(JobRefused, match="already under way"):
        request_training(waiting, in_workspace, RECIPE, label_version=0)
    assert [run.name for run in list_runs(waiting.settings)] == [first.spec["run"]]
    request_training(waiting, in_workspace, RECIPE, label_version=1)
    assert len(list_runs(waiting.settings)) == 2


def test_a_training_that_cannot_be_started_leaves_no_run(settings, engine, in_workspace, monkeypatch):
    jobs = Jobs(settings, engine)
    (settings.jobs).rmdir()
    settings.jobs.write_text("in the way of the job's folder")
    with pytest.raises(OSError, match="Not a directory"):
        request_training(jobs, in_workspace, RECIPE, label_version=0)
    assert list(settings.runs.iterdir()) == []
    job = jobs.store.all()[0]
    assert job.state == "failed"
    assert job.text.startswith("Its process could not be started")

    def full(*_arguments, **_options):
        raise OSError(28, "No space left on device")

    settings.jobs.unlink()
    monkeypatch.setattr("subprocess.Popen", full)
    with pytest.raises(NotEnoughDisk):
        request_training(jobs, in_workspace, RECIPE, label_version=0)
    assert list(settings.runs.iterdir()) == []
    assert not jobs.store.live()


def test_the_sample_is_asked_for_once(waiting):
    request_sample(waiting)
    with pytest.raises(JobRefused):
        request_sample(waiting)


def test_a_data_set_with_a_run_gets_no_first_run(waiting, in_workspace):
    job = request_first_run(waiting, in_workspace)
    assert job.spec["dataset"] == "landscape"
    assert request_first_run(waiting, in_workspace) is None


def test_the_newest_run_that_is_done(waiting, in_workspace):
    assert newest_done(list_runs(waiting.settings)) is None
    runs = [
        open_run(waiting.settings, request_training(waiting, in_workspace, RECIPE, label_version=n).spec["run"])
        for n in range(3)
    ]
    for run in runs[:2]:
        write_json(run.folder / "report.json", {"tasks": {}})
    assert newest_done(list_runs(waiting.settings)).name == runs[1].name


def test_a_run_is_not_carried_on_over_another_split(waiting, in_workspace):
    """Chips that it was trained on could be test chips now."""
    first = request_training(waiting, in_workspace, RECIPE, label_version=0)
    parent = open_run(waiting.settings, first.spec["run"])
    write_json(parent.folder / "run.json", parent.info | {"fingerprint": "0" * 16})
    with pytest.raises(JobRefused, match=r"has another split.+Start a new run"):
        request_training(waiting, in_workspace, Recipe(name="again", parent=parent.name), label_version=1)
    write_json(parent.folder / "run.json", parent.info | {"dataset": "elsewhere", "fingerprint": "0" * 16})
    request_training(waiting, in_workspace, Recipe(name="again", parent=parent.name), label_version=1)


@pytest.mark.parametrize(
    ("recipe", "sentence"),
    [
        (Recipe(tasks=("ships",)), "names a task 'ships', which the data does not have; it has land_use"),
        (Recipe(task_weights=(("ships", 2.0),)), "names a task 'ships'"),
        (Recipe(sensors=("radar",)), "names a sensor 'radar', which the data does not have; it has landsat7"),
    ],
)
def test_a_recipe_that_names_what_the_data_does_not_have_starts_nothing(waiting, in_workspace, recipe, sentence):
    with pytest.raises(RecipeInvalid, match=sentence):
        request_training(waiting, in_workspace, recipe, label_version=0)
    assert not list_runs(waiting.settings)
    assert not waiting.store.all()
