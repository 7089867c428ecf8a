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
        codes: land-cover codes, a group per class of the task, whose shares are summed; for `share`, one group.
        min_share: 0..1.
    """

    task: Task
    rule: str
    codes: tuple[tuple[int, ...], ...]
    min_share: float

    @property
    def merged(self) -> bool:
        """Whether a class of the task is made of several land-cover classes."""
        return any(len(group) > 1 for group in self.codes)

    def sentence(self, names: dict[int, str]) -> str:
        """The rule in words, shown wherever a derived target is shown."""
        share = f"{self.min_share:.0%}"
        classes = "group of land-cover classes" if self.merged else "land-cover class"
        if self.rule == "majority":
            return f"the {classes} with the largest share of the chip"
        if self.rule == "presence":
            return f"each {classes} that covers at least {share} of the chip"
        summed = " + ".join(names[code] for code in self.codes[0])
        return f"{self.task.classes[1]} where {summed} covers at least {share} of the chip, else {self.task.classes[0]}"


@dataclass(frozen=True)
class Rules:
    """A rules file.

    Attributes:
        title: what the land-cover raster is.
        names: class name per land-cover code.
        colours: `#rrggbb` per land-cover code.
        rules: one per task.
        min_known: a chip whose land cover is known for less than this share gets no target.
        complete: the land cover is wall to wall. If not (scattered polygons), a class that is not seen is absent only
            where the whole chip is known.
    """

    title: str
    names: dict[int, str]
    colours: dict[int, str]
    rules: tuple[Rule, ...]
    min_known: float = MIN_KNOWN_SHARE
    complete: bool = True

    @property
    def tasks(self) -> tuple[Task, ...]:
        """The tasks that the rules produce."""
        return tuple(rule.task for rule in self.rules)

    def sentence(self, rule: Rule) -> str:
        """One of the rules in words."""
        partly = "" if self.complete or rule.rule == "majority" else "; absent only where the whole chip is known"
        return rule.sentence(self.names) + partly

    def to_dict(self) -> dict[str, Any]:
        """What the manifest keeps: the land cover's classes, each rule in words, and what was merged."""
        return {
            "title": self.title,
            "classes": [{"code": c, "name": n, "colour": self.colours[c]} for c, n in self.names.items()],
            "sentences": {rule.task.name: self.sentence(rule) for rule in self.rules},
            "merged": {
                rule.task.name: {c: [self.names[code] for code in g] for c, g in zip(rule.task.classes, rule.codes, strict=True)}
                for rule in self.rules if rule.merged and rule.rule != "share"
            },
        }  # fmt: skip

    def derive(self, shares: dict[int, npt.NDArray[np.float32]]) -> dict[str, DerivedTargets]:
        """Targets per task name; see `derive_targets`."""
        return {
            rule.task.name: derive_targets(shares, rule, min_known=self.min_known, complete=self.complete)
            for rule in self.rules
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
    """Read a rules file (TOML; `spatialnet/importing/scenes/rules/raleigh.toml` is an example).

    A class of a task is a land-cover class, or a group of them (`nlcd.toml`): `{name = "...", of = ["...", "..."]}`.

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
            f"The rules in {path.name} cannot be used: {reason}. Compare them with spatialnet/importing/scenes/rules/raleigh.toml."
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
    kind = _KINDS.get(str(entry["rule"]))
    if kind is None:
        raise RulesInvalid(f"rule {entry['rule']!r} is unknown; use one of {', '.join(_KINDS)}")
    wanted = [{"name": "", "of": entry["of"]}] if kind == "binary" else [_group(item) for item in entry["classes"]]
    parts = [name for group in wanted for name in group["of"]]
    missing = [name for name in parts if name not in names.values()]
    if missing or not wanted or not all(group["of"] for group in wanted):
        raise RulesInvalid(f"task {entry['name']} names {missing or 'no class'}, which the land cover does not have")
    twice = sorted({name for name in parts if parts.count(name) > 1})
    if twice and any(len(group["of"]) > 1 for group in wanted):
        raise RulesInvalid(
            f"task {entry['name']} uses {twice[0]!r} more than once; each land-cover class belongs to one group"
        )
    min_share = float(entry.get("min_share", 0.0))
    if not 0.0 <= min_share <= 1.0 or (entry["rule"] != "majority" and min_share == 0.0):
        raise RulesInvalid(f"task {entry['name']} has min_share {min_share}; give a share above 0 and up to 1")
    code_of = {name: code for code, name in names.items()}
    codes = tuple(tuple(code_of[name] for name in group["of"]) for group in wanted)
    classes = tuple(entry["answers"]) if kind == "binary" else tuple(str(group["name"]) for group in wanted)
    own = tuple(str(group.get("colour", colours[c[0]])) for group, c in zip(wanted, codes, strict=True))
    shades = tuple(entry.get("colours", ())) or (() if kind == "binary" else own)
    task = Task(str(entry["name"]), kind, classes, str(entry.get("title", "")), shades)
    return Rule(task, str(entry["rule"]), codes, min_share)


def _group(item: str | dict[str, Any]) -> dict[str, Any]:
    """A class of a task: the name of a land-cover class, or `{name = "...", of = ["...", "..."]}`."""
    return {"name": item, "of": [item]} if isinstance(item, str) else {**item, "of": list(item["of"])}


def derive_targets(
    shares: dict[int, npt.NDArray[np.float32]], rule: Rule, *, min_known: float = MIN_KNOWN_SHARE, complete: bool = True
) -> DerivedTargets:
    """Targets of one task from land-cover shares.

    Args:
        shares: per land-cover code the share of each chip, (chips,) float32 in 0..1; their sum is the known share.
        rule: which target.
        min_known: chips known for less than this share get no target.
        complete: see `Rules`.

    Returns:
        Hard targets, and soft ones: for `majority` the shares among the task's classes; for `presence` and `share` a
        ramp that is 0 at no cover, 0.5 at `min_share` and 1 at twice that.
    """
    covered = np.sum(list(shares.values()), axis=0)
    known = covered >= min_known
    own = np.stack([np.sum([shares[code] for code in group], axis=0) for group in rule.codes], axis=1)
    if rule.rule == "majority":
        total = own.sum(axis=1, keepdims=True)
        used = {code for group in rule.codes for code in group}
        # Where another class is the largest, none of the task's classes is the answer.
        others = [share for code, share in shares.items() if code not in used]
        known &= own.max(axis=1) >= np.max(others, axis=0, initial=0.0) - 1e-6
        known &= total[:, 0] > 0
        soft = np.where(known[:, None], own / np.maximum(total, 1e-9), np.nan).astype(np.float32)
        hard = np.where(known, own.argmax(axis=1), UNKNOWN_CLASS).astype(np.int64)
        return DerivedTargets(hard, soft)
    if rule.rule == "share":
        own = own[:, 0]
    else:
        known, covered = (np.broadcast_to(each[:, None], own.shape) for each in (known, covered))
    yes = own >= rule.min_share
    if not complete:
        # Yes needs only what was seen; no needs to have seen everything.
        known = yes | (covered >= 1 - 1e-6)
    soft = np.clip(own / (2 * rule.min_share), 0.0, 1.0)
    return DerivedTargets(
        np.where(known, yes, np.nan).astype(np.float32), np.where(known, soft, np.nan).astype(np.float32)
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
