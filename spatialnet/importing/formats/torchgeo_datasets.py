"""Any classification data set of TorchGeo, through TorchGeo's own objects: its downloads, checksums and splits.

Its items are arrays in memory, so they are written once as `.npy` files below TorchGeo's folder and read from there.
"""

from __future__ import annotations

import inspect
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from spatialnet.atomic import full_disk_said, replacing
from spatialnet.errors import ImportRefused
from spatialnet.importing.images.files import SPLIT_NAMES
from spatialnet.importing.images.sensor import SENSOR_OPTIONS, choose_bands
from spatialnet.importing.importer import Importer, Option, Source
from spatialnet.importing.listing import Listing, Note, Origin, Pixels
from spatialnet.importing.target_plan import propose
from spatialnet.importing.vocabulary import renamed, suggest

_INDEX = "index.json"
_FORMAT = 1
_SHARD_BYTES = 64_000_000
_TYPES = ("uint8", "uint16", "float32")
_INSTALL = "pip install -r requirements-torchgeo.txt"


def recognise(_path: Path) -> str | None:
    """Never: TorchGeo's folders are those of the data sets themselves, and a name must be given."""
    return None


@dataclass(frozen=True)
class _Items:
    """What was written of a data set.

    Attributes:
        files: the `.npy` files.
        rows: per chip: key, split, file, row, labels (class numbers).
        classes: class names.
        several: an item may have several labels.
        bands: what TorchGeo calls the bands, or empty.
        about: first sentence of its documentation.
    """

    files: list[str]
    rows: list[list[Any]]
    classes: list[str]
    several: bool
    bands: list[str]
    about: str


def _list_chips(source: Source) -> Listing:
    if not source.path.is_dir():
        raise ImportRefused(
            f"{source.path.name[:80]!r} is no folder. Point at the folder that TorchGeo keeps data sets in."
        )
    name, folder = source.options["dataset"], source.path / f"chips-{source.options['dataset'][:60]}"
    library = _library()
    kind = getattr(library, name, None) if name.isidentifier() else None
    if not (inspect.isclass(kind) and issubclass(kind, library.NonGeoDataset)):
        known = [n for n in library.__all__ if _is_classification(library, getattr(library, n))]
        raise ImportRefused(
            f"TorchGeo has no data set of chips called {name[:60]!r}. Some are {', '.join(known)[:200]}."
        )
    items = _read_index(folder, name, str(_version()))
    if items is None:
        with full_disk_said("the data set's images"):
            items = _write(source, folder, library, kind)
    array = np.load(folder / items.files[0], mmap_mode="r", allow_pickle=False)
    sensor, bands, notes = choose_bands(source, array.shape[1], items.bands, name)
    table = pd.DataFrame(items.rows, columns=["key", "split", "file", "row", "labels"])
    names = [[items.classes[i] for i in numbers] for numbers in table["labels"]]
    labels = pd.DataFrame({"land_use": names if items.several else [one[0] if one else None for one in names]})
    plan = propose("land_use", "multilabel" if items.several else "multiclass", "Land use", "land_use", labels)
    named = suggest(plan)
    origin = Origin(
        name, items.about, "see the publisher's page in TorchGeo's documentation", "see TorchGeo's documentation",
        f"TorchGeo {_version()}: torchgeo.datasets.{name}",
    )  # fmt: skip
    chips = table[["key", "split"]].assign(group="")
    pixels = Pixels(
        sensor, "npy", tuple(folder / file for file in items.files), table["file"].to_numpy(np.int32)[:, None],
        table["row"].to_numpy(np.int64), np.zeros(len(table), np.int64), bands=bands,
    )  # fmt: skip
    kept = Note("note", f"TorchGeo's images are kept as arrays in {folder.name}; delete that folder to read them anew.")
    return Listing(
        "torchgeo_datasets", origin, chips, labels, (pixels,), (named,), notes=(kept, *notes, *renamed(plan, named))
    )


