import json
import shutil
from dataclasses import replace

import numpy as np
import pytest

from spatialnet.datasets.packed import ChipArray, PackedChips, digest, fingerprint
from spatialnet.errors import DataSetInvalid, DataSetNotFound


@pytest.fixture
def folder(tmp_path, landscape):
    return shutil.copytree(landscape.folder, tmp_path / "copy")


def test_a_data_set_is_as_long_as_all_its_arrays(landscape_stack):
    data = landscape_stack
    for sensor in data.sensors:
        images = data.images(sensor.name)
        assert images.shape == (len(data), len(sensor.bands), data.chip_size, data.chip_size)
        assert len(images) == len(data)
        assert images[0].dtype == np.float32
        assert not images.raw.flags.owndata  # mapped, not read
        assert not images.raw.flags.writeable
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


def test_the_fingerprint_changes_with_chips_targets_and_the_split_in_use(folder):
    manifest = json.loads((folder / "dataset.json").read_text())
    digests, split = manifest["digests"], manifest["split"]["id"]
    arrays = sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*.npy"))
    assert sorted(digests) == arrays
    tasks = PackedChips.open(folder).tasks
    seen = {fingerprint(digests, split, tasks)}
    assert seen == {manifest["fingerprint"]}
    for name in ("chips/landsat7.npy", "targets/land_use.npy", "soft/presence.npy", f"splits/{split}.npy"):
        array = np.load(folder / name)
        array.flat[5] = array.flat[5] + 1
        np.save(folder / name, array)
        digests = digests | {name: digest(folder / name)}
        seen.add(fingerprint(digests, split, tasks))
    assert len(seen) == 5
    more = digests | {"splits/other-1.npy": "0" * 64, "splits/other-1.blocks.npy": "1" * 64}
    assert fingerprint(more, split, tasks) == fingerprint(digests, split, tasks)
    assert fingerprint(more, "other-1", tasks) not in seen
    assert fingerprint(dict(reversed(digests.items())), split, tasks) == fingerprint(digests, split, tasks)
    renamed = replace(tasks[0], classes=tuple(f"{name}!" for name in tasks[0].classes))
    assert fingerprint(digests, split, [renamed, *tasks[1:]]) != fingerprint(digests, split, tasks)
    assert fingerprint(digests, split, [replace(tasks[0], title="x"), *tasks[1:]]) == fingerprint(digests, split, tasks)


def test_a_folder_of_another_format_is_one_sentence(folder):
    for format_ in (1, None, "2", 3):
        manifest = json.loads((folder / "dataset.json").read_text()) | {"format": format_}
        (folder / "dataset.json").write_text(json.dumps(manifest))
        with pytest.raises(
            DataSetInvalid, match=r"Data set copy has format .*; this version reads format 2\. Import it"
        ):
            PackedChips.open(folder)


# Chips as they are asked for


STORED = np.arange(5 * 2 * 3 * 3).reshape(5, 2, 3, 3)


def test_chips_can_be_asked_for_by_number_slice_and_arrays():
    raw = STORED.astype(np.uint16)
    chips = ChipArray(raw, None)
    assert (len(chips), chips.shape) == (5, (5, 2, 3, 3))
    questions = [
        2, np.int64(3), -1, slice(1, 4), slice(None, None, -2), np.array([4, 0, 0]), np.array([-1, -5]),
        np.array([True, False, True, False, False]), np.array([], int), [3, 1],
    ]  # fmt: skip
    for question in questions:
        found = chips[question]
        assert found.dtype == np.float32
        assert found.flags.writeable
        assert np.array_equal(found, raw[question])
    for beyond in (5, -6, np.array([0, 5])):
        with pytest.raises(IndexError):
            chips[beyond]
    found = chips[0]
    found[:] = 7  # what is given away is a copy
    assert np.array_equal(raw, STORED)


@pytest.mark.parametrize(
    ("dtype", "nodata"), [("uint8", 0), ("uint16", 65535), ("int16", -32768), ("float32", -9999.0), ("float32", 1e-30)]
)
def test_the_no_data_value_becomes_nan_and_nothing_else_does(dtype, nodata):
    raw = (STORED + 1).astype(dtype)
    raw[1, 0, 2, 2], raw[4, 1] = nodata, nodata
    chips = ChipArray(raw, nodata)
    for found in (chips[:], np.stack([chips[i] for i in range(5)])):
        assert np.array_equal(np.isnan(found), raw == np.asarray(nodata).astype(dtype))
        assert np.array_equal(np.nan_to_num(found), np.where(np.isnan(found), 0, raw))
    assert np.isfinite(ChipArray(raw, None)[:]).all()


def test_infinite_values_become_nan():
    raw = STORED.astype(np.float32)
    raw[0, 0, 0, 0], raw[2, 1, 1, 1], raw[3, 0, 0, 0] = np.inf, -np.inf, np.nan
    found = ChipArray(raw, None)[:]
    assert np.array_equal(np.isnan(found), ~np.isfinite(raw))
    assert np.isinf(raw[0, 0, 0, 0])


def test_a_large_number_keeps_its_value_as_far_as_float32_holds_it():
    raw = np.array([2**31 - 1, -(2**31), 16_777_216], np.int32).reshape(3, 1, 1, 1)
    assert ChipArray(raw, None)[:].ravel().tolist() == [2.0**31, -(2.0**31), 16_777_216.0]


def test_a_data_set_without_ground_says_so(folder):
    data = PackedChips.open(folder)
    assert data.has_ground
    assert data.bounds == tuple(data.manifest["bounds"])
    without = PackedChips(folder, data.manifest | {"bounds": None, "places": []})
    assert (without.has_ground, without.bounds, without.places) == (False, None, ())
