"""RSSCN7: 2,800 RGB images of 7 scene classes."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from spatialnet.importing.images.class_folders import Scheme, class_listing, in_classes, known_folders
from spatialnet.importing.images.files import find_images, read_splits
from spatialnet.importing.importer import Importer, Remote, Source
from spatialnet.importing.listing import Listing, Origin
from spatialnet.importing.target_plan import same_form
from spatialnet.sensors import SENSORS

_LETTERS = {
    "aGrass": "grassland", "bField": "farmland", "cIndustry": "industrial", "dRiverLake": "river or lake",
    "eForest": "forest", "fResident": "residential", "gParking": "parking lot",
}  # fmt: skip
"""Folders as the data set is published."""

_WORDS = {
    "grass_land": "grassland", "farm_land": "farmland", "industrial_region": "industrial", "river_lake": "river or lake",
    "forest": "forest", "residential_region": "residential", "parking_lot": "parking lot",
}  # fmt: skip
"""Folders as AiTLAS names them."""


def _scheme(classes: Mapping[str, str]) -> Scheme:
    def folders(*names: str) -> tuple[str, ...]:
        return tuple(folder for folder, name in classes.items() if name in names)

    return Scheme(
        "rsscn7",
        "RSSCN7",
        Origin(
            "RSSCN7",
            "2,800 RGB images of 400 x 400 pixels in 7 scene classes, at four scales, from Google Earth.",
            "not stated by the source; images from Google Earth",
            "Zou, Ni, Zhang, Wang: Deep Learning Based Feature Selection for Remote Sensing Scene Classification. "
            "IEEE GRSL 12 (2015).",
            "https://github.com/palewithout/RSSCN7",
        ),
        classes,
        SENSORS["rgb"],
        folders("industrial", "residential", "parking lot"),
        folders("grassland", "farmland", "forest"),
        "Industrial, residential and parking chips are urban; grassland, farmland and forest are rural; river or lake is unknown.",
    )


_LISTS = {"train": "rsscn7_train.csv", "validation": "rsscn7_val.csv", "test": "rsscn7_test.csv"}
_LETTER_FOLDERS, _WORD_FOLDERS = known_folders(tuple(_LETTERS), 0.8), known_folders(tuple(_WORDS), 0.8)


def recognise(path: Path) -> str | None:
    """Folders named after RSSCN7's classes."""
    return "RSSCN7's class folders" if path.is_dir() and (_LETTER_FOLDERS(path) or _WORD_FOLDERS(path)) else None


def _list_chips(source: Source) -> Listing:
    files = find_images(source)
    forms = {same_form(name.rpartition("/")[0].rpartition("/")[2]) for name in files.names}
    letters = len(forms & {same_form(name) for name in _LETTERS})
    words = len(forms & {same_form(name) for name in _WORDS})
    scheme = _scheme(_WORDS if words > letters else _LETTERS)
    found = in_classes(files, scheme)
    # The lists of AiTLAS number images through all classes, so they fit only the folders that are named its way.
    splits, notes = read_splits(files, _LISTS) if words > letters else ({}, ())
    return class_listing(scheme, found, splits, notes=notes)


IMPORTER = Importer(
    "rsscn7",
    "RSSCN7",
    "RGB images of 400 x 400 pixels in 7 scene classes. It has no official split.",
    """
aGrass/a001.jpg
bField/b001.jpg
cIndustry/  dRiverLake/  eForest/  fResident/  gParking/
or
grass_land/1.jpg  farm_land/401.jpg  ...      (AiTLAS)
rsscn7_train.csv  rsscn7_val.csv  rsscn7_test.csv
""".strip("\n"),
    "field",
    recognise,
    _list_chips,
    downloads=(
        Remote(
            "https://github.com/palewithout/RSSCN7/archive/0dedd8435c51dc7a391cca3069e6b141213f8568.zip", "RSSCN7.zip"
        ),
    ),
)
