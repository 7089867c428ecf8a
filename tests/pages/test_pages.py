"""Every page through app.py: empty workspace, data set and run, and names that try to be code."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from spatialnet.datasets.catalogue import open_dataset
from spatialnet.jobs.services import services
from spatialnet.predict.table import read_predictions
from spatialnet.runs import list_runs
from spatialnet.summary import chip_summary
from spatialnet.ui.markup import plain

AppOn = Callable[[Path], AppTest]
PAGES = {
    "home": "SpatialNet",
    "map": "Map",
    "label": "Label",
    "train": "Train",
    "ablations": "Ablations",
    "datasets": "Data sets",
}
REPOSITORY = Path(__file__).resolve().parents[2]


def opened(app: AppTest, name: str) -> AppTest:
    app.run()
    return app if name == "home" else app.switch_page(str(REPOSITORY / "pages" / f"{name}.py")).run()


@pytest.mark.parametrize("name", PAGES)
def test_an_empty_workspace_says_what_comes_and_offers_the_sample(app_on: AppOn, tmp_path: Path, name: str) -> None:
    page = opened(app_on(tmp_path), name)
    assert not page.exception
    assert page.title[0].value == PAGES[name]
    assert "No data set yet" in [heading.value for heading in page.subheader]
    assert "Prepare the sample" in [button.label for button in page.button]


@pytest.mark.parametrize("name", PAGES)
def test_a_page_with_a_run_shows_no_error(app_on: AppOn, trained: Path, name: str) -> None:
    page = opened(app_on(trained), name)
    assert not page.exception
    assert not page.error
    assert page.title[0].value == PAGES[name]
    assert page.caption[0].value
    if name in ("home", "map"):
        assert any("Synthetic" in warning.value for warning in page.warning)
    elif name == "datasets":
        assert any("Synthetic: this landscape is generated" in html.value for html in page.get("html"))


def test_the_map_explains_and_corrects_a_chip(app_on: AppOn, trained: Path) -> None:
    app = app_on(trained)
    app.query_params["chip"] = "5"
    page = opened(app, "map")
    assert not page.exception
    assert not page.error
    assert any(select.label == "Why, by" for select in page.selectbox)
    water = next(button for button in page.button if button.label == "water")
    page = water.click().run()
    answer = services().labels.current("landscape", "land_use")[5]
    assert (answer.value, answer.person, answer.kind) == (0, "Local expert", "label")
    page = next(button for button in page.button if button.label == "Undo").click().run()
    assert services().labels.current("landscape", "land_use") == {}


def test_the_map_explains_an_area_and_shows_it(app_on: AppOn, trained: Path) -> None:
    app = app_on(trained)
    app.query_params["chip"] = "5"
    page = opened(app, "map")
    page = next(button for button in page.button if button.label == "Explain the area").click().run(timeout=60)
    assert not page.exception
    assert not page.error
    assert next(select for select in page.selectbox if select.label == "Layer").value == "why"
    assert any("evidence for" in caption.value and "overlapping chips" in caption.value for caption in page.caption)
    assert any("Most of the evidence" in caption.value for caption in page.caption)


def test_the_map_and_the_chips_page_say_what_the_run_sees_and_names_stay_inert(app_on: AppOn, trained: Path) -> None:
    app = app_on(trained)
    app.query_params["chip"] = "5"
    run = list_runs(services().settings)[0]
    data = open_dataset(services().settings, "landscape")
    text = chip_summary(data.tasks, read_predictions(run.folder / "predictions.parquet", data.tasks), 5)
    assert plain(text) in [part.value for part in opened(app, "map").markdown]
    page = opened(app, "datasets")
    assert not page.exception
    assert plain(text) in [part.value for part in page.markdown]
    assert f"As run {plain(run.title)} sees it." in [part.value for part in page.caption]


def test_a_presence_key_turns_one_class_and_keeps_the_others(app_on: AppOn, trained: Path) -> None:
    app = app_on(trained)
    app.query_params["chip"], app.query_params["task"] = "7", "presence"
    page = opened(app, "map")
    for name in ("water", "crops", "water"):
        page = next(button for button in page.button if button.label == name).click().run()
    assert not page.exception
    assert services().labels.current("landscape", "presence")[7].value[:3] == [0, 0, 1]


@pytest.mark.parametrize("chip", ["-1", "999999", "abc", "1e3", "٣"])
def test_a_chip_that_does_not_exist_is_no_chip(app_on: AppOn, trained: Path, chip: str) -> None:
    app = app_on(trained)
    app.query_params["chip"] = chip
    page = opened(app, "map")
    assert not page.exception
    assert "Click a place" in [heading.value for heading in page.subheader]


@pytest.mark.parametrize("name", ["{{ 7*7 }}", "<script>alert(1)</script>", 'O\'Brien "x"', "🛰️ مرحبا"])
def test_a_name_that_tries_to_be_code_is_only_a_name(app_on: AppOn, trained: Path, name: str) -> None:
    app = app_on(trained)
    app.query_params["chip"] = "9"
    page = opened(app, "map")
    page.session_state["person"] = name  # a page test runs the page without the frame that holds the widget
    page = next(button for button in page.button if button.label == "forest").click().run()
    assert not page.exception
    assert services().labels.current("landscape", "land_use")[9].person == name
    shown = "".join(html.value for html in page.get("html"))
    assert "<script>" not in shown
    assert "49" not in shown.split("Land use")[1].split("target")[0]
    assert list_runs(services().settings)[0].title == "<b>first</b> {{7*7}}"
