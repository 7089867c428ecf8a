"""UC Merced land use: 2,100 aerial RGB images of 21 classes; their objects; and the same images with captions."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

from spatialnet.errors import ImportRefused
from spatialnet.importing.images.class_folders import (
    UCM_OBJECTS,
    Found,
    Scheme,
    class_listing,
    in_classes,
    known_folders,
    object_labels,
    read_objects,
)
from spatialnet.importing.images.files import SPLIT_NAMES, ImageFiles, find_images, read_splits, read_text, stem
from spatialnet.importing.importer import Importer, Option, Remote, Source
from spatialnet.importing.listing import Listing, Note, Origin
from spatialnet.importing.wording import counted
from spatialnet.sensors import SENSORS

_CLASSES = {
    "agricultural": "agricultural", "airplane": "airplane", "baseballdiamond": "baseball diamond", "beach": "beach",
    "buildings": "buildings", "chaparral": "chaparral", "denseresidential": "dense residential", "forest": "forest",
    "freeway": "freeway", "golfcourse": "golf course", "harbor": "harbor", "intersection": "intersection",
    "mediumresidential": "medium residential", "mobilehomepark": "mobile home park", "overpass": "overpass",
    "parkinglot": "parking lot", "river": "river", "runway": "runway", "sparseresidential": "sparse residential",
    "storagetanks": "storage tanks", "tenniscourt": "tennis court",
}  # fmt: skip
_SORTED = tuple(sorted(_CLASSES))
_PER_CLASS = 100

_SCHEME = Scheme(
    "ucmerced",
    "UC Merced",
    Origin(
        "UC Merced land use",
        "2,100 aerial RGB images of 256 x 256 pixels at 0.3 m in 21 land-use classes, from cities of the USA.",
        "public domain (USGS National Map Urban Area Imagery); captions and objects: not stated by the source",
        "Yang, Newsam: Bag-of-visual-words and spatial extensions for land-use classification. ACM SIGSPATIAL GIS (2010). "
        "Objects: Chaudhuri, Demir, Chaudhuri, Bruzzone: IEEE TGRS 56 (2018). Captions: Qu, Li, Tao, Lu: Deep semantic "
        "understanding of high resolution remote sensing image. CITS (2016). Splits: Neumann et al., arXiv 1911.06721 (2019).",
        "http://weegee.vision.ucmerced.edu/datasets/landuse.html",
    ),
    _CLASSES,
    replace(SENSORS["rgb"], gsd_m=0.3),
    ("buildings", "denseresidential", "intersection", "mediumresidential", "mobilehomepark", "overpass", "parkinglot"),
    ("agricultural", "chaparral", "forest", "sparseresidential"),
    "Buildings, dense and medium residential areas, mobile home parks, intersections, overpasses and parking lots are urban; "
    "agricultural, chaparral, forest and sparse residential are rural; every other class is unknown.",
)  # fmt: skip

_LISTS = {"train": "uc_merced-train.txt", "validation": "uc_merced-val.txt", "test": "uc_merced-test.txt"}
_OTHER_LISTS = {"train": "ucmerced_train.csv", "validation": "ucmerced_val.csv", "test": "ucmerced_test.csv"}
_TABLES = (
    "LandUse_Multilabeled.txt", "multilabels.txt", "ucmercedmultilabel_train.csv", "ucmercedmultilabel_val.csv",
    "ucmercedmultilabel_test.csv",
)  # fmt: skip
_CAPTIONS = "dataset.json"
_FOLDERS = known_folders(_SORTED)


def recognise(path: Path) -> str | None:
    """Folders named after UC Merced's classes, or numbered images beside captions."""
    if not path.is_dir():
        return None
    if _FOLDERS(path):
        return "UC Merced's class folders"
    numbered = any((path / folder / "2100.tif").is_file() for folder in ("", "images", "imgs"))
    return "UCM-Caption: numbered images and captions" if numbered and (path / _CAPTIONS).is_file() else None


