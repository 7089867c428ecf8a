"""Every format that can be imported: one file here is one format, and a new file needs no other change."""

from __future__ import annotations

import pkgutil
from importlib import import_module
from pathlib import Path

from spatialnet.errors import ImportRefused
from spatialnet.importing.importer import Importer

FAMILIES = {
    "yours": "Your own files",
    "paper": "Data sets of the SpatialNet-ViT paper",
    "field": "Well-known data sets",
}
"""Families in the order in which people see them."""


def _found() -> dict[str, Importer]:
    modules = [import_module(f"{__name__}.{entry.name}") for entry in pkgutil.iter_modules(__path__)]
    importers: list[Importer] = [module.IMPORTER for module in modules]
    order = list(FAMILIES)
    return {i.name: i for i in sorted(importers, key=lambda i: (order.index(i.family), i.title.casefold()))}


IMPORTERS: dict[str, Importer] = _found()
"""By name: generic formats first, then the paper's data sets, then others of the field."""


def importer_called(name: str) -> Importer:
    """The importer of a name.

    Raises:
        ImportRefused: there is none.
    """
    if name not in IMPORTERS:
        raise ImportRefused(f"There is no format {name[:40]!r}. Use one of {', '.join(IMPORTERS)}.")
    return IMPORTERS[name]


def recognised(path: Path) -> dict[str, str]:
    """The formats that a folder or file looks like, and in a few words why.

    A known data set hides the generic formats that could read it too, because it knows more about it.
    """
    reasons = {}
    for importer in IMPORTERS.values():
        try:
            reason = importer.recognise(path)
        except OSError:
            continue
        if reason:
            reasons[importer.name] = reason
    known = {name: reason for name, reason in reasons.items() if IMPORTERS[name].family != "yours"}
    return known or reasons


def only_format(path: Path) -> tuple[Importer, str]:
    """The one format that a folder or file looks like, and why.

    Raises:
        ImportRefused: it looks like none, or like several.
    """
    reasons = recognised(path)
    if len(reasons) == 1:
        name, reason = next(iter(reasons.items()))
        return IMPORTERS[name], reason
    if not reasons:
        raise ImportRefused(f"{path.name[:80]!r} looks like none of the known formats. Name its format.")
    listed = "; ".join(f"{name} ({reason})" for name, reason in reasons.items())
    raise ImportRefused(f"{path.name[:80]!r} looks like several formats: {listed}. Name the one that it is.")
