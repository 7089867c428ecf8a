"""The data-sets page and what the other pages do with data sets of every kind: many places, no ground, no scene."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
from streamlit.testing.v1 import AppTest

from spatialnet.datasets.packed import PackedChips
from spatialnet.errors import PathRefused, ViewRefused
from spatialnet.jobs.services import services
from spatialnet.label import LabelEvent
from spatialnet.settings import load_settings
from spatialnet.ui.saved_views import MOST, delete_view, save_view, views
from tests.data_sets import pictures_only, scattered_chips, two_places
from tests.pages.test_pages import opened

AppOn = Callable[[Path], AppTest]
KINDS = ("banks", "flat", "far")
PAGES = ("home", "map", "label", "train", "datasets")


@pytest.fixture(scope="module")
def kinds(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace with a data set of each kind and no run; tests add labels and views only."""
    workspace = tmp_path_factory.mktemp("kinds")
    two_places(workspace / "datasets" / "banks")
    pictures_only(workspace / "datasets" / "flat")
    scattered_chips(workspace / "datasets" / "far", 120)
    return workspace


def at(app: AppTest, name: str, **query: str | list[str]) -> AppTest:
    for key, value in query.items():
        app.query_params[key] = value
    return opened(app, name)


def asked(page: AppTest, name: str) -> list[str]:
    value = page.query_params.get(name, [])
    return value if isinstance(value, list) else [value]


def leak_table(page: AppTest) -> pd.DataFrame:
    return next(frame.value for frame in page.dataframe if "chip_a" in frame.value)


def texts(page: AppTest) -> str:
    parts = [*page.markdown, *page.caption, *page.subheader, *page.info, *page.warning]
    return "\n".join([part.value for part in parts] + [html.value for html in page.get("html")])


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", PAGES)
def test_every_page_shows_every_kind_of_data_set(app_on: AppOn, kinds: Path, name: str, kind: str) -> None:
    page = at(app_on(kinds), name, dataset=kind)
    assert not page.exception
    assert not page.error


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("show", ["grid", "map", "table"])
def test_the_chips_of_every_kind_in_every_view(app_on: AppOn, kinds: Path, kind: str, show: str) -> None:
    page = at(app_on(kinds), "datasets", dataset=kind, view="chips", show=show)
    assert not page.exception
    assert not page.error
    number = {"banks": 126, "flat": 30, "far": 120}[kind]
    assert f"**{number}** chips" in texts(page)
    assert ("no place on the ground" in texts(page)) == (kind == "flat")


@pytest.mark.parametrize("kind", KINDS)
def test_a_chip_of_every_kind(app_on: AppOn, kinds: Path, kind: str) -> None:
    page = at(app_on(kinds), "datasets", dataset=kind, chip="1")
    assert not page.exception
    assert "Chip 1" in [heading.value for heading in page.subheader]
    assert "Land use as the test says" in texts(page)
    assert "percentiles 2 to 98" in texts(page)
    assert ("no place on the ground" in texts(page)) == (kind == "flat")


def test_the_catalogue_names_licence_size_and_content(app_on: AppOn, kinds: Path) -> None:
    page = at(app_on(kinds), "datasets")
    assert not page.exception
    shown = texts(page)
    for text in ("**3** data sets", "126 chips of 16 px", "CC BY 4.0", "Sentinel-2 L2A", "no place on the ground"):
        assert text in shown
    assert "Import a data set" in [button.label for button in page.button]


def test_titles_that_try_to_be_code_are_only_titles(app_on: AppOn, kinds: Path) -> None:
    for query in ({}, {"dataset": "flat"}, {"dataset": "flat", "view": "chips"}):
        page = at(app_on(kinds), "datasets", **query)
        assert not page.exception
        assert "<b>only" not in "".join(html.value for html in page.get("html"))
        assert "49" not in "".join(heading.value for heading in page.subheader)


