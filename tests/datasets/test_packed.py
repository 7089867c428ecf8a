import json
import shutil

import numpy as np
import pytest

from spatialnet.datasets.packed import PackedChips, fingerprint
from spatialnet.errors import DataSetInvalid, DataSetNotFound


@pytest.fixture
def folder(tmp_path, landscape):
    return shutil.copytree(landscape.folder, tmp_path / "copy")


def test_a_data_set_is_as_long_as_all_its_arrays(landscape_stack):
    data = landscape_stack
    for sensor in data.sensors:
        images = data.images(sensor.name)
        assert images.shape == (len(data), len(sensor.bands), data.chip_size, data.chip_size)
        assert images.dtype == np.float32
        assert isinstance(images, np.memmap)
        assert data.present(sensor.name).tolist() == [True] * len(data)
    for task in data.tasks:
        assert len(data.targets(task.name)) == len(data)
    assert len(data.splits) == len(data.blocks) == len(data)
    assert sum(len(data.in_split(split)) for split in ("train", "validation", "test", "guard")) == len(data)


def test_statistics_are_those_of_the_training_chips(landscape):
    mean, std = landscape.statistics("landsat7")
    train = landscape.images("landsat7")[landscape.in_split("train")].astype(np.float64)
    assert mean == pytest.approx(train.mean(axis=(0, 2, 3)), rel=1e-5)
    assert std == pytest.approx(train.std(axis=(0, 2, 3)), rel=1e-5)


def test_a_data_set_that_is_not_there_or_damaged_is_one_sentence(folder):
    with pytest.raises(DataSetNotFound, match="No data set called none"):
        PackedChips.open(folder.with_name("none"))
    for content in (b"", b"{", b"[]", b"{}", b"\xff\xfe"):
        (folder / "dataset.json").write_bytes(content)
        with pytest.raises(DataSetInvalid, match=r"manifest of data set copy .*Build it again"):
            PackedChips.open(folder)


@pytest.mark.parametrize("damage", ["gone", "empty", "cut", "short", "object"])
def test_a_damaged_array_is_one_sentence(folder, damage):
    data = PackedChips.open(folder)
    path = folder / "chips" / "landsat7.npy"
    if damage == "gone":
        path.unlink()
    elif damage == "empty":
        path.write_bytes(b"")
    elif damage == "cut":
        path.write_bytes(path.read_bytes()[:-1000])
    elif damage == "short":
        np.save(path, np.zeros((3, 6, 16, 16), np.float32))
    else:
        np.save(path, np.array([{"code": "runs"}], object), allow_pickle=True)
    with pytest.raises(DataSetInvalid, match="Build it again"):
        data.images("landsat7")


def test_an_unknown_task_is_one_sentence(landscape):
    with pytest.raises(DataSetInvalid, match=r"no task '\{\{7\*7\}\}'; it has land_use, presence"):
        landscape.task("{{7*7}}")


def test_the_fingerprint_changes_with_any_array(folder):
    seen = {fingerprint(folder)}
    assert seen == {json.loads((folder / "dataset.json").read_text())["fingerprint"]}
    for name in ("chips/landsat7.npy", "targets/land_use.npy", "soft/presence.npy", "splits.npy"):
        array = np.load(folder / name)
        array.flat[5] = array.flat[5] + 1
        np.save(folder / name, array)
        seen.add(fingerprint(folder))
    assert len(seen) == 5
    (folder / "dataset.json").write_text("{}")
    assert fingerprint(folder) in seen
