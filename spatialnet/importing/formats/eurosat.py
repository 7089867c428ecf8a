"""EuroSAT: 27,000 Sentinel-2 chips of 10 classes, as 13 bands or as RGB."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from spatialnet.errors import ImportRefused
from spatialnet.importing.images.class_folders import Scheme, class_listing, in_classes, known_folders
from spatialnet.importing.images.files import find_images, read_splits
from spatialnet.importing.importer import Importer, Option, Remote, Source
from spatialnet.importing.listing import Listing, Note, Origin
from spatialnet.sensors import SENSORS

_L1C = SENSORS["sentinel2_l1c"]
_FILE_BANDS = ("B01", "B02", "B03", "B04", "B05", "B06", "B07", "B08", "B09", "B10", "B11", "B12", "B8A")
"""The order of bands in the files: B8A comes last (TorchGeo 0.8.1, `EuroSAT.all_band_names`)."""
_BANDS = tuple(_FILE_BANDS.index(band) + 1 for band in _L1C.bands)
_RGB = replace(SENSORS["rgb"], wavelengths_nm=(664.6, 559.6, 493.0), gsd_m=10.0)

_SCHEME = Scheme(
    "eurosat",
    "EuroSAT",
    Origin(
        "EuroSAT",
        "27,000 Sentinel-2 chips of 64 x 64 pixels at 10 m in 10 land-use classes.",
        "MIT; contains modified Copernicus Sentinel data",
        "Helber, Bischke, Dengel, Borth: EuroSAT: A Novel Dataset and Deep Learning Benchmark for Land Use and Land Cover "
        "Classification. IEEE JSTARS 12 (2019). Splits: Neumann et al., arXiv 1911.06721 (2019); spatial splits: TorchGeo.",
        "https://zenodo.org/records/7711810",
    ),
    {
        "AnnualCrop": "annual crop", "Forest": "forest", "HerbaceousVegetation": "herbaceous vegetation", "Highway": "highway",
        "Industrial": "industrial", "Pasture": "pasture", "PermanentCrop": "permanent crop", "Residential": "residential",
        "River": "river", "SeaLake": "sea or lake",
    },
    _L1C,
    ("Residential", "Industrial"),
    ("AnnualCrop", "Forest", "HerbaceousVegetation", "Pasture", "PermanentCrop"),
    "Residential and industrial chips are urban; crops, pasture, herbaceous vegetation and forest are rural; highway, river "
    "and sea or lake are unknown, because they lie in both.",
)  # fmt: skip

_LISTS = {
    "random": {"train": "eurosat-train.txt", "validation": "eurosat-val.txt", "test": "eurosat-test.txt"},
    "spatial": {
        "train": "eurosat-spatial-train.txt", "validation": "eurosat-spatial-val.txt", "test": "eurosat-spatial-test.txt",
    },
}  # fmt: skip

_FOLDERS = known_folders(tuple(_SCHEME.classes))


def recognise(path: Path) -> str | None:
    """Folders named after EuroSAT's classes."""
    return "EuroSAT's class folders" if path.is_dir() and _FOLDERS(path) else None


def _list_chips(source: Source) -> Listing:
    files = find_images(source)
    tiffs = [name for name in files.names if name.lower().endswith((".tif", ".tiff"))]
    pictures = [name for name in files.names if name.lower().endswith((".jpg", ".jpeg", ".png"))]
    wanted = source.options.get("images") or ("13 bands" if tiffs else "rgb")
    chosen, other = (tiffs, pictures) if wanted == "13 bands" else (pictures, tiffs)
    if not chosen:
        raise ImportRefused(f"There are no images with {wanted} below {files.root.name[:80]!r}. Choose the other kind.")
    notes = []
    if other:
        kinds = f"Images with 13 bands and as RGB are there; those with {wanted} are taken."
        notes.append(Note("note", kinds, tuple(other)))
    found = in_classes(files.keep(chosen), _SCHEME)
    there = [name for name, lists in _LISTS.items() if any(files.beside(file) for file in lists.values())]
    split = source.options.get("split") or ("spatial" if "spatial" in there else "random")
    splits, said = read_splits(files, _LISTS[split])
    if len(there) > 1:
        both = f"Lists of the random and of the spatial split are there; the {split} one is taken."
        notes.append(Note("note", both, tuple(file for lists in _LISTS.values() for file in lists.values())))
    if split == "random" and splits:
        notes.append(
            Note("note", "The random split puts chips of the same ground in training and test; prefer the spatial one.")
        )
    if wanted == "13 bands":
        return class_listing(_SCHEME, found, splits, bands=_BANDS, notes=(*notes, *said))
    return class_listing(_SCHEME, found, splits, sensor=_RGB, notes=(*notes, *said))


_HOST = "https://hf.co/datasets/torchgeo/eurosat/resolve/1ce6f1bfb56db63fd91b6ecc466ea67f2509774c/"

IMPORTER = Importer(
    "eurosat",
    "EuroSAT",
    "Sentinel-2 chips of 64 x 64 pixels in 10 land-use classes, with 13 bands or as RGB.",
    """
ds/images/remote_sensing/otherDatasets/sentinel_2/tif/AnnualCrop/AnnualCrop_1.tif    (TorchGeo's zip)
eurosat-train.txt  eurosat-val.txt  eurosat-test.txt
eurosat-spatial-train.txt  eurosat-spatial-val.txt  eurosat-spatial-test.txt
or
EuroSAT_MS/AnnualCrop/AnnualCrop_1.tif        (Zenodo)
EuroSAT_RGB/AnnualCrop/AnnualCrop_1.jpg
or
2750/AnnualCrop/AnnualCrop_1.jpg              (the first release)
""".strip("\n"),
    "field",
    recognise,
    _list_chips,
    (
        Option(
            "images",
            "Images",
            "With 13 bands (TIFF) or as RGB (JPEG); 13 bands if both are there.",
            "",
            ("13 bands", "rgb"),
        ),
        Option(
            "split",
            "Split",
            "Which of the published splits; the spatial one if its lists are there.",
            "",
            ("random", "spatial"),
        ),
    ),
    (
        Remote(f"{_HOST}EuroSATallBands.zip", "EuroSATallBands.zip", "5ac12b3b2557aa56e1826e981e8e200e"),
        Remote(f"{_HOST}eurosat-train.txt", "eurosat-train.txt", "908f142e73d6acdf3f482c5e80d851b1"),
        Remote(f"{_HOST}eurosat-val.txt", "eurosat-val.txt", "95de90f2aa998f70a3b2416bfe0687b4"),
        Remote(f"{_HOST}eurosat-test.txt", "eurosat-test.txt", "7ae5ab94471417b6e315763121e67c5f"),
        Remote(f"{_HOST}eurosat-spatial-train.txt", "eurosat-spatial-train.txt", "7be3254be39f23ce4d4d144290c93292"),
        Remote(f"{_HOST}eurosat-spatial-val.txt", "eurosat-spatial-val.txt", "acf392290050bb3df790dc8fc0ebf193"),
        Remote(f"{_HOST}eurosat-spatial-test.txt", "eurosat-spatial-test.txt", "5ec1733f9c16116bf0aa2d921fc613ef"),
    ),
)
