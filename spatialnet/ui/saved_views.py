"""Saved views: names for addresses of a data set's page, in one small file per data set."""

from __future__ import annotations

import json
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from spatialnet.atomic import full_disk_said, replacing
from spatialnet.errors import ViewRefused
from spatialnet.settings import Settings, inside

MOST, LONGEST = 100, 60
"""Views of one data set, and letters of a view's name."""

_LONGEST_QUERY = 8_000
_LOCK = threading.Lock()


@dataclass(frozen=True)
class View:
    """A named view.

    Attributes:
        name: what people read.
        query: the query parameters of its address; a repeated one has a list.
    """

    name: str
    query: Mapping[str, str | list[str]]


def views(settings: Settings, dataset: str) -> list[View]:
    """The saved views of a data set, by name; a file that cannot be read holds none."""
    try:
        found = json.loads(_file(settings, dataset).read_text(encoding="utf-8"))
        known = [View(str(entry["name"])[:LONGEST], _query(entry["query"])) for entry in found]
    except (OSError, ValueError, KeyError, TypeError):
        return []
    return sorted(known, key=lambda view: view.name.casefold())


def save_view(settings: Settings, dataset: str, name: str, query: Mapping[str, str | Sequence[str]]) -> None:
    """Keep a view; one of the same name is replaced.

    Raises:
        ViewRefused: no name, too many views, or an address that is too long.
        NotEnoughDisk: the disk is full; the views are as they were.
    """
    name = " ".join(name.split())[:LONGEST]
    if not name:
        raise ViewRefused("A view needs a name. Type one and save again.")
    kept = _query(query)
    if len(json.dumps(kept)) > _LONGEST_QUERY:
        raise ViewRefused("This view holds too much to be saved. Pick fewer chips and save again.")
    with _LOCK:
        others = [view for view in views(settings, dataset) if view.name != name]
        if len(others) >= MOST:
            raise ViewRefused(f"There are {MOST} saved views already. Delete one first.")
        _store(settings, dataset, [*others, View(name, kept)])


def delete_view(settings: Settings, dataset: str, name: str) -> None:
    """Forget a view; nothing happens where there is none of this name."""
    with _LOCK:
        _store(settings, dataset, [view for view in views(settings, dataset) if view.name != name])


def _file(settings: Settings, dataset: str) -> Path:
    return inside(settings.workspace / "views", dataset).with_suffix(".json")


def _store(settings: Settings, dataset: str, kept: Sequence[View]) -> None:
    path = _file(settings, dataset)
    with full_disk_said("the saved view"):
        path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as partial:
        partial.write_text(json.dumps([{"name": v.name, "query": v.query} for v in kept], indent=1), encoding="utf-8")


def _query(values: Mapping[str, Any]) -> dict[str, str | list[str]]:
    return {
        str(name): [str(part) for part in value] if isinstance(value, list | tuple) else str(value)
        for name, value in values.items()
    }
