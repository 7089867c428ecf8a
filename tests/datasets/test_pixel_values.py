from __future__ import annotations

import numpy as np
import pytest
import rasterio
from rasterio.warp import transform

from spatialnet.datasets.catalogue import chip_table
from spatialnet.datasets.pixel_values import band_values


def test_the_values_are_those_of_the_pixel_and_of_the_chip(landscape):
    chip = 9
    row = chip_table(landscape).loc[chip]
    with rasterio.open(landscape.scene_path(row["place"], "landsat7")) as scene:
        top, left = int(row["row"]), int(row["column"])
        # The middle of the pixel three down and five right in the chip.
        x, y = scene.transform @ (left + 5.5, top + 3.5)
        (longitude,), (latitude,) = transform(scene.crs, "EPSG:4326", [x], [y])
        expected = scene.read()[:, top + 3, left + 5]
    found = band_values(landscape, chip, row["place"], (latitude, longitude))
    assert found["here"].to_numpy() == pytest.approx(expected)
    pixels = landscape.images("landsat7")[chip : chip + 1][0]
    assert found["mean"].to_numpy() == pytest.approx(np.nanmean(pixels, axis=(1, 2)), rel=1e-5)
    assert (found["low"] <= found["mean"]).all()
    assert (found["mean"] <= found["high"]).all()
    sensor = landscape.sensors[0]
    assert tuple(found["band"]) == sensor.bands
    assert tuple(found["wavelength_nm"]) == sensor.wavelengths_nm


@pytest.mark.parametrize("spot", [None, (0.0, 0.0), (89.9, 179.0)])
def test_a_spot_outside_has_no_values_but_the_chip_has(landscape, spot):
    found = band_values(landscape, 0, landscape.places[0]["name"], spot)
    assert found["here"].isna().all()
    assert found["mean"].notna().all()


def test_a_chip_without_a_place_has_its_own_values(landscape):
    assert band_values(landscape, 0)["mean"].notna().all()


def test_a_scene_that_is_gone_is_no_error(landscape, tmp_path, monkeypatch):
    monkeypatch.setattr(type(landscape), "scene_path", lambda *_: tmp_path / "gone.tif")
    assert band_values(landscape, 0, landscape.places[0]["name"], (0.0, 0.0))["here"].isna().all()
