from spatialnet.importing.formats.rsscn7 import IMPORTER
from spatialnet.importing.importer import Source
from tests.importing.image_trees import picture

CLASSES = ("grassland", "farmland", "industrial", "river or lake", "forest", "residential", "parking lot")


def test_folders_with_letters(tmp_path):
    for name in ("aGrass", "bField", "cIndustry", "dRiverLake", "eForest", "fResident", "gParking"):
        picture(tmp_path / f"{name}/{name[0]}001.jpg")
    assert IMPORTER.recognise(tmp_path)
    listing = IMPORTER.listing(Source(tmp_path))
    land_use, area = listing.targets
    assert land_use.classes == CLASSES
    assert land_use.make(listing.labels).tolist() == list(range(7))
    assert str(area.make(listing.labels).tolist()) == "[0.0, 0.0, 1.0, nan, 0.0, 1.0, 1.0]"
    assert set(listing.chips["split"]) == {""}


def test_folders_with_words_and_their_lists(tmp_path):
    names = ("grass_land/1", "farm_land/401", "industrial_region/801", "river_lake/1201", "forest/1601", "residential_region/2001",
             "parking_lot/2401")  # fmt: skip
    for name in names:
        picture(tmp_path / f"{name}.jpg")
    (tmp_path / "rsscn7_train.csv").write_text("".join(f"{name}.jpg,{name.split('/')[0]}\n" for name in names[:6]))
    (tmp_path / "rsscn7_test.csv").write_text(f"{names[6]}.jpg,parking_lot\n")
    assert IMPORTER.recognise(tmp_path)
    listing = IMPORTER.listing(Source(tmp_path))
    assert set(listing.targets[0].classes) == set(CLASSES)
    of_key = dict(zip(listing.chips["key"], listing.chips["split"], strict=True))
    assert of_key["parking_lot/2401.jpg"] == "test"
    assert list(of_key.values()).count("train") == 6
