"""NWPU-RESISC45: 31,500 RGB images of 45 scene classes."""

from __future__ import annotations

from pathlib import Path

from spatialnet.importing.images.class_folders import Scheme, class_listing, find_classes, known_folders
from spatialnet.importing.images.files import read_splits
from spatialnet.importing.importer import Importer, Remote, Source
from spatialnet.importing.listing import Listing, Note, Origin
from spatialnet.importing.target_plan import class_name
from spatialnet.sensors import SENSORS

_CLASSES = (
    "airplane", "airport", "baseball_diamond", "basketball_court", "beach", "bridge", "chaparral", "church",
    "circular_farmland", "cloud", "commercial_area", "dense_residential", "desert", "forest", "freeway", "golf_course",
    "ground_track_field", "harbor", "industrial_area", "intersection", "island", "lake", "meadow", "medium_residential",
    "mobile_home_park", "mountain", "overpass", "palace", "parking_lot", "railway", "railway_station",
    "rectangular_farmland", "river", "roundabout", "runway", "sea_ice", "ship", "snowberg", "sparse_residential",
    "stadium", "storage_tank", "tennis_court", "terrace", "thermal_power_station", "wetland",
)  # fmt: skip

_SCHEME = Scheme(
    "resisc45",
    "NWPU-RESISC45",
    Origin(
        "NWPU-RESISC45",
        "31,500 RGB images of 256 x 256 pixels in 45 scene classes, from Google Earth, 0.2 to 30 m per pixel.",
        "CC BY-NC 4.0 as reported by TorchGeo; images from Google Earth",
        "Cheng, Han, Lu: Remote Sensing Image Scene Classification: Benchmark and State of the Art. Proceedings of the IEEE "
        "105 (2017), doi 10.1109/jproc.2017.2675998. Splits: Neumann et al., arXiv 1911.06721 (2019).",
        "https://hf.co/datasets/isaaccorley/resisc45",
    ),
    {name: class_name(name) for name in _CLASSES},
    SENSORS["rgb"],
    (
        "church", "commercial_area", "dense_residential", "industrial_area", "medium_residential", "palace", "parking_lot",
        "railway_station", "stadium",
    ),
    (
        "chaparral", "circular_farmland", "desert", "forest", "meadow", "mountain", "rectangular_farmland", "sparse_residential",
        "terrace", "wetland",
    ),
    "Dense and medium residential, commercial and industrial areas, churches, palaces, parking lots, railway stations and "
    "stadiums are urban; farmland, terraces, forest, chaparral, meadow, wetland, mountain, desert and sparse residential are "
    "rural; every other class is unknown.",
)  # fmt: skip

_LISTS = {"train": "resisc45-train.txt", "validation": "resisc45-val.txt", "test": "resisc45-test.txt"}
_FOLDERS = known_folders(_CLASSES)


def recognise(path: Path) -> str | None:
    """Folders named after RESISC45's classes."""
    return "NWPU-RESISC45's class folders" if path.is_dir() and _FOLDERS(path) else None


def _list_chips(source: Source) -> Listing:
    found = find_classes(source, _SCHEME)
    splits, notes = read_splits(found.files, _LISTS)
    size = Note("note", "Images have 0.2 to 30 m per pixel, and no file says which; 1 m is assumed.")
    return class_listing(_SCHEME, found, splits, notes=(size, *notes))


_HOST = "https://hf.co/datasets/isaaccorley/resisc45/resolve/883edc0eee77b2c84225472f10f126e3ed83fa6e/"

IMPORTER = Importer(
    "resisc45",
    "NWPU-RESISC45",
    "RGB images of 256 x 256 pixels in 45 scene classes.",
    """
NWPU-RESISC45/
    airplane/
        airplane_001.jpg
resisc45-train.txt
resisc45-val.txt
resisc45-test.txt
""".strip("\n"),
    "field",
    recognise,
    _list_chips,
    downloads=(
        Remote(f"{_HOST}NWPU-RESISC45.zip", "NWPU-RESISC45.zip", "75206b2e16446591afa88e2628744886"),
        Remote(f"{_HOST}resisc45-train.txt", "resisc45-train.txt", "b5a4c05a37de15e4ca886696a85c403e"),
        Remote(f"{_HOST}resisc45-val.txt", "resisc45-val.txt", "a0770cee4c5ca20b8c32bbd61e114805"),
        Remote(f"{_HOST}resisc45-test.txt", "resisc45-test.txt", "3dda9e4988b47eb1de9f07993653eb08"),
    ),
)
