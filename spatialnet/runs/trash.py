"""Deleting runs with a way back: a deleted run lies in `runs/.trash` until it is restored, or too old, or thrown out."""

from __future__ import annotations

import time
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from spatialnet.atomic import remove
from spatialnet.errors import PathRefused, RunNotFound, RunRefused
from spatialnet.runs.folder import Run, open_run_in, read_json, write_json
from spatialnet.runs.publishing import published_for, registry_lock
from spatialnet.settings import Settings, inside

FOLDER = ".trash"
KEPT_DAYS = 30
_MARK = "deleted.json"


@dataclass(frozen=True)
class Deleted:
    """A run in the trash.

    Attributes:
        run: the run, in its folder there.
        at: when it was deleted, seconds since 1970, UTC.
        person: who deleted it.
    """

    run: Run
    at: float
    person: str


def delete_run(settings: Settings, run: Run, *, in_use: Collection[str] = (), person: str = "") -> None:
    """Move a run to the trash; what lies there for longer than `KEPT_DAYS` goes for good.

    Args:
        settings: the workspace.
        run: which run.
        in_use: names of runs that jobs work with.
        person: who deletes it.

    Raises:
        RunRefused: it is published, or a job works with it.
        RunNotFound: it is not there any more.
        NotEnoughDisk: the disk is full; nothing was changed.
    """
    with registry_lock(settings):
        open_run_in(settings.runs, run.name)  # nobody deleted it meanwhile
        if published := published_for(settings, run):
            raise RunRefused(
                f"Run {run.title[:80]!r} is published for {', '.join(published)}. Publish another run or roll back, then delete it."
            )
        if run.name in in_use:
            raise RunRefused(
                f"A job that has not ended works with run {run.title[:80]!r}. Wait for it or cancel it, then delete the run."
            )
        place = _trash(settings) / run.name
        if place.exists():
            raise RunRefused(f"A run {run.name} is in the trash already. Empty the trash, then delete this one.")
        write_json(run.folder / _MARK, {"at": time.time(), "person": person[:100]})
        run.folder.rename(place)
    empty_trash(settings, older_than_days=KEPT_DAYS)


def restore_run(settings: Settings, name: str) -> Run:
    """Bring a run back from the trash.

    Raises:
        PathRefused: not a valid name.
        RunNotFound: no such run is in the trash.
        RunRefused: there is a run of this name again.
    """
    with registry_lock(settings):
        place, home = inside(_trash(settings), name), inside(settings.runs, name)
        if not place.is_dir():
            raise RunNotFound(f"No run {name} is in the trash. `python -m spatialnet runs trash` lists what is.")
        if home.exists():
            raise RunRefused(f"There is a run {name} again. Delete that one first, then restore.")
        place.rename(home)
        remove(home / _MARK)
    return open_run_in(settings.runs, name)


def trash(settings: Settings) -> list[Deleted]:
    """The runs in the trash, the last deleted first."""
    found = []
    for folder in _trash(settings).iterdir():
        try:
            run = open_run_in(_trash(settings), folder.name)
        except (PathRefused, RunNotFound):
            continue
        at, person = _mark(folder)
        found.append(Deleted(run, at, person))
    return sorted(found, key=lambda deleted: deleted.at, reverse=True)


def empty_trash(settings: Settings, *, older_than_days: float = 0.0) -> int:
    """Delete for good what lies in the trash.

    Args:
        settings: the workspace.
        older_than_days: leave what was deleted later than so many days ago.

    Returns:
        How many runs are gone.
    """
    before = time.time() - older_than_days * 86_400
    with registry_lock(settings):
        old = [folder for folder in _trash(settings).iterdir() if _mark(folder)[0] <= before]
        for folder in old:
            remove(folder)
    return len(old)


def _trash(settings: Settings) -> Path:
    folder = settings.runs / FOLDER
    folder.mkdir(exist_ok=True)
    return folder


def _mark(folder: Path) -> tuple[float, str]:
    """When something was deleted, and by whom."""
    try:
        values = read_json(folder / _MARK)
        return float(values["at"]), str(values["person"])
    except (RunNotFound, KeyError, TypeError, ValueError):
        return (folder.stat().st_mtime if folder.exists() else 0.0), ""
