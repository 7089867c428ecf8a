"""The data sets of a workspace, and the tables of a data set's chips."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from spatialnet.datasets.packed import SPLITS, PackedChips
from spatialnet.errors import DataSetInvalid, DataSetNotFound
from spatialnet.settings import Settings, inside
from spatialnet.tasks import Task

UNKNOWN, NONE = "unknown", "none"
"""What a target without any knowledge, and a `multilabel` target without any class, is called."""

_PLACE = ("west", "south", "east", "north", "longitude", "latitude", "a", "b", "c", "d", "e", "f")
_WORDS = ("key", "group", "place", "region", "crs")


def list_datasets(settings: Settings) -> list[PackedChips]:
    """All whole data sets, by title. A folder that cannot be read is left out."""
    found = []
    for folder in sorted(settings.datasets.iterdir()):
        if folder.name.startswith("."):
            continue
        try:
            found.append(PackedChips.open(folder))
        except (DataSetNotFound, DataSetInvalid):
            continue
    return sorted(found, key=lambda data: data.title)


def open_dataset(settings: Settings, name: str) -> PackedChips:
    """The data set called `name`.

    Raises:
        PathRefused: not a valid name.
        DataSetNotFound: none of this name.
    """
    return PackedChips.open(inside(settings.datasets, name))


def chip_table(data: PackedChips) -> pd.DataFrame:
    """One row per chip, index 0..n-1.

    Columns: `chip`, `key`, `group`, `place`, `region` (text, "" where there is none), `row`, `column` (of the window; 0 for
    files), `crs` (text) and `a` to `f` (chip pixel (column, row) of the first sensor to ground), `west`, `south`, `east`,
    `north`, `longitude`, `latitude` (degrees, NaN where the place is not known), `split` (name) and `block`.

    Raises:
        DataSetInvalid: the table cannot be read or has not one row per chip.
    """
    table = _parquet(data, "chips.parquet")
    if len(table) != len(data):
        raise DataSetInvalid(
            f"The chip table of data set {data.name} has {len(table):,} rows for {len(data):,} chips. Build it again."
        )
    for name in _WORDS:
        table[name] = table[name].fillna("").astype(str) if name in table else ""
    for name in _PLACE:
        table[name] = table[name].astype(np.float64) if name in table else np.nan
    for name in ("row", "column"):
        table[name] = table[name].fillna(0).astype(np.int64) if name in table else 0
    table["chip"] = np.arange(len(table))
    table["split"] = np.asarray(SPLITS, dtype=object)[data.splits]
    table["block"] = data.blocks
    return table


def leak_pairs(data: PackedChips, split: str = "") -> pd.DataFrame:
    """Pairs of chips that lie in different splits and share ground or pixels.

    Args:
        data: the data set.
        split: identifier of one of its splits; default the current one.

    Returns:
        Columns `a`, `b` (chips), `split_a`, `split_b` and `kind`; empty where the split has no leak.

    Raises:
        DataSetInvalid: the file cannot be read.
    """
    path = f"splits/{split or data.manifest['split']['id']}.leaks.parquet"
    if not (data.folder / path).exists():
        return pd.DataFrame({"a": [], "b": [], "split_a": [], "split_b": [], "kind": []}).astype({"a": int, "b": int})
    return _parquet(data, path)


def _parquet(data: PackedChips, name: str) -> pd.DataFrame:
    try:
        return pd.read_parquet(data.folder / name)
    except (OSError, ValueError) as error:
        raise DataSetInvalid(f"Data set {data.name} cannot be read at {name} ({error}). Build it again.") from error


def size_on_disk(data: PackedChips) -> int:
    """Bytes of all files of a data set."""
    return sum(path.stat().st_size for path in data.folder.rglob("*") if path.is_file())


def chip_at(table: pd.DataFrame, longitude: float, latitude: float, reach: float = 0.0) -> int | None:
    """The chip whose centre is nearest to a place, among the chips that cover it; None where no chip does.

    Args:
        table: see `chip_table`.
        longitude: in degrees.
        latitude: in degrees.
        reach: where no chip covers the place, its nearest neighbour within so many degrees of latitude counts.
    """
    covers = (
        (table["west"] <= longitude)
        & (longitude <= table["east"])
        & (table["south"] <= latitude)
        & (latitude <= table["north"])
    )
    near = table[covers]
    # A degree of longitude is shorter than one of latitude by the cosine of the latitude.
    scale = np.cos(np.deg2rad(latitude))
    if near.empty and reach > 0:
        away = np.hypot((table["longitude"] - longitude) * scale, table["latitude"] - latitude)
        near = table[away <= reach]
    if near.empty:
        return None
    distance = ((near["longitude"] - longitude) * scale) ** 2 + (near["latitude"] - latitude) ** 2
    return int(near.loc[distance.idxmin(), "chip"])


def target_facts(data: PackedChips, task: Task) -> tuple[bool, str]:
    """Whether the targets of a task are derived from others, and one sentence that says how they came about."""
    facts: dict[str, Any] = data.manifest.get("targets", {}).get(task.name, {})
    sentence = str(facts.get("sentence") or facts.get("derived") or "").strip().rstrip(".")
    derived = bool(facts.get("derived")) or bool(data.manifest.get("derived"))
    if not sentence:
        sentence = "derived from other labels" if derived else "as the source says"
    return derived, f"{sentence[0].upper()}{sentence[1:]}."


def target_text(task: Task, target: object) -> str:
    """A target or a correction in words: class names, `none`, `unknown`, or numbers for counts."""
    return target_texts(task, np.asarray([target], dtype=np.float64))[0]


def target_texts(task: Task, targets: npt.NDArray[Any]) -> list[str]:
    """Targets as `target_text` says them.

    Args:
        task: whose targets.
        targets: (chips,) or (chips, classes).
    """
    values = np.asarray(targets, np.float64)
    if task.kind in ("multiclass", "binary"):
        flat, names = values.reshape(len(values), -1)[:, 0], [*task.classes, UNKNOWN]
        index = np.where(np.isfinite(flat) & (flat >= 0), flat, len(task.classes)).astype(int)
        return [names[i] for i in index]
    if task.kind == "count":
        return [
            ", ".join(f"{name} {v:g}" for name, v in zip(task.classes, row, strict=True) if np.isfinite(v)) or UNKNOWN
            for row in values
        ]
    known: list[bool] = np.asarray(np.isfinite(values).any(axis=1)).tolist()
    return [
        ", ".join(name for name, v in zip(task.classes, row, strict=True) if v == 1) or (NONE if some else UNKNOWN)
        for row, some in zip(values, known, strict=True)
    ]
