"""Where a run comes from and what came of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from spatialnet.runs.folder import Run

_DEEPEST = 50


@dataclass(frozen=True)
class Kin:
    """One run of a family, in the order in which the tree is read.

    Attributes:
        name: identifier.
        run: the run; None where it is not here any more.
        depth: how many steps below the oldest one.
    """

    name: str
    run: Run | None
    depth: int


def family(run: Run, runs: Sequence[Run]) -> list[Kin]:
    """The runs that a run goes back to, the run, and all that go back to it: a small tree, oldest first.

    Args:
        run: whose family.
        runs: all runs that there are.
    """
    named = {each.name: each for each in runs}
    line: list[Kin] = []
    name, seen = run.parent, {run.name}
    while name and name not in seen and len(line) < _DEEPEST:
        seen.add(name)
        parent = named.get(name)
        line.append(Kin(name, parent, 0))
        name = parent.parent if parent else None
    tree = [Kin(kin.name, kin.run, depth) for depth, kin in enumerate(reversed(line))]
    return [*tree, *_below(run, runs, len(line), seen)]


def _below(run: Run, runs: Sequence[Run], depth: int, seen: set[str]) -> list[Kin]:
    found = [Kin(run.name, run, depth)]
    if depth < _DEEPEST:
        for child in sorted(
            (r for r in runs if r.parent == run.name and r.name not in seen), key=lambda r: r.created_at
        ):
            seen.add(child.name)
            found += _below(child, runs, depth + 1, seen)
    return found