def test_the_overview_says_how_the_split_was_made_and_that_it_leaks(app_on: AppOn, kinds: Path) -> None:
    shown = texts(at(app_on(kinds), "datasets", dataset="banks"))
    assert "As the source says" in shown
    assert "2 pairs of chips leak between splits: 1 pair of shared ground" in shown.replace("\\", "")
    assert "1 pair of exact duplicates" in shown
    assert "A. Tester \\(2026\\)" in shown
    assert "Stored as uint16, no-data 0" in shown
    assert "63 of 126 chips" in shown
    assert "No chip of one split shares ground" in texts(at(app_on(kinds), "datasets", dataset="far"))


def test_leaking_pairs_stand_side_by_side_with_links_to_both_chips(app_on: AppOn, kinds: Path) -> None:
    page = at(app_on(kinds), "datasets", dataset="banks", **{"show-leaks": "1"})
    assert not page.exception
    assert next(box for box in page.toggle if box.label == "Show the leaking chips on the map").value
    table = leak_table(page)
    assert table["chip_a"].tolist() == ["/datasets?dataset=banks&chip=0", "/datasets?dataset=banks&chip=1"]
    assert table["chip_b"].tolist() == ["/datasets?dataset=banks&chip=125", "/datasets?dataset=banks&chip=124"]
    assert table["picture_a"].str.startswith("/chips/banks/").all()
    assert table["kind"].tolist() == ["shared ground", "exact duplicate"]
    page = next(box for box in page.selectbox if box.label == "Kind of leak").select("exact duplicate").run()
    assert leak_table(page)["kind"].tolist() == ["exact duplicate"]


def test_pairs_that_are_counted_but_not_listed_are_said(app_on: AppOn, tmp_path: Path) -> None:
    data = two_places(tmp_path / "datasets" / "banks")
    split = data.manifest["split"] | {"leaks": {"shared ground": 40_000, "exact duplicate": 1}}
    manifest = data.manifest | {"split": split, "splits": [split]}
    (data.folder / "dataset.json").write_text(json.dumps(manifest))
    shown = texts(at(app_on(tmp_path), "datasets", dataset="banks"))
    assert "40,001 pairs of chips leak" in shown
    assert "All pairs are counted; 10,000 of each kind are listed" in shown


def test_a_new_split_is_tried_made_and_used_and_the_old_one_comes_back(app_on: AppOn, tmp_path: Path) -> None:
    data = two_places(tmp_path / "datasets" / "banks")
    page = at(app_on(tmp_path), "datasets", dataset="banks")
    page = next(button for button in page.button if button.label == "New split").click().run()
    page = next(box for box in page.selectbox if box.label == "How chips are divided").select("At random").run()
    assert not page.exception
    assert "This split would leak" in texts(page)
    page = next(box for box in page.text_input if box.label == "Name").set_value("Dice 1").run()
    assert "not a lower-case identifier" in page.error[0].value
    page = next(box for box in page.text_input if box.label == "Name").set_value("dice").run()
    page = next(button for button in page.button if button.label == "Create this split").click().run()
    assert not page.exception
    assert not page.error
    after = PackedChips.open(data.folder)
    assert [split["id"] for split in after.manifest["splits"]] == ["given-1", "dice-1"]
    assert after.split_id == "dice-1"
    assert after.fingerprint != data.fingerprint
    assert "**dice**, version 1" in texts(page)
    page = next(button for button in page.button if button.key == "splits.use.given-1").click().run()
    assert PackedChips.open(data.folder).split_id == "given-1"
    assert [button.key for button in page.button if button.label == "Use this one"] == ["splits.use.dice-1"]


def test_a_split_that_cannot_be_made_is_a_sentence(app_on: AppOn, tmp_path: Path) -> None:
    two_places(tmp_path / "datasets" / "banks")
    page = at(app_on(tmp_path), "datasets", dataset="banks")
    page = next(button for button in page.button if button.label == "New split").click().run()
    page = next(box for box in page.selectbox if box.label == "How chips are divided").select("Blocks of ground").run()
    page = next(box for box in page.number_input if box.label == "Side of a block (m)").set_value(900_000).run()
    assert not page.exception
    assert page.error
    assert "Create this split" not in [button.label for button in page.button]