def _library() -> Any:
    try:
        return import_module("torchgeo.datasets")
    except ModuleNotFoundError as error:
        raise ImportRefused(f"TorchGeo is not installed. Install it with `{_INSTALL}` and import again.") from error
    except (ImportError, OSError, RuntimeError, AttributeError) as error:
        raise ImportRefused(
            f"TorchGeo does not start: {str(error)[:120]}. Install it anew with `{_INSTALL}`."
        ) from error


def _version() -> str:
    return str(import_module("torchgeo").__version__)


def _is_classification(library: Any, value: Any) -> bool:
    base = library.NonGeoClassificationDataset
    return inspect.isclass(value) and issubclass(value, base) and value is not base


def _opened(source: Source, library: Any, kind: Any) -> Iterator[tuple[str, Any]]:
    """The data set's splits, with our names of them."""
    asked = inspect.signature(kind).parameters
    answers: dict[str, Any] = {"root": str(source.path)}
    if "download" in asked:
        answers["download"] = source.options.get("download") == "yes"
    if "checksum" in asked:
        answers["checksum"] = True
    splits = [str(split) for split in getattr(kind, "splits", ("train", "val", "test"))] if "split" in asked else [""]
    for split in splits:
        try:
            yield SPLIT_NAMES.get(split.lower(), ""), kind(**answers, **({"split": split} if split else {}))
        except library.DatasetNotFoundError as error:
            raise ImportRefused(
                f"TorchGeo does not find {kind.__name__} in {source.path.name[:60]!r}. Allow the download, or put it there."
            ) from error
        except (OSError, ValueError, TypeError, RuntimeError, AssertionError, ImportError) as error:
            raise ImportRefused(
                f"TorchGeo cannot open {kind.__name__}: {str(error)[:160] or type(error).__name__}."
            ) from error


def _write(source: Source, folder: Path, library: Any, kind: Any) -> _Items:
    """Every item of the data set as rows of `.npy` files, one shape per file."""
    try:
        folder.mkdir(exist_ok=True)
    except OSError as error:
        raise ImportRefused(
            f"{source.path.name[:80]!r} cannot be written to. TorchGeo's images need room there."
        ) from error
    items = _Items([], [], [], False, [], (inspect.getdoc(kind) or kind.__name__).splitlines()[0])
    several = False
    types: list[str] = []
    waiting: dict[tuple[int, ...], list[tuple[npt.NDArray[Any], list[Any]]]] = {}

    def flush(shape: tuple[int, ...]) -> None:
        parts = waiting.pop(shape)
        array = np.stack([pixels for pixels, _ in parts])
        types.append(_narrowest(array))
        for row, (_, values) in enumerate(parts):
            values[2:4] = len(items.files), row
        items.files.append(f"{len(items.files):05d}.npy")
        _save(folder / items.files[-1], array.astype(types[-1]))

    for split, data in _opened(source, library, kind):
        items.classes[:] = [str(name) for name in getattr(data, "classes", ())] or items.classes
        items.bands[:] = [str(band) for band in getattr(data, "bands", ()) if isinstance(band, str)]
        for number in range(len(data)):
            pixels, numbers, many = _item(data, number, kind.__name__)
            several |= many
            values = [_key(source.path, data, split, number), split, 0, 0, numbers]
            items.rows.append(values)
            waiting.setdefault(pixels.shape, []).append((pixels, values))
            if len(waiting[pixels.shape]) * pixels.nbytes >= _SHARD_BYTES:
                flush(pixels.shape)
            source.progress((number + 1) / len(data), f"{kind.__name__} {split}: image {number + 1:,} of {len(data):,}")
    for shape in list(waiting):
        flush(shape)
    if not items.rows:
        raise ImportRefused(
            f"TorchGeo's {kind.__name__} is empty in {source.path.name[:60]!r}. Delete the folder and fetch it anew."
        )
    _widen(folder, items.files, types)
    highest = max((number for row in items.rows for number in row[4]), default=-1)
    items.classes.extend(f"class {i}" for i in range(len(items.classes), highest + 1))
    result = _Items(items.files, items.rows, items.classes, several, items.bands, items.about)
    head = {"format": _FORMAT, "dataset": kind.__name__, "torchgeo": _version()}
    with replacing(folder / _INDEX) as path:
        path.write_text(json.dumps(head | vars(result)), encoding="utf-8")
    return result


