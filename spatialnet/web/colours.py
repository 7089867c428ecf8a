"""Colours that pictures and legends share. Colours of classes belong to their task."""

from __future__ import annotations

from spatialnet.tasks import Task

SPLIT_COLOURS = {"train": "#0072b2", "validation": "#e69f00", "test": "#cc79a7", "guard": "#8c8c8c"}
"""Splits on the map, in the order of `SPLITS`. From the Okabe-Ito palette, which colour-blind people can tell apart."""

CONFIDENCE_RAMP = (
    "#00224e",
    "#123570",
    "#3b496c",
    "#575d6d",
    "#707173",
    "#8a8678",
    "#a59c74",
    "#c3b369",
    "#e1cc55",
    "#fee838",
)
"""0 to 100 percent in equal steps, interpolated between. Cividis: even in brightness, same to colour-blind people."""

FALLBACK_COLOURS = ("#0072b2", "#e69f00", "#009e73", "#cc79a7", "#d55e00", "#56b4e9", "#f0e442", "#999999")
"""For classes of a task that declares no colours, in turn (Okabe-Ito)."""

NONE_PRESENT_COLOUR = "#d9d9d9"
"""Where a multilabel task has no class at all."""

LEAK_COLOURS = {"exact duplicate": "#d55e00", "near duplicate": "#e69f00", "shared ground": "#cc79a7"}
"""Chips that a split should have kept together, by kind of leak, the gravest first (Okabe-Ito)."""

OTHER_LEAK_COLOUR = "#8c8c8c"
"""A kind of leak that has no colour of its own."""

FOOTPRINT_COLOUR = "#3b6ea5"
"""A chip on the map that is too small to show its picture."""

UNCHANGED = (255, 255, 255, 120)
"""RGBA over places where two runs agree: a veil, so that the changes stand out."""


def class_colours(task: Task) -> tuple[str, ...]:
    """One `#rrggbb` per class, in index order."""
    return task.colours or tuple(FALLBACK_COLOURS[i % len(FALLBACK_COLOURS)] for i in range(len(task.classes)))


def rgb(colour: str) -> tuple[int, int, int]:
    """`#rrggbb` as three numbers in 0..255."""
    red, green, blue = bytes.fromhex(colour.removeprefix("#"))
    return red, green, blue
