"""Colours that pictures and legends share. Those of classes are in `spatialnet.palette`."""

from __future__ import annotations

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

LEAK_COLOURS = {"exact duplicate": "#d55e00", "near duplicate": "#e69f00", "shared ground": "#cc79a7"}
"""Chips that a split should have kept together, by kind of leak, the gravest first (Okabe-Ito)."""

OTHER_LEAK_COLOUR = "#8c8c8c"
"""A kind of leak that has no colour of its own."""

FOOTPRINT_COLOUR = "#3b6ea5"
"""A chip on the map that is too small to show its picture."""

UNCHANGED = (255, 255, 255, 120)
"""RGBA over places where two runs agree: a veil, so that the changes stand out."""
