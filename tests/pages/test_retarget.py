"""Other tasks and classes for a data set, from its overview."""

from __future__ import annotations

import shutil
import uuid
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from streamlit.testing.v1 import AppTest

from spatialnet.datasets.packed import PackedChips
from spatialnet.importing.retarget import current_plans, retarget
from spatialnet.importing.target_edits import mapped
from spatialnet.jobs.services import services
from spatialnet.label import LabelEvent
from spatialnet.runs import create_run
from spatialnet.settings import load_settings
from tests.sources import build_pictures

AppOn = Callable[[Path], AppTest]
REPOSITORY = Path(__file__).resolve().parents[2]


@pytest.fixture
def data(tmp_path: Path) -> PackedChips:
    settings = load_settings(tmp_path / "workspace")
    return build_pictures(settings.datasets / "pictures", tmp_path / "source")


def opened(app: AppTest, **address: str) -> AppTest:
    for name, value in ({"dataset": "pictures"} | address).items():
        app.query_params[name] = value
    app.run()
    return app.switch_page(str(REPOSITORY / "pages" / "datasets.py")).run()


def button(page: AppTest, label: str):
    return next(b for b in page.button if b.label.startswith(label))


def field(page: AppTest, kind: str, label: str):
    return next(f for f in page.get(kind) if f.label == label)


def texts(page: AppTest) -> str:
    return "\n".join(str(e.value) for kind in (page.caption, page.error, page.info, page.warning) for e in kind)


def workspace(data: PackedChips) -> Path:
    return data.folder.parent.parent


def test_a_task_gets_another_kind_and_the_old_one_stays_where_it_was(app_on: AppOn, data: PackedChips) -> None:
    page = button(opened(app_on(workspace(data))), "Change tasks and classes").click().run()
    assert not page.exception
    assert page.query_params["edit"] == "targets"
    assert "Nothing is changed yet." in texts(page)
    page = field(page, "selectbox", "Kind").set_value("multilabel").run()
    page = field(page, "text_input", "Name in files").set_value("Uses of land").run()
    assert not page.exception
    changes = page.dataframe[-1].value
    assert changes["It is"].tolist() == ["new", "left out from now on"]
    assert changes["Chips with another target"].tolist() == [36, 36]
    page = button(page, "Change the targets of 36 chips").click().run()
    assert not page.exception
    assert "edit" not in page.query_params
    assert "version 2 of the data set" in page.toast[0].value
    new = PackedChips.open(data.folder)
    assert [(task.name, task.kind) for task in new.tasks] == [("uses_of_land", "multilabel")]
    assert new.targets("uses_of_land").sum() == 36
    assert button(page, "Change tasks and classes")


def test_what_people_labelled_is_refused_and_runs_are_named(app_on: AppOn, data: PackedChips) -> None:
    app = app_on(workspace(data))
    create_run(services().settings, {"dataset": "pictures", "title": "t", "tasks": []}, "")
    event = {"uuid": str(uuid.uuid4()), "person": "Ann", "kind": "label", "dataset": "pictures"}
    services().labels.append([LabelEvent(**event, chip=0, task="land_use", value=1)])
    page = opened(app, edit="targets")
    assert "1 run was trained on the tasks as they are, and keeps those." in texts(page)
    assert "People have labelled Land use" in texts(page)
    page = field(page, "selectbox", "Kind").set_value("multilabel").run()
    assert "with other classes their labels would mean something else" in texts(page)
    assert not [b for b in page.button if b.label.startswith("Change the targets")]
    page = field(page, "toggle", "Keep").set_value(False).run()
    assert "People have labelled 'Land use'" in texts(page)
    page = button(page, "Leave them as they are").click().run()
    assert "edit" not in page.query_params
    assert PackedChips.open(data.folder).fingerprint == data.fingerprint


def test_class_names_that_people_chose_are_shown_as_they_are(app_on: AppOn, data: PackedChips) -> None:
    (plan,) = current_plans(data)
    retarget(data, [mapped(plan, {"Forest": "Wald <b>", "SeaLake": "water", "river": "water"})])
    page = opened(app_on(workspace(data)), edit="targets")
    assert not page.exception
    assert "Nothing is changed yet." in texts(page)
    assert not [t for t in page.toggle if t.label.startswith("Shared names")]


def test_targets_that_an_importer_computed_are_fixed(app_on: AppOn, tmp_path: Path, landscape: PackedChips) -> None:
    settings = load_settings(tmp_path / "other")
    shutil.copytree(landscape.folder, settings.datasets / "landscape")
    page = opened(app_on(settings.workspace), dataset="landscape", edit="targets")
    assert not page.exception
    assert "Its classes are fixed." in texts(page)
    assert page.selectbox(key=f"retarget.landscape.{landscape.fingerprint}.1.task0.kind").disabled
    page = page.toggle[-1].set_value(False).run()
    page = button(page, "Change the targets").click().run()
    assert not page.exception
    new = PackedChips.open(settings.datasets / "landscape")
    assert [task.name for task in new.tasks] == [task.name for task in landscape.tasks][:-1]
    assert np.array_equal(new.targets("land_use"), landscape.targets("land_use"))


def test_a_data_set_that_does_not_say_how_is_one_sentence(app_on: AppOn, data: PackedChips) -> None:
    (data.folder / "labels.parquet").unlink()
    page = opened(app_on(workspace(data)), edit="targets")
    assert not page.exception
    assert len(page.error) == 1
    assert "Import it again" in page.error[0].value
