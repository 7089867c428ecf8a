"""Captions of chips, as the source of a data set gave them."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import pandas as pd
import pyarrow.parquet as pq

from spatialnet.datasets.packed import PackedChips
from spatialnet.errors import DataSetInvalid

_NAMES = ("captions", "caption", "sentences", "description")
_LONGEST = 1000
"""Characters of a caption that are read at most."""


def captions_of(data: PackedChips, column: str = "") -> list[list[str]]:
    """Per chip what its source says in sentences; an empty list where it says nothing.

    Args:
        data: the data set; its `labels.parquet` holds texts, or lists of texts.
        column: a column, or the beginning of several followed by `*`; by default one called captions, caption, sentences
            or description, or all that begin with `caption_`.

    Raises:
        DataSetInvalid: the table cannot be read, or has no such column, or none that holds texts.
    """
    try:
        table = pd.read_parquet(data.folder / "labels.parquet")
    except (OSError, ValueError) as error:
        raise DataSetInvalid(
            f"Data set {data.name} cannot be read at labels.parquet ({error}). Import it again."
        ) from error
    columns = _columns(column, [str(name) for name in table.columns])
    if not columns or len(table) != len(data):
        there = ", ".join(map(str, table.columns))[:160] or "none"
        raise DataSetInvalid(
            f"Data set {data.name} has no column {column[:60]!r} of captions; its columns are {there}. Name one that holds sentences."
        )
    captions = [[text for cell in row for text in _texts(cell)] for row in table[columns].itertuples(index=False)]
    if not any(captions):
        raise DataSetInvalid(
            f"Column {columns[0][:60]!r} of data set {data.name} holds no text. Name a column that holds sentences."
        )
    return captions


def has_captions(data: PackedChips) -> bool:
    """Whether the data set's source has a column that is called as captions are; reads no text."""
    try:
        names = pq.read_schema(data.folder / "labels.parquet").names
    except (OSError, ValueError):
        return False
    return bool(_columns("", [str(name) for name in names]))


def _columns(asked: str, there: list[str]) -> list[str]:
    if asked.endswith("*"):
        return [name for name in there if name.startswith(asked[:-1])]
    if asked:
        return [asked] if asked in there else []
    named = [name for name in _NAMES if name in there]
    return named[:1] or [name for name in there if name.startswith("caption_")]


def _texts(cell: object) -> list[str]:
    if isinstance(cell, str):
        text = " ".join(cell.split())[:_LONGEST]
        return [text] if text else []
    if isinstance(cell, list | tuple | np.ndarray):
        parts: Iterable[object] = cell
        return [text for part in parts if isinstance(part, str) for text in _texts(part)]
    return []
