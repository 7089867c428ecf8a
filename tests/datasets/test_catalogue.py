import json

import numpy as np
import pytest

from spatialnet.datasets.catalogue import chip_at, chip_table, list_datasets, open_dataset, target_text
from spatialnet.errors import DataSetInvalid, DataSetNotFound, PathRefused
from spatialnet.tasks import Task


def test_whole_data_sets_are_listed_and_others_left_out(settings, in_workspace):
    (settings.datasets / "half").mkdir()
    (settings.datasets / "broken").mkdir()
    (settings.datasets / "broken" / "dataset.json").write_text("{")
    (settings.datasets / ".hidden.1-ff.partial").mkdir()
    (settings.datasets / "README").write_text("x")
    assert [data.name for data in list_datasets(settings)] == ["landscape"]
    assert open_dataset(settings, "landscape").fingerprint == in_workspace.fingerprint


def test_names_that_are_none_are_refused(settings):
    with pytest.raises(DataSetNotFound):
        open_dataset(settings, "none")
    with pytest.raises(PathRefused):
        open_dataset(settings, "../runs")


def test_a_click_finds_the_chip_whose_middle_is_nearest(landscape):
    table = chip_table(landscape)
    for chip in (0, 17, len(table) - 1):
        place = table.loc[chip]
        assert chip_at(table, place["longitude"] + 1e-6, place["latitude"] - 1e-6) == chip
    assert chip_at(table, 0.0, 0.0) is None
    west = table["west"].min()
    assert chip_at(table, west - 1e-4, table.loc[0, "latitude"]) is None


def test_a_damaged_table_is_one_sentence(in_workspace):
    (in_workspace.folder / "chips.parquet").write_bytes(b"PAR1 no")
    with pytest.raises(DataSetInvalid, match="Build it again"):
        chip_table(in_workspace)


@pytest.mark.parametrize(
    ("kind", "target", "text"),
    [
        ("multiclass", 1, "water"), ("multiclass", -100, "unknown"), ("multiclass", np.nan, "unknown"),
        ("binary", 0.0, "forest"), ("binary", np.nan, "unknown"),
        ("multilabel", [1, 1], "forest, water"), ("multilabel", [0, 0], "none"), ("multilabel", [0, None], "none"),
        ("multilabel", [np.nan, np.nan], "unknown"), ("multilabel", [np.nan, 1], "water"),
        ("count", [3, 0], "forest 3, water 0"), ("count", [np.nan, 2.5], "water 2.5"),
    ],
)  # fmt: skip
def test_targets_in_words(kind, target, text):
    assert target_text(Task("t", kind, ("forest", "water")), target) == text


def test_the_manifest_has_what_the_pages_read(landscape):
    manifest = json.loads((landscape.folder / "dataset.json").read_text())
    assert {
        "title",
        "licence",
        "citation",
        "source",
        "synthetic",
        "derived",
        "rules",
        "split",
        "scene",
    } <= manifest.keys()
    assert manifest["derived"] is True
