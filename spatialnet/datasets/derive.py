"""Targets derived from a land-cover raster by declared rules: any scene, any land-cover raster, one rules file."""

from __future__ import annotations

import re
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from spatialnet.errors import RulesInvalid, SpatialNetError
from spatialnet.tasks import UNKNOWN_CLASS, Task, TaskKind

RULES_FOLDER = Path(__file__).with_name("rules")
MAX_CODE = 254
"""Land cover is kept as one byte per pixel, with 255 for unknown."""

MIN_KNOWN_SHARE = 0.5
"""A chip whose land cover is known for less than this share gets no target."""

_COLOUR = re.compile(r"#[0-9a-fA-F]{6}")
_KINDS: dict[str, TaskKind] = {"majority": "multiclass", "presence": "multilabel", "share": "binary"}


@dataclass(frozen=True)
class Rule:
    """How one task's target follows from land-cover shares.

    Attributes:
        task: the task that results.
        rule: `majority` (the class with the largest share; unknown where that class is not the task's), `presence`
            (each class with at least `min_share`), or `share` (yes where the named classes together reach `min_share`).
        codes: land-cover codes: one per class of the task; for `share`, the codes that are summed.
        min_share: 0..1.
    """

    task: Task
    rule: str
    codes: tuple[int, ...]
    min_share: float

    def sentence(self, names: dict[int, str]) -> str:
        """The rule in words, shown wherever a derived target is shown."""
        share = f"{self.min_share:.0%}"
        if self.rule == "majority":
            return "the land-cover class with the largest share of the chip"
        if self.rule == "presence":
            return f"each land-cover class that covers at least {share} of the chip"
        summed = " + ".join(names[code] for code in self.codes)
        return f"{self.task.classes[1]} where {summed} covers at least {share} of the chip, else {self.task.classes[0]}"


@dataclass(frozen=True)
class Rules:
    """A rules file.

    Attributes:
        title: what the land-cover raster is.
        names: class name per land-cover code.
        colours: `#rrggbb` per land-cover code.
        rules: one per task.
    """

    title: str
    names: dict[int, str]
    colours: dict[int, str]
    rules: tuple[Rule, ...]

    @property
    def tasks(self) -> tuple[Task, ...]:
        """The tasks that the rules produce."""
        return tuple(rule.task for rule in self.rules)

    def to_dict(self) -> dict[str, Any]:
        """What the manifest keeps: the land cover's classes and each rule in words."""
        return {
            "title": self.title,
            "classes": [{"code": c, "name": n, "colour": self.colours[c]} for c, n in self.names.items()],
            "sentences": {rule.task.name: rule.sentence(self.names) for rule in self.rules},
        }


@dataclass(frozen=True)
class DerivedTargets:
    """Targets of one task for all chips.

    Attributes:
        hard: as the packed store keeps them (see `spatialnet.datasets.packed`).
        soft: shares of evidence in 0..1 of the head's shape, NaN where unknown.
    """

    hard: npt.NDArray[Any]
    soft: npt.NDArray[np.float32]


def load_rules(path: Path) -> Rules:
    """Read a rules file (TOML; `spatialnet/datasets/rules/raleigh.toml` is an example).

    Raises:
        RulesInvalid: the file is not TOML, lacks something, or contradicts itself.
    """
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8"))
        names, colours = _land_cover(values["land_cover"]["classes"])
        rules = tuple(_rule(entry, names, colours) for entry in values["tasks"])
        if not rules or len({rule.task.name for rule in rules}) != len(rules):
            raise RulesInvalid("it needs at least one task, each with a name of its own")
        return Rules(str(values["land_cover"]["title"]), names, colours, rules)
    except (OSError, ValueError, KeyError, TypeError, AttributeError, SpatialNetError) as error:
        reason = f"it lacks {error}" if isinstance(error, KeyError) else str(error).rstrip(".")
        raise RulesInvalid(
            f"The rules in {path.name} cannot be used: {reason}. Compare them with spatialnet/datasets/rules/raleigh.toml."
        ) from error


def _land_cover(classes: list[dict[str, Any]]) -> tuple[dict[int, str], dict[int, str]]:
    """Names and colours by code."""
    names: dict[int, str] = {}
    colours: dict[int, str] = {}
    for entry in classes:
        code, name, colour = int(entry["code"]), str(entry["name"]), str(entry["colour"])
        if not 0 <= code <= MAX_CODE or code in names or name in names.values():
            raise RulesInvalid(
                f"each class needs a code of its own from 0 to {MAX_CODE} and a name of its own; see {code}"
            )
        if not _COLOUR.fullmatch(colour):
            raise RulesInvalid(f"the colour of {name} is {colour!r}; write it like #1b6e3c")
        names[code], colours[code] = name, colour
    return names, colours


