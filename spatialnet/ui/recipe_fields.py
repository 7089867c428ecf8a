"""A widget for any field of a recipe, with its limits, choices and help from the recipe itself."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import streamlit as st

from spatialnet.recipe import CHOICES, FIELDS, LIMITS, Recipe

LABELS = {
    "head_epochs": "Epochs, heads only", "head_rate": "Learning rate, heads only", "tune": "What fine-tuning changes",
    "ema": "Averaging (EMA)", "lora_rank": "Rank (LoRA)", "batch_size": "Batch size", "accumulate": "Parts per step",
    "patch": "Patch (px)", "size": "Chip size (px)",
    "warmup": "Warm-up (share)", "clip": "Gradient clipping", "keep": "Epoch to keep", "patience": "Patience (epochs)",
    "crop": "Least crop", "turns": "Tasks per step", "spatial": "Spatial terms", "compile": "torch.compile",
}  # fmt: skip
"""Labels that differ from the field's own name."""

WIDTH = 156
"""Of a widget, in pixels: three stand side by side in a wide form, one in a narrow one."""


def draw_fields(basis: Recipe, names: Sequence[str], key: str, options: Mapping[str, Sequence[str]]) -> dict[str, Any]:
    """Draw widgets side by side.

    Args:
        basis: gives the values to begin with.
        names: fields of the recipe.
        key: begins the widgets' keys; another basis needs another key.
        options: what fields that are lists of names may hold.

    Returns:
        The value of each field.
    """
    with st.container(horizontal=True, vertical_alignment="bottom"):
        return {name: _placed(name, getattr(basis, name), f"{key}.{name}", options.get(name, ())) for name in names}


def _placed(name: str, value: Any, key: str, options: Sequence[str]) -> Any:
    with st.container(width=WIDTH):  # as many side by side as the form is wide
        return _widget(name, value, key, options)


def _widget(name: str, value: Any, key: str, options: Sequence[str]) -> Any:
    label = LABELS.get(name, name.replace("_", " ").capitalize())
    text = FIELDS[name][:1].upper() + FIELDS[name][1:]
    if isinstance(value, bool):
        return st.toggle(label, value, key=key, help=text)
    if name in CHOICES:
        return st.selectbox(label, CHOICES[name], CHOICES[name].index(value), key=key, help=text)
    if isinstance(value, tuple):
        kept = [each for each in value if each in options]
        return tuple(st.multiselect(label, options, kept, key=key, help=text, placeholder="All"))
    if isinstance(value, str):
        return st.text_input(label, value, key=key, help=text, max_chars=120)
    low, high = LIMITS[name]
    if isinstance(value, int):
        return int(st.number_input(label, int(low), int(high), value, key=key, help=text))
    small = high <= 1.0 and low < 1e-3 and "rate" in name
    shown = "%.1e" if small else "%g"
    step = value / 10 or 0.05 if small else 0.05
    return float(st.number_input(label, float(low), float(high), value, step=step, format=shown, key=key, help=text))
