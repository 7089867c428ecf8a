"""The brush: a Streamlit component that takes places of a chip away, by pointer or by keys."""

from __future__ import annotations

import hashlib
from pathlib import Path

import streamlit as st

_FOLDER = Path(__file__).parent


def _text(name: str) -> str:
    return (_FOLDER / name).read_text(encoding="utf-8")


_COMPONENT = st.components.v2.component(
    "spatialnet_brush", html=_text("brush.html"), css=_text("brush.css"), js=_text("brush.js")
)


def brush(picture: str, side: int, *, key: str, name: str = "") -> tuple[int, ...]:
    """Show a chip to brush on.

    Args:
        picture: address of the chip's picture.
        side: places along an edge.
        key: of the component.
        name: another one begins with nothing removed, also on the same picture.

    Returns:
        The removed places, numbered row by row, in order.
    """
    identity = hashlib.sha256(repr((picture, side, name)).encode()).hexdigest()[:16]
    data = {"name": identity, "picture": picture, "side": side, "gone": []}
    result = _COMPONENT(key=f"{key}.{identity}", data=data, on_gone_change=lambda: None)
    gone = result.gone if isinstance(result.gone, list | tuple) else ()
    return tuple(sorted({i for i in gone if isinstance(i, int) and not isinstance(i, bool) and 0 <= i < side * side}))
