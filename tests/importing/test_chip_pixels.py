import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spatialnet.importing.chip_pixels import fill_value, resampled, stored_chips
from spatialnet.importing.listing import Pixels
from spatialnet.importing.prescan.scan import Storage
from spatialnet.sensors import SENSORS, Sensor
from tests.importing.image_trees import picture, tiff

TWO = Sensor("two", "optical", ("a", "b"), (500.0, 600.0), 10.0)


def files(sensor, paths, missing=()):
    file = np.arange(len(paths), dtype=np.int32)[:, None]
    file[list(missing)] = -1
    zero = np.zeros(len(paths), np.int64)
    return Pixels(sensor, "files", tuple(paths), file, zero, zero)


# A chip of another size


@given(size=st.integers(1, 20), side=st.integers(1, 20), value=st.integers(0, 255))
def test_one_value_stays_that_value(size, side, value):
    found = resampled(np.full((2, side, side), value, np.uint8), size, None)
    assert (found.shape, found.dtype) == ((2, size, size), np.uint8)
    assert (found == value).all()


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int16", "int32", "float32"])
def test_a_chip_that_shrinks_is_averaged_and_keeps_its_type(dtype):
    chip = np.random.default_rng(0).integers(0, 200, (3, 32, 32)).astype(dtype)
    found = resampled(chip, 8, None)
    assert (found.shape, found.dtype) == ((3, 8, 8), np.dtype(dtype))
    means = chip.reshape(3, 8, 4, 8, 4).mean(axis=(2, 4))
    assert np.corrcoef(found.ravel(), means.ravel())[0, 1] > 0.8
    assert found.std() < chip.std() / 2
    assert found.mean() == pytest.approx(chip.mean(), rel=0.03)


def test_a_chip_that_grows_is_interpolated_within_its_range():
    chip = np.array([[[0, 65535], [0, 65535]]], np.uint16)
    found = resampled(chip, 8, None)[0].astype(int)
    assert (np.diff(found, axis=1) >= 0).all()
    assert (found[:, 0].max(), found[:, -1].min()) == (0, 65535)
    assert (np.ptp(found, axis=0) == 0).all()
    assert len(np.unique(found)) > 3


def test_each_band_is_resampled_for_itself():
    chip = np.stack([np.full((6, 6), 10, np.uint8), np.full((6, 6), 90, np.uint8)])
    assert [np.unique(band).tolist() for band in resampled(chip, 4, None)] == [[10], [90]]


def test_a_chip_that_is_no_square_becomes_one():
    chip = np.repeat(np.arange(12, dtype=np.float32)[None, None], 6, axis=1)
    found = resampled(chip, 6, None)
    assert found.shape == (1, 6, 6)
    assert (np.diff(found[0], axis=1) > 0).all()


@pytest.mark.parametrize(
    ("dtype", "nodata"), [("uint16", 0), ("int16", -9999), ("float32", -9999.0), ("float32", None)]
)
@pytest.mark.parametrize("size", [4, 8, 13, 40])
def test_pixels_without_data_are_never_mixed_with_others(dtype, nodata, size):
    chip = np.random.default_rng(0).integers(100, 200, (2, 16, 16)).astype(dtype)
    chip[:, :5] = np.nan if nodata is None else nodata
    chip[1, 9, 9] = np.nan if nodata is None else nodata
    found = resampled(chip, size, nodata)
    assert (found.shape, found.dtype) == ((2, size, size), np.dtype(dtype))
    holes = np.isnan(found) if nodata is None else found == nodata
    assert holes.any()
    assert (found[~holes] >= 100).all()
    assert (found[~holes] < 200).all()
    assert holes.mean() == pytest.approx(5 / 16, abs=0.1)
    assert set(np.unique(found[~holes])) <= set(np.unique(chip))


# Chips as they are stored


def test_chips_come_in_order_from_any_start_with_the_missing_filled(tmp_path):
    paths = [tiff(tmp_path / f"{i}.tif", 2) for i in range(5)]
    pixels = files(TWO, paths, missing=[1, 4])
    for storage, fill in ((Storage("uint16", None, 8), 0), (Storage("uint16", 65535, 8), 65535)):
        chips = list(stored_chips(pixels, storage, 0))
        assert [chip.shape for chip in chips] == [(2, 8, 8)] * 5
        assert {chip.dtype for chip in chips} == {np.dtype("uint16")}
        assert [int(chip[1, 0, 0]) for chip in chips] == [2, fill, 2, 2, fill]
        later = list(stored_chips(pixels, storage, 3))
        assert [np.array_equal(a, b) for a, b in zip(later, chips[3:], strict=True)] == [True, True]


def test_chips_of_several_sizes_and_types_become_one(tmp_path):
    paths = [picture(tmp_path / "a.png", 8), picture(tmp_path / "b.png", 12, seed=1), tiff(tmp_path / "c.tif", 3, 20)]
    chips = list(stored_chips(files(SENSORS["rgb"], paths), Storage("uint16", None, 8), 0))
    assert [(chip.shape, chip.dtype.name) for chip in chips] == [((3, 8, 8), "uint16")] * 3
    assert chips[2][:, 4, 4].tolist() == [1, 2, 3]


def test_files_that_mark_no_data_by_different_values_become_nan(tmp_path, write_scene):
    values = np.full((2, 8, 8), 50, np.int16)
    values[0, 2, 2] = -5
    paths = [
        write_scene("a.tif", values, nodata=-5), write_scene("b.tif", np.where(values == -5, 0, values), nodata=0),
        write_scene("c.tif", np.where(values == -5, 7, values)),
    ]  # fmt: skip
    chips = np.stack(list(stored_chips(files(TWO, paths), Storage("float32", float("nan"), 8), 0)))
    assert chips.dtype == np.float32
    assert np.argwhere(np.isnan(chips)).tolist() == [[0, 0, 2, 2], [1, 0, 2, 2]]
    assert chips[2, 0, 2, 2] == 7
    assert np.nanmin(chips) == 7


def test_what_stands_where_a_sensor_is_missing():
    assert fill_value(Storage("uint8", None, 8)) == 0
    assert fill_value(Storage("int16", -9999, 8)) == -9999
    assert np.isnan(fill_value(Storage("float32", None, 8)))
    assert np.isnan(fill_value(Storage("float32", float("nan"), 8)))
    assert fill_value(Storage("float32", -1.0, 8)) == -1
