"""BigEarthNet v2 as it lies on disk: one file per band, 120, 60 and 20 pixels wide."""

import numpy as np
import pandas as pd
import pytest
import tifffile

from spatialnet.errors import ImportRefused
from spatialnet.importing.chip_reader import ChipReader
from spatialnet.importing.formats.bigearthnet import IMPORTER
from spatialnet.importing.importer import Source

TILE = "S2A_MSIL2A_20170613T101031_N9999_R022_T33UUP"
SCENE = "S1A_IW_GRDH_1SDV_20170613T165043_33UUP"
SIZES = {
    "B01": 2,
    "B02": 12,
    "B03": 12,
    "B04": 12,
    "B05": 6,
    "B06": 6,
    "B07": 6,
    "B08": 12,
    "B8A": 6,
    "B09": 2,
    "B11": 6,
    "B12": 6,
}


def patch(i):
    return f"{TILE}_{i}_57"


def radar(i):
    return f"{SCENE}_{i}_57_x"


@pytest.fixture
def root(tmp_path):
    """Patches 0 to 3 in the metadata, 0 to 2 on disk, 0 and 1 with Sentinel-1."""
    for i in range(3):
        folder = tmp_path / "BigEarthNet-S2" / TILE / patch(i)
        folder.mkdir(parents=True)
        for number, (band, size) in enumerate(SIZES.items()):
            tifffile.imwrite(folder / f"{patch(i)}_{band}.tif", np.full((size, size), 100 * i + number, np.uint16))
    for i in range(2):
        folder = tmp_path / "BigEarthNet-S1" / SCENE / radar(i)
        folder.mkdir(parents=True)
        for number, band in enumerate(("VV", "VH")):
            tifffile.imwrite(folder / f"{radar(i)}_{band}.tif", np.full((12, 12), -10.5 - number, np.float32))
    write_metadata(tmp_path)
    return tmp_path


def write_metadata(root, **columns):
    table = {
        "patch_id": [patch(i) for i in range(4)],
        "labels": [
            ["Urban fabric", "Pastures"],
            ["Moors, heathland and sclerophyllous vegetation"],
            [],
            ["Marine waters"],
        ],
        "split": ["train", "validation", "test", "train"],
        "country": ["Austria", "Austria", "Finland", "Finland"],
        "s1_name": [radar(i) for i in range(4)],
        "contains_cloud_or_shadow": [False] * 4,
    }
    pd.DataFrame(table | columns).to_parquet(root / "metadata.parquet")


def listed(root, **options):
    return IMPORTER.listing(Source(root, options))


def test_labels_splits_and_countries(root):
    listing = listed(root)
    assert listing.chips["key"].tolist() == [patch(i) for i in range(3)]
    assert listing.chips["split"].tolist() == ["train", "validation", "test"]
    assert listing.chips["region"].tolist() == ["Austria", "Austria", "Finland"]
    cover, rural = listing.targets
    made = cover.make(listing.labels)
    assert made.shape == (3, 19)
    assert [cover.classes[i] for i in np.flatnonzero(made[0] == 1)] == ["urban fabric", "pastures"]
    assert [cover.classes[i] for i in np.flatnonzero(made[1] == 1)] == [
        "moors, heathland and sclerophyllous vegetation"
    ]
    assert np.isnan(made[2]).all()
    np.testing.assert_array_equal(rural.make(listing.labels), [1, 0, np.nan])
    assert "urban fabric" in rural.derived
    (drop,) = [note for note in listing.notes if note.severity == "drop"]
    assert drop.names == (patch(3),)


def test_bands_come_in_order_and_coarse_ones_are_grown(root):
    optical, sar = listed(root).pixels
    with ChipReader(optical) as reader:
        chip = reader.chip(1)
    assert chip.shape == (12, 12, 12)
    assert chip.dtype == np.uint16
    np.testing.assert_array_equal(chip[:, 5, 7], 100 + np.arange(12))
    with ChipReader(sar) as reader:
        np.testing.assert_array_equal(reader.chip(0)[:, 0, 0], [-10.5, -11.5])
        assert reader.chip(2) is None
    assert sar.present.tolist() == [True, True, False]


def test_without_sentinel_1_there_is_one_sensor(root):
    (root / "BigEarthNet-S1").rename(root / "elsewhere")
    listing = listed(root)
    assert [sensor.name for sensor in listing.sensors] == ["sentinel2_l2a"]
    assert any("no folder BigEarthNet-S1" in note.text for note in listing.notes)
    (root / "BigEarthNet-S1").mkdir()
    assert len(listed(root).sensors) == 1


def test_countries_and_number_can_be_chosen(root):
    assert len(listed(root, countries="Austria")) == 2
    one = listed(root, max_patches="1", countries="Austria")
    assert len(one) == 1
    assert one.chips["key"][0] == listed(root, max_patches="1", countries="Austria").chips["key"][0]
    assert any("1 of 2 patches were drawn" in note.text for note in one.notes)


@pytest.mark.parametrize(
    ("options", "said"),
    [({"countries": "Atlantis"}, "No patch lies in 'Atlantis'"), ({"max_patches": "-3"}, "whole number")],
)
def test_answers_that_fit_nothing_are_refused(root, options, said):
    with pytest.raises(ImportRefused, match=said):
        listed(root, **options)


def test_recognised(root, tmp_path_factory):
    assert "metadata.parquet" in IMPORTER.recognise(root)
    assert IMPORTER.recognise(tmp_path_factory.mktemp("none")) is None


def test_metadata_of_another_form_is_refused(root):
    path = root / "metadata.parquet"
    for content in (b"", b"no parquet"):
        path.write_bytes(content)
        with pytest.raises(ImportRefused, match="cannot be read"):
            listed(root)
    pd.DataFrame({"patch_id": ["a"]}).to_parquet(path)
    with pytest.raises(ImportRefused, match="lacks"):
        listed(root)
    write_metadata(root, labels=["Pastures"] * 4)
    with pytest.raises(ImportRefused, match="another form"):
        listed(root)
    write_metadata(root, patch_id=["../../etc", "b", "c", "d"])
    with pytest.raises(ImportRefused, match="another form"):
        listed(root)
    path.unlink()
    with pytest.raises(ImportRefused, match=r"There is no metadata\.parquet"):
        listed(root)


def test_labels_of_another_list_are_said_or_refused(root):
    write_metadata(root, labels=[["Pastures", "Lava"], ["Pastures"], ["Lava"], ["Pastures"]])
    listing = listed(root)
    assert any("1 labels are none of the 19 classes" in note.text for note in listing.notes)
    assert np.isnan(listing.targets[0].make(listing.labels)[2]).all()
    write_metadata(root, labels=[[f"class {i}" for i in range(40)]] * 4)
    with pytest.raises(ImportRefused, match="none of the 19"):
        listed(root)


def test_missing_folders_are_refused(root):
    (root / "BigEarthNet-S2" / TILE).rename(root / "BigEarthNet-S2" / "other")
    with pytest.raises(ImportRefused, match="None of the 4 patches"):
        listed(root)
    (root / "BigEarthNet-S2").rename(root / "S2")
    with pytest.raises(ImportRefused, match="tar --zstd"):
        listed(root)
