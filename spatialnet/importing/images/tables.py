"""Tables that people wrote: CSV in whatever encoding and with whatever separator, and Parquet."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import pandas as pd
import pyarrow as pa

from spatialnet.errors import ImportRefused
from spatialnet.importing.images.files import read_text
from spatialnet.importing.listing import Note

TABLE_SUFFIXES = (".csv", ".tsv", ".txt", ".parquet")
"""What `read_table` reads."""

EMPTY = ("", "nan", "NaN", "null", "NULL", "N/A", "#N/A")
"""Cells that mean nothing. "NA" and "None" are not among them: they are names, too."""

_SEPARATORS = "\t;,|"


def read_table(path: Path, text_columns: tuple[str, ...] = ()) -> tuple[pd.DataFrame, tuple[Note, ...]]:
    """A table with one header line.

    CSV: UTF-8 (with or without a mark), UTF-16 or Latin-1; separated by tabs, semicolons, commas or bars, whichever the
    header has most of. A column becomes numbers where every cell is one and none has a leading zero.

    Args:
        path: the file.
        text_columns: columns that stay text.

    Returns:
        the table, and notes on what was guessed.

    Raises:
        ImportRefused: it cannot be read, has no rows, or two columns of one name.
    """
    suffix = path.suffix.lower()
    if suffix not in TABLE_SUFFIXES:
        raise ImportRefused(f"{path.name[:80]!r} is no table that can be read. Save it as CSV or Parquet.")
    notes: tuple[Note, ...] = ()
    if suffix == ".parquet":
        try:
            table = pd.read_parquet(path)
        except (OSError, ValueError, pa.ArrowException) as error:
            raise ImportRefused(f"{path.name[:80]!r} is no whole Parquet file. Write it again.") from error
        table = table.set_axis([str(column).strip() for column in table.columns], axis=1)
    else:
        table, notes = _read_csv(path, text_columns)
    twice = table.columns[table.columns.duplicated()]
    if len(twice):
        raise ImportRefused(
            f"{path.name[:80]!r} has two columns called {str(twice[0])[:80]!r}. Give each a name of its own."
        )
    if table.empty:
        raise ImportRefused(f"{path.name[:80]!r} has no rows. Choose another table.")
    return table.reset_index(drop=True), notes


def _read_csv(path: Path, text_columns: tuple[str, ...]) -> tuple[pd.DataFrame, tuple[Note, ...]]:
    text, guessed = read_text(path)
    notes = []
    if guessed:
        notes.append(Note("note", f"{path.name} is no UTF-8; it is read as Latin-1. Check names with accents."))
    first = text.lstrip("\r\n").partition("\n")[0]
    separator = max(_SEPARATORS, key=lambda sign: (first.count(sign), sign == ","))
    if separator != "," and separator in first:
        notes.append(Note("note", f"Columns of {path.name} are separated by {separator!r}."))
    header, rows = _cells(path, text, separator)
    table = pd.DataFrame(rows, columns=header, dtype=object)
    if not table.columns.duplicated().any():
        for column in table.columns:
            cells = table[column].astype("str")
            cells = cells.mask(cells.str.strip().isin(EMPTY))
            table[column] = cells if column in text_columns else _numbers_or_text(cells)
    return table, tuple(notes)


def _cells(path: Path, text: str, separator: str) -> tuple[list[str], list[list[str]]]:
    """Header and rows; every row as long as the header, apart from empty cells at its end."""
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator)
    header: list[str] = []
    rows: list[list[str]] = []
    try:
        for row in reader:
            if not any(cell.strip() for cell in row):
                continue
            if not header:
                header = [cell.strip() for cell in row]
                continue
            if len(row) < len(header) or any(cell.strip() for cell in row[len(header) :]):
                raise ImportRefused(
                    f"Line {reader.line_num} of {path.name[:80]!r} has {len(row)} cells, its header has {len(header)}. "
                    "Correct it; put cells that hold the separator in quotes."
                )
            rows.append(row[: len(header)])
    except csv.Error as error:
        raise ImportRefused(
            f"Line {reader.line_num} of {path.name[:80]!r} cannot be read as a table. Correct it."
        ) from error
    return header, rows


def _numbers_or_text(cells: pd.Series) -> pd.Series:
    known = cells.dropna()
    if known.empty or known.str.match(r"\s*[+-]?0\d").any():
        return cells
    try:
        return pd.to_numeric(cells)
    except (ValueError, TypeError):
        return cells
