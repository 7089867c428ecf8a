import numpy as np
import pandas as pd
import pytest

from spatialnet.errors import ImportRefused
from spatialnet.importing.images.class_folders import (
    Scheme,
    class_listing,
    find_classes,
    known_folders,
    object_labels,
    read_objects,
)
from spatialnet.importing.importer import Source
from spatialnet.importing.listing import Origin
from spatialnet.sensors import SENSORS
from tests.importing.image_trees import picture, texts

SCHEME = Scheme(
    "s", "S", Origin("S", "", "", "", ""), {"aWood": "forest", "bTown": "dense residential", "cSea": "sea"}, SENSORS["rgb"],
    ("bTown",), ("aWood",), "Town is urban, wood is rural, sea is unknown.",
)  # fmt: skip


def test_copies_count_once_and_strangers_not_at_all(tmp_path):
    for name in ("big/aWood/1.jpg", "big/aWood/2.jpg", "big/btown/1.jpg", "copy/aWood/1.jpg", "other/x.jpg"):
        picture(tmp_path / name)
    listing = class_listing(SCHEME, find_classes(Source(tmp_path), SCHEME), {"1": "train"})
    assert listing.chips["key"].tolist() == ["big/aWood/1.jpg", "big/aWood/2.jpg", "big/btown/1.jpg"]
    assert listing.chips["split"].tolist() == ["train", "", "train"]
    assert listing.labels["land_use"].tolist() == ["aWood", "aWood", "bTown"]
    land_use, area = listing.targets
    assert land_use.classes == ("forest", "dense residential")
    assert area.make(listing.labels).tolist() == [0, 0, 1]
    assert area.derived == SCHEME.rule
    dropped = {note.names for note in listing.notes if note.severity == "drop"}
    assert dropped == {("copy/aWood/1.jpg",), ("other/x.jpg",)}
    assert "1 of 3 classes has no image" in texts(listing)


def test_another_data_set_is_refused(tmp_path):
    picture(tmp_path / "cats/1.jpg")
    with pytest.raises(ImportRefused, match="there are cats"):
        find_classes(Source(tmp_path), SCHEME)


def test_folders_are_recognised_below_wrapping_ones(tmp_path):
    test = known_folders(tuple(SCHEME.classes))
    assert not test(tmp_path)
    for name in ("a_wood", "BTOWN"):
        (tmp_path / "x/y" / name).mkdir(parents=True)
    assert test(tmp_path)
    assert not test(tmp_path / "x/y/a_wood")


def test_tables_of_objects(tmp_path):
    (tmp_path / "one.txt").write_text("IMAGE\\LABEL\tcars\ttrees\na00\t1\t0\n")
    (tmp_path / "two.csv").write_text("image,trees,cars\nB01.tif,1,\n")
    objects, _ = read_objects([tmp_path / "one.txt", tmp_path / "two.csv"], ("cars", "trees"))
    labels, plan, notes = object_labels(objects, ["b01", "c02"])
    assert np.array_equal(plan.make(pd.DataFrame(labels)), [[np.nan, 1], [np.nan, np.nan]], equal_nan=True)
    assert plan.classes == ("cars", "trees")
    assert [note.names for note in notes] == [("a00",), ("c02",)]
    with pytest.raises(ImportRefused, match="no column 'ships'"):
        read_objects([tmp_path / "one.txt"], ("ships",))
    with pytest.raises(ImportRefused, match="twice"):
        read_objects([tmp_path / "one.txt", tmp_path / "one.txt"], ("cars",))
