"""Vector files of every format, and files that only pretend to be one."""

import json

import geopandas
import numpy as np
import pytest
import shapely
from rasterio.crs import CRS
from shapely.geometry import LineString, Point, Polygon, box

from spatialnet.errors import ImportRefused
from spatialnet.importing.scenes.vector import read_shapes

VRT = b"<OGRVRTDataSource><OGRVRTLayer name='x'><SrcDataSource>/etc/passwd</SrcDataSource></OGRVRTLayer></OGRVRTDataSource>"
FRAME = geopandas.GeoDataFrame(
    {"class": ["water", "forest"], "id": [1, 2]},
    geometry=[box(500_000, 3_999_000, 500_500, 4_000_000), Point(500_700, 3_999_500).buffer(90)],
    crs="EPSG:32617",
)


def collection(*shapes, crs=None, **properties):
    features = [{"type": "Feature", "properties": properties, "geometry": shapely.geometry.mapping(s)} for s in shapes]
    return {"type": "FeatureCollection", "features": features} | ({} if crs is None else {"crs": crs})


@pytest.fixture
def geojson(tmp_path):
    def write(values):
        path = tmp_path / "labels.geojson"
        path.write_text(json.dumps(values))
        return path

    return write


def write(frame, path):
    frame.to_parquet(path) if path.suffix == ".parquet" else frame.to_file(path)
    return path


@pytest.mark.parametrize("name", ["labels.geojson", "labels.gpkg", "labels.parquet", "labels.shp"])
def test_every_format_gives_the_same_polygons(tmp_path, name):
    found = read_shapes(write(FRAME, tmp_path / name))
    assert found.table["class"].tolist() == ["water", "forest"]
    assert found.table["id"].tolist() == [1, 2]
    there = found.in_crs(CRS.from_epsg(32617))
    assert shapely.area(there) == pytest.approx(shapely.area(FRAME.geometry.array), rel=1e-6)
    assert found.numbers.tolist() == [0, 1]
    assert (found.mended, found.left_out) == ((), 0)


def test_holes_stay_holes_and_other_geometries_are_left_out(geojson):
    ring = Polygon(box(0, 0, 4, 4).exterior, [box(1, 1, 2, 2).exterior.coords])
    values = collection(LineString([(0, 0), (1, 1)]), ring, Point(0, 0), name="a")
    values["features"].append({"type": "Feature", "properties": None, "geometry": None})
    found = read_shapes(geojson(values))
    assert found.geometries[0].area == 15
    assert (found.numbers.tolist(), found.left_out) == ([1], 3)


def test_a_border_that_crosses_itself_is_mended(geojson):
    bow = Polygon([(0, 0), (2, 2), (2, 0), (0, 2)])
    found = read_shapes(geojson(collection(box(5, 5, 6, 6), bow, name="a")))
    assert found.mended == (1,)
    assert shapely.is_valid(found.geometries).all()
    assert found.geometries[1].area == pytest.approx(2)


def test_a_polygon_across_the_antimeridian_is_split_there(geojson):
    fiji = Polygon([(178, -18), (-178, -18), (-178, -16), (178, -16)])
    (shape,) = read_shapes(geojson(collection(fiji, name="a"))).geometries
    assert shape.area == pytest.approx(8)
    assert shapely.contains_xy(shape, [179, -179, 0], [-17, -17, -17]).tolist() == [True, True, False]
    (world,) = read_shapes(geojson(collection(box(-180, -90, 180, 90), name="a"))).geometries
    assert world.area == 360 * 180


def test_the_old_way_to_name_a_crs_is_read(geojson):
    named = {"type": "name", "properties": {"name": "urn:ogc:def:crs:EPSG::32617"}}
    found = read_shapes(geojson(collection(box(500_000, 0, 500_100, 100), crs=named, name="a")))
    assert found.crs.to_epsg() == 32617
    for wrong in (
        {"type": "link", "properties": {"href": "http://example.com"}},
        {"properties": {"name": "/etc/passwd"}},
        "x",
    ):
        with pytest.raises(ImportRefused, match="coordinate reference system"):
            read_shapes(geojson(collection(box(0, 0, 1, 1), crs=wrong, name="a")))
    with pytest.raises(ImportRefused, match="not known: 'EPSG:999999'"):
        read_shapes(geojson(collection(box(0, 0, 1, 1), crs={"properties": {"name": "EPSG:999999"}}, name="a")))


