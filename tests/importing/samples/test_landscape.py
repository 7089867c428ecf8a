import numpy as np
import pytest
from rasterio.windows import Window
from scipy import ndimage

from spatialnet.datasets.catalogue import chip_table
from spatialnet.importing.samples.landscape import (
    BUILDINGS,
    DEVELOPED,
    WATER,
    generate_landscape,
    landscape_listing,
    prepare_landscape,
)
from spatialnet.raster import open_raster, read_window
from spatialnet.sensors import SENSORS


@pytest.fixture(scope="module")
def ground():
    return generate_landscape(160, seed=3)


def test_the_same_seed_gives_the_same_pixels(ground):
    again, other = generate_landscape(160, seed=3), generate_landscape(160, seed=4)
    assert np.array_equal(ground.land_cover, again.land_cover)
    for sensor, raster in ground.scenes.items():
        assert np.array_equal(raster.pixels, again.scenes[sensor].pixels)
        assert not np.array_equal(raster.pixels, other.scenes[sensor].pixels)
    assert not np.array_equal(ground.land_cover, other.land_cover)


def test_the_buildings_are_counted_exactly(ground):
    labelled, count = ndimage.label(ground.buildings, structure=np.ones((3, 3)))
    assert count > 20
    assert ground.building_centres.sum() == count
    assert np.bincount(labelled.ravel())[1:].tolist() == [4] * count
    assert (ground.land_cover[ground.buildings] == DEVELOPED).all()
    assert len(np.unique(labelled[ground.building_centres > 0])) == count  # one mark in each


def test_every_class_and_the_truth_of_every_pixel_is_there(ground):
    assert np.unique(ground.land_cover).tolist() == [1, 2, 3, 4, 5, 6]
    near_infrared = ground.scenes[SENSORS["landsat7"]].pixels[3]
    assert near_infrared[ground.land_cover == WATER].mean() < near_infrared[ground.land_cover != WATER].mean() / 3


def test_all_sensors_see_one_pixel_grid(ground):
    assert [sensor.name for sensor in ground.scenes] == ["landsat7", "sentinel1", "elevation"]
    for sensor, raster in ground.scenes.items():
        assert raster.pixels.shape == (len(sensor.bands), 160, 160)
        assert (raster.transform, raster.crs) == (ground.scenes[SENSORS["landsat7"]].transform, "EPSG:32617")
        assert np.isfinite(raster.pixels).all()
        assert raster.gsd_m == 30


def test_the_data_set_says_that_it_is_synthetic_and_counts_what_is_in_each_chip(landscape_stack):
    data = landscape_stack
    assert data.manifest["synthetic"] is True
    assert "synthetic" in data.title
    assert [sensor.name for sensor in data.sensors] == ["landsat7", "sentinel1", "elevation"]
    assert [(task.name, task.kind) for task in data.tasks] == [
        ("land_use", "multiclass"), ("presence", "multilabel"), ("rural_urban", "binary"), ("buildings", "count"),
    ]  # fmt: skip
    ground = generate_landscape(192)
    table = chip_table(data)
    wanted = [
        ground.building_centres[r : r + 16, c : c + 16].sum()
        for r, c in zip(table["row"], table["column"], strict=True)
    ]
    assert data.targets(BUILDINGS.name)[:, 0].tolist() == wanted
    assert max(wanted) > 3


def test_two_preparations_are_bit_identical(tmp_path):
    first = prepare_landscape(tmp_path / "a", size=192, sensors=("landsat7",))
    assert first.fingerprint == prepare_landscape(tmp_path / "b", size=192, sensors=("landsat7",)).fingerprint
    assert first.fingerprint != prepare_landscape(tmp_path / "c", size=192, sensors=("sentinel1",)).fingerprint


def test_the_listing_is_cut_from_the_scenes_that_were_written(tmp_path, ground):
    found = landscape_listing(tmp_path, size=160, seed=3)
    assert len(found) == 19 * 19
    assert [sensor.name for sensor in found.sensors] == ["landsat7", "sentinel1", "elevation"]
    assert found.origin.synthetic
    fine = found.pixels[0]
    for number in (0, 100, 360):
        row, column = fine.row[number], fine.column[number]
        window = np.s_[row : row + 16, column : column + 16]
        assert found.ready["buildings"].hard[number, 0] == ground.building_centres[window].sum()
        for pixels in found.pixels:
            with open_raster(pixels.files[0]) as source:
                read = read_window(source, Window(column, row, 16, 16))
            assert np.array_equal(read, ground.scenes[pixels.sensor].pixels[:, *window])
    shares = np.array(
        [
            (ground.land_cover[r : r + 16, c : c + 16] == WATER).mean()
            for r, c in zip(fine.row, fine.column, strict=True)
        ]
    )
    assert np.array_equal(found.ready["presence"].hard[:, 0], shares >= 0.1)
    assert found.places[0].land_cover == tmp_path / "land_cover.tif"


def test_sensors_can_be_left_out(tmp_path):
    found = landscape_listing(tmp_path, size=64, sensors=("sentinel1",))
    assert [sensor.name for sensor in found.sensors] == ["sentinel1"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["buildings.tif", "land_cover.tif", "sentinel1.tif"]