def test_the_place_is_in_the_address_and_follows_the_chip(app_on: AppOn, kinds: Path) -> None:
    page = at(app_on(kinds), "map", dataset="banks")
    assert asked(page, "place") == ["west-bank"]
    box = next(box for box in page.selectbox if box.label == "Place")
    assert box.options == ["west-bank (63)", "east-bank (63)", "All places (126)"]
    assert asked(at(app_on(kinds), "map", dataset="banks", chip="100"), "place") == ["east-bank"]
    linked = at(app_on(kinds), "map", dataset="banks", chip="100", place="west-bank")
    assert asked(linked, "place") == ["west-bank"]
    every = at(app_on(kinds), "map", dataset="banks", chip="100", place="*")
    assert asked(every, "place") == ["*"]
    every.query_params["chip"] = "3"
    assert asked(every.run(), "place") == ["*"]
    assert asked(at(app_on(kinds), "map", dataset="banks", place="nowhere"), "place") == ["west-bank"]
    assert "Place" not in [box.label for box in at(app_on(kinds), "map", dataset="far").selectbox]


def test_filters_come_from_the_address_and_stay_there(app_on: AppOn, kinds: Path) -> None:
    query = {"split": ["train"], "class": ["water"], "task": "land_use", "key": "0-", "show": "table", "edge": "split"}
    page = at(app_on(kinds), "datasets", dataset="banks", view="chips", **query)
    assert not page.exception
    table = page.dataframe[0].value
    assert len(table) > 0
    assert set(table["split"]) == {"train"}
    assert set(table["land_use"]) == {"water"}
    assert table["key"].str.contains("0-").all()
    for name, value in query.items():
        assert asked(page, name) == (value if isinstance(value, list) else [value])


def test_a_widget_writes_the_address(app_on: AppOn, kinds: Path) -> None:
    page = at(app_on(kinds), "datasets", dataset="banks", view="chips")
    page = next(box for box in page.multiselect if box.label == "Class").select("forest").run()
    assert asked(page, "class") == ["forest"]
    page = next(box for box in page.text_input if box.label == "Name holds").set_value("east").run()
    assert asked(page, "key") == ["east"]
    page = next(box for box in page.toggle if box.label == "Only corrected by people").set_value(True).run()
    assert asked(page, "corrected") == ["1"]
    assert "No chip fits these filters" in texts(page)
    page = next(box for box in page.toggle if box.label == "Only corrected by people").set_value(False).run()
    assert "corrected" not in page.query_params
    assert "of 126 chips" in texts(page)


@pytest.mark.parametrize(
    "query",
    [
        {"split": "no"}, {"class": "{{7*7}}"}, {"show": "x"}, {"page": "99999"}, {"page": "-1"}, {"picked": "1-a-999999-2"},
        {"bands": "x"}, {"stretch": "x"}, {"chip": "999999"}, {"chip": "٣"}, {"key": "<b>" * 60}, {"task": "none"}, {"edge": "z"},
    ],
)  # fmt: skip
def test_an_address_that_makes_no_sense_does_no_harm(app_on: AppOn, kinds: Path, query: dict[str, str]) -> None:
    page = at(app_on(kinds), "datasets", dataset="banks", **({"view": "chips"} | query))
    assert not page.exception
    assert not page.error
    if "picked" in query:
        assert "2 chips picked" in texts(page)


def test_the_page_is_one_of_the_address(app_on: AppOn, kinds: Path) -> None:
    page = at(app_on(kinds), "datasets", dataset="banks", view="chips", show="table", page="2")
    assert page.dataframe[0].value["chip"].tolist() == list(range(96, 126))
    page = next(box for box in page.multiselect if box.label == "Class").select("forest").run()
    assert "page" not in page.query_params
    assert page.dataframe[0].value["chip"].iloc[0] < 10