@pytest.mark.parametrize("suffix", [".geojson", ".json", ".gpkg", ".shp", ".parquet", ".geoparquet"])
@pytest.mark.parametrize("content", [b"", VRT, b"\xff\xfe\0", b"[" * 100_000])
def test_what_is_not_what_its_suffix_says_reaches_no_library(tmp_path, suffix, content):
    path = tmp_path / f"labels{suffix}"
    path.write_bytes(content)
    with pytest.raises(ImportRefused, match=r"is empty|is not what its suffix|is not JSON") as error:
        read_shapes(path)
    assert "labels" in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ([], "no GeoJSON FeatureCollection"),
        ({"type": "Topology"}, "no GeoJSON FeatureCollection"),
        ({"type": "FeatureCollection"}, "Feature 1 of 'labels.geojson' is no GeoJSON feature"),
        ({"type": "FeatureCollection", "features": [3]}, "no GeoJSON feature"),
        ({"type": "FeatureCollection", "features": [{"geometry": {"type": "Polygon"}}]}, "no GeoJSON feature"),
        (
            {"type": "FeatureCollection", "features": [{"geometry": {"type": "Polygon", "coordinates": [["a"]]}}]},
            "no GeoJSON",
        ),
        ({"type": "FeatureCollection", "features": []}, "holds no polygon"),
    ],
)
def test_other_json_is_one_sentence(geojson, values, said):
    with pytest.raises(ImportRefused, match=said):
        read_shapes(geojson(values))


def test_vector_files_that_are_cut_short_are_one_sentence(tmp_path):
    for name in ("labels.gpkg", "labels.parquet"):
        path = write(FRAME, tmp_path / name)
        path.write_bytes(path.read_bytes()[:200])
        with pytest.raises(ImportRefused, match="cut short, damaged"):
            read_shapes(path)
    plain = tmp_path / "plain.parquet"
    FRAME.drop(columns="geometry").to_parquet(plain)
    with pytest.raises(ImportRefused, match="holds no geometries"):
        read_shapes(plain)
    database = tmp_path / "other.gpkg"
    database.write_bytes(b"SQLite format 3\0" + bytes(200))
    with pytest.raises(ImportRefused, match=r"not what its suffix .gpkg says"):
        read_shapes(database)


def test_a_file_that_is_too_large_is_not_read(tmp_path):
    path = tmp_path / "labels.geojson"
    with path.open("wb") as file:
        file.truncate((1 << 28) + 1)  # takes no room on the disk
    with pytest.raises(ImportRefused, match=r"larger than 256 MiB"):
        read_shapes(path)


def test_a_shapefile_needs_its_other_files(tmp_path):
    path = write(FRAME, tmp_path / "labels.shp")
    path.with_suffix(".prj").unlink()
    with pytest.raises(ImportRefused, match=r"in its .prj"):
        read_shapes(path)
    path.with_suffix(".shx").unlink()
    with pytest.raises(ImportRefused, match=r"lacks its .shx file"):
        read_shapes(path)


def test_several_layers_and_other_suffixes_are_one_sentence(tmp_path):
    path = tmp_path / "labels.gpkg"
    FRAME.to_file(path, layer="a")
    FRAME.to_file(path, layer="b")
    with pytest.raises(ImportRefused, match=r"has 2 layers of geometries \('a', 'b'\)"):
        read_shapes(path)
    other = tmp_path / "labels.kml"
    other.write_text("<kml/>")
    with pytest.raises(ImportRefused, match=r"no vector file that is known. Use one that ends in \.geojson"):
        read_shapes(other)


def test_coordinates_that_are_no_numbers_are_one_sentence(geojson):
    path = geojson(collection(box(0, 0, 1, 1), name="a"))
    path.write_text(path.read_text().replace("1.0", "Infinity", 1))
    with pytest.raises(ImportRefused, match="coordinates that are no numbers"):
        read_shapes(path)


def test_heights_are_dropped(geojson):
    (shape,) = read_shapes(geojson(collection(Polygon([(0, 0, 9), (1, 0, 9), (1, 1, 9)]), name="a"))).geometries
    assert not shape.has_z
    assert np.array(shape.exterior.coords).shape[1] == 2
