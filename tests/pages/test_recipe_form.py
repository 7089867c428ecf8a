"""The form for a new run: every start holds, files are read or refused in a sentence, and it starts what it says."""

from __future__ import annotations

from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from spatialnet.datasets.packed import PackedChips
from spatialnet.jobs import machine
from spatialnet.jobs.launch import Jobs
from spatialnet.jobs.services import services
from spatialnet.recipe import Recipe, fine_tuning_recipe, paper_recipe, sample_recipe
from spatialnet.runs import list_runs
from spatialnet.settings import load_settings
from spatialnet.ui import run_start
from tests.data_sets import pictures_only, two_places
from tests.pages.test_pages import AppOn, opened


@pytest.fixture
def pictures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A workspace with a data set and no run, where jobs wait for ever."""
    monkeypatch.setattr(Jobs, "_start", lambda _, job: job)
    pictures_only(load_settings(tmp_path).datasets / "pictures")
    return tmp_path


def pick(page: AppTest, label: str, value: object) -> AppTest:
    return next(s for s in [*page.selectbox, *page.multiselect] if s.label == label).set_value(value).run()


def said(page: AppTest) -> str:
    return " ".join(c.value for c in page.caption).replace("\\", "")


def written(page: AppTest) -> Recipe:
    """The recipe that the form shows as a file."""
    return Recipe.from_toml(next(c.value for c in page.code if c.value.startswith("[run]")))


@pytest.mark.parametrize(
    ("start", "recipe"), [("quick", sample_recipe()), ("fine-tune", fine_tuning_recipe()), ("paper", paper_recipe())]
)
def test_every_start_gives_its_own_recipe_unchanged(app_on: AppOn, pictures: Path, start: str, recipe: Recipe) -> None:
    page = pick(opened(app_on(pictures), "train"), "Start from", start)
    assert not page.exception
    assert not page.error
    assert written(page) == recipe


def test_a_value_of_one_start_does_not_stay_in_another(app_on: AppOn, pictures: Path) -> None:
    page = opened(app_on(pictures), "train")
    page = next(n for n in page.number_input if n.label == "Batch size").set_value(7).run()
    assert written(page).batch_size == 7
    assert written(pick(page, "Start from", "paper")).batch_size == 32


def test_a_recipe_file_is_read_shown_and_started(app_on: AppOn, pictures: Path) -> None:
    page = pick(opened(app_on(pictures), "train"), "Start from", "recipe-file")
    assert "Every run keeps its recipe as a file" in said(page)
    assert not [b for b in page.button if b.key == "train.start"]
    given = Recipe(name="from {{7*7}}", preset="tiny", epochs=3, weighting="dwa", task_weights=(("land_use", 2.0),))
    page = page.file_uploader[0].set_value(("recipe.toml", given.to_toml().encode(), "application/toml")).run()
    assert not page.exception
    assert not page.error
    assert written(page) == given
    page = page.segmented_control(key="train.priority").set_value(1).run()
    page = page.button(key="train.start").click().run()
    assert not page.exception
    (run,) = list_runs(services().settings)
    assert run.title == "from {{7*7}}"
    assert Recipe.load(run.folder / "recipe.toml") == given
    (job,) = services().jobs.store.all()
    assert (job.priority, job.spec["device"]) == (1, "auto")
    page = page.button(key="train.start").click().run()
    assert "already under way" in page.error[0].value
    assert len(list_runs(services().settings)) == 1


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (b"\xff\xfe", "not text in UTF-8"),
        (b"name = ", "not valid TOML"),
        (b'[run]\nnme = "x"', "has no 'nme'"),
        (b"[stages]\nepochs = -1", "epochs is -1; it must be between 0 and 10000"),
        (b'[tasks]\ntasks = ["ships"]', "names a task 'ships', which the data does not have; it has land_use"),
        (b"[tasks]\ntask_weights = {ships = 2.0}", "names a task 'ships'"),
        (b'[data]\nsensors = ["radar"]', "names a sensor 'radar'"),
        (b'[model]\nweights = "pickle:x"', "it must be none, dinov2-saliency, timm:<model> or file:<name>"),
        (b"#" * 70_000, "at most 65,536"),
    ],
)
def test_a_file_that_is_no_recipe_for_this_data_is_refused_in_a_sentence(
    app_on: AppOn, pictures: Path, text: bytes, sentence: str
) -> None:
    page = pick(opened(app_on(pictures), "train"), "Start from", "recipe-file")
    page = page.file_uploader[0].set_value(("recipe.toml", text, "application/toml")).run()
    assert not page.exception
    (error,) = page.error
    assert sentence in error.value.replace("\\", "")
    assert not [b for b in page.button if b.key == "train.start"]


def test_an_impossible_choice_is_a_sentence_and_goes_when_it_is_corrected(app_on: AppOn, pictures: Path) -> None:
    page = opened(app_on(pictures), "train")
    field = "Epochs, fine-tuning"
    page = next(n for n in page.number_input if n.label == field).set_value(0).run()
    assert not page.exception
    assert "at least one epoch" in page.error[0].value
    page = next(n for n in page.number_input if n.label == field).set_value(2).run()
    assert not page.error
    assert written(page).epochs == 2


def test_a_weights_file_is_chosen_from_those_that_are_there(app_on: AppOn, pictures: Path) -> None:
    page = pick(opened(app_on(pictures), "train"), "Pretrained weights", "file")
    assert "There is no safetensors file" in page.error[0].value.replace("\\", "")
    (services().settings.weights / "mine.safetensors").write_bytes(b"")
    page = page.run()
    assert not page.error
    assert written(page).weights == "file:mine.safetensors"


def test_one_model_for_two_data_sets_offers_the_tasks_of_both(app_on: AppOn, pictures: Path) -> None:
    other: PackedChips = two_places(load_settings(pictures).datasets / "two-places")
    app = app_on(pictures)
    app.query_params["dataset"] = "pictures"
    page = pick(opened(app, "train"), "Learn from further data sets", ["two-places"])
    assert not page.exception
    labels = next(m for m in page.multiselect if m.label == "Tasks").options
    assert {task.label for task in other.tasks} <= set(labels)
    page = page.button(key="train.start").click().run()
    assert not page.exception
    assert not page.error
    assert list_runs(services().settings)[0].datasets == ("pictures", "two-places")


def test_with_the_processor_alone_no_device_is_asked_for(app_on: AppOn, pictures: Path) -> None:
    page = opened(app_on(pictures), "train")
    assert not [s for s in page.selectbox if s.label == "Device"]
    assert "No GPU that PyTorch can use: it trains on the CPU" in said(page)
    assert "GiB of memory" in said(page)


def test_a_gpu_can_be_chosen_and_too_little_memory_is_said(
    app_on: AppOn, pictures: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    card, here = machine.Device("cuda:0", "Tiny card", 1.0, 0.5), machine.Device("cpu", "CPU, 2 cores", 8.0, 4.0)
    monkeypatch.setattr(run_start, "devices", lambda: [card, here])
    page = opened(app_on(pictures), "train")
    assert "Tiny card has 0.5 of 1.0 GiB free" in page.warning[0].value.replace("\\", "")
    page = pick(page, "Device", "cpu")
    assert not page.warning
    page = page.button(key="train.start").click().run()
    assert services().jobs.store.all()[0].spec["device"] == "cpu"
