"""The colours of classes, on screen and in files."""

from __future__ import annotations

from spatialnet.tasks import Task

FALLBACK_COLOURS = ("#0072b2", "#e69f00", "#009e73", "#cc79a7", "#d55e00", "#56b4e9", "#f0e442", "#999999")
"""For classes of a task that declares no colours, in turn (Okabe-Ito)."""

NONE_PRESENT_COLOUR = "#d9d9d9"
"""Where a multilabel task has no class at all."""


def class_colours(task: Task) -> tuple[str, ...]:
    """One `#rrggbb` per class, in index order."""
    return task.colours or tuple(FALLBACK_COLOURS[i % len(FALLBACK_COLOURS)] for i in range(len(task.classes)))


def rgb(colour: str) -> tuple[int, int, int]:
    """`#rrggbb` as three numbers in 0..255."""
    red, green, blue = bytes.fromhex(colour.removeprefix("#"))
    return red, green, blue
