"""Numbers of things in sentences."""

from __future__ import annotations

_IRREGULAR = {"class": "classes"}


def counted(number: int, thing: str, verb: str = "") -> str:
    """A number and what is counted, with a verb that fits.

    Args:
        number: how many.
        thing: one of them.
        verb: as it stands for one: `is`, `has`, `lies`; it follows the thing.

    Returns:
        For example `1 chip`, `1,200 chips`, `1 file is`, `2 classes have`.
    """
    several = number != 1
    words = f"{number:,} {_IRREGULAR.get(thing, thing + 's') if several else thing}"
    if not verb:
        return words
    return f"{words} {({'is': 'are', 'has': 'have'}.get(verb) or verb.removesuffix('s')) if several else verb}"
