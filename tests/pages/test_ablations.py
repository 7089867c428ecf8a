"""The ablations page: empty, with an ablation, by its address, and what its form starts."""

from __future__ import annotations

from pathlib import Path

import pytest

from spatialnet.jobs.ablation import list_ablations
from spatialnet.jobs.launch import Jobs
from spatialnet.jobs.services import services
from spatialnet.settings import load_settings
from tests.cli.test_ablation import write_ablation
from tests.data_sets import pictures_only
from tests.pages.test_pages import AppOn, opened


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """A workspace with a data set and no run."""
    pictures_only(load_settings(tmp_path).datasets / "pictures")
    return tmp_path


def test_without_an_ablation_the_page_teaches_what_one_is(app_on: AppOn, pictures: Path) -> None:
    page = opened(app_on(pictures), "ablations")
    assert not page.exception
    assert not page.error
    assert "No ablation yet" in [heading.value for heading in page.subheader]
    said = " ".join(caption.value for caption in page.caption)
    assert "9 trainings: no run here yet to estimate the time from." in said
    assert "one sensor only" in said
    assert [button.disabled for button in page.button if button.label == "Start"] == [False]


def test_what_each_part_is_worth_is_shown(app_on: AppOn, pictures: Path) -> None:
    write_ablation(load_settings(pictures))
    app = app_on(pictures)
    app.query_params["ablation"] = "ablation-1"
    page = opened(app, "ablations")
    assert not page.exception
    assert not page.error
    words = " ".join(text.value for text in page.markdown).replace("\\", "")
    assert "Augmentation against none: better on Land use" in words
    assert "Spatial against none: no difference on Land use" in words
    assert list(page.dataframe[0].value["Verdict"]) == ["better", "no difference"]
    assert "49" not in " ".join(caption.value for caption in page.caption)  # a note is only text
    assert page.selectbox(key="ablation").value == "ablation-1"


def test_one_that_is_not_done_and_has_no_job_says_so(app_on: AppOn, pictures: Path) -> None:
    write_ablation(load_settings(pictures), done=False)
    page = opened(app_on(pictures), "ablations")
    assert not page.exception
    assert any("1 of 2 runs are done; its job is gone" in caption.value for caption in page.caption)


def test_an_address_that_names_none_is_said(app_on: AppOn, pictures: Path) -> None:
    app = app_on(pictures)
    app.query_params["ablation"] = "../../etc"
    page = opened(app, "ablations")
    assert not page.exception
    assert "names an ablation of another data set, or none" in page.warning[0].value


def test_the_form_starts_what_it_says(app_on: AppOn, pictures: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Jobs, "_start", lambda _, job: job)
    page = opened(app_on(pictures), "ablations")
    page = page.number_input(key="ablation.seeds").set_value(2).run()
    page = page.pills(key="ablation.questions").set_value(["augmentation"]).run()
    assert any(caption.value.startswith("4 trainings") for caption in page.caption)
    page = page.button(key="ablation.start").click().run()
    assert not page.exception
    (ablation,) = list_ablations(services().settings)
    assert (ablation.info["seeds"], len(ablation.info["runs"])) == (2, 4)
    assert [arm["name"] for arm in ablation.info["arms"]] == ["no-augmentation", "control-bands", "control-features"]
    assert page.query_params["ablation"] == ablation.name
    page = page.button(key="ablation.start").click().run()
    assert "already under way" in page.error[0].value


def test_nothing_to_compare_is_a_sentence_and_nothing_starts(app_on: AppOn, pictures: Path) -> None:
    page = opened(app_on(pictures), "ablations")
    page = page.toggle(key="ablation.controls").set_value(False).run()
    page = page.pills(key="ablation.questions").set_value(["sensors"]).run()
    assert "Nothing is left to compare" in page.error[0].value.replace("\\", "")
    assert not [button for button in page.button if button.label == "Start"]
