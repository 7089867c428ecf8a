"""STAC label items, from a small tree of files as label tools write it."""

import json

import numpy as np
import pytest
import rasterio
from shapely.geometry import box, mapping

from spatialnet.errors import ImportRefused
from spatialnet.importing.formats.stac_labels import IMPORTER
from spatialnet.importing.importer import Source
from tests.conftest import TRANSFORM, UTM

EXTENSION = "https://stac-extensions.github.io/label/v1.0.1/schema.json"


def put(path, values):
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(values))


def item(name, properties, assets, links):
    return {
        "type": "Feature", "stac_version": "1.0.0", "stac_extensions": [EXTENSION], "id": name, "geometry": None,
        "properties": properties, "assets": assets, "links": links,
    }  # fmt: skip


def label_item(name, source, **properties):
    about = {"label:type": "vector", "label:properties": ["kind"], "label:description": "x", "label:classes": []}
    labels = {"href": f"./{name}.geojson", "type": "application/geo+json", "roles": ["labels"]}
    return item(
        name, about | properties, {"labels": labels}, [{"rel": "source", "href": source}, {"rel": "self", "href": "x"}]
    )


@pytest.fixture
def tree(tmp_path, write_scene):
    """Two scenes of two chips each; the left half of one is forest, all of the other is town."""
    for number, kind in enumerate(("Forest", "town")):
        there = TRANSFORM @ TRANSFORM.translation(100 * number, 0)
        write_scene(f"source/s{number}.tif", np.ones((4, 16, 32), np.float32), transform=there)
        put(tmp_path / f"source/s{number}.json", item(f"s{number}", {}, {"image": {"href": f"s{number}.tif"}}, []))
        put(tmp_path / f"labels/l{number}.json", label_item(f"l{number}", f"../source/s{number}.json"))
        west, north = there @ (0, 0)
        bounds = rasterio.warp.transform_bounds(
            UTM, "EPSG:4326", west - 99, north - 9999, west + 480 * (1 + 2 * number), north + 99
        )
        shape = {"type": "Feature", "properties": {"kind": kind}, "geometry": mapping(box(*bounds))}
        put(tmp_path / f"labels/l{number}.geojson", {"type": "FeatureCollection", "features": [shape]})
    return tmp_path


def listed(folder, **options):
    return IMPORTER.listing(Source(folder, {"sensor": "naip", "size": "16"} | options))


def test_each_label_item_is_a_place_and_classes_are_shared(tree):
    found = listed(tree)
    assert found.chips["place"].tolist() == ["l0", "l0", "l1", "l1"]
    assert found.targets[0].classes == ("forest", "town")
    assert found.ready["land_use"].hard.tolist() == [0, -100, 1, 1]
    assert found.places[1].scenes["naip"] == (tree / "source/s1.tif",)
    assert IMPORTER.recognise(tree) == "STAC items with labels"
    assert IMPORTER.recognise(tree / "source") is None


def test_one_item_alone(tree):
    (tree / "labels/l0.geojson").rename(tree / "l0.geojson")
    put(tree / "l0.json", label_item("l0", "source/s0.json"))
    assert listed(tree / "l0.json").chips["place"].tolist() == ["l0", "l0"]


def test_the_class_property_is_asked_for_where_there_are_several(tree):
    put(tree / "labels/l0.json", label_item("l0", "../source/s0.json", **{"label:properties": ["kind", "who"]}))
    with pytest.raises(ImportRefused, match=r"'l0.json' has 2 label properties, \['kind', 'who'\]"):
        listed(tree)
    assert len(listed(tree, class_column="kind")) == 4
    with pytest.raises(ImportRefused, match=r"has no label property 'no'"):
        listed(tree, class_column="no")


def test_the_scene_asset_is_asked_for_where_there_are_several(tree):
    assets = {"image": {"href": "s0.tif"}, "mask": {"href": "s1.tif"}, "text": {"href": "readme.txt"}}
    put(tree / "source/s0.json", item("s0", {}, assets, []))
    with pytest.raises(ImportRefused, match=r"GeoTIFF assets \['image', 'mask'\]. Say which"):
        listed(tree)
    put(tree / "source/s1.json", item("s1", {}, {"image": {"href": "s1.tif"}}, []))
    assert len(listed(tree, asset="image")) == 4


@pytest.mark.parametrize(
    ("href", "said"),
    [
        ("https://example.com/s0.json", "Download that file"),
        ("//example.com/s0.json", "Download that file"),
        ("file:///etc/passwd", "Download that file"),
        ("../../outside.json", "outside of the source folder"),
        ("/etc/passwd", "outside of the source folder"),
        ("%2e%2e/%2e%2e/outside.json", "outside of the source folder"),
        ("../source/none.json", "which is not there"),
        ("", "has no `href`"),
        ("../labels/l0.geojson", "GeoTIFF assets|readable `assets`"),
    ],
)
def test_links_are_followed_inside_the_folder_only(tree, href, said):
    (tree.parent / "outside.json").write_text("{}")
    put(tree / "labels/l0.json", label_item("l0", href))
    with pytest.raises(ImportRefused, match=said) as error:
        listed(tree)
    assert "\n" not in str(error.value)


def test_a_link_of_the_file_system_does_not_lead_out(tree):
    (tree.parent / "outside.tif").write_bytes(b"")
    (tree / "source/s0.tif").unlink()
    (tree / "source/s0.tif").symlink_to(tree.parent / "outside.tif")
    with pytest.raises(ImportRefused, match="outside of the source folder"):
        listed(tree)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"properties": None}, "No STAC item below|has `label:type` 'None'"),
        ({"properties": {"label:type": "raster", "label:properties": None}}, "Only vector labels"),
        ({"properties": {"label:type": "vector", "label:properties": "kind"}}, "need a list of property names"),
        ({"assets": []}, "no readable `assets`"),
        ({"assets": {}}, "has 0 assets of labels"),
        ({"assets": {"labels": {"href": 3}}}, "has no `href`"),
        ({"links": None}, "links to 0 source items"),
        ({"links": [{"rel": "source", "href": "a"}] * 2}, "links to 2 source items"),
        ({"id": 7}, "has no `id`"),
        ({"type": "Collection"}, "No STAC item below|is no STAC item"),
    ],
)
def test_items_of_another_schema_are_one_sentence(tree, change, said):
    put(tree / "labels/l0.json", label_item("l0", "../source/s0.json") | change)
    (tree / "labels/l1.json").unlink()
    for path in (tree, tree / "labels/l0.json"):
        with pytest.raises(ImportRefused, match=said):
            listed(path)


def test_what_is_no_item_is_one_sentence(tree):
    for name, content in (("a.json", b""), ("b.json", b"[1]"), ("c.json", b"{"), ("d.json", b"\xff")):
        (tree / name).write_bytes(content)
        with pytest.raises(ImportRefused, match=f"'{name}' is no STAC item"):
            listed(tree / name)
    assert len(listed(tree)) == 4  # they are passed over in a folder
    with pytest.raises(ImportRefused, match="There is no sensor 'modis'"):
        listed(tree, sensor="modis")
