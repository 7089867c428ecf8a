import json

import numpy as np
import pandas as pd
import pytest

from spatialnet.datasets.catalogue import (
    chip_at,
    chip_table,
    leak_pairs,
    list_datasets,
    open_dataset,
    size_on_disk,
    target_facts,
    target_text,
    target_texts,
)
from spatialnet.datasets.packed import SPLITS, PackedChips
from spatialnet.errors import DataSetInvalid, DataSetNotFound, PathRefused
from spatialnet.tasks import Task
from tests.data_sets import LAND_USE, pictures_only, two_places


@pytest.fixture
def banks(settings) -> PackedChips:
    return two_places(settings.datasets / "banks")


def test_whole_data_sets_are_listed_and_others_left_out(settings, banks):
    (settings.datasets / "half").mkdir()
    (settings.datasets / "broken").mkdir()
    (settings.datasets / "broken" / "dataset.json").write_text("{")
    (settings.datasets / "old").mkdir()
    (settings.datasets / "old" / "dataset.json").write_text(json.dumps(banks.manifest | {"format": 1}))
    (settings.datasets / ".hidden.1-ff.partial").mkdir()
    (settings.datasets / "README").write_text("x")
    assert [data.name for data in list_datasets(settings)] == ["banks"]
    assert open_dataset(settings, "banks").fingerprint == banks.fingerprint


def test_names_that_are_none_are_refused(settings):
    with pytest.raises(DataSetNotFound):
        open_dataset(settings, "none")
    with pytest.raises(PathRefused):
        open_dataset(settings, "../runs")


def test_the_table_has_a_row_per_chip_with_place_split_and_block(banks):
    table = chip_table(banks)
    assert table["chip"].tolist() == table.index.tolist() == list(range(len(banks)))
    assert table["split"].tolist() == [SPLITS[i] for i in banks.splits]
    assert table["block"].tolist() == banks.blocks.tolist()
    assert set(table["place"]) == {"west-bank", "east-bank"}


def test_chips_without_a_place_have_empty_places(settings):
    flat = pictures_only(settings.datasets / "flat")
    table = chip_table(flat)
    assert table[["west", "latitude", "a", "f"]].isna().all(axis=None)
    assert (table["place"] == "").all()
    assert chip_at(table, 0.0, 0.0) is None


def test_a_table_of_another_length_is_refused(settings):
    flat = pictures_only(settings.datasets / "flat")
    pd.read_parquet(flat.folder / "chips.parquet").iloc[:5].to_parquet(flat.folder / "chips.parquet")
    with pytest.raises(DataSetInvalid, match="5 rows for 30 chips"):
        chip_table(flat)


def test_a_click_finds_the_chip_whose_middle_is_nearest(banks):
    table = chip_table(banks)
    for chip in (0, 17, len(table) - 1):
        place = table.loc[chip]
        assert chip_at(table, place["longitude"] + 1e-6, place["latitude"] - 1e-6) == chip
    assert chip_at(table, 0.0, 0.0) is None
    west = table["west"].min()
    assert chip_at(table, west - 1e-4, table.loc[0, "latitude"]) is None


def test_a_damaged_table_is_one_sentence(banks):
    (banks.folder / "chips.parquet").write_bytes(b"PAR1 no")
    with pytest.raises(DataSetInvalid, match="Build it again"):
        chip_table(banks)


def test_leaks_are_pairs_of_a_split_and_none_where_none_were_found(settings, banks):
    pairs = leak_pairs(banks)
    assert pairs["kind"].tolist() == ["shared ground", "exact duplicate"]
    assert pairs.equals(leak_pairs(banks, "given-1"))
    assert leak_pairs(pictures_only(settings.datasets / "flat")).empty
    (banks.folder / "splits" / "given-1.leaks.parquet").write_bytes(b"no")
    with pytest.raises(DataSetInvalid, match=r"given-1\.leaks"):
        leak_pairs(banks)


def test_the_size_is_that_of_all_files(settings):
    flat = pictures_only(settings.datasets / "flat")
    before = size_on_disk(flat)
    assert before > 30 * 3 * 32 * 32
    (flat.folder / "chips" / "more.npy").write_bytes(b"x" * 1000)
    assert size_on_disk(flat) == before + 1000


def test_where_targets_come_from(banks):
    assert target_facts(banks, LAND_USE) == (False, "Land use as the test says.")
    facts = {"land_use": {"derived": "the majority of the land cover", "sentence": ""}}
    derived = PackedChips(banks.folder, banks.manifest | {"targets": facts})
    assert target_facts(derived, LAND_USE) == (True, "The majority of the land cover.")
    silent = PackedChips(banks.folder, banks.manifest | {"targets": {}})
    assert target_facts(silent, LAND_USE) == (False, "As the source says.")


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


def test_many_targets_in_words_are_as_each_alone(banks):
    for task in banks.tasks:
        targets = banks.targets(task.name)
        assert target_texts(task, targets) == [target_text(task, target) for target in targets]
