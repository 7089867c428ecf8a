"""Curves on the page of a run: per task and data set, the end of the first stage, weights and agreement of tasks."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from spatialnet.recipe import Recipe
from spatialnet.runs import create_run
from spatialnet.settings import load_settings
from tests.data_sets import HOUSES, LAND_USE, pictures_only
from tests.pages.test_pages import AppOn, opened


def line(epoch: int, stage: str, **more: Any) -> dict[str, Any]:
    measured = {"land_use": {"macro_f1": 0.5 + epoch / 20}, "houses": {"mae": 2.0 / epoch}}
    return {
        "epoch": epoch, "epochs": 4, "step": 5 * epoch, "steps": 20, "stage": stage, "loss": 1.0, "chips_per_second": 90.0,
        "losses": {"land_use": 0.7, "houses": 0.3}, "weights": {"land_use": 1.0, "houses": 1.0}, "validation": measured,
        "validation_sets": {"pictures": {"land_use": {"macro_f1": 0.9}}, "other": {"houses": {"mae": 3.0}}}, **more,
    }  # fmt: skip


def test_curves_of_a_joint_run(app_on: AppOn, tmp_path: Path) -> None:
    settings = load_settings(tmp_path)
    pictures_only(settings.datasets / "pictures")
    tasks = [LAND_USE.to_dict(), HOUSES.to_dict()]
    run = create_run(settings, {"title": "x", "dataset": "pictures", "tasks": tasks}, Recipe().to_toml())
    lines = [line(1, "heads"), line(2, "heads"), line(3, "all", conflicts={"land_use|houses": -0.4})]
    (run.folder / "history.jsonl").write_text("".join(json.dumps(each) + "\n" for each in lines))
    app = app_on(tmp_path)
    app.query_params["run"] = run.name
    page = opened(app, "runs")
    assert not page.exception
    titles = [text.value for text in page.markdown]
    for title in ("Training loss", "Validation, higher is better", "Validation, lower is better", "Agreement of tasks"):
        assert f"**{title}**" in titles
    assert "**How much each task counts**" not in titles  # no weight changed
    said = " ".join(caption.value for caption in page.caption)
    assert "The dashed line ends the first stage" in said
    assert "below 0 they pull against each other" in said
    page = next(group for group in page.segmented_control if group.label == "Validation of").set_value("pictures").run()
    assert not page.exception
    assert "**Validation, lower is better**" not in [
        text.value for text in page.markdown
    ]  # houses are not counted there


def test_weights_that_move_are_drawn_and_old_histories_have_one_loss(app_on: AppOn, tmp_path: Path) -> None:
    settings = load_settings(tmp_path)
    pictures_only(settings.datasets / "pictures")
    run = create_run(settings, {"title": "x", "dataset": "pictures", "tasks": [LAND_USE.to_dict()]}, Recipe().to_toml())
    old = {"epoch": 1, "epochs": 2, "step": 5, "steps": 10, "loss": 1.0, "chips_per_second": 90.0}
    path = run.folder / "history.jsonl"
    path.write_text(json.dumps(old) + "\n")
    app = app_on(tmp_path)
    app.query_params["run"] = run.name
    page = opened(app, "runs")
    assert not page.exception
    assert "**Training loss**" in [text.value for text in page.markdown]
    path.write_text("".join(json.dumps(line(n, "all", weights={"land_use": 1.0 / n})) + "\n" for n in (1, 2)))
    page = page.run()
    assert not page.exception
    assert "**How much each task counts**" in [text.value for text in page.markdown]
