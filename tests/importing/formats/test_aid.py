import numpy as np

from spatialnet.importing.formats.aid import _CLASSES, IMPORTER
from spatialnet.importing.images.class_folders import UCM_OBJECTS
from spatialnet.importing.importer import Source
from tests.importing.image_trees import picture, texts


def tree(folder):
    for name in _CLASSES:
        for number in (1, 2):
            picture(folder / f"AID/{name}/{name.lower()}_{number}.jpg")


def test_class_folders_without_a_split(tmp_path):
    tree(tmp_path)
    assert IMPORTER.recognise(tmp_path)
    listing = IMPORTER.listing(Source(tmp_path))
    assert len(listing) == 60
    assert [plan.name for plan in listing.targets] == ["land_use", "rural_urban"]
    assert len(listing.targets[0].classes) == 30
    assert set(listing.chips["split"]) == {""}
    assert "No official split" in texts(listing)
    assert "not stated" in listing.origin.licence


def test_the_split_of_aitlas_and_the_objects(tmp_path):
    tree(tmp_path)
    for number, split in enumerate(("train", "test"), 1):
        rows = "".join(f"{name}/{name.lower()}_{number}.jpg,{name}\n" for name in _CLASSES)
        (tmp_path / f"aid_{split}.csv").write_text(rows)
    header = "IMAGE\\LABEL\t" + "\t".join(UCM_OBJECTS)
    row = "airport_1\t" + "\t".join("1" if name in ("airplane", "pavement") else "0" for name in UCM_OBJECTS)
    (tmp_path / "aidmultilabel_train.csv").write_text(f"{header}\n{row}\n")
    listing = IMPORTER.listing(Source(tmp_path))
    assert listing.chips["split"].tolist() == ["train", "test"] * 30
    presence = listing.targets[2]
    assert presence.classes[:4] == ("airplane", "bare soil", "building", "car")
    made = presence.make(listing.labels)
    assert made[0].tolist() == [float(name in ("airplane", "pavement")) for name in UCM_OBJECTS]
    assert np.isnan(made[1:]).all()
    assert "59 images have no row in the table of objects" in texts(listing)
    (tmp_path / "mine.csv").write_text(f"{header}\n{row}\n".replace("airport_1", "beach_2"))
    other = IMPORTER.listing(Source(tmp_path, {"objects": "mine.csv"}))
    assert np.isfinite(other.targets[2].make(other.labels)).all(axis=1).nonzero()[0].tolist() == [7]
