"""So2Sat LCZ42: Sentinel-1 and Sentinel-2 patches of cities, with local climate zones."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from spatialnet.errors import ImportRefused
from spatialnet.importing.importer import Importer, Source
from spatialnet.importing.listing import Listing, Note, Origin, Pixels
from spatialnet.importing.target_plan import TargetPlan
from spatialnet.sensors import SENSORS

CLASSES = (
    "compact high-rise", "compact mid-rise", "compact low-rise", "open high-rise", "open mid-rise", "open low-rise",
    "lightweight low-rise", "large low-rise", "sparsely built", "heavy industry", "dense trees", "scattered trees",
    "bush, scrub", "low plants", "bare rock or paved", "bare soil or sand", "water",
)  # fmt: skip
"""Local climate zones 1 to 10 (built), then A to G (natural)."""

BUILT = 10
_SIDE = 32
_FILES = {"training.h5": "train", "validation.h5": "validation", "testing.h5": "test"}
_ARRAYS = {"sen2": "sentinel2_10", "sen1": "sentinel1_so2sat"}
_ZONES = (*(str(number) for number in range(1, BUILT + 1)), *"ABCDEFG")

ORIGIN = Origin(
    title="So2Sat LCZ42",
    description="400,673 pairs of Sentinel-1 and Sentinel-2 patches of 320 m in 42 cities, labelled by experts with 17 local "
    "climate zones.",
    licence="CC BY 4.0",
    citation="Zhu et al. (2020): So2Sat LCZ42: A Benchmark Data Set for the Classification of Global Local Climate Zones. "
    "IEEE GRSM 8(3).",
    source="mediaTUM 1483140 (version 2), 1613658 (version 3)",
)


def _recognise(path: Path) -> str | None:
    found = [name for name in _FILES if path.is_dir() and (path / name).is_file()]
    return f"{', '.join(found)} with 17 local climate zones" if found and _is_hdf5(path / found[0]) else None


def _is_hdf5(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(8) == b"\x89HDF\r\n\x1a\n"


def _list_chips(source: Source) -> Listing:
    root = source.path
    paths = tuple(root / name for name in _FILES if root.is_dir() and (root / name).is_file())
    if not paths:
        raise ImportRefused(f"{str(root)[:200]!r} holds none of {', '.join(_FILES)}. Point at the folder that does.")
    notes = [
        Note("note", f"There is no {name}; that split is left out.") for name in _FILES if not (root / name).is_file()
    ]
    zones = []
    for done, path in enumerate(paths):
        source.progress(done / len(paths), f"labels of {path.name}")
        zones.append(_read_zones(path))
    file = np.repeat(np.arange(len(paths), dtype=np.int32), [len(part) for part in zones])[:, None]
    row = np.concatenate([np.arange(len(part), dtype=np.int64) for part in zones])
    zone = np.concatenate(zones)
    unknown = int((zone < 0).sum())
    if unknown:
        notes.append(Note("note", f"{unknown:,} patches name no zone or several; they count as unknown."))
    names = [path.name for path in paths]
    chips = pd.DataFrame({
        "key": [f"{names[f]}/{r}" for f, r in zip(file[:, 0].tolist(), row.tolist(), strict=True)],
        "split": [_FILES[names[f]] for f in file[:, 0].tolist()],
        "group": "",
    })  # fmt: skip
    labels = pd.DataFrame({
        "zone": [None if z < 0 else _ZONES[z] for z in zone.tolist()],
        "rural_urban": [None if z < 0 else ("urban" if z < BUILT else "rural") for z in zone.tolist()],
    })  # fmt: skip
    column = np.zeros(len(row), np.int64)
    pixels = tuple(
        Pixels(SENSORS[sensor], "hdf5", paths, file, row, column, array=array, channels_last=True,
               bands=tuple(range(1, len(SENSORS[sensor].bands) + 1))) for array, sensor in _ARRAYS.items()
    )  # fmt: skip
    targets = (
        TargetPlan("local_climate_zone", "multiclass", "Local climate zone", ("zone",), CLASSES,
                   dict(zip(_ZONES, CLASSES, strict=True))),
        TargetPlan("rural_urban", "binary", "Rural or urban", ("rural_urban",), ("rural", "urban"),
                   {"rural": "rural", "urban": "urban"},
                   derived="urban where the local climate zone is built (1 to 10), rural where it is natural (A to G)"),
    )  # fmt: skip
    source.progress(1.0, "listed")
    return Listing("so2sat", ORIGIN, chips, labels, pixels, targets, notes=tuple(notes))


def _read_zones(path: Path) -> npt.NDArray[np.int64]:
    """Zone of each patch of a file, from 0; -1 where none or several are named."""
    import h5py  # other formats do without

    try:
        with h5py.File(path, "r") as file:
            shapes = {name: _shape(file, name, path) for name in ("label", *_ARRAYS)}
            patches = shapes["label"][0] if shapes["label"] else 0
            wanted = {"label": (patches, len(CLASSES))} | {
                array: (patches, _SIDE, _SIDE, len(SENSORS[sensor].bands)) for array, sensor in _ARRAYS.items()
            }
            for name, shape in wanted.items():
                if shapes[name] != shape or not patches:
                    raise ImportRefused(
                        f"{path.name} has {name} of shape {shapes[name]}; So2Sat LCZ42 has {('n', *shape[1:])}. Choose its files."
                    )
            label = np.asarray(file["label"][:])
    except (OSError, KeyError, RuntimeError, ValueError) as error:
        raise ImportRefused(
            f"{path.name} cannot be read: it is empty, cut short or no HDF5. Download it again."
        ) from error
    named = label > 0.5
    return np.where(named.sum(axis=1) == 1, named.argmax(axis=1), -1).astype(np.int64)


def _shape(file: Any, name: str, path: Path) -> tuple[int, ...]:
    import h5py

    link = file.get(name, getlink=True) if name in file else None
    item = file[name] if isinstance(link, h5py.HardLink) else None
    # A link, or an array whose bytes lie elsewhere, would open any other file of this machine.
    if not isinstance(item, h5py.Dataset) or item.external or item.is_virtual or item.dtype.kind not in "fiu":
        raise ImportRefused(
            f"{path.name} holds no array {name!r} of numbers; So2Sat LCZ42 has label, sen1 and sen2. Choose its files."
        )
    return tuple(int(side) for side in item.shape)


IMPORTER = Importer(
    name="so2sat",
    title="So2Sat LCZ42",
    about="Sentinel-1 and Sentinel-2 patches with 17 local climate zones, and rural or urban derived from them.",
    layout="""\
So2Sat/
  training.h5
  validation.h5
  testing.h5          version 2 and 3 only
""",
    family="field",
    recognise=_recognise,
    list_chips=_list_chips,
)
