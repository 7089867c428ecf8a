"""Rows of several cells: in line for people, parted by tabs for other commands."""

from __future__ import annotations

import sys
from collections.abc import Sequence


def print_rows(rows: Sequence[Sequence[str]]) -> None:
    """Print rows with their cells below one another on a terminal; elsewhere with one tab between them.

    Args:
        rows: cells; all rows are equally long. The last cell is never filled up.
    """
    for line in lined_up(rows) if sys.stdout.isatty() else ["\t".join(row).rstrip() for row in rows]:
        print(line)


def lined_up(rows: Sequence[Sequence[str]]) -> list[str]:
    """Rows as lines in which each column begins at the same place."""
    widths = [max(len(cell) for cell in column) for column in zip(*rows, strict=True)]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
