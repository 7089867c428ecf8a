"""The runs page: empty, list, one run, several, and what can be done with them."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
from streamlit.testing.v1 import AppTest

from spatialnet.jobs.launch import Jobs
from spatialnet.jobs.services import services
from spatialnet.runs import current_run, list_runs
from spatialnet.runs.notes import notes
from spatialnet.runs.publishing import published_run
from spatialnet.runs.trash import trash
from spatialnet.settings import Settings, load_settings
from tests.pages.test_pages import opened

AppOn = Callable[[Path], AppTest]


@pytest.fixture
def two(finished: Settings, tmp_path: Path) -> Settings:
    """A workspace with two finished runs that differ in one field of their recipe; `run-done` is the newer one."""
    shutil.copytree(finished.workspace, tmp_path / "two")
    settings = load_settings(tmp_path / "two")
    shutil.copytree(settings.runs / "run-done", settings.runs / "run-old")
    path = settings.runs / "run-old" / "run.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"created_at": 1_700_000_000.0, "title": "old *one*"}))
    recipe = settings.runs / "run-old" / "recipe.toml"
    recipe.write_text(recipe.read_text().replace("epochs = 1\n", "epochs = 7\n"))
    return settings


def at(app: AppTest, **query: str) -> AppTest:
    for key, value in query.items():
        app.query_params[key] = value
    return opened(app, "runs")


def click(page: AppTest, label: str) -> AppTest:
    return next(button for button in page.button if button.label == label).click().run()


def texts(page: AppTest) -> str:
    parts = [*page.markdown, *page.caption, *page.subheader, *page.warning, *page.info, *page.error]
    return "\n".join(part.value for part in parts)


def test_a_workspace_without_runs_says_what_a_run_is(app_on: AppOn, tmp_path: Path) -> None:
    page = at(app_on(tmp_path))
    assert not page.exception
    assert "No run yet" in texts(page)


def test_the_list_names_every_run_and_filters_by_the_address(app_on: AppOn, two: Settings) -> None:
    page = at(app_on(two.workspace))
    assert not page.exception
    assert page.dataframe[0].value["Run"].tolist() == ["done {{7*7}} <b>", "old *one*"]
    assert at(app_on(two.workspace), q="old").dataframe[0].value["Run"].tolist() == ["old *one*"]
    page = at(app_on(two.workspace), state="stopped")
    assert not page.dataframe
    assert "No run fits these filters" in texts(page)


@pytest.mark.parametrize(
    "query", [{"run": "none"}, {"run": "../datasets"}, {"compare": "none,run-old"}, {"compare": "{{7*7}}"}]
)
def test_an_address_that_names_no_run_says_so(app_on: AppOn, two: Settings, query: dict[str, str]) -> None:
    page = at(app_on(two.workspace), **query)
    assert not page.exception
    assert page.warning
    assert len(page.dataframe[0].value) == 2


def test_a_run_is_published_and_rolled_back(app_on: AppOn, two: Settings) -> None:
    page = at(app_on(two.workspace), run="run-old")
    assert not page.exception
    assert current_run(two, "landscape").name == "run-done"
    page = click(page, "Publish")
    assert not page.exception
    assert current_run(two, "landscape").name == "run-old"
    picker = next(box for box in opened(app_on(two.workspace), "map").selectbox if box.label == "Run")
    assert picker.options[0].endswith("current")
    assert picker.value == "run-old"
    page = click(at(app_on(two.workspace), run="run-old"), "Roll back")
    assert published_run(two, "landscape") is None


def test_a_run_is_deleted_and_the_deletion_undone(app_on: AppOn, two: Settings) -> None:
    page = click(at(app_on(two.workspace), run="run-old"), "Delete this run")
    assert not page.exception
    assert [deleted.run.name for deleted in trash(two)] == ["run-old"]
    page = click(page, "Undo")
    assert not page.exception
    assert len(list_runs(two)) == 2


def test_a_published_run_is_not_deleted_and_the_page_says_why(app_on: AppOn, two: Settings) -> None:
    page = click(at(app_on(two.workspace), run="run-old"), "Publish")
    page = click(page, "Delete this run")
    assert "is published for landscape" in page.error[0].value
    assert len(list_runs(two)) == 2


def test_runs_stand_side_by_side(app_on: AppOn, two: Settings) -> None:
    page = at(app_on(two.workspace), compare="run-done,run-old")
    assert not page.exception
    metrics, recipes = page.dataframe[0].value, page.dataframe[1].value
    assert metrics["Task"].tolist()[:2] == ["Land use", "Object presence"]
    assert "baseline" in metrics["old *one*"][0]
    assert recipes["Field"].tolist() == ["epochs"]
    assert recipes["old *one*"].tolist() == ["7"]


def test_a_note_is_kept(app_on: AppOn, two: Settings) -> None:
    page = at(app_on(two.workspace), run="run-old")
    page.text_area[0].set_value("<b>good</b> in *towns*")
    page = click(page, "Add the note")
    assert not page.exception
    run = next(run for run in list_runs(two) if run.name == "run-old")
    assert [note.text for note in notes(run)] == ["<b>good</b> in *towns*"]
    assert services().settings.workspace == two.workspace


def test_captions_are_learnt_from_the_page(app_on: AppOn, two: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Jobs, "_start", lambda _self, job: job)
    folder = two.datasets / "landscape"
    chips = int(json.loads((folder / "dataset.json").read_text())["chips"])
    page = at(app_on(two.workspace), run="run-done")
    assert "Captions" not in texts(page)  # the data set has none
    pd.DataFrame({"caption": ["a lake"] * chips}).to_parquet(folder / "labels.parquet")
    page = click(page.run(), "Learn captions")
    assert not page.exception
    assert "Being learnt: Captions" in texts(page)
    assert not [button for button in page.button if button.label.startswith("Learn captions")]
    job = services().jobs.store.live()[0]
    assert (job.kind, job.spec["captions_of"]) == ("caption", "run-done")
    services().jobs.store.end(job.id, "done")
    report = {
        "run": {"bleu": 31.2, "rouge_l": 0.512}, "majority": {"bleu": 9.9, "rouge_l": 0.3}, "chips": 77, "split": "test",
    }  # fmt: skip
    (two.runs / "run-done" / "captions.json").write_text(json.dumps(report))
    page = page.run()
    assert {metric.label: metric.value for metric in page.metric}["BLEU (0 to 100)"] == "31.2"
    assert "BLEU 9.9, ROUGE-L 0.300. Measured on 77 test chips" in texts(page)
    assert any(button.label == "Learn captions again" for button in page.button)
