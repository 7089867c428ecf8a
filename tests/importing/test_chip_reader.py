from pathlib import Path

import h5py
import numpy as np
import pytest
import rasterio
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from spatialnet.errors import BandsDoNotMatch, SceneUnreadable
from spatialnet.importing import chip_reader
from spatialnet.importing.chip_reader import ChipReader
from spatialnet.importing.listing import Pixels
from spatialnet.sensors import SENSORS, Sensor
from tests.conftest import TRANSFORM, UTM

TWO = Sensor("two", "optical", ("a", "b"), (500.0, 600.0), 10.0)
RGB = SENSORS["rgb"]


def raster(path: Path, values: np.ndarray, **profile) -> Path:
    with rasterio.open(
        path, "w", driver="GTiff", count=len(values), height=values.shape[1], width=values.shape[2], dtype=values.dtype,
        crs=UTM, transform=TRANSFORM, **profile,
    ) as target:  # fmt: skip
        target.write(values)
    return path


def windows(files, rows, columns, size, *, file=None, sensor=TWO, bands=()):
    places = np.zeros((len(rows), 1), np.int32) if file is None else np.asarray(file, np.int32)
    return Pixels(
        sensor, "windows", tuple(files), places, np.asarray(rows, np.int64), np.asarray(columns, np.int64), size, bands
    )


@pytest.mark.parametrize("blocks", [{"tiled": True, "blockxsize": 16, "blockysize": 16}, {"blockysize": 1}, {}])
def test_windows_of_a_scene_are_what_a_window_read_gives(tmp_path, monkeypatch, blocks):
    monkeypatch.setattr(chip_reader, "BAND_BYTES", 8000)
    values = np.random.default_rng(0).integers(0, 60_000, (2, 130, 90), dtype=np.uint16)
    path = raster(tmp_path / "s.tif", values, **blocks)
    rows, columns = (a.ravel() for a in np.meshgrid(np.arange(0, 115, 7), np.arange(0, 75, 9), indexing="ij"))
    with ChipReader(windows([path], rows, columns, 15)) as reader:
        cut = [chip.copy() for chip in reader.chips(0, len(rows))]
        alone = reader.chip(40)
        middle = [chip.copy() for chip in reader.chips(17, 60)]
    for chip, row, column in zip(cut, rows, columns, strict=True):
        assert chip.dtype == np.uint16
        assert np.array_equal(chip, values[:, row : row + 15, column : column + 15])
    assert np.array_equal(alone, cut[40])
    assert all(np.array_equal(a, b) for a, b in zip(middle, cut[17:60], strict=True))


@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_any_windows_in_any_order(tmp_path_factory, data):
    height, width = data.draw(st.integers(12, 70)), data.draw(st.integers(12, 70))
    size = data.draw(st.integers(2, 12))
    values = np.arange(height * width, dtype=np.float32).reshape(1, height, width)
    path = raster(tmp_path_factory.mktemp("w") / "s.tif", values, tiled=True, blockxsize=16, blockysize=16)
    places = data.draw(
        st.lists(st.tuples(st.integers(0, height - size), st.integers(0, width - size)), min_size=1, max_size=30)
    )
    rows, columns = zip(*places, strict=True)
    sensor = Sensor("one", "sar", ("a",), (0.0,), 10.0)
    with ChipReader(windows([path], rows, columns, size, sensor=sensor)) as reader:
        for chip, row, column in zip(reader.chips(0, len(rows)), rows, columns, strict=True):
            assert np.array_equal(chip, values[:, row : row + size, column : column + size])


def test_every_block_is_decoded_once(tmp_path, monkeypatch):
    """GDAL's own cache is switched off by reading more than it holds: rows asked for twice would be decoded twice."""
    values = np.random.default_rng(0).integers(0, 255, (1, 256, 64), dtype=np.uint8)
    path = raster(tmp_path / "s.tif", values, tiled=True, blockxsize=64, blockysize=32)
    monkeypatch.setattr(chip_reader, "BAND_BYTES", 64 * 32 * 2)
    asked: list[tuple[int, int]] = []
    original = chip_reader.read_native
    monkeypatch.setattr(
        chip_reader, "read_native",
        lambda source, window, bands: asked.append((window.row_off, window.height)) or original(source, window, bands),
    )  # fmt: skip
    rows = np.arange(0, 256 - 16 + 1, 8)
    with ChipReader(
        windows([path], rows, np.zeros_like(rows), 16, sensor=Sensor("o", "sar", ("a",), (0.0,), 1.0))
    ) as reader:
        assert sum(1 for _ in reader.chips(0, len(rows))) == len(rows)
    assert len(asked) > 2
    assert [first for first, _ in asked] == list(np.cumsum([0, *[rows for _, rows in asked[:-1]]]))
    assert all(first % 32 == 0 for first, _ in asked)
    assert sum(rows for _, rows in asked) == 256


