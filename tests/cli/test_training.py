"""The command `train`: which recipe, data sets, device and priority it asks for. No training is done here."""

import pytest

from spatialnet.cli import main
from spatialnet.jobs.launch import Jobs
from spatialnet.jobs.services import services
from spatialnet.joint import JointTasks
from spatialnet.recipe import Recipe, sample_recipe
from spatialnet.runs import list_runs, open_run
from tests.cli.test_cli import full, refused  # noqa: F401 (a fixture)
from tests.data_sets import pictures_only


@pytest.fixture
def waiting(full, monkeypatch):  # noqa: F811
    """A workspace in which jobs wait for ever."""
    monkeypatch.setattr(Jobs, "_start", lambda _self, job: job)
    return full


def asked():
    """The one job that waits, its run and recipe."""
    job = services().jobs.store.live()[0]
    run = open_run(services().settings, job.spec["run"])
    return job, run, Recipe.load(run.folder / "recipe.toml")


def test_any_field_of_a_recipe_can_be_set(waiting):
    given = [
        "learning_rate=3e-4",
        "tasks=['land_use']",
        "task_weights={land_use = 2}",
        "flips=false",
        "precision=float32",
    ]
    arguments = [part for text in given for part in ("--set", text)]
    assert main(["train", "--no-wait", "--name", "one", "--epochs", "3", *arguments, "--set", 'name="two = 2"']) == 0
    _, run, recipe = asked()
    assert run.title == "two = 2"
    assert recipe.changes(sample_recipe()) == {
        "epochs": (3, 15), "learning_rate": (3e-4, 1e-3), "precision": ("float32", "auto"), "tasks": (("land_use",), ()),
        "task_weights": ((("land_use", 2.0),), ()), "flips": (False, True),
    }  # fmt: skip


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("epochs", "--set 'epochs' gives no value. Write FIELD=VALUE"),
        ("speed=3", "A recipe has no 'speed'. Its fields are name, "),
        ("epochs=many", "epochs is 'many'; a value of type int is wanted"),
        ("epochs=-1", "epochs is -1; it must be between"),
        ("flips=1", "flips is 1; a value of type bool is wanted"),
        ("preset=huge", "no preset 'huge'"),
        ("tasks=land_use", "tasks is 'land_use'; a list of names is wanted"),
        ("epochs=3\nseed = 4", "a value of type int is wanted"),
    ],
)
def test_what_a_recipe_cannot_hold_is_refused_in_its_own_sentence(waiting, capsys, given, said):
    assert main(["train", "--no-wait", "--set", given]) == 1
    refused(capsys, said)
    assert services().jobs.store.live() == []
    assert len(list_runs(waiting)) == 1


def test_a_recipe_is_shown_with_what_it_means_and_nothing_starts(waiting, capsys, tmp_path):
    assert main(["train", "--show-recipe", "--set", "epochs=7", "--preset", "tiny"]) == 0
    text = capsys.readouterr().out
    assert "# length of the second stage in epochs" in text
    assert Recipe.from_toml(text).changes(sample_recipe()) == {"preset": ("tiny", "nano"), "epochs": (7, 15)}
    assert services().jobs.store.live() == []
    (tmp_path / "mine.toml").write_text(text)
    assert main(["train", "--no-wait", "--recipe", str(tmp_path / "mine.toml")]) == 0
    assert asked()[2] == Recipe.from_toml(text)


def test_several_data_sets_become_one_joint_run(waiting, capsys):
    pictures_only(waiting.datasets / "pictures")
    arguments = ["--dataset", "landscape", "--dataset", "pictures", "--device", "cpu", "--priority", "high"]
    assert main(["train", "--no-wait", *arguments]) == 0
    job, run, _ = asked()
    assert capsys.readouterr().out == f"run {run.name}, job {job.id}\n"
    assert (run.datasets, job.priority, job.spec["device"]) == (("landscape", "pictures"), 1, "cpu")
    assert list(JointTasks.load(run.folder).shares) == ["landscape", "pictures"]
    assert main(["train", "--no-wait", "--parent", run.name]) == 0  # on the same data sets
    assert {each.datasets for each in list_runs(waiting) if each.parent == run.name} == {run.datasets}


def test_what_cannot_be_trained_is_one_sentence(waiting, capsys):
    for arguments, said in (
        (["--dataset", "landscape", "--dataset", "landscape"], "A data set is named twice"),
        (["--dataset", "landscape", "--dataset", "none"], "No data set called none"),
        (["--device", "cuda:77"], "has no device cuda:77"),
        (["--device", "abacus"], "'abacus' is no device"),
    ):
        assert main(["train", "--no-wait", *arguments]) == 1
        refused(capsys, said)
    assert len(list_runs(waiting)) == 1
