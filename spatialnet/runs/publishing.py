"""Which run of a data set is the current one: what people published, the way back, and the newest run otherwise.

`runs/.registry/<data set>.jsonl` holds one line per publication or roll back and is only ever added to. What is current
follows from reading it from the beginning: a publication goes on top of a pile, a roll back takes the top one away.
"""

from __future__ import annotations

import fcntl
import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from spatialnet.atomic import full_disk_said
from spatialnet.errors import PathRefused, RunNotFound, RunRefused
from spatialnet.runs.folder import Run, list_runs, open_run
from spatialnet.settings import Settings, inside

FOLDER = ".registry"


@dataclass(frozen=True)
class Publication:
    """One step in the history of what is current.

    Attributes:
        kind: `publish` or `rollback`.
        run: the run that was published; of a roll back, the one that was taken away.
        at: seconds since 1970, UTC.
        person: who did it.
    """

    kind: Literal["publish", "rollback"]
    run: str
    at: float
    person: str


def current_run(settings: Settings, dataset: str | None = None) -> Run | None:
    """What map, label and predict use where no run is named.

    Args:
        settings: the workspace.
        dataset: of this data set; default the data set that was trained on last.

    Returns:
        The published run, else the newest one that is done, else None.
    """
    done = [run for run in list_runs(settings, dataset) if run.done]
    if not done:
        return None
    chosen = done[0].dataset if dataset is None else dataset
    return published_run(settings, chosen) or done[0]


def published_run(settings: Settings, dataset: str) -> Run | None:
    """The run that people published for a data set; None where there is none (any more)."""
    for name in reversed(_pile(publications(settings, dataset))):
        try:
            run = open_run(settings, name)
        except (PathRefused, RunNotFound):
            continue  # deleted by hand: what was published before counts
        if run.done and dataset in run.datasets:
            return run
    return None


def published_for(settings: Settings, run: Run) -> tuple[str, ...]:
    """The data sets for which a run is the published one."""
    found = ((dataset, published_run(settings, dataset)) for dataset in run.datasets)
    return tuple(dataset for dataset, published in found if published is not None and published.name == run.name)


def publications(settings: Settings, dataset: str) -> list[Publication]:
    """The history of a data set's current run, oldest first.

    Raises:
        PathRefused: not a valid name.
    """
    found = []
    for values in read_lines(_file(settings, dataset)):
        try:
            found.append(Publication(values["kind"], str(values["run"]), float(values["at"]), str(values["person"])))
        except (KeyError, TypeError, ValueError):
            continue
    return found


def publish(settings: Settings, run: Run, dataset: str | None = None, *, person: str = "") -> None:
    """Make a run the current one of a data set.

    Args:
        settings: the workspace.
        run: which run.
        dataset: for this data set; default each that it was trained on.
        person: who publishes.

    Raises:
        RunRefused: the run is not done, or was not trained on the data set.
        NotEnoughDisk: the disk is full; nothing was changed.
    """
    if not run.done:
        raise RunRefused(f"Run {run.title[:80]!r} has no metrics yet. Publish it when it is done.")
    if dataset is not None and dataset not in run.datasets:
        raise RunRefused(
            f"Run {run.title[:80]!r} was trained on {', '.join(run.datasets)}, not on {dataset[:64]!r}. Name one of those."
        )
    with registry_lock(settings):
        open_run(settings, run.name)  # nobody deleted it meanwhile
        for name in run.datasets if dataset is None else (dataset,):
            published = published_run(settings, name)
            if published is None or published.name != run.name:
                _add(settings, name, Publication("publish", run.name, time.time(), person))


def roll_back(settings: Settings, dataset: str, *, person: str = "") -> Run | None:
    """Take the last publication back.

    Returns:
        The run that was published before; None where none was, so that the newest counts again.

    Raises:
        RunRefused: nothing is published for this data set.
        NotEnoughDisk: the disk is full; nothing was changed.
    """
    with registry_lock(settings):
        now = published_run(settings, dataset)
        if now is None:
            raise RunRefused(
                f"No run is published for {dataset[:64]!r}, so there is nothing to take back. Its newest run is the current one."
            )
        # Runs above it on the pile were deleted by hand; they go with it.
        pile = _pile(publications(settings, dataset))
        for name in reversed(pile[len(pile) - 1 - pile[::-1].index(now.name) :]):
            _add(settings, dataset, Publication("rollback", name, time.time(), person))
        return published_run(settings, dataset)


@contextmanager
def registry_lock(settings: Settings) -> Iterator[None]:
    """Whoever publishes, deletes, restores or imports runs holds this, so that no two do at once."""
    with (settings.locks / "runs.lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def read_lines(path: Path) -> list[dict[str, Any]]:
    """The objects of a JSON-lines file, oldest first; lines that are no JSON object are left out."""
    try:
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    except FileNotFoundError:
        return []
    found = []
    for line in lines:
        try:
            values = json.loads(line)
        except ValueError:
            continue
        if isinstance(values, dict):
            found.append(values)
    return found


def add_line(path: Path, values: dict[str, Any]) -> None:
    """Add one object to a JSON-lines file; it is on disk when this returns, and a half line before it does no harm.

    Raises:
        NotEnoughDisk: the disk is full.
    """
    with full_disk_said(path.name), path.open("ab") as file:
        # A line that a crash left half written would swallow this one.
        start = b"" if file.tell() == 0 or _ends_well(path) else b"\n"
        file.write(start + json.dumps(values).encode() + b"\n")
        file.flush()
        os.fsync(file.fileno())


def _ends_well(path: Path) -> bool:
    with path.open("rb") as file:
        file.seek(-1, os.SEEK_END)
        return file.read(1) == b"\n"


def _pile(steps: list[Publication]) -> list[str]:
    pile: list[str] = []
    for step in steps:
        if step.kind == "publish":
            pile.append(step.run)
        elif pile and pile[-1] == step.run:
            pile.pop()
    return pile


def _add(settings: Settings, dataset: str, step: Publication) -> None:
    path = _file(settings, dataset)
    with full_disk_said("the registry"):
        path.parent.mkdir(exist_ok=True)
    add_line(path, {"kind": step.kind, "run": step.run, "at": step.at, "person": step.person[:100]})


def _file(settings: Settings, dataset: str) -> Path:
    return inside(settings.runs / FOLDER, dataset).with_suffix(".jsonl")
