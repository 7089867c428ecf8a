import numpy as np
import pandas as pd
import pytest

from spatialnet.errors import ImportRefused
from spatialnet.importing.formats.image_table import IMPORTER
from spatialnet.importing.importer import Source
from tests.importing.image_trees import picture, texts, tiff


def write(path, rows):
    path.write_text("\n".join(rows) + "\n", encoding="utf-8")


@pytest.fixture
def flat(tmp_path):
    for number in range(1, 5):
        tiff(tmp_path / f"00{number}.tif", 4)
    write(
        tmp_path / "labels.csv",
        [
            "image;land use;label_tree;label_car;split;lon;lat;flight",
            "001;Forest;1;0;train;10.5;50;A", "002;River;0;;val;10.6;50;A", "003;Forest;1;1;test;10.7;50;B", "009;River;1;1;test;0;0;B",
        ],
    )  # fmt: skip
    return tmp_path


def test_a_table_beside_geotiffs(flat):
    assert IMPORTER.recognise(flat) == "the table labels.csv"
    listing = IMPORTER.listing(Source(flat, {"group": "flight"}))
    assert listing.chips["key"].tolist() == ["001.tif", "002.tif", "003.tif"]
    assert listing.chips["split"].tolist() == ["train", "validation", "test"]
    assert listing.chips["group"].tolist() == ["A", "A", "B"]
    assert listing.chips["longitude"].tolist() == [10.5, 10.6, 10.7]
    by_name = {plan.name: plan for plan in listing.targets}
    assert by_name["land_use"].make(listing.labels).tolist() == [0, 1, 0]
    assert by_name["presence"].classes == ("tree", "car")
    assert np.array_equal(by_name["presence"].make(listing.labels), [[1, 0], [0, np.nan], [1, 1]], equal_nan=True)
    dropped = [note.names for note in listing.notes if note.severity == "drop"]
    assert dropped == [("009",), ("004.tif",)]
    said = texts(listing)
    assert "file names without folder and suffix" in said
    assert "Column split is taken for the official split" in said
    assert "separated by ';'" in said
    assert listing.sensors[0].name == "naip"


def test_a_parquet_table_and_votes(tmp_path):
    for name in ("A/1.jpg", "B/1.jpg", "B/2.jpg"):
        picture(tmp_path / name)
    rows = {
        "file": ["A/1.jpg", "B\\1.jpg", "./B/2.jpg"], "scene": ["a", "b", "b"], "objects": [["x"], [], ["x", "y"]],
        "n_a": [0, 2, 5], "n_b": [1, 1, 3],
    }  # fmt: skip
    pd.DataFrame(rows).to_parquet(tmp_path / "t.parquet")
    listing = IMPORTER.listing(
        Source(tmp_path, {"labels": "scene:multiclass, objects", "presence_from": "n_: yes>=2, no<=0"})
    )
    scene, objects, presence = listing.targets
    assert scene.make(listing.labels).tolist() == [0, 1, 1]
    assert objects.make(listing.labels).tolist() == [[1, 0], [0, 0], [1, 1]]
    assert np.array_equal(presence.make(listing.labels), [[0, np.nan], [1, np.nan], [1, 1]], equal_nan=True)
    assert "2 or more" in presence.derived
    assert listing.labels["n_a"].tolist() == [0, 2, 5]


def test_two_columns_of_file_names_are_refused_until_one_is_chosen(tmp_path):
    for name in ("a.jpg", "b.jpg", "c.jpg", "d.jpg"):
        picture(tmp_path / name)
    write(tmp_path / "t.csv", ["before,after,c", "a.jpg,b.jpg,x", "c.jpg,d.jpg,y", "b.jpg,a.jpg,x", "d.jpg,c.jpg,y"])
    with pytest.raises(ImportRefused, match="before, after"):
        IMPORTER.listing(Source(tmp_path))
    listing = IMPORTER.listing(Source(tmp_path, {"file": "after", "labels": "c"}))
    assert listing.chips["key"].tolist() == ["b.jpg", "d.jpg", "a.jpg", "c.jpg"]


def test_an_image_in_two_rows(tmp_path):
    picture(tmp_path / "a.jpg")
    picture(tmp_path / "b.jpg")
    write(tmp_path / "t.csv", ["f,c", "a.jpg,x", "b.jpg,y", "a.jpg,x"])
    listing = IMPORTER.listing(Source(tmp_path, {"labels": "c"}))
    assert len(listing) == 2
    assert "several equal rows" in texts(listing)
    write(tmp_path / "t.csv", ["f,c", "a.jpg,x", "b.jpg,y", "a.jpg,z"])
    with pytest.raises(ImportRefused, match="two rows"):
        IMPORTER.listing(Source(tmp_path, {"labels": "c"}))


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"table": "none.csv"}, "no file"), ({"file": "x"}, "no column"), ({"split": "land use"}, "Write train, validation"),
        ({"labels": "x"}, "no column"), ({"file": "land use"}, "holds names"), ({"colour": "x"}, "no option"),
    ],
)  # fmt: skip
def test_answers_that_do_not_fit_are_refused(flat, options, said):
    with pytest.raises(ImportRefused, match=said):
        IMPORTER.listing(Source(flat, options))


def test_no_table_or_several_or_no_labels_are_refused(tmp_path):
    picture(tmp_path / "a.jpg")
    assert IMPORTER.recognise(tmp_path) is None
    with pytest.raises(ImportRefused, match="no table"):
        IMPORTER.listing(Source(tmp_path))
    write(tmp_path / "t.csv", ["f,c", "a.jpg,x"])
    with pytest.raises(ImportRefused, match="looks like labels"):
        IMPORTER.listing(Source(tmp_path))
    write(tmp_path / "u.csv", ["f,c", "a.jpg,x"])
    with pytest.raises(ImportRefused, match="2 tables"):
        IMPORTER.listing(Source(tmp_path))
    write(tmp_path / "u.csv", ["f,c", "zzz.jpg,x"])
    with pytest.raises(ImportRefused, match=r"No column of 'u\.csv'"):
        IMPORTER.listing(Source(tmp_path, {"table": "u.csv"}))
