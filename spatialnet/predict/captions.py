"""Captions that a run wrote, as a Parquet file: one row per chip. No torch."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from spatialnet.atomic import replacing
from spatialnet.errors import RunNotFound

CAPTIONS = "captions.parquet"
"""The file in the part of a run folder that belongs to the data set."""


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
