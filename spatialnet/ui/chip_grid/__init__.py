"""The grid of chips: a Streamlit component that shows one page of chips from one contact sheet.

One sheet of 96 chips out of 100,000 is in the browser in 50 ms where 96 pictures take 0.9 s (two cores). Hovering, picking
and moving need no script run.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import streamlit as st

from spatialnet.web.addresses import SHEET_COLUMNS

_FOLDER = Path(__file__).parent
CELL = 84
"""Least side of a cell in the browser, in CSS pixels."""
SHEET_SIDES = (16, 96)
"""Least and largest side of a chip on the sheet; the browser enlarges it without smoothing."""


def _text(name: str) -> str:
    return (_FOLDER / name).read_text(encoding="utf-8")


_COMPONENT = st.components.v2.component(
    "spatialnet_chip_grid", html=_text("chip_grid.html"), css=_text("chip_grid.css"), js=_text("chip_grid.js")
)


@dataclass(frozen=True)
class GridAnswer:
    """What the person did in the grid.

    Attributes:
        picked: all chips that are picked, if that changed just now, else None.
        opened: the chip to open, if one was opened just now, else None.
    """

    picked: tuple[int, ...] | None
    opened: int | None


def chip_grid(
    chips: Sequence[int],
    sheet: str,
    *,
    about: Sequence[str],
    edges: Sequence[str],
    picked: Sequence[int],
    key: str,
) -> GridAnswer:
    """Show one page of chips.

    Args:
        chips: their numbers, in order.
        sheet: address of a contact sheet of these chips.
        about: per chip what is read on hovering; the part before the first " · " is bold.
        edges: per chip a colour, or "" for none.
        picked: chips that are picked, also of other pages.
        key: of the component.
    """
    colours = sorted(set(edges))
    name = hashlib.sha256(repr((sheet, list(edges))).encode()).hexdigest()[:12]
    data: dict[str, Any] = {
        "name": name, "chips": [int(chip) for chip in chips], "sheet": sheet, "columns": SHEET_COLUMNS, "cell": CELL,
        "about": list(about), "colours": colours, "edges": [colours.index(edge) for edge in edges],
        "picked": [int(chip) for chip in picked],
    }  # fmt: skip

    def note() -> None:
        st.session_state[f"{key}.changed"] = True

    result = _COMPONENT(key=key, data=data, on_picked_change=note, on_open_change=lambda: None)
    changed = st.session_state.pop(f"{key}.changed", False)
    return GridAnswer(
        _numbers(result.picked) if changed else None, result.open if isinstance(result.open, int) else None
    )


def _numbers(value: object) -> tuple[int, ...] | None:
    if not isinstance(value, list | tuple):
        return None
    return tuple(chip for chip in value if isinstance(chip, int) and not isinstance(chip, bool) and chip >= 0)
