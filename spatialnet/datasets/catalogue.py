"""The data sets of a workspace, and the table of a data set's chips."""

from __future__ import annotations

import numpy as np
import pandas as pd

from spatialnet.datasets.packed import PackedChips
from spatialnet.errors import DataSetInvalid, DataSetNotFound
from spatialnet.settings import Settings, inside
from spatialnet.tasks import Task


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
    """One row per chip: `chip`, WGS84 bounds and centre, `row`, `column`, `block`, `split`."""
    try:
        return pd.read_parquet(data.folder / "chips.parquet")
    except (OSError, ValueError) as error:
        raise DataSetInvalid(
            f"The chip table of data set {data.name} cannot be read ({error}). Build it again."
        ) from error


def chip_at(table: pd.DataFrame, longitude: float, latitude: float) -> int | None:
    """The chip whose centre is nearest to a place, among the chips that cover it; None where no chip does."""
    covers = (
        (table["west"] <= longitude)
        & (longitude <= table["east"])
        & (table["south"] <= latitude)
        & (latitude <= table["north"])
    )
    near = table[covers]
    if near.empty:
        return None
    # A degree of longitude is shorter than one of latitude by the cosine of the latitude.
    scale = np.cos(np.deg2rad(latitude))
    distance = ((near["longitude"] - longitude) * scale) ** 2 + (near["latitude"] - latitude) ** 2
    return int(near.loc[distance.idxmin(), "chip"])


def target_text(task: Task, target: object) -> str:
    """A target or a correction in words: class names, `none`, `unknown`, or numbers for counts."""
    values = np.atleast_1d(np.asarray(target, dtype=np.float64))
    if task.kind == "multiclass":
        return "unknown" if not np.isfinite(values[0]) or values[0] < 0 else task.classes[int(values[0])]
    if task.kind == "binary":
        return "unknown" if not np.isfinite(values[0]) else task.classes[int(values[0])]
    if task.kind == "count":
        return ", ".join(
            f"{name} {value:g}" for name, value in zip(task.classes, values, strict=True) if np.isfinite(value)
        )
    if not np.isfinite(values).any():
        return "unknown"
    return ", ".join(name for name, value in zip(task.classes, values, strict=True) if value == 1) or "none"
