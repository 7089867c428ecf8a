import numpy as np
import pandas as pd
import pytest
import rasterio
import shapely
from rasterio.crs import CRS
from shapely.geometry import Polygon, box

from spatialnet.errors import ImportRefused
from spatialnet.importing.scenes.land_cover import Grid
from spatialnet.importing.scenes.polygon_cover import polygon_cover, polygon_rules
from spatialnet.importing.scenes.vector import Shapes
from tests.conftest import TRANSFORM, UTM

LEFT, TOP = 500_000, 4_000_000


def square(column, row, size):
    """A square of whole 30 m pixels."""
    return box(LEFT + 30 * column, TOP - 30 * (row + size), LEFT + 30 * (column + size), TOP - 30 * row)


def shapes(*geometries, crs=UTM, mended=(), left_out=0, **columns):
    values = np.array(geometries, dtype=object)
    return Shapes("'labels.gpkg'", values, pd.DataFrame(columns), crs, np.arange(len(values)), mended, left_out)


def texts(notes):
    return [note.text for note in notes]


def test_polygons_are_drawn_on_the_grid_with_their_holes():
    ring = Polygon(square(0, 0, 6).exterior, [square(2, 2, 2).exterior.coords])
    cover, names, notes = polygon_cover(shapes(ring, square(8, 0, 2), kind=["town", "Forest"]), "")
    assert names == {1: "forest", 2: "town"}
    assert notes == []
    wanted = np.full((8, 12), -1)
    wanted[:6, :6], wanted[2:4, 2:4], wanted[:2, 8:10] = 2, -1, 1
    grid = Grid(8, 12, TRANSFORM, UTM)
    assert np.array_equal(cover.codes(grid), wanted)
    assert np.array_equal(cover.codes(grid.part(1, 3, 4, 7)), wanted[1:5, 3:10])
    assert (cover.codes(grid.part(100, 100, 4, 4)) == -1).all()


def test_polygons_of_another_crs_fall_on_the_same_ground():
    here = shapes(square(3, 2, 4), kind=["a"])
    degrees = shapes(*here.in_crs(CRS.from_epsg(4326)), crs=CRS.from_epsg(4326), kind=["a"])
    grid = Grid(10, 10, TRANSFORM, UTM)
    assert np.array_equal(polygon_cover(degrees, "")[0].codes(grid), polygon_cover(here, "")[0].codes(grid))


def test_turned_grids_are_drawn_as_well():
    turned = TRANSFORM @ TRANSFORM.rotation(30)
    corners = [turned @ corner for corner in ((2, 3), (6, 3), (6, 7), (2, 7))]
    cover, _, _ = polygon_cover(shapes(Polygon(corners), kind=["a"]), "")
    found = cover.codes(Grid(10, 10, turned, UTM))
    assert np.argwhere(found == 1).min(axis=0).tolist() == [3, 2]
    assert (found == 1).sum() == 16


def test_ground_that_two_classes_claim_is_unknown_and_its_polygons_are_named():
    cover, _, notes = polygon_cover(shapes(square(0, 0, 4), square(2, 0, 4), square(4, 0, 4), kind=["a", "b", "b"]), "")
    assert [note.names for note in notes] == [("polygon 1 (a) and polygon 2 (b)",)]
    assert "same ground" in notes[0].text
    assert cover.codes(Grid(1, 9, TRANSFORM, UTM)).tolist() == [[1, 1, -1, -1, 2, 2, 2, 2, -1]]


def test_neighbours_that_share_a_border_do_not_overlap():
    hair = shapely.transform(square(4, 0, 4), lambda xy: xy - (0.01, 0))
    assert polygon_cover(shapes(square(0, 0, 4), hair, kind=["a", "b"]), "")[2] == []


def test_classes_that_differ_by_case_and_spaces_are_one():
    cover, names, notes = polygon_cover(
        shapes(*(square(3 * i, 0, 2) for i in range(4)), kind=["Sea Lake", "sea_lake", " sea  lake", "town"]), "kind"
    )
    assert names == {1: "sea lake", 2: "town"}
    assert cover.classes.tolist() == [1, 1, 1, 2]
    assert notes[0].names == ("'Sea Lake' = 'sea_lake' = 'sea  lake'",)


def test_polygons_whose_number_disagrees_with_their_name_are_named():
    kind = ["forest"] * 4 + ["water"] * 4 + ["urban", "urban"]
    number = [1, 1, 1, 1, 2, 2, 2, 1, 3, 3]
    places = [square(3 * i, 0, 2) for i in range(10)]
    notes = polygon_cover(shapes(*places, id=number, kind=kind), "kind")[2]
    assert [note.names for note in notes] == [("polygon 8 (water): id 1",)]
    assert "Column 'id'" in notes[0].text
    assert polygon_cover(shapes(*places, id=list(range(10)), kind=kind), "kind")[2] == []  # a running number
    assert polygon_cover(shapes(*places, id=[5, 6] * 5, kind=kind), "kind")[2] == []  # something else


def test_polygons_without_a_class_and_mended_ones_are_named():
    places = [square(3 * i, 0, 2) for i in range(3)]
    cover, _, notes = polygon_cover(shapes(*places, mended=(2,), left_out=4, kind=["a", None, "b"]), "")
    assert cover.classes.tolist() == [1, 2]
    assert texts(notes) == [
        "'labels.gpkg' holds 4 entries that are no polygons; they were left out.",
        "Some polygons have no class and were left out.",
        "Some polygons were not valid (their border crosses itself) and were mended.",
    ]
    assert [note.names for note in notes] == [(), ("polygon 2",), ("polygon 3",)]


@pytest.mark.parametrize(
    ("column", "columns", "said"),
    [
        ("", {"id": [1], "kind": ["a"]}, r"has 2 columns \('id', 'kind'\). Say which one"),
        ("", {}, r"has 0 columns \(none\)"),
        ("other", {"kind": ["a"]}, r"has no column 'other'; it has 'kind'"),
        ("kind", {"kind": [None]}, r"has no column 'kind'"),
        ("kind", {"kind": [" "]}, "holds 0 classes"),
    ],
)
def test_a_class_column_that_cannot_be_used_is_one_sentence(column, columns, said):
    with pytest.raises(ImportRefused, match=said):
        polygon_cover(shapes(square(0, 0, 1), **columns), column)


def test_free_text_is_no_class_column():
    many = [square(2 * i, 0, 1) for i in range(300)]
    with pytest.raises(ImportRefused, match="holds 300 classes; 1 to 254"):
        polygon_cover(shapes(*many, note=[f"text {i}" for i in range(300)]), "note")


def test_rules_for_one_class_have_no_land_use():
    assert [task.name for task in polygon_rules({1: "a"}, "T", 0.1, 0.5).tasks] == ["presence"]
    many = polygon_rules({i: f"c{i}" for i in range(1, 31)}, "T", 0.1, 0.5)
    assert [task.name for task in many.tasks] == ["land_use", "presence"]
    assert len(set(many.colours.values())) == 30
    assert (many.min_known, many.complete) == (0.5, False)


def test_drawing_polygons_does_not_bring_virtual_rasters_back():
    cover, _, _ = polygon_cover(shapes(square(0, 0, 4), kind=["a"]), "")
    cover.codes(Grid(4, 4, TRANSFORM, UTM))
    with rasterio.Env() as env:
        drivers = env.drivers()
    assert "GTiff" in drivers
