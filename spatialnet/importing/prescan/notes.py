"""What a pre-scan says of a source in sentences: which chips were left out, and what is good to know."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from spatialnet.importing.listing import Listing, Note
from spatialnet.importing.prescan.checking import Checked
from spatialnet.importing.prescan.facts import SeenChips
from spatialnet.importing.wording import counted

FEW = 10
"""A class with fewer chips than this can hardly be learnt or tested."""


@dataclass(frozen=True)
class LeftOut:
    """Chips that cannot be used.

    Attributes:
        chips: their numbers.
        notes: why, one sentence for each kind of reason.
        unreadable: file names and reasons.
    """

    chips: set[int]
    notes: list[Note]
    unreadable: list[list[str]]


def drops(listing: Listing, checked: Checked) -> LeftOut:
    """Which chips cannot be used, and why."""
    keys = listing.chips["key"].astype(str).tolist()
    notes, unreadable = [], []
    broken = {chip: reason for chip, (kind, reason) in checked.reasons.items() if kind == "unreadable"}
    if broken:
        reasons = Counter(broken.values())
        said = "; ".join(f"{count:,} {reason}" for reason, count in reasons.most_common(6))
        names = tuple(f"{keys[chip]} ({reason})" for chip, reason in sorted(broken.items()))
        notes.append(
            Note("drop", f"{_chips(len(broken))} cannot be read and {_are(len(broken))} left out: {said}.", names)
        )
        unreadable = [[keys[chip], reason] for chip, reason in sorted(broken.items())]
    other = {chip: reason for chip, (kind, reason) in checked.reasons.items() if kind == "bands"}
    if other:
        reason, _ = Counter(other.values()).most_common(1)[0]
        wanted = " and ".join(f"{len(s.bands)} ({', '.join(s.bands)[:160]})" for s in listing.sensors)
        names = tuple(f"{keys[chip]} ({why})" for chip, why in sorted(other.items()))
        text = f"{_chips(len(other))} {_have(len(other))} other bands and {_are(len(other))} left out: {reason} where {wanted} are wanted."
        notes.append(Note("drop", text, names))
    empty = _empty(checked) - set(checked.reasons)
    if empty:
        names = tuple(keys[chip] for chip in sorted(empty))
        notes.append(
            Note(
                "drop",
                f"{_chips(len(empty))} {_have(len(empty))} only no-data pixels and {_are(len(empty))} left out.",
                names,
            )
        )
    absent = set(np.flatnonzero(~np.any([p.present for p in listing.pixels], axis=0)).tolist()) - set(checked.reasons)
    if absent:
        names = tuple(keys[chip] for chip in sorted(absent))
        notes.append(
            Note(
                "drop", f"{_chips(len(absent))} {_have(len(absent))} no image and {_are(len(absent))} left out.", names
            )
        )
    return LeftOut(set(checked.reasons) | empty | absent, notes, unreadable)


def remarks(
    listing: Listing, seen: SeenChips, facts: Mapping[str, Any], sizes: Mapping[str, int], more: bool
) -> list[Note]:
    """What is good to know of the usable chips.

    Args:
        listing: the usable chips.
        seen: per sensor name, chip number to what was seen.
        facts: see `gather_facts`.
        sizes: side of the stored chips per sensor name.
        more: there are more near duplicates than were kept.
    """
    return [
        *_of_files(listing, seen, sizes),
        *_of_systems(listing, facts),
        *_of_pictures(facts, more),
        *_of_tasks(facts),
    ]


def _of_files(listing: Listing, seen: SeenChips, sizes: Mapping[str, int]) -> list[Note]:
    keys, notes = listing.chips["key"].astype(str).tolist(), []
    for pixels in listing.pixels:
        name, chips = pixels.sensor.name, seen[pixels.sensor.name]
        side = sizes[name]
        other = [i for i, c in chips.items() if (c.height, c.width) != (side, side)]
        if other and not pixels.size:
            what = f"{_have(len(other))} another size and will be resampled to {side} x {side} pixels"
            text = f"{_chips(len(other))} of {pixels.sensor.label} {what}."
            notes.append(Note("note", text, tuple(f"{keys[i]} ({chips[i].width} x {chips[i].height})" for i in other)))
        holed = [i for i, c in chips.items() if c.holes > 0]
        if holed:
            share = float(np.mean([c.holes for c in chips.values()]))
            what = f"{_have(len(holed))} pixels without data ({_percent(share)} of all pixels)"
            text = f"{_chips(len(holed))} of {pixels.sensor.label} {what}."
            notes.append(Note("note", text, tuple(keys[i] for i in holed)))
        for colours, what in _COLOURS.items():
            found = [i for i, c in chips.items() if c.header.colours == colours]
            if found:
                notes.append(Note("note", f"{_chips(len(found))} {what}.", tuple(keys[i] for i in found)))
        if len({c.dtype for c in chips.values()}) > 1:
            types = Counter(c.dtype for c in chips.values()).most_common()
            said = ", ".join(f"{count:,} {kind}" for kind, count in types)
            notes.append(
                Note(
                    "note",
                    f"Files of {pixels.sensor.label} have different types ({said}); all are kept in one that holds them.",
                )
            )
        values = Counter("none" if c.header.nodata is None else f"{c.header.nodata:g}" for c in chips.values())
        if len(values) > 1:
            said = ", ".join(f"{value} in {count:,}" for value, count in values.most_common(6))
            text = f"Files of {pixels.sensor.label} mark no-data by different values ({said}); chips are kept as float32 with NaN."
            notes.append(Note("note", text))
    return notes


_COLOURS = {
    "palette": "had a colour table and become red, green and blue",
    "cmyk": "had printing colours (CMYK) and become red, green and blue",
    "alpha": "had a transparency band, which is taken off; transparent pixels are no-data",
}


def _of_systems(listing: Listing, facts: Mapping[str, Any]) -> list[Note]:
    known = {text: count for text, count in facts["crs"].items() if text}
    if len(known) > 1:
        said = ", ".join(f"{count:,} in {text.split(',')[0][:60]}" for text, count in list(known.items())[:6])
        return [Note("note", f"Chips have {len(known)} coordinate systems ({said}); each keeps its own.")]
    bare = facts["crs"].get("", 0)
    if known and bare and len(listing) != bare:
        return [Note("note", f"{_chips(bare)} {_have(bare)} no coordinate system, so they are not drawn on the map.")]
    return []


def _of_pictures(facts: Mapping[str, Any], more: bool) -> list[Note]:
    notes, found = [], facts["duplicates"]
    if found["exact"]:
        notes.append(Note("note", f"{_chips(found['exact'])} {_have(found['exact'])} the same pixels as another one."))
    if found["near"]:
        at_least, be = "At least " if more else "", "is" if found["near"] == 1 else "are"
        pairs = f"{at_least}{counted(found['near'], 'pair')} of chips {be} nearly the same picture"
        notes.append(Note("note", f"{pairs}; splits keep them together."))
    if ground := facts["shared_ground"]:
        share = f"{counted(ground, 'pair')} of chips share{'s' * (ground == 1)} ground"
        notes.append(Note("note", f"{share}, so splits should be made by blocks of ground."))
    return notes


def _of_tasks(facts: Mapping[str, Any]) -> list[Note]:
    notes = []
    for name, task in facts["tasks"].items():
        if "error" in task:
            notes.append(Note("note", f"Task {name} has no target yet: {task['error']}"))
            continue
        if task["unknown"] == facts["chips"]:
            notes.append(Note("note", f"Task {name} has no target at all. Map its labels to classes, or leave it out."))
            continue
        few = {c: n for c, n in task["classes"].items() if n < FEW}
        if few:
            said = ", ".join(f"{c[:40]!r} {n}" for c, n in few.items())
            notes.append(
                Note("note", f"Task {name} has classes with fewer than {FEW} chips: {said[:300]}.", tuple(few))
            )
        forms: dict[str, list[str]] = {}
        for value in task["found"]:
            forms.setdefault("".join(value.replace("_", " ").split()).casefold(), []).append(value)
        for alike in (values for values in forms.values() if len(values) > 1):
            said = ", ".join(repr(v[:40]) for v in alike)
            notes.append(
                Note("note", f"Labels of task {name} differ only by case or spaces: {said[:300]}.", tuple(alike))
            )
    return notes


def _empty(checked: Checked) -> set[int]:
    """Chips that hold no valid pixel in one of their sensors. Windows are only looked at in part, so none is left out."""
    if not len(checked.hashes):
        return set()
    return {chip for chips in checked.seen.values() for chip, found in chips.items() if found.holes >= 1}


def _chips(count: int) -> str:
    return counted(count, "chip")


def _are(count: int) -> str:
    return "is" if count == 1 else "are"


def _have(count: int) -> str:
    return "has" if count == 1 else "have"


def _percent(share: float) -> str:
    return f"{share:.1%}" if share >= 0.001 else "less than 0.1%"
