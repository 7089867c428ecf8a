"""Scenes with label polygons, from a small tree of files as people have it."""

import json

import geopandas
import numpy as np
import pytest
from affine import Affine
from shapely.geometry import Polygon, box, mapping

from spatialnet.errors import ImportRefused, NothingToRead
from spatialnet.importing.formats.polygons import IMPORTER
from spatialnet.importing.importer import Source
from tests.conftest import TRANSFORM, UTM

LEFT, TOP = 500_000, 4_000_000


def rectangle(column, row, width, height):
    return box(LEFT + 30 * column, TOP - 30 * (row + height), LEFT + 30 * (column + width), TOP - 30 * row)


@pytest.fixture
def tree(tmp_path, write_scene):
    """Four chips of 16 pixels in a row: all water; half forest; a quarter town; nothing."""
    write_scene("image.tif", np.random.default_rng(0).uniform(0, 90, (4, 16, 64)).astype(np.float32))
    holed = Polygon(rectangle(16, 0, 16, 12).exterior, [rectangle(20, 2, 8, 8).exterior.coords])
    frame = geopandas.GeoDataFrame(
        {"id": [1, 2, 3], "class": ["water", "forest", "town"]},
        geometry=[rectangle(0, 0, 16, 16), holed, rectangle(32, 0, 4, 16)],
        crs=UTM.to_string(),
    )
    frame.to_crs("EPSG:4326").to_file(tmp_path / "labels.geojson")
    frame.to_file(tmp_path / "labels.shp")
    return tmp_path


def listed(folder, **options):
    answers = {"scenes": "naip=image.tif", "labels": "labels.geojson", "class_column": "class", "size": "16"}
    return IMPORTER.listing(Source(folder, answers | options))


@pytest.mark.parametrize("labels", ["labels.geojson", "labels.shp"])
def test_what_is_not_labelled_stays_unknown(tree, labels):
    found = listed(tree, labels=labels)
    assert found.targets[0].classes == ("forest", "town", "water")
    # The hole leaves 128 of 256 pixels: half is enough.
    assert found.ready["land_use"].hard.tolist() == [2, 0, -100, -100]
    presence = found.ready["presence"].hard
    assert presence[0].tolist() == [0, 0, 1]
    assert presence[1, 0] == 1
    assert np.isnan(presence[1, 1:]).all()
    assert presence[2, 1] == 1
    assert np.isnan(presence[3]).all()
    assert found.labels["known_share"].tolist() == [1, 0.5, 0.25, 0]
    assert any("1 of 4 chips lie where no class is known" in note.text for note in found.notes)
    assert found.places[0].land_cover is None


def test_shares_are_asked_for(tree):
    assert listed(tree, min_known="0.25").ready["land_use"].hard.tolist() == [2, 0, 1, -100]
    assert listed(tree, min_known="0.6").ready["land_use"].hard.tolist() == [2, -100, -100, -100]
    assert np.isnan(listed(tree, min_share="0.3").ready["presence"].hard[2]).all()


def test_a_turned_scene_is_labelled_on_its_own_ground(tree, write_scene):
    turned = TRANSFORM @ Affine.rotation(40)
    write_scene("image.tif", np.ones((4, 16, 64), np.float32), transform=turned)
    corners = [turned @ corner for corner in ((16, 0), (32, 0), (32, 16), (16, 16))]
    feature = {"type": "Feature", "properties": {"class": "a"}, "geometry": mapping(Polygon(corners))}
    crs = {"type": "name", "properties": {"name": "EPSG:32617"}}
    (tree / "labels.geojson").write_text(json.dumps({"type": "FeatureCollection", "crs": crs, "features": [feature]}))
    assert listed(tree).labels["known_share"].tolist() == [0, 1, 0, 0]


def test_a_scene_at_the_antimeridian_is_labelled_on_both_sides(tree, write_scene):
    step = 0.01
    for name, west in (("w", 180 - 16 * step), ("e", -180)):
        write_scene(
            f"{name}/i.tif",
            np.ones((4, 16, 16), np.float32),
            crs="EPSG:4326",
            transform=Affine(step, 0, west, 0, -step, -16),
        )
    ring = [[179, -17], [-179, -17], [-179, -15], [179, -15], [179, -17]]
    feature = {
        "type": "Feature",
        "properties": {"class": "reef"},
        "geometry": {"type": "Polygon", "coordinates": [ring]},
    }
    (tree / "labels.geojson").write_text(json.dumps({"type": "FeatureCollection", "features": [feature]}))
    found = listed(tree, scenes="naip=*/i.tif")
    assert found.labels["known_share"].tolist() == [1, 1]
    assert found.chips["longitude"].tolist() == pytest.approx([-179.92, 179.92])


def test_a_tree_is_recognised_by_its_vector_file(tree):
    assert IMPORTER.recognise(tree) == "scenes with label polygons (.geojson)"
    (tree / "image.tif").unlink()
    assert IMPORTER.recognise(tree) is None


def test_labels_that_do_not_fit_are_one_sentence(tree):
    with pytest.raises(ImportRefused, match=r"has 2 columns \('id', 'class'\)"):
        listed(tree, class_column="")
    with pytest.raises(ImportRefused, match=r"There is no file 'none.gpkg'"):
        listed(tree, labels="none.gpkg")
    with pytest.raises(ImportRefused, match=r"Labelled share is '50'"):
        listed(tree, min_known="50")
    (tree / "labels.geojson").write_text(
        "<OGRVRTDataSource><SrcDataSource>/etc/passwd</SrcDataSource></OGRVRTDataSource>"
    )
    with pytest.raises(ImportRefused, match=r"'labels.geojson' is not JSON"):
        listed(tree)
    far = {"type": "Feature", "properties": {"class": "a"}, "geometry": mapping(box(10, 10, 11, 11))}
    (tree / "labels.geojson").write_text(json.dumps({"type": "FeatureCollection", "features": [far]}))
    with pytest.raises(NothingToRead, match=r"'labels.geojson' holds no class on the ground"):
        listed(tree)
