from spatialnet.importing.formats.resisc45 import _CLASSES, IMPORTER
from spatialnet.importing.importer import Source
from tests.importing.image_trees import picture, texts


def test_the_layout_that_people_download(tmp_path):
    for name in _CLASSES:
        for number in (1, 2, 3):
            picture(tmp_path / f"NWPU-RESISC45/{name}/{name}_{number:03d}.jpg", size=4)
    for number, split in enumerate(("train", "val", "test"), 1):
        (tmp_path / f"resisc45-{split}.txt").write_text("".join(f"{name}_{number:03d}.jpg\n" for name in _CLASSES))
    assert IMPORTER.recognise(tmp_path)
    listing = IMPORTER.listing(Source(tmp_path))
    assert len(listing) == 135
    assert listing.chips["split"].tolist() == ["train", "validation", "test"] * 45
    land_use, area = listing.targets
    assert len(land_use.classes) == len(set(land_use.colours)) == 45
    assert {"harbour", "circular farmland", "rectangular farmland", "storage tank"} <= set(land_use.classes)
    of_class = dict(zip(listing.labels["land_use"], area.make(listing.labels), strict=True))
    assert (of_class["dense_residential"], of_class["forest"]) == (1, 0)
    assert str(of_class["lake"]) == "nan"
    assert "0.2 to 30 m per pixel" in texts(listing)
    assert len(IMPORTER.downloads) == 4
