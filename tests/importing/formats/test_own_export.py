"""An export read as a source of chips: pixels, targets and places as they were."""

import shutil

import numpy as np
import pytest

from spatialnet.errors import ImportRefused
from spatialnet.importing.chip_reader import ChipReader
from spatialnet.importing.formats.own_export import IMPORTER
from spatialnet.importing.importer import Source
from spatialnet.importing.transfer.archives import unpack
from spatialnet.importing.transfer.export import export_dataset
from tests.importing.packed_folder import write_data_set


@pytest.fixture
def data(tmp_path):
    return write_data_set(tmp_path / "town")


@pytest.mark.parametrize("as_folder", [False, True])
def test_listed_as_it_was(data, tmp_path, as_folder):
    source = export_dataset(data, tmp_path / "t.zip")
    if as_folder:
        unpack(source, tmp_path / "folder")
        source = tmp_path / "folder"
    for _ in range(2):  # the second time a zip is there unpacked
        listing = IMPORTER.listing(Source(source))
    assert listing.chips["key"].tolist() == [f"c{i}" for i in range(7)]
    assert listing.chips["split"].tolist() == ["train"] * 3 + ["validation", "test", "", "test"]
    assert listing.chips["region"].tolist() == ["north"] * 4 + ["south"] * 3
    assert listing.origin.title == data.title
    assert listing.origin.synthetic
    assert listing.stride == 2
    for task in data.tasks:
        np.testing.assert_array_equal(listing.ready[task.name].hard, data.targets(task.name))
    np.testing.assert_array_equal(listing.ready["presence"].soft, data.soft_targets("presence"))
    assert [plan.task() for plan in listing.targets] == list(data.tasks)
    for pixels in listing.pixels:
        raw, present = data.images(pixels.sensor.name).raw, data.present(pixels.sensor.name)
        with ChipReader(pixels) as reader:
            for i in range(7):
                chip = reader.chip(i)
                assert (chip is not None) == present[i]
                if chip is not None:
                    assert chip.dtype == raw.dtype
                    np.testing.assert_array_equal(chip, raw[i])
    (place,) = listing.places
    assert place.name == "town"
    assert place.land_cover.is_file()
    assert set(place.scenes) == {"rgb", "sentinel1"}


def test_recognised(data, tmp_path):
    source = export_dataset(data, tmp_path / "t.zip")
    assert "Town" in IMPORTER.recognise(source)
    unpack(source, tmp_path / "folder")
    assert "Town" in IMPORTER.recognise(tmp_path / "folder")
    assert IMPORTER.recognise(data.folder) is None
    assert IMPORTER.recognise(data.folder / "dataset.json") is None
    (tmp_path / "bad.zip").write_bytes(b"")
    assert IMPORTER.recognise(tmp_path / "bad.zip") is None
    assert IMPORTER.recognise(tmp_path / "none") is None


def test_a_changed_file_is_refused(data, tmp_path):
    unpack(export_dataset(data, tmp_path / "t.zip"), tmp_path / "folder")
    shutil.copy(tmp_path / "folder/chips/rgb.npy", tmp_path / "folder/chips/sentinel1.npy")
    with pytest.raises(ImportRefused, match="changed or damaged"):
        IMPORTER.listing(Source(tmp_path / "folder"))
