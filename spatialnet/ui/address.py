"""Widgets whose value stands in the page's address, so that a link holds the whole view.

Streamlit's own binding puts the shown text into the address, which changes with titles; these put identifiers there. What
the address says is taken over when it differs from what was last written there: on opening a link, and on going back.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Literal

import streamlit as st

_LATE_SECONDS = 3.0


def pick_many(
    label: str,
    options: Mapping[str, str],
    name: str,
    *,
    look: Literal["list", "pills"] = "list",
    placeholder: str = "Any",
    help: str | None = None,  # noqa: A002 - as Streamlit
) -> tuple[str, ...]:
    """Any number of options.

    Args:
        label: of the widget.
        options: shown text by identifier.
        name: of the query parameter, which is repeated for each value.
        look: a list to search in, or pills side by side.
        placeholder: shown where nothing is chosen.
        help: of the widget.

    Returns:
        Identifiers in the order of the options; none where nothing is chosen.
    """
    key = f"by.{name}"
    _take_over(name, [value for value in st.query_params.get_all(name) if value in options])
    st.session_state[key] = [value for value in st.session_state.get(key) or [] if value in options]

    def text(value: str) -> str:
        return options.get(value, value)

    if look == "pills":
        chosen: Sequence[str] = st.pills(
            label, list(options), format_func=text, selection_mode="multi", key=key, help=help
        )
    else:
        chosen = st.multiselect(label, list(options), format_func=text, key=key, placeholder=placeholder, help=help)
    found = tuple(value for value in options if value in chosen)
    _write(name, list(found))
    return found


def pick_some(label: str, options: Sequence[str], name: str) -> tuple[int, ...]:
    """Some of a few options as pills; their numbers stand in the address as `0-2`. None chosen means all."""
    key = f"by.{name}"
    _take_over(name, list(held_chips(name, len(options))))
    st.session_state[key] = [index for index in st.session_state.get(key) or [] if index < len(options)]
    chosen = st.pills(label, range(len(options)), format_func=options.__getitem__, selection_mode="multi", key=key)
    found = tuple(sorted(chosen))
    _write(name, "-".join(map(str, found)), list(found))
    return found


def type_text(label: str, name: str, *, placeholder: str = "", max_chars: int = 80) -> str:
    """A short text."""
    _take_over(name, st.query_params.get(name, "")[:max_chars])
    text = st.text_input(
        label, key=f"by.{name}", placeholder=placeholder, max_chars=max_chars, icon=":material/search:"
    )
    _write(name, text or "")
    return text or ""


def switch(label: str, name: str, help: str | None = None) -> bool:  # noqa: A002 - as Streamlit
    """Yes or no; yes stands in the address as 1."""
    _take_over(name, st.query_params.get(name) == "1")
    on = st.toggle(label, key=f"by.{name}", help=help)
    _write(name, "1" if on else "", on)
    return on


def one_of(label: str, options: Mapping[str, str], name: str) -> str:
    """One of a few options as a row of segments; the first where the address names none."""
    key, first = f"by.{name}", next(iter(options))
    asked = st.query_params.get(name, first)
    _take_over(name, asked if asked in options else first)
    if st.session_state.get(key) not in options:
        st.session_state[key] = first
    chosen = st.segmented_control(
        label, list(options), format_func=lambda value: options.get(value, value), key=key, required=True,
        label_visibility="collapsed",
    )  # fmt: skip
    found = str(chosen or first)
    _write(name, "" if found == first else found, found)
    return found


def held_chips(name: str, below: int, most: int = 200) -> tuple[int, ...]:
    """Chips that the address names, such as `picked=3-17`; what is no chip of the data set is left out."""
    parts = st.query_params.get(name, "").split("-")[:most]
    numbers = (int(part) for part in parts if part.isascii() and part.isdigit() and len(part) < 10)
    return tuple(dict.fromkeys(number for number in numbers if number < below))


def hold_chips(name: str, chips: Sequence[int], most: int = 200) -> None:
    """Put chips into the address, at most the first 200."""
    put(name, "-".join(str(chip) for chip in chips[:most]))


def number(name: str, low: int, high: int) -> int:
    """A whole number of the address, brought between its limits; the lowest where there is none."""
    text = st.query_params.get(name, "")
    return min(max(low, int(text)), high) if text.isascii() and text.isdigit() and len(text) < 10 else low


def put(name: str, text: str) -> None:
    """Write a query parameter; an empty text takes it out."""
    if text:
        st.query_params[name] = text
    else:
        st.query_params.pop(name, None)


def changed_outside(key: str, asked: object) -> bool:
    """Whether the address was changed by something else than the widget: a link, or going back.

    Someone quick may click again before the browser has heard of the address that the last click made. The address it sends
    along is then the one before, and must not take the last click back.

    Args:
        key: of the widget.
        asked: what the address says now.
    """
    if asked == st.session_state.get(f"{key}.in-address"):
        return False
    late = st.session_state.get(f"{key}.replaced", [])
    return not any(asked == value and time.monotonic() - since < _LATE_SECONDS for value, since in late)


def note_written(key: str, value: object) -> None:
    """Remember what stands in the address for a widget now."""
    before = st.session_state.get(f"{key}.in-address")
    if before != value:
        now = time.monotonic()
        late = [entry for entry in st.session_state.get(f"{key}.replaced", []) if now - entry[1] < _LATE_SECONDS]
        st.session_state[f"{key}.replaced"] = [*late, (before, now)]
    st.session_state[f"{key}.in-address"] = value


def _take_over(name: str, asked: object) -> None:
    # Streamlit forgets a widget that was not drawn for a while; the address does not.
    if f"by.{name}" not in st.session_state or changed_outside(f"by.{name}", asked):
        st.session_state[f"by.{name}"] = asked


def _write(name: str, value: str | list[str], known: object = None) -> None:
    """Put a value into the address and remember it as `known` there (default: the value itself)."""
    note_written(f"by.{name}", value if known is None else known)
    if value:
        if st.query_params.get_all(name) != ([value] if isinstance(value, str) else value):
            st.query_params[name] = value
    elif name in st.query_params:
        del st.query_params[name]
