import pytest

from spatialnet.errors import ImportRefused
from spatialnet.importing.formats.image_folder import IMPORTER
from spatialnet.importing.importer import Source
from tests.importing.image_trees import picture, texts, tiff


def test_the_first_folder_is_the_class(tmp_path):
    for name in ("Forest/a.jpg", "Forest/deep/down/b.png", "River/a.jpg", "river/c.jpeg"):
        picture(tmp_path / name)
    picture(tmp_path / "loose.jpg")
    (tmp_path / "Forest/readme.md").write_text("x")
    assert IMPORTER.recognise(tmp_path)
    listing = IMPORTER.listing(Source(tmp_path))
    assert listing.chips["key"].tolist() == ["Forest/a.jpg", "Forest/deep/down/b.png", "River/a.jpg", "river/c.jpeg"]
    (plan,) = listing.targets
    assert plan.classes == ("forest", "river")
    assert plan.make(listing.labels).tolist() == [0, 0, 1, 1]
    assert [path.name for path in listing.pixels[0].files] == ["a.jpg", "b.png", "a.jpg", "c.jpeg"]
    assert ("loose.jpg",) in [note.names for note in listing.notes if note.severity == "drop"]
    assert "2 spellings are taken for one class, 'river'" in texts(listing)


def test_train_val_and_test_folders_are_the_split(tmp_path):
    for name in ("train/a/1.jpg", "train/b/1.jpg", "Valid/a/1.jpg", "test/b/2.jpg"):
        picture(tmp_path / "set" / name)
    listing = IMPORTER.listing(Source(tmp_path))
    assert dict(zip(listing.chips["key"], listing.chips["split"], strict=True)) == {
        "set/Valid/a/1.jpg": "validation", "set/test/b/2.jpg": "test", "set/train/a/1.jpg": "train", "set/train/b/1.jpg": "train",
    }  # fmt: skip
    assert "taken as the official split" in texts(listing)
    assert "Class folders are taken from set" in texts(listing)


def test_a_class_may_be_called_test(tmp_path):
    picture(tmp_path / "test/1.jpg")
    picture(tmp_path / "other/1.jpg")
    assert set(IMPORTER.listing(Source(tmp_path)).chips["split"]) == {""}


def test_geotiffs_keep_their_bands(tmp_path):
    for name in ("a/1.tif", "b/2.tif"):
        tiff(tmp_path / name, 5)
    listing = IMPORTER.listing(Source(tmp_path, {"bands": "blue:490, green:560, red:665"}))
    assert listing.pixels[0].bands == (1, 2, 3)
    assert listing.sensors[0].gsd_m == 10


def test_one_class_is_refused(tmp_path):
    picture(tmp_path / "a/1.jpg")
    picture(tmp_path / "a/2.jpg")
    assert IMPORTER.recognise(tmp_path) is None
    with pytest.raises(ImportRefused, match="Two or more are wanted"):
        IMPORTER.listing(Source(tmp_path))
