"""So2Sat LCZ42 as it lies on disk: three HDF5 files."""

import h5py
import numpy as np
import pytest

from spatialnet.errors import ImportRefused
from spatialnet.importing.chip_reader import ChipReader
from spatialnet.importing.formats.so2sat import IMPORTER
from spatialnet.importing.importer import Source
from spatialnet.tasks import UNKNOWN_CLASS


def write(path, zones, seed=0, **replaced):
    random = np.random.default_rng(seed)
    arrays = {
        "sen1": random.normal(0, 1, (len(zones), 32, 32, 8)),
        "sen2": random.uniform(0, 2.8, (len(zones), 32, 32, 10)),
        "label": np.eye(17)[list(zones)],
    } | replaced
    with h5py.File(path, "w") as file:
        for name, values in arrays.items():
            if values is not None:
                file[name] = values
    return arrays


@pytest.fixture
def root(tmp_path):
    write(tmp_path / "training.h5", [0, 9, 10], 0)
    write(tmp_path / "validation.h5", [16], 1)
    write(tmp_path / "testing.h5", [4, 5], 2)
    return tmp_path


def listed(root):
    return IMPORTER.listing(Source(root))


def test_zones_splits_and_the_derived_task(root):
    listing = listed(root)
    assert listing.chips["key"].tolist() == [
        "training.h5/0",
        "training.h5/1",
        "training.h5/2",
        "validation.h5/0",
        "testing.h5/0",
        "testing.h5/1",
    ]
    assert listing.chips["split"].tolist() == ["train"] * 3 + ["validation"] + ["test"] * 2
    zone, rural = listing.targets
    np.testing.assert_array_equal(zone.make(listing.labels), [0, 9, 10, 16, 4, 5])
    np.testing.assert_array_equal(rural.make(listing.labels), [1, 1, 0, 0, 1, 1])
    assert "1 to 10" in rural.derived
    assert listing.notes == ()


def test_pixels_are_those_of_the_file(root):
    arrays = write(root / "testing.h5", [1, 2], 7)
    for pixels, name in zip(listed(root).pixels, ("sen2", "sen1"), strict=True):
        assert len(pixels.sensor.bands) == arrays[name].shape[3]
        with ChipReader(pixels) as reader:
            chip = reader.chip(5)
        assert chip.dtype == np.float32
        np.testing.assert_array_equal(chip, arrays[name][1].transpose(2, 0, 1).astype(np.float32))


def test_rows_that_name_no_zone_or_two_are_unknown(root):
    label = np.eye(17)[[3, 3, 3]]
    label[0] = 0
    label[1, 5] = 1
    write(root / "training.h5", [3, 3, 3], label=label)
    listing = listed(root)
    np.testing.assert_array_equal(listing.targets[0].make(listing.labels)[:3], [UNKNOWN_CLASS, UNKNOWN_CLASS, 3])
    assert np.isnan(listing.targets[1].make(listing.labels)[:2]).all()
    assert any("2 patches name no zone" in note.text for note in listing.notes)


def test_a_missing_file_is_said(root):
    (root / "testing.h5").unlink()
    assert any("no testing.h5" in note.text for note in listed(root).notes)


def test_recognised(root, tmp_path_factory):
    assert "training.h5" in IMPORTER.recognise(root)
    other = tmp_path_factory.mktemp("other")
    assert IMPORTER.recognise(other) is None
    (other / "training.h5").write_bytes(b"")
    assert IMPORTER.recognise(other) is None
    with pytest.raises(ImportRefused, match="holds none of"):
        listed(tmp_path_factory.mktemp("none"))


@pytest.mark.parametrize(
    ("replaced", "said"),
    [
        ({"sen2": None}, "no array 'sen2'"),
        ({"label": np.zeros((3, 16))}, r"label of shape \(3, 16\)"),
        ({"label": np.zeros(())}, "label of shape"),
        ({"label": np.zeros((0, 17))}, "label of shape"),
        ({"sen1": np.zeros((3, 32, 32, 2))}, "sen1 of shape"),
        ({"sen2": np.zeros((2, 32, 32, 10))}, "sen2 of shape"),
        ({"label": np.array([b"x"] * 3)}, "no array 'label'"),
        ({"sen1": h5py.ExternalLink("validation.h5", "sen1")}, "no array 'sen1'"),
        ({"sen1": h5py.SoftLink("/sen2")}, "no array 'sen1'"),
    ],
)
def test_another_schema_is_refused(root, replaced, said):
    write(root / "training.h5", [0, 1, 2], **replaced)
    with pytest.raises(ImportRefused, match=said):
        listed(root)


@pytest.mark.parametrize("content", [b"", b"no hdf5" * 100])
def test_files_that_are_no_hdf5_are_refused(root, content):
    (root / "validation.h5").write_bytes(content)
    with pytest.raises(ImportRefused, match=r"validation\.h5 cannot be read"):
        listed(root)


def test_a_file_cut_short_is_refused(root):
    data = (root / "training.h5").read_bytes()
    (root / "training.h5").write_bytes(data[: len(data) // 2])
    with pytest.raises(ImportRefused, match=r"training\.h5 cannot be read"):
        listed(root)
