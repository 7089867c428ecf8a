"""AID: 10,000 aerial RGB images of 30 scene classes, and the objects that were labelled in 3,000 of them."""

from __future__ import annotations

from pathlib import Path

from spatialnet.importing.images.class_folders import (
    UCM_OBJECTS,
    Scheme,
    class_listing,
    find_classes,
    known_folders,
    object_labels,
    read_objects,
)
from spatialnet.importing.images.files import read_splits, stem
from spatialnet.importing.importer import Importer, Option, Source
from spatialnet.importing.listing import Listing, Note, Origin
from spatialnet.importing.target_plan import class_name
from spatialnet.sensors import SENSORS

_CLASSES = (
    "Airport", "BareLand", "BaseballField", "Beach", "Bridge", "Center", "Church", "Commercial", "DenseResidential",
    "Desert", "Farmland", "Forest", "Industrial", "Meadow", "MediumResidential", "Mountain", "Park", "Parking",
    "Playground", "Pond", "Port", "RailwayStation", "Resort", "River", "School", "SparseResidential", "Square", "Stadium",
    "StorageTanks", "Viaduct",
)  # fmt: skip

_SCHEME = Scheme(
    "aid",
    "AID",
    Origin(
        "AID",
        "10,000 aerial RGB images of 600 x 600 pixels in 30 scene classes, from Google Earth, 0.5 to 8 m per pixel.",
        "not stated by the source; images from Google Earth",
        "Xia, Hu, Hu, Shi, Bai, Zhong, Zhang, Lu: AID: A Benchmark Data Set for Performance Evaluation of Aerial Scene "
        "Classification. IEEE TGRS 55 (2017). Objects: Hua, Mou, Zhu: Relation Network for Multilabel Aerial Image "
        "Classification. IEEE TGRS 58 (2020).",
        "https://captain-whu.github.io/AID/",
    ),
    {name: class_name(name) for name in _CLASSES},
    SENSORS["rgb"],
    (
        "Center", "Church", "Commercial", "DenseResidential", "Industrial", "MediumResidential", "Parking", "Playground",
        "RailwayStation", "School", "Square", "Stadium", "Viaduct",
    ),
    ("BareLand", "Desert", "Farmland", "Forest", "Meadow", "Mountain", "SparseResidential"),
    "Centres, churches, commercial, industrial, dense and medium residential areas, parking lots, playgrounds, railway "
    "stations, schools, squares, stadiums and viaducts are urban; bare land, desert, farmland, forest, meadow, mountain and "
    "sparse residential are rural; every other class is unknown.",
)  # fmt: skip

_LISTS = {"train": "aid_train.csv", "validation": "aid_val.csv", "test": "aid_test.csv"}
_TABLES = ("multilabel.csv", "aidmultilabel_train.csv", "aidmultilabel_val.csv", "aidmultilabel_test.csv")
_FOLDERS = known_folders(_CLASSES)


def recognise(path: Path) -> str | None:
    """Folders named after AID's classes."""
    return "AID's class folders" if path.is_dir() and _FOLDERS(path) else None


def _list_chips(source: Source) -> Listing:
    found = find_classes(source, _SCHEME)
    splits, notes = read_splits(found.files, _LISTS)
    notes += (Note("note", "Images have 0.5 to 8 m per pixel, and no file says which; 1 m is assumed."),)
    given = source.file("objects")
    tables = [given] if given else [path for name in _TABLES if (path := found.files.beside(name))]
    if not tables:
        return class_listing(_SCHEME, found, splits, notes=notes)
    objects, said = read_objects(tables, UCM_OBJECTS)
    labels, plan, more = object_labels(objects, [stem(name) for name in found.files.names])
    return class_listing(_SCHEME, found, splits, labels=labels, plans=(plan,), notes=(*notes, *said, *more))


IMPORTER = Importer(
    "aid",
    "AID",
    "Aerial RGB images of 600 x 600 pixels in 30 scene classes, with 17 objects where their table is there.",
    """
AID/
    Airport/
        airport_1.jpg
    BareLand/
        bareland_1.jpg
aid_train.csv  aid_val.csv  aid_test.csv      (optional: AiTLAS split, lines Airport/airport_1.jpg,Airport)
multilabel.csv                                (optional: 17 objects; also aidmultilabel_{train,val,test}.csv)
""".strip("\n"),
    "field",
    recognise,
    _list_chips,
    (
        Option(
            "objects",
            "Table of objects",
            "First column names the image, then one column per object with 1 or 0.",
            file=True,
        ),
    ),
)