def test_a_chips_page_shows_sensors_leaks_corrections_and_neighbours(app_on: AppOn, kinds: Path) -> None:
    app = app_on(kinds)
    event = LabelEvent(
        uuid=str(uuid.uuid4()), person="Ann <b>", kind="label", dataset="banks", chip=1, task="land_use", value=1
    )
    services().labels.append([event])
    page = at(app, "datasets", dataset="banks", chip="1")
    assert not page.exception
    shown = texts(page)
    assert "Exact duplicate with chip 124 of split test" in shown
    assert "Ann \\<b\\>" in shown
    assert "2 of 126 chosen chips" in shown
    page = next(button for button in page.button if button.label == "Next").click().run()
    assert asked(page, "chip") == ["2"]
    missing = at(app_on(kinds), "datasets", dataset="banks", chip="100")
    assert "This chip does not have this sensor" in texts(missing)


def test_next_goes_through_the_chosen_chips(app_on: AppOn, kinds: Path) -> None:
    page = at(app_on(kinds), "datasets", dataset="flat", chip="0", split=["train"])
    page = next(button for button in page.button if button.label == "Next").click().run()
    assert asked(page, "chip") == ["3"]
    assert "2 of 10 chosen chips" in texts(page)


def test_a_chips_own_stretch_is_said_in_numbers(app_on: AppOn, kinds: Path) -> None:
    page = at(app_on(kinds), "datasets", dataset="flat", chip="0", **{"chip-stretch": "chip"})
    assert "this chip's percentiles 2 to 98" in texts(page)


def test_the_map_without_ground_leads_to_the_chips(app_on: AppOn, kinds: Path) -> None:
    page = at(app_on(kinds), "map", dataset="flat", chip="3")
    assert not page.exception
    assert "no place on the ground" in texts(page)
    assert "SeaLake" not in texts(page)
    assert "Forest/img\\_3" in texts(page) or "Forest/img_3" in texts(page)


def test_a_view_is_saved_listed_and_deleted(app_on: AppOn, kinds: Path) -> None:
    page = at(app_on(kinds), "datasets", dataset="far", view="chips", region="east")
    next(box for box in page.text_input if box.label == "Name of this view").set_value("Eastern {{7*7}}")
    page = next(button for button in page.button if button.label == "Save this view").click().run()
    assert not page.exception
    kept = views(services().settings, "far")
    assert [view.name for view in kept] == ["Eastern {{7*7}}"]
    assert kept[0].query["region"] == "east"
    assert kept[0].query["dataset"] == "far"
    page = next(button for button in page.button if button.key == "view.drop.Eastern {{7*7}}").click().run()
    assert views(services().settings, "far") == []


def test_views_are_a_file_that_is_checked(tmp_path: Path) -> None:
    settings = load_settings(tmp_path)
    save_view(settings, "hills", "b  view", {"class": ["x", "y"], "task": "t"})
    save_view(settings, "hills", "A", {})
    save_view(settings, "hills", "b view", {"task": "other"})
    assert [(view.name, view.query) for view in views(settings, "hills")] == [("A", {}), ("b view", {"task": "other"})]
    assert views(settings, "other") == []
    delete_view(settings, "hills", "A")
    assert [view.name for view in views(settings, "hills")] == ["b view"]
    for name, query in (("  ", {}), ("long", {"key": "x" * 9000})):
        with pytest.raises(ViewRefused):
            save_view(settings, "hills", name, query)
    with pytest.raises(PathRefused):
        save_view(settings, "../runs", "x", {})
    for number in range(MOST - 1):
        save_view(settings, "hills", str(number), {})
    with pytest.raises(ViewRefused, match="Delete one first"):
        save_view(settings, "hills", "one more", {})
    (tmp_path / "views" / "hills.json").write_text('[{"name": 3}]')
    assert views(settings, "hills") == []


def test_going_back_from_a_chip_finds_the_filters_as_they_were(app_on: AppOn, kinds: Path) -> None:
    page = at(app_on(kinds), "datasets", dataset="banks", view="chips", show="table", key="east")
    page.query_params["chip"] = "70"
    page = page.run()
    assert "Chip 70" in [heading.value for heading in page.subheader]
    page = next(button for button in page.button if button.label == "All chips").click().run()
    assert (asked(page, "view"), asked(page, "show"), asked(page, "key")) == (["chips"], ["table"], ["east"])
    assert "of 126 chips" in texts(page)
