"""Captions that a run wrote, as a Parquet file: one row per chip. No torch."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from spatialnet.atomic import replacing
from spatialnet.errors import RunNotFound

CAPTIONS = "captions.parquet"
"""The file in the part of a run folder that belongs to the data set."""

REPORT = "captions.json"
"""Beside it: how the captions of the test split were measured."""


def write_captions(path: Path, captions: Sequence[str]) -> None:
    """Write one caption per chip; the file appears whole or not at all.

    Raises:
        NotEnoughDisk: the disk is full; what was at `path` before is unchanged.
    """
    table = pd.DataFrame({"chip": np.arange(len(captions)), "caption": pd.Series(captions, dtype=object)})
    with replacing(path) as partial:
        table.to_parquet(partial, index=False)


def read_captions(path: Path) -> list[str]:
    """The captions that `write_captions` took; empty where the run wrote none.

    Raises:
        RunNotFound: the file is damaged.
    """
    if not path.exists():
        return []
    try:
        return [str(text) for text in pd.read_parquet(path, columns=["caption"])["caption"]]
    except (OSError, ValueError, KeyError) as error:
        raise RunNotFound(
            f"The captions of run {path.parent.name} cannot be read ({str(error)[:80]}). Write them again with `caption`."
        ) from error


def read_caption_report(folder: Path) -> dict[str, Any] | None:
    """How a run's captions were measured; None where the run wrote none, or its report cannot be read.

    Args:
        folder: the part of the run folder that belongs to the data set.
    """
    try:
        return dict(json.loads((folder / REPORT).read_text(encoding="utf-8")))
    except (OSError, ValueError):
        return None