def test_a_missing_sensor_is_none_and_costs_no_second_read(tmp_path, monkeypatch):
    values = np.random.default_rng(0).integers(0, 255, (1, 64, 64), dtype=np.uint8)
    path = raster(tmp_path / "s.tif", values)
    rows, columns = (a.ravel() for a in np.meshgrid(np.arange(0, 64, 8), np.arange(0, 64, 8), indexing="ij"))
    file = np.zeros((64, 1), np.int32)
    file[[3, 17, 18, 40]] = -1
    count = []
    original = chip_reader.read_native
    monkeypatch.setattr(chip_reader, "read_native", lambda *a: count.append(1) or original(*a))
    with ChipReader(
        windows([path], rows, columns, 8, file=file, sensor=Sensor("o", "sar", ("a",), (0.0,), 1.0))
    ) as reader:
        found = [None if chip is None else int(chip[0, 0, 0]) for chip in reader.chips(0, 64)]
    wanted = values[0, rows, columns].astype(int).tolist()
    assert [i for i, chip in enumerate(found) if chip is None] == [3, 17, 18, 40]
    assert all(a == b for a, b in zip(found, wanted, strict=True) if a is not None)
    assert len(count) == 1


def test_several_files_of_one_band_and_an_order_of_bands(tmp_path):
    values = np.random.default_rng(0).integers(0, 255, (3, 20, 20), dtype=np.uint8)
    files = [raster(tmp_path / f"b{i}.tif", values[i : i + 1]) for i in range(3)]
    pixels = Pixels(
        TWO, "windows", tuple(files), np.array([[0, 1, 2]], np.int32), np.array([2]), np.array([3]), 5, (3, 1)
    )
    with ChipReader(pixels) as reader:
        assert np.array_equal(reader.chip(0), values[[2, 0], 2:7, 3:8])
        assert np.array_equal(next(reader.chips(0, 1)), values[[2, 0], 2:7, 3:8])


def test_whole_files_are_joined_and_coarser_bands_repeated(tmp_path):
    fine = np.arange(36, dtype=np.uint16).reshape(1, 6, 6)
    coarse = np.arange(9, dtype=np.uint16).reshape(1, 3, 3)
    files = (raster(tmp_path / "B02.tif", fine), raster(tmp_path / "B05.tif", coarse))
    none = np.zeros(2, np.int64)
    with ChipReader(Pixels(TWO, "files", files, np.array([[0, 1], [0, -1]], np.int32), none, none)) as reader:
        chip = reader.chip(0)
        assert np.array_equal(chip[0], fine[0])
        assert np.array_equal(chip[1], coarse[0].repeat(2, 0).repeat(2, 1))
        assert reader.chip(1) is None
        assert [None if c is None else c.shape for c in reader.chips(0, 2)] == [(2, 6, 6), None]
    odd = raster(tmp_path / "odd.tif", np.zeros((1, 4, 4), np.uint16))
    with (
        ChipReader(Pixels(TWO, "files", (files[0], odd), np.array([[0, 1]], np.int32), none[:1], none[:1])) as reader,
        pytest.raises(SceneUnreadable, match="no whole multiple"),
    ):
        reader.chip(0)


def test_other_bands_than_the_sensors_are_refused_with_both_lists(tmp_path):
    Image.new("RGB", (4, 4)).save(tmp_path / "a.png")
    none = np.zeros(1, np.int64)
    pixels = Pixels(TWO, "files", (tmp_path / "a.png",), np.zeros((1, 1), np.int32), none, none)
    with ChipReader(pixels) as reader, pytest.raises(BandsDoNotMatch, match=r"has 3 bands; two has 2 \(a, b\)"):
        reader.chip(0)
    mapped = Pixels(TWO, "files", pixels.files, pixels.file, none, none, 0, (3, 5))
    with ChipReader(mapped) as reader, pytest.raises(BandsDoNotMatch, match="asks for band 5"):
        reader.chip(0)


def test_masked_reading_knows_each_files_own_nodata(tmp_path):
    values = np.full((2, 4, 4), 5, np.int16)
    values[0, 1, 1] = -9
    files = (raster(tmp_path / "a.tif", values, nodata=-9), raster(tmp_path / "b.tif", values, nodata=5))
    none = np.zeros(2, np.int64)
    for pixels in (
        Pixels(TWO, "files", files, np.array([[0], [1]], np.int32), none, none),
        windows(files, [0, 0], [0, 0], 4, file=[[0], [1]]),
    ):
        with ChipReader(pixels, masked=True) as reader:
            first, second = reader.chips(0, 2)
            assert np.argwhere(np.isnan(first)).tolist() == [[0, 1, 1]]
            assert np.argwhere(~np.isnan(second)).tolist() == [[0, 1, 1]]


def test_rows_of_hdf5_and_npy_arrays(tmp_path):
    values = np.random.default_rng(0).random((5, 6, 7, 2))
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["sen1"] = values
    np.save(tmp_path / "a.npy", values.transpose(0, 3, 1, 2).astype(np.float32))
    row, none, one = np.array([4, 0]), np.zeros(2, np.int64), np.zeros((2, 1), np.int32)
    hdf5 = Pixels(TWO, "hdf5", (tmp_path / "a.h5",), one, row, none, array="sen1", channels_last=True)
    npy = Pixels(TWO, "npy", (tmp_path / "a.npy",), one, row, none)
    for pixels in (hdf5, npy):
        with ChipReader(pixels) as reader:
            for chip, index in zip(reader.chips(0, 2), row, strict=True):
                assert chip.dtype == np.float32
                assert np.array_equal(chip, values[index].transpose(2, 0, 1).astype(np.float32))
    (tmp_path / "bad.npy").write_bytes(b"")
    for path in (tmp_path / "bad.npy", tmp_path / "gone.npy"):
        with (
            ChipReader(Pixels(TWO, "npy", (path,), one, row, none)) as reader,
            pytest.raises(SceneUnreadable, match=path.stem),
        ):
            reader.chip(0)