def _list_chips(source: Source) -> Listing:
    files = find_images(source)
    numbered = [name for name in files.names if stem(name).isdecimal()]
    captions = source.file("captions") or files.beside(_CAPTIONS)
    notes: tuple[Note, ...] = ()
    labels: dict[str, Any] = {}
    if len(numbered) > len(files.names) / 2:
        found, stems = _numbered(files, numbered)
        splits: dict[str, str] = {}
        if captions is None:
            notes += (Note("note", f"No captions: there is no {_CAPTIONS} beside the images, and so no split."),)
        else:
            splits, sentences = _captions(captions)
            labels["captions"] = [sentences.get(stem(name)) for name in found.files.names]
            notes += (Note("note", f"Captions and the official split are read from {captions.name}."),)
    else:
        found = in_classes(files, _SCHEME)
        stems = [stem(name) for name in found.files.names]
        lists = _LISTS if any(files.beside(name) for name in _LISTS.values()) else _OTHER_LISTS
        splits, notes = read_splits(files, lists)
    given = source.file("objects")
    tables = [given] if given else [path for name in _TABLES if (path := files.beside(name))]
    if not tables:
        return class_listing(_SCHEME, found, splits, labels=labels, notes=notes)
    objects, said = read_objects(tables, UCM_OBJECTS)
    columns, plan, more = object_labels(objects, stems)
    return class_listing(_SCHEME, found, splits, labels=labels | columns, plans=(plan,), notes=(*notes, *said, *more))


def _numbered(files: ImageFiles, names: list[str]) -> tuple[Found, list[str]]:
    """Images 1 to 2100 in the order of the classes, and what each is called in UC Merced."""
    numbers = [int(stem(name)) for name in names]
    most = _PER_CLASS * len(_SORTED)
    wrong = [name for name, number in zip(names, numbers, strict=True) if not 1 <= number <= most]
    if wrong or len(set(numbers)) < len(numbers):
        what = f"is number {wrong[0][-60:]!r}" if wrong else "has one number twice"
        raise ImportRefused(f"An image {what}; UCM-Caption numbers them 1 to {most}, each once. Keep only its images.")
    folders = [_SORTED[(number - 1) // _PER_CLASS] for number in numbers]
    stems = [f"{folder}{(number - 1) % _PER_CLASS:02d}" for folder, number in zip(folders, numbers, strict=True)]
    rest = tuple(sorted(set(files.names) - set(names)))
    notes = [
        Note("note", "The class follows from an image's number: 1 to 100 is the first of the alphabet, and so on.")
    ]
    if rest:
        notes.append(Note("drop", f"{counted(len(rest), 'image', 'has')} no number.", rest))
    return Found(files.keep(names, *notes), folders), stems


def _captions(path: Path) -> tuple[dict[str, str], dict[str, list[str]]]:
    """Split and sentences by `stem`."""
    splits: dict[str, str] = {}
    sentences: dict[str, list[str]] = {}
    try:
        for image in json.loads(read_text(path)[0])["images"]:
            name = stem(str(image["filename"]))
            sentences[name] = [str(sentence["raw"]).strip() for sentence in image["sentences"]]
            split = str(image.get("split", "")).lower()
            if split:
                splits[name] = SPLIT_NAMES[split]
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise ImportRefused(
            f"{path.name[:80]!r} is no file of captions. Wanted are images, each with filename, split and sentences."
        ) from error
    return splits, sentences


_HOST = "https://hf.co/datasets/torchgeo/ucmerced/resolve/7c5ef3454d9b1cccfa7ccde0c01fc8f00a45909a/"

IMPORTER = Importer(
    "ucmerced",
    "UC Merced and UCM-Caption",
    "Aerial RGB images of 256 x 256 pixels in 21 land-use classes, with 17 objects and captions where they are there.",
    """
UCMerced_LandUse/Images/
    agricultural/
        agricultural00.tif
uc_merced-train.txt  uc_merced-val.txt  uc_merced-test.txt
LandUse_Multilabeled.txt      (optional: 17 objects; also ucmercedmultilabel_{train,val,test}.csv)
or, UCM-Caption:
imgs/
    1.tif
    2100.tif
dataset.json
""".strip("\n"),
    "paper",
    recognise,
    _list_chips,
    (
        Option(
            "objects",
            "Table of objects",
            "First column names the image, then one column per object with 1 or 0.",
            file=True,
        ),
        Option("captions", "Captions", "The JSON file of UCM-Caption; dataset.json if not given.", file=True),
    ),
    (
        Remote(f"{_HOST}UCMerced_LandUse.zip", "UCMerced_LandUse.zip", "5b7ec56793786b6dc8a908e8854ac0e4"),
        Remote(f"{_HOST}uc_merced-train.txt", "uc_merced-train.txt", "f2fb12eb2210cfb53f93f063a35ff374"),
        Remote(f"{_HOST}uc_merced-val.txt", "uc_merced-val.txt", "11ecabfc52782e5ea6a9c7c0d263aca0"),
        Remote(f"{_HOST}uc_merced-test.txt", "uc_merced-test.txt", "046aff88472d8fc07c4678d03749e28d"),
    ),
)
