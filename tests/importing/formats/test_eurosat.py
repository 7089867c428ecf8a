import numpy as np
import pytest

from spatialnet.errors import ImportRefused
from spatialnet.importing.chip_reader import ChipReader
from spatialnet.importing.formats.eurosat import IMPORTER
from spatialnet.importing.importer import Source
from spatialnet.sensors import SENSORS
from tests.importing.image_trees import picture, texts, tiff

CLASSES = (
    "AnnualCrop", "Forest", "HerbaceousVegetation", "Highway", "Industrial", "Pasture", "PermanentCrop", "Residential",
    "River", "SeaLake",
)  # fmt: skip


@pytest.fixture
def torchgeo(tmp_path):
    base = tmp_path / "ds/images/remote_sensing/otherDatasets/sentinel_2/tif"
    for name in CLASSES:
        for number in (1, 2, 3):
            tiff(base / name / f"{name}_{number}.tif", 13)
    for number, split in enumerate(("train", "val", "test"), 1):
        (tmp_path / f"eurosat-{split}.txt").write_text("".join(f"{name}_{number}.jpg\n" for name in CLASSES))
        turned = number % 3 + 1
        (tmp_path / f"eurosat-spatial-{split}.txt").write_text("".join(f"{name}_{turned}.jpg\n" for name in CLASSES))
    return tmp_path


def test_the_zip_with_13_bands_and_both_splits(torchgeo):
    assert IMPORTER.recognise(torchgeo)
    listing = IMPORTER.listing(Source(torchgeo))
    assert len(listing) == 30
    assert listing.targets[0].classes == (
        "annual crop", "forest", "herbaceous vegetation", "highway", "industrial", "pasture", "permanent crop", "residential",
        "river", "sea or lake",
    )  # fmt: skip
    assert np.bincount(listing.targets[0].make(listing.labels)).tolist() == [3] * 10
    splits = dict(zip(listing.chips["key"].str.rsplit("/", n=1).str[1], listing.chips["split"], strict=True))
    assert (splits["Forest_1.tif"], splits["River_2.tif"]) == ("test", "train")
    assert "the spatial one is taken" in texts(listing)
    random = IMPORTER.listing(Source(torchgeo, {"split": "random"}))
    assert random.chips["split"].tolist() == ["train", "validation", "test"] * 10
    assert "prefer the spatial one" in texts(random)


def test_b8a_is_last_in_the_file_and_ninth_in_the_sensor(torchgeo):
    (pixels,) = IMPORTER.listing(Source(torchgeo)).pixels
    assert pixels.sensor == SENSORS["sentinel2_l1c"]
    with ChipReader(pixels) as reader:
        chip = reader.chip(0)
    found = dict(zip(pixels.sensor.bands, chip[:, 0, 0].tolist(), strict=True))
    assert found == {
        "B01": 1, "B02": 2, "B03": 3, "B04": 4, "B05": 5, "B06": 6, "B07": 7, "B08": 8, "B8A": 13, "B09": 9, "B10": 10, "B11": 11,
        "B12": 12,
    }  # fmt: skip


def test_rural_and_urban_are_derived_and_ambiguous_classes_unknown(torchgeo):
    listing = IMPORTER.listing(Source(torchgeo))
    plan = listing.targets[1]
    by_class = dict(zip(listing.labels["land_use"], plan.make(listing.labels), strict=True))
    assert {name for name, value in by_class.items() if value == 1} == {"Industrial", "Residential"}
    assert {name for name, value in by_class.items() if np.isnan(value)} == {"Highway", "River", "SeaLake"}
    assert "unknown" in plan.derived


@pytest.mark.parametrize("folder", ["EuroSAT_RGB", "2750"])
def test_rgb(tmp_path, folder):
    for name in CLASSES:
        picture(tmp_path / folder / name / f"{name}_1.jpg")
    for path in (tmp_path, tmp_path / folder):
        assert IMPORTER.recognise(path)
        listing = IMPORTER.listing(Source(path))
        assert (len(listing), listing.sensors[0].name, listing.sensors[0].gsd_m) == (10, "rgb", 10)
    assert "No official split" in texts(listing)
    with pytest.raises(ImportRefused, match="13 bands"):
        IMPORTER.listing(Source(tmp_path, {"images": "13 bands"}))


def test_both_kinds_side_by_side_as_on_zenodo(tmp_path):
    for name in CLASSES:
        picture(tmp_path / "EuroSAT_RGB" / name / f"{name}_1.jpg")
        tiff(tmp_path / "EuroSAT_MS" / name / f"{name}_1.tif", 13)
    listing = IMPORTER.listing(Source(tmp_path))
    assert (len(listing), len(listing.sensors[0].bands)) == (10, 13)
    assert "those with 13 bands are taken" in texts(listing)
    assert len(IMPORTER.listing(Source(tmp_path, {"images": "rgb"})).sensors[0].bands) == 3


def test_downloads_are_https_with_checksums():
    assert [len(remote.md5) for remote in IMPORTER.downloads] == [32] * 7
    assert all(remote.url.startswith("https://") for remote in IMPORTER.downloads)
