"""Tasks: the named questions that a model answers about a chip."""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import asdict, dataclass
from typing import Any, Literal, get_args

from spatialnet.errors import TargetsInvalid

TaskKind = Literal["multiclass", "multilabel", "binary", "count"]

UNKNOWN_CLASS = -100
"""What a multiclass target holds where nothing is known. Every other kind uses NaN. Unknown is never "no"."""

COUNT_BINS = ("0", "1-10", "11-100", "101-1000", ">1000")
"""The ranges in which counts are read out. Source: RSVQA (Lobry et al. 2020, IEEE TGRS 58:8555)."""

COUNT_EDGES = (0.5, 10.5, 100.5, 1000.5)
"""A count belongs to the bin whose number is how many of these lie below it, as if it were rounded first."""


def count_bin(count: float) -> str:
    """The range of `COUNT_BINS` that a count, at least 0, belongs to."""
    return COUNT_BINS[bisect_left(COUNT_EDGES, count)]


@dataclass(frozen=True)
class Task:
    """A named question with classes and a kind.

    Attributes:
        name: identifier, `[a-z][a-z0-9_]*`.
        kind: `multiclass` (one of the classes), `multilabel` (each class yes or no), `binary` (the second class or
            the first), `count` (how many of each class).
        classes: class names in index order. `binary` has exactly two: index 0 is "no", index 1 is "yes".
        title: what people read.
        colours: one `#rrggbb` per class, in index order; colour-blind safe.
    """

    name: str
    kind: TaskKind
    classes: tuple[str, ...]
    title: str = ""
    colours: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not self.name.isidentifier() or not self.name.islower():
            raise TargetsInvalid(f"Task name {self.name!r} is not a lower-case identifier. Use letters, digits and _.")
        if self.kind not in get_args(TaskKind):
            raise TargetsInvalid(
                f"Task {self.name} has kind {self.kind!r}. Use one of {', '.join(get_args(TaskKind))}."
            )
        if not self.classes or len(set(self.classes)) != len(self.classes):
            raise TargetsInvalid(f"Task {self.name} needs distinct class names; it has {list(self.classes)}.")
        if self.kind == "binary" and len(self.classes) != 2:
            raise TargetsInvalid(f"Task {self.name} is binary and has {len(self.classes)} classes. Give exactly two.")
        if self.kind == "multiclass" and len(self.classes) < 2:
            raise TargetsInvalid(f"Task {self.name} is multiclass and has one class. Give at least two.")
        if self.colours and len(self.colours) != len(self.classes):
            raise TargetsInvalid(f"Task {self.name} has {len(self.classes)} classes and {len(self.colours)} colours.")

    @property
    def label(self) -> str:
        """What people read: the title, or the name with spaces; the first letter is a capital."""
        text = self.title or self.name.replace("_", " ")
        return text[:1].upper() + text[1:]

    @property
    def outputs(self) -> int:
        """How many numbers a head gives for this task: one for `binary`, else one per class."""
        return 1 if self.kind == "binary" else len(self.classes)

    @property
    def main_metric(self) -> str:
        """The one metric that ranks runs on this task (see `spatialnet.metrics`)."""
        return {
            "multiclass": "macro_f1",
            "multilabel": "mean_ap",
            "binary": "balanced_accuracy",
            "count": "mae",
        }[self.kind]

    def to_dict(self) -> dict[str, Any]:
        """The task as JSON-ready values."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Task:
        """The task that `to_dict` wrote."""
        return cls(
            name=str(values["name"]),
            kind=values["kind"],
            classes=tuple(values["classes"]),
            title=str(values.get("title", "")),
            colours=tuple(values.get("colours", ())),
        )
