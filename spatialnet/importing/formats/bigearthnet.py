"""BigEarthNet v2 (reBEN): pairs of Sentinel-2 and Sentinel-1 patches of ten European countries, 19 classes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd

from spatialnet.errors import ImportRefused
from spatialnet.importing.importer import Importer, Option, Remote, Source
from spatialnet.importing.listing import Listing, Note, Origin, Pixels
from spatialnet.importing.target_plan import TargetPlan
from spatialnet.sensors import SENSORS

CLASSES = (
    "Urban fabric", "Industrial or commercial units", "Arable land", "Permanent crops", "Pastures",
    "Complex cultivation patterns",
    "Land principally occupied by agriculture, with significant areas of natural vegetation", "Agro-forestry areas",
    "Broad-leaved forest", "Coniferous forest", "Mixed forest", "Natural grassland and sparsely vegetated areas",
    "Moors, heathland and sclerophyllous vegetation", "Transitional woodland, shrub", "Beaches, dunes, sands",
    "Inland wetlands", "Coastal wetlands", "Inland waters", "Marine waters",
)  # fmt: skip
URBAN = frozenset({"Urban fabric", "Industrial or commercial units"})

_METADATA = "metadata.parquet"
_COLUMNS = ("patch_id", "labels", "split", "country", "s1_name")
_SPLITS = {"train": "train", "validation": "validation", "val": "validation", "test": "test"}
_HOST = "https://zenodo.org/records/10891137/files/"

ORIGIN = Origin(
    title="BigEarthNet v2 (reBEN)",
    description="549,488 pairs of Sentinel-1 and Sentinel-2 patches of 1.2 km over ten European countries, with the CORINE "
    "classes of 2018 that they hold.",
    licence="CDLA-Permissive-1.0",
    citation="Clasen et al. (2024): reBEN: Refined BigEarthNet Dataset for Remote Sensing Image Analysis. arXiv:2407.03653.",
    source="doi:10.5281/zenodo.10891137",
)


def _recognise(path: Path) -> str | None:
    if path.is_dir() and (path / _METADATA).is_file() and (path / "BigEarthNet-S2").is_dir():
        return f"{_METADATA} beside BigEarthNet-S2"
    return None


def _list_chips(source: Source) -> Listing:
    root = source.path
    scenes = root / "BigEarthNet-S2"
    if not scenes.is_dir():
        raise ImportRefused(
            f"{str(root)[:200]!r} holds no folder BigEarthNet-S2. Unpack BigEarthNet-S2.tar.zst there "
            "(tar --zstd -xf BigEarthNet-S2.tar.zst)."
        )
    notes: list[Note] = []
    table = _chosen(_read(source.file("metadata") or root / _METADATA), source, notes)
    source.progress(0.2, "looking for patches")
    table = _present(table, scenes, notes)
    optical = _pixels("sentinel2_l2a", scenes, list(table["patch_id"]), _tile)
    pixels = [optical]
    if (root / "BigEarthNet-S1").is_dir():
        source.progress(0.6, "looking for Sentinel-1")
        radar = _radar(root / "BigEarthNet-S1", table, notes)
        pixels += [radar] if radar is not None else []
    else:
        notes.append(Note("note", "There is no folder BigEarthNet-S1, so the data set has Sentinel-2 only."))
    source.progress(1.0, "listed")
    labels, targets = _labels(table, notes)
    return Listing("bigearthnet", ORIGIN, _chips(table), labels, tuple(pixels), targets, notes=tuple(notes))


def _read(path: Path) -> pd.DataFrame:
    if not path.is_file():
        raise ImportRefused(
            f"There is no {path.name[:80]} beside BigEarthNet-S2. Download it there; it holds the labels."
        )
    try:
        table = pd.read_parquet(path)
    except (OSError, ValueError) as error:  # pyarrow's errors are both
        raise ImportRefused(
            f"{path.name[:80]} cannot be read: it is empty, damaged or no Parquet. Download it again."
        ) from error
    missing = [name for name in _COLUMNS if name not in table]
    if missing or table.empty:
        raise ImportRefused(
            f"{path.name[:80]} lacks {missing or 'rows'}; BigEarthNet v2 has {', '.join(_COLUMNS)}. Choose its metadata.parquet."
        )
    table = table[list(_COLUMNS)].reset_index(drop=True)
    lists = all(isinstance(labels, list | np.ndarray) for labels in table["labels"])
    if not lists or not all(isinstance(name, str) and _is_plain(name) for name in table["patch_id"]):
        raise ImportRefused(
            f"{path.name[:80]} holds labels or patch names of another form. Choose BigEarthNet v2's own."
        )
    return table.drop_duplicates("patch_id", ignore_index=True)


def _is_plain(name: str) -> bool:
    return bool(name) and name.replace("_", "").replace("-", "").isalnum()


def _chosen(table: pd.DataFrame, source: Source, notes: list[Note]) -> pd.DataFrame:
    """The countries and the number of patches that were asked for."""
    countries = [name.strip() for name in source.options["countries"].split(",") if name.strip()]
    known = sorted({str(name) for name in table["country"]})
    strangers = sorted(set(countries) - set(known))
    if strangers:
        raise ImportRefused(f"No patch lies in {strangers[0][:40]!r}; the metadata has {', '.join(known)[:200]}.")
    if countries:
        table = table[table["country"].isin(countries)].reset_index(drop=True)
    text = source.options["max_patches"]
    if not (text.isascii() and text.isdigit() and len(text) < 9):
        raise ImportRefused(f"The number of patches is {text[:40]!r}. Give a whole number, or 0 for all.")
    if 0 < int(text) < len(table):
        notes.append(
            Note("note", f"{int(text):,} of {len(table):,} patches were drawn at random, always the same ones.")
        )
        table = table.sample(int(text), random_state=0).sort_index(ignore_index=True)
    return table


def _tile(name: str) -> str:
    return name.rsplit("_", 2)[0]


def _scene(name: str) -> str:
    return name.rsplit("_", 3)[0]


def _folders(root: Path, parents: Sequence[str]) -> dict[str, set[str]]:
    """Names inside each folder of `root` that is asked for; every folder is listed once."""
    return {
        parent: {entry.name for entry in (root / parent).iterdir()} if (root / parent).is_dir() else set()
        for parent in dict.fromkeys(parents)
    }


def _present(table: pd.DataFrame, root: Path, notes: list[Note]) -> pd.DataFrame:
    tiles = [_tile(name) for name in table["patch_id"]]
    inside = _folders(root, tiles)
    there = np.array([name in inside[tile] for name, tile in zip(table["patch_id"], tiles, strict=True)], bool)
    if not there.any():
        raise ImportRefused(
            f"None of the {len(table):,} patches of the metadata is in BigEarthNet-S2/<tile>/<patch>. Unpack them there."
        )
    if not there.all():
        gone = tuple(table["patch_id"][~there])
        notes.append(Note("drop", f"{len(gone):,} of {len(table):,} patches of the metadata are not on disk.", gone))
    return table[there].reset_index(drop=True)


def _pixels(sensor: str, root: Path, names: Sequence[str], parent: Callable[[str], str]) -> Pixels:
    bands = SENSORS[sensor].bands
    files = tuple(
        root / above / name / f"{name}_{band}.tif" for name in names for above in (parent(name),) for band in bands
    )
    file = np.arange(len(files), dtype=np.int32).reshape(len(names), len(bands))
    return _whole_files(sensor, files, file)


def _whole_files(sensor: str, files: tuple[Path, ...], file: npt.NDArray[np.int32]) -> Pixels:
    zeros = np.zeros(len(file), np.int64)
    bands = tuple(range(1, len(SENSORS[sensor].bands) + 1))
    return Pixels(SENSORS[sensor], "files", files, file, zeros, zeros, bands=bands)


def _radar(root: Path, table: pd.DataFrame, notes: list[Note]) -> Pixels | None:
    names = [name if isinstance(name, str) and _is_plain(name) else "" for name in table["s1_name"]]
    inside = _folders(root, [_scene(name) for name in names if name])
    there = np.array([bool(name) and name in inside[_scene(name)] for name in names], bool)
    if not there.any():
        notes.append(Note("note", "BigEarthNet-S1 holds none of these patches, so the data set has Sentinel-2 only."))
        return None
    if not there.all():
        gone = tuple(table["patch_id"][~there])
        notes.append(
            Note("note", f"{len(gone):,} patches have no Sentinel-1 folder; that sensor is missing for them.", gone)
        )
    found = _pixels("sentinel1", root, [name for name, is_there in zip(names, there, strict=True) if is_there], _scene)
    file = np.full((len(table), found.file.shape[1]), -1, np.int32)
    file[there] = found.file
    return _whole_files("sentinel1", found.files, file)


def _chips(table: pd.DataFrame) -> pd.DataFrame:
    return pd.DataFrame({
        "key": table["patch_id"],
        "split": [_SPLITS.get(str(split).strip().lower(), "") for split in table["split"]],
        "group": "",
        "region": table["country"].fillna("").astype(str),
    })  # fmt: skip


def _labels(table: pd.DataFrame, notes: list[Note]) -> tuple[pd.DataFrame, tuple[TargetPlan, ...]]:
    found = [[str(label).strip() for label in labels] for labels in table["labels"]]
    strangers = sorted({label for labels in found for label in labels} - set(CLASSES))
    if len(strangers) > len(CLASSES):
        raise ImportRefused(
            f"The metadata names classes such as {strangers[0][:60]!r}, which are none of the 19 of BigEarthNet v2. "
            "Choose its own metadata.parquet."
        )
    if strangers:
        notes.append(
            Note("note", f"{len(strangers)} labels are none of the 19 classes and are left out.", tuple(strangers))
        )
    # A patch without any of the 19 classes was not labelled.
    known = [[label for label in labels if label in CLASSES] for labels in found]
    labels = pd.DataFrame({
        "land_cover": ["; ".join(names) or None for names in known],
        "rural_urban": [("urban" if URBAN & set(names) else "rural") if names else None for names in known],
        "tile": [_tile(name) for name in table["patch_id"]],
    })  # fmt: skip
    classes = tuple(name.lower() for name in CLASSES)
    return labels, (
        TargetPlan("land_cover", "multilabel", "Land cover", ("land_cover",), classes,
                   dict(zip(CLASSES, classes, strict=True)), separator=";"),
        TargetPlan("rural_urban", "binary", "Rural or urban", ("rural_urban",), ("rural", "urban"),
                   {"rural": "rural", "urban": "urban"},
                   derived="urban where the labels name urban fabric, or industrial or commercial units; else rural"),
    )  # fmt: skip


IMPORTER = Importer(
    name="bigearthnet",
    title="BigEarthNet v2",
    about="Sentinel-2 and Sentinel-1 patches with 19 land-cover classes, and rural or urban derived from them.",
    layout="""\
BigEarthNet/
  metadata.parquet
  BigEarthNet-S2/<tile>/<patch>/<patch>_B01.tif ... _B12.tif
  BigEarthNet-S1/<scene>/<patch>/<patch>_VV.tif, _VH.tif      optional
""",
    family="field",
    recognise=_recognise,
    list_chips=_list_chips,
    options=(
        Option(
            "max_patches", "Patches at most", "So many are drawn at random, always the same ones; 0 takes all.", "0"
        ),
        Option("countries", "Countries", "Names as the metadata has them, with commas between; empty takes all."),
        Option("metadata", "Metadata file", "Another metadata.parquet, such as the one of snow and cloud.", file=True),
    ),
    downloads=(
        Remote(f"{_HOST}metadata.parquet?download=1", "metadata.parquet", size=3_616_349),
        Remote(f"{_HOST}BigEarthNet-S2.tar.zst?download=1", "BigEarthNet-S2.tar.zst", size=63_251_710_377),
        Remote(f"{_HOST}BigEarthNet-S1.tar.zst?download=1", "BigEarthNet-S1.tar.zst", size=54_439_153_171),
    ),
)
