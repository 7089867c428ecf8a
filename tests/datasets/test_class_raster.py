import numpy as np
import pytest
import rasterio

from spatialnet.datasets.class_raster import NO_CLASS, NONE_PRESENT, CellGrid, class_bands
from spatialnet.raster import Raster
from spatialnet.tasks import Task
from tests.conftest import TRANSFORM, UTM


def test_bands_of_one_class_in_several():
    task = Task("land_use", "multiclass", ("forest", "water", "built"))
    bands, names = class_bands(task, np.array([[0.7, 0.204, 0.096], [0, 0, 1], [np.nan, 0.5, 0.5]], np.float32))
    assert names == ["class", "confidence", "p(forest)", "p(water)", "p(built)"]
    assert bands.tolist() == [[0, 70, 70, 20, 10], [2, 100, 0, 0, 100], [NO_CLASS] * 5]
    assert bands.dtype == np.uint8


def test_bands_of_several_classes_at_once():
    task = Task("presence", "multilabel", ("road", "house"))
    bands, _ = class_bands(task, np.array([[0.9, 0.6], [0.4, 0.1], [0.5, 0.2], [np.nan, np.nan]], np.float32))
    # The second number is how sure the least sure yes or no is.
    assert bands.tolist() == [[0, 60, 90, 60], [NONE_PRESENT, 60, 40, 10], [0, 50, 50, 20], [NO_CLASS] * 4]


def test_bands_of_yes_or_no():
    task = Task("urban", "binary", ("rural", "urban"))
    bands, names = class_bands(task, np.array([[0.3, 0.7], [1, 0]], np.float32))
    assert names == ["class", "confidence", "p(rural)", "p(urban)"]
    assert bands.tolist() == [[1, 70, 30, 70], [0, 100, 100, 0]]


@pytest.mark.parametrize(("size", "stride"), [(16, 8), (16, 16), (9, 4)])
def test_each_chip_paints_the_square_around_its_middle(tmp_path, size, stride):
    grid = Raster(np.zeros((1, 60, 70), np.float32), TRANSFORM, UTM)
    rows, columns = (
        v.ravel() for v in np.meshgrid(range(3, 60 - size, stride), range(5, 70 - size, stride), indexing="ij")
    )
    keep = np.arange(len(rows)) % 5 != 2  # chips without data leave holes
    keep[0] = True
    rows, columns = rows[keep].astype(np.int64), columns[keep].astype(np.int64)
    values = (np.arange(len(rows)) % 200).astype(np.uint8)[:, None]
    CellGrid.of(grid, rows, columns, size, stride).write(tmp_path / "cells.tif", values, ["split"])
    with rasterio.open(tmp_path / "cells.tif") as source:
        middles = [TRANSFORM @ (c + size / 2, r + size / 2) for r, c in zip(rows, columns, strict=True)]
        assert [int(v[0]) for v in source.sample(middles)] == values[:, 0].tolist()
        painted = (source.read(1) != NO_CLASS).sum()
        assert painted == len(rows)
        assert source.res == (30 * stride, 30 * stride)
        assert (source.crs, source.nodata, source.descriptions) == (UTM, NO_CLASS, ("split",))
