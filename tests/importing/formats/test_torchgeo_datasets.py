import sys

import numpy as np
import pytest

from spatialnet.errors import ImportRefused
from spatialnet.importing.chip_reader import ChipReader
from spatialnet.importing.formats.torchgeo_datasets import IMPORTER
from spatialnet.importing.importer import Source
from tests.importing.image_trees import picture, tiff

CLASSES = (
    "AnnualCrop", "Forest", "HerbaceousVegetation", "Highway", "Industrial", "Pasture", "PermanentCrop", "Residential",
    "River", "SeaLake",
)  # fmt: skip


def test_without_torchgeo_one_sentence_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "torchgeo", None)
    monkeypatch.delitem(sys.modules, "torchgeo.datasets", raising=False)
    with pytest.raises(
        ImportRefused, match=r"TorchGeo is not installed\. Install it with `pip install -r requirements-torchgeo.txt`"
    ):
        IMPORTER.listing(Source(tmp_path, {"dataset": "EuroSAT"}))


def test_a_name_must_be_given(tmp_path):
    with pytest.raises(ImportRefused, match="Data set"):
        IMPORTER.listing(Source(tmp_path))


@pytest.fixture
def torchgeo():
    return pytest.importorskip("torchgeo.datasets")


@pytest.fixture
def eurosat(tmp_path):
    base = tmp_path / "ds/images/remote_sensing/otherDatasets/sentinel_2/tif"
    for name in CLASSES:
        for number in (1, 2, 3):
            tiff(base / name / f"{name}_{number}.tif", 13, size=6)
    for number, split in enumerate(("train", "val", "test"), 1):
        (tmp_path / f"eurosat-{split}.txt").write_text("".join(f"{name}_{number}.jpg\n" for name in CLASSES))
    return tmp_path


def test_eurosat_through_torchgeo(torchgeo, eurosat):
    listing = IMPORTER.listing(Source(eurosat, {"dataset": "EuroSAT"}))
    assert len(listing) == 30
    assert listing.chips["split"].tolist() == ["train"] * 10 + ["validation"] * 10 + ["test"] * 10
    assert listing.chips["key"][0].endswith("tif/AnnualCrop/AnnualCrop_1.tif")
    assert listing.targets[0].classes[-1] == "sea or lake"
    assert listing.targets[0].make(listing.labels).tolist() == [*range(10)] * 3
    (pixels,) = listing.pixels
    assert (pixels.reader, pixels.sensor.name) == ("npy", "sentinel2_l1c")
    with ChipReader(pixels) as reader:
        chip = reader.chip(29)
    assert chip.dtype == np.uint8
    assert chip[:, 0, 0].tolist() == [1, 2, 3, 4, 5, 6, 7, 8, 13, 9, 10, 11, 12]


def test_what_was_written_is_used_again(torchgeo, eurosat):
    first = IMPORTER.listing(Source(eurosat, {"dataset": "EuroSAT"}))
    (file,) = first.pixels[0].files
    before = file.stat().st_mtime_ns
    again = IMPORTER.listing(Source(eurosat, {"dataset": "EuroSAT"}))
    assert file.stat().st_mtime_ns == before
    assert again.chips.equals(first.chips)
    (eurosat / "chips-EuroSAT/index.json").write_text("{")
    IMPORTER.listing(Source(eurosat, {"dataset": "EuroSAT"}))
    assert file.stat().st_mtime_ns > before


def test_images_of_several_sizes_and_no_split(torchgeo, tmp_path):
    for number, (name, size) in enumerate((("airplane", 8), ("beach", 8), ("beach", 6))):
        picture(tmp_path / f"PatternNet/images/{name}/{number}.jpg", size=size, seed=number)
    listing = IMPORTER.listing(Source(tmp_path, {"dataset": "PatternNet"}))
    assert listing.targets[0].make(listing.labels).tolist() == [0, 1, 1]
    with ChipReader(listing.pixels[0]) as reader:
        shapes = [reader.chip(i).shape for i in range(3)]
    assert shapes == [(3, 8, 8), (3, 8, 8), (3, 6, 6)]


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("Nothing", "data set of chips called"),
        ("NAIP", "data set of chips called"),
        ("EuroSAT", "does not find EuroSAT"),
    ],
)
def test_other_names_and_missing_files_are_refused(torchgeo, tmp_path, name, said):
    with pytest.raises(ImportRefused, match=said):
        IMPORTER.listing(Source(tmp_path, {"dataset": name}))
