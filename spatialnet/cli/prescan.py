"""What a pre-scan found and what would be done, as text for a terminal."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Mapping

from spatialnet.cli.table import lined_up
from spatialnet.importing.import_plan import ImportPlan
from spatialnet.importing.target_plan import TargetPlan
from spatialnet.importing.wording import counted
from spatialnet.jobs.importing import Prescan
from spatialnet.jobs.services import services

_SHOWN = 5
_SEVERITY = {"refuse": "cannot be imported", "drop": "left out", "note": "note"}


def told(prescan: Prescan, plan: ImportPlan | None) -> str:
    """The pre-scan in words, and the plan.

    Args:
        prescan: what was found.
        plan: what is to be done with it; None where nothing can be.
    """
    scan = prescan.scan
    free = shutil.disk_usage(services().settings.workspace).free
    lines = [
        _title(prescan), f"source: {prescan.source}",
        f"chips: {len(scan.listing):,}", *_sensors(prescan), *_notes(prescan),
    ]  # fmt: skip
    if plan is None:
        return "\n".join([*lines, "nothing can be imported until this is changed"])
    for target in plan.targets:
        lines += _target(prescan, target)
    lines += [f"split: {plan.split.sentence()}", f"licence: {plan.origin.licence}"]
    lines.append(
        f"the import takes about {max(1, round(scan.seconds)):,} s and {_disk(scan.bytes)} of disk; {_disk(free)} are free"
    )
    return "\n".join(lines)


def _title(prescan: Prescan) -> str:
    title, kind = prescan.scan.listing.origin.title, prescan.importer.title
    return f"{title} ({prescan.reason})" if title == kind else f"{title} ({kind}: {prescan.reason})"


def _disk(size: float) -> str:
    return f"{size / 1e9:,.1f} GB" if size >= 1e9 else f"{max(1, round(size / 1e6)):,} MB"


def _sensors(prescan: Prescan) -> Iterable[str]:
    scan = prescan.scan
    for pixels in scan.listing.pixels:
        storage, there = scan.storage[pixels.sensor.name], int(pixels.present.sum())
        missing = "" if there == len(scan.listing) else f"; missing for {counted(len(scan.listing) - there, 'chip')}"
        nodata = "" if storage.nodata is None else f", no-data {storage.nodata:g}"
        yield (
            f"sensor: {pixels.sensor.label}, {counted(len(pixels.sensor.bands), 'band')} ({', '.join(pixels.sensor.bands)}), "
            f"{storage.size} px, {storage.dtype}{nodata}{missing}"
        )


def _notes(prescan: Prescan) -> Iterable[str]:
    order = list(_SEVERITY)
    for note in sorted(prescan.scan.notes, key=lambda n: order.index(n.severity)):
        yield f"{_SEVERITY[note.severity]}: {note.text}"
        yield from (f"    {name}" for name in note.names[:_SHOWN])
        if len(note.names) > _SHOWN:
            yield f"    and {len(note.names) - _SHOWN:,} more"


def _target(prescan: Prescan, target: TargetPlan) -> Iterable[str]:
    yield f"task: {target.title} ({target.name}, {target.kind})" + (
        f", derived: {target.derived}" if target.derived else ""
    )
    counts = target.found(prescan.scan.listing.labels)
    if not counts:
        yield f"    {', '.join(target.classes)}"
    for line in values_told(target, counts):
        yield f"    {line}"


def values_told(target: TargetPlan, counts: Mapping[str, int]) -> list[str]:
    """What each value that was found becomes, and on how many chips it is: one line each, lined up."""
    rows = [(value, f"-> {target.mapping.get(value) or '(left out)'}", f"{count:,}") for value, count in counts.items()]
    width = max((len(row[-1]) for row in rows), default=0)
    return lined_up([(value, name, count.rjust(width)) for value, name, count in rows])