def _item(data: Any, number: int, name: str) -> tuple[npt.NDArray[Any], list[int], bool]:
    """Pixels (bands, height, width), class numbers, and whether there may be several."""
    try:
        sample = data[number]
    except (OSError, ValueError, RuntimeError, IndexError, ImportError) as error:
        raise ImportRefused(f"TorchGeo cannot read image {number} of {name}: {str(error)[:120]}.") from error
    if not isinstance(sample, dict) or not {"image", "label"} <= set(sample):
        raise ImportRefused(f"{name} is no classification data set: its items have no image and label. Choose another.")
    pixels, label = np.asarray(sample["image"]), np.asarray(sample["label"])
    if pixels.ndim != 3 or label.ndim > 1 or not np.issubdtype(label.dtype, np.integer):
        raise ImportRefused(f"{name} is no classification data set of single images with class labels. Choose another.")
    if label.ndim == 0 or label.size == 1:
        number_of_class = int(label.reshape(()))
        return pixels, [number_of_class] if number_of_class >= 0 else [], False
    return pixels, np.flatnonzero(label).tolist(), True


def _key(root: Path, data: Any, split: str, number: int) -> str:
    """The image's path below TorchGeo's folder where it is a file; else split and number."""
    files: Sequence[Any] = getattr(data, "imgs", ())
    if number < len(files):
        path = Path(files[number][0])
        if path.is_relative_to(root):
            return path.relative_to(root).as_posix()
    return f"{split or 'all'}/{number:07d}"


def _narrowest(array: npt.NDArray[Any]) -> str:
    """The smallest type that holds the numbers as they are. TorchGeo makes floats of everything."""
    if np.issubdtype(array.dtype, np.floating) and not (np.isfinite(array).all() and (array == np.rint(array)).all()):
        return "float32"
    low, high = array.min(), array.max()
    return "float32" if low < 0 or high > 65535 else "uint8" if high <= 255 else "uint16"


def _widen(folder: Path, files: Sequence[str], types: Sequence[str]) -> None:
    """Give all files the widest of their types: one sensor has one type."""
    widest = max(types, key=_TYPES.index)
    for file, own in zip(files, types, strict=True):
        if own != widest:
            _save(folder / file, np.load(folder / file, allow_pickle=False).astype(widest))


def _save(path: Path, array: npt.NDArray[Any]) -> None:
    with replacing(path) as target, target.open("wb") as file:
        np.save(file, array, allow_pickle=False)


def _read_index(folder: Path, name: str, version: str) -> _Items | None:
    """What an earlier import wrote, or None where there is none that fits."""
    try:
        values = json.loads((folder / _INDEX).read_text(encoding="utf-8"))
        same = (values.pop("format"), values.pop("dataset"), values.pop("torchgeo")) == (_FORMAT, name, version)
        items = _Items(**values)
        return items if same and all((folder / file).is_file() for file in items.files) else None
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None


IMPORTER = Importer(
    "torchgeo_datasets",
    "TorchGeo data sets",
    "Any classification data set of TorchGeo by its name; TorchGeo downloads and checks it. Needs TorchGeo beside SpatialNet.",
    """
folder that TorchGeo keeps data sets in (its `root`), may be empty/
    chips-EuroSAT/      written here: TorchGeo's images as arrays
""".strip("\n"),
    "field",
    recognise,
    _list_chips,
    (
        Option(
            "dataset",
            "Data set",
            "TorchGeo's name of the data set, such as EuroSATSpatial, FireRisk or PatternNet.",
            required=True,
        ),
        Option("download", "Download", "Let TorchGeo download the data set if it is not there.", "no", ("no", "yes")),
        *SENSOR_OPTIONS[:2],
    ),
)
