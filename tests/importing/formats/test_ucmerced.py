import json

import numpy as np
import pytest

from spatialnet.errors import ImportRefused
from spatialnet.importing.formats.ucmerced import _SORTED, IMPORTER
from spatialnet.importing.images.class_folders import UCM_OBJECTS
from spatialnet.importing.importer import Source
from tests.importing.image_trees import picture, texts


def objects(*rows):
    lines = ["IMAGE\\LABEL\t" + "\t".join(UCM_OBJECTS)]
    lines += [f"{name}\t" + "\t".join("1" if o in there else "0" for o in UCM_OBJECTS) for name, there in rows]
    return "\n".join(lines) + "\n"


def test_class_folders_with_objects_and_split(tmp_path):
    for name in _SORTED:
        for number in ("00", "01", "02"):
            picture(tmp_path / f"UCMerced_LandUse/Images/{name}/{name}{number}.tif")
    for number, split in (("00", "train"), ("01", "val"), ("02", "test")):
        (tmp_path / f"uc_merced-{split}.txt").write_text("".join(f"{name}{number}.tif\n" for name in _SORTED))
    (tmp_path / "LandUse_Multilabeled.txt").write_text(objects(*((f"{name}00", {"trees", "cars"}) for name in _SORTED)))
    assert IMPORTER.recognise(tmp_path) == "UC Merced's class folders"
    listing = IMPORTER.listing(Source(tmp_path))
    assert len(listing) == 63
    assert listing.chips["split"].tolist() == ["train", "validation", "test"] * 21
    land_use, area, presence = listing.targets
    assert len(land_use.classes) == 21
    assert {"farmland", "harbour", "dense residential"} <= set(land_use.classes)
    made = presence.make(listing.labels)
    assert [c for c, v in zip(presence.classes, made[0], strict=True) if v == 1] == ["car", "tree"]
    assert np.isnan(made[1]).all()
    assert np.nanmean(area.make(listing.labels)) == pytest.approx(7 / 11)
    assert listing.sensors[0].gsd_m == 0.3


@pytest.fixture
def captions(tmp_path):
    images = []
    for number, split in ((1, "train"), (100, "val"), (101, "test"), (2100, "train")):
        picture(tmp_path / f"imgs/{number}.tif")
        images.append({
            "filename": f"{number}.tif", "imgid": number - 1, "split": split, "sentids": [0, 1],
            "sentences": [{"raw": f"There is {number} .", "tokens": [], "sentid": 0, "imgid": 0}, {"raw": "A field .", "tokens": []}],
        })  # fmt: skip
    (tmp_path / "dataset.json").write_text(json.dumps({"images": images, "dataset": "UCM"}))
    return tmp_path


def test_numbered_images_get_class_objects_and_captions(captions):
    (captions / "ucmercedmultilabel_train.csv").write_text(
        objects(("agricultural99", {"field"}), ("tenniscourt99", {"court"}))
    )
    assert "UCM-Caption" in IMPORTER.recognise(captions)
    listing = IMPORTER.listing(Source(captions))
    by_key = listing.labels.set_axis(listing.chips["key"], axis=0)
    assert by_key["land_use"].to_dict() == {
        "imgs/1.tif": "agricultural", "imgs/100.tif": "agricultural", "imgs/101.tif": "airplane", "imgs/2100.tif": "tenniscourt",
    }  # fmt: skip
    assert by_key.loc["imgs/100.tif", "captions"] == ["There is 100 .", "A field ."]
    assert listing.chips["split"].tolist() == ["train", "validation", "test", "train"]
    presence = next(plan for plan in listing.targets if plan.name == "presence")
    made = presence.make(listing.labels)
    assert np.isfinite(made).all(axis=1).tolist() == [False, True, False, True]
    assert made[1, presence.classes.index("field")] == 1
    assert "The class follows from an image's number" in texts(listing)


def test_captions_may_be_missing_but_not_damaged(captions):
    (captions / "dataset.json").rename(captions / "kept.txt")
    assert "No captions" in texts(IMPORTER.listing(Source(captions)))
    for damaged in ("{", '{"images": [{"filename": 1}]}', "[]"):
        (captions / "dataset.json").write_text(damaged)
        with pytest.raises(ImportRefused, match="no file of captions"):
            IMPORTER.listing(Source(captions))


def test_numbers_beyond_the_data_set_are_refused(captions):
    picture(captions / "imgs/2101.tif")
    with pytest.raises(ImportRefused, match="1 to 2100"):
        IMPORTER.listing(Source(captions))