def _rule(entry: dict[str, Any], names: dict[int, str], colours: dict[int, str]) -> Rule:
    code_of = {name: code for code, name in names.items()}
    kind = _KINDS.get(str(entry["rule"]))
    if kind is None:
        raise RulesInvalid(f"rule {entry['rule']!r} is unknown; use one of {', '.join(_KINDS)}")
    wanted = entry["of"] if entry["rule"] == "share" else entry["classes"]
    missing = [name for name in wanted if name not in code_of]
    if missing or not wanted:
        raise RulesInvalid(f"task {entry['name']} names {missing or 'no class'}, which the land cover does not have")
    min_share = float(entry.get("min_share", 0.0))
    if not 0.0 <= min_share <= 1.0 or (entry["rule"] != "majority" and min_share == 0.0):
        raise RulesInvalid(f"task {entry['name']} has min_share {min_share}; give a share above 0 and up to 1")
    codes = tuple(code_of[name] for name in wanted)
    classes = tuple(entry["answers"]) if kind == "binary" else tuple(wanted)
    shades = tuple(entry.get("colours", ())) or tuple(colours[code] for code in codes)
    task = Task(str(entry["name"]), kind, classes, str(entry.get("title", "")), shades)
    return Rule(task, str(entry["rule"]), codes, min_share)


def derive_targets(shares: dict[int, npt.NDArray[np.float32]], rule: Rule) -> DerivedTargets:
    """Targets of one task from land-cover shares.

    Args:
        shares: per land-cover code the share of each chip, (chips,) float32 in 0..1; their sum is the known share.
        rule: which target.

    Returns:
        Hard targets, and soft ones: for `majority` the shares among the task's classes; for `presence` and `share` a
        ramp that is 0 at no cover, 0.5 at `min_share` and 1 at twice that.
    """
    known = np.sum(list(shares.values()), axis=0) >= MIN_KNOWN_SHARE
    if rule.rule == "majority":
        own = np.stack([shares[code] for code in rule.codes], axis=1)
        total = own.sum(axis=1, keepdims=True)
        # Where another class is the largest, none of the task's classes is the answer.
        known &= own.max(axis=1) >= np.max(list(shares.values()), axis=0) - 1e-6
        known &= total[:, 0] > 0
        soft = np.where(known[:, None], own / np.maximum(total, 1e-9), np.nan).astype(np.float32)
        hard = np.where(known, own.argmax(axis=1), UNKNOWN_CLASS).astype(np.int64)
        return DerivedTargets(hard, soft)
    if rule.rule == "presence":
        own = np.stack([shares[code] for code in rule.codes], axis=1)
        known = np.broadcast_to(known[:, None], own.shape)
    else:
        own = np.sum([shares[code] for code in rule.codes], axis=0)
    soft = np.clip(own / (2 * rule.min_share), 0.0, 1.0)
    return DerivedTargets(
        np.where(known, own >= rule.min_share, np.nan).astype(np.float32),
        np.where(known, soft, np.nan).astype(np.float32),
    )


def cover_shares(
    codes: npt.NDArray[np.int32],
    rows: npt.NDArray[np.int64],
    columns: npt.NDArray[np.int64],
    size: int,
    wanted: list[int],
) -> dict[int, npt.NDArray[np.float32]]:
    """Share of each chip that each land-cover code covers, by summed-area tables.

    Args:
        codes: (height, width), -1 unknown.
        rows: first row of each chip.
        columns: first column of each chip.
        size: side of a chip in pixels.
        wanted: the codes.

    Returns:
        Per code (chips,) float32 in 0..1.
    """
    return {code: window_means(codes == code, rows, columns, size) for code in wanted}


def window_means(
    mask: npt.ArrayLike, rows: npt.NDArray[np.int64], columns: npt.NDArray[np.int64], size: int
) -> npt.NDArray[np.float32]:
    """Mean of a (height, width) mask over each square window: (windows,) float32 in 0..1."""
    values = np.asarray(mask, np.float64)
    table = np.zeros((values.shape[0] + 1, values.shape[1] + 1))
    table[1:, 1:] = values.cumsum(0).cumsum(1)
    ends, rights = rows + size, columns + size
    total = table[ends, rights] - table[rows, rights] - table[ends, columns] + table[rows, columns]
    return (total / size**2).astype(np.float32)
