"""One sentence that says what a run sees in a chip. Plain values, free of torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from spatialnet.tasks import Task, count_bin

SURE = 0.65
"""From this probability on an answer is stated; at or below `1 - SURE` it is left out."""

LEAST = 0.5
"""A best class of less than this probability is not stated, however far ahead of the others it is."""

MOST_NAMED = 6
"""How many things of one task are named at most; the rest are counted."""


def summary(tasks: Sequence[Task], scores: Mapping[str, npt.NDArray[np.float32]]) -> str:
    """What a run says of a chip, all tasks in one sentence, first word a capital.

    Nothing is said of a task without scores, nor of one with a score that is not a number. What is not likely enough to
    be stated stands at the end as what the run is unsure about.

    Args:
        tasks: in the order in which they are named.
        scores: per task (classes,) of one chip, as `spatialnet.predict.table` keeps them.

    Returns:
        for example `Residential (0.81), urban (0.97); water and road are likely there; about 14 houses; unsure about
        parking lot.`; names of classes are as people wrote them and must be made inert where they are shown. Empty
        where no task has scores.
    """
    answers: list[str] = []
    things: list[str] = []
    counts: list[str] = []
    unsure: list[str] = []
    for task in tasks:
        values = scores.get(task.name)
        if values is None or len(values) != len(task.classes) or not np.isfinite(values).all():
            continue
        if task.kind == "multilabel":
            things += _things(task, values)
            unsure += _named(task, values, (values > 1 - SURE) & (values < SURE))
        elif task.kind == "count":
            counts.append(_counts(task, values))
        else:
            best = int(values.argmax())
            if values[best] >= (SURE if task.kind == "binary" else LEAST):
                answers.append(f"{_answer(task, best)} ({values[best]:.2f})")
            else:
                unsure.append(_torn(task, values))
    parts = [", ".join(answers), *things, *counts]
    if unsure:
        parts.append(f"unsure about {_listed(unsure)}")
    text = "; ".join(part for part in parts if part)
    return f"{text[:1].upper()}{text[1:]}." if text else ""


def chip_summary(tasks: Sequence[Task], scores: Mapping[str, npt.NDArray[np.float32]], chip: int) -> str:
    """The `summary` of one chip out of the scores of all: per task (chips, classes). Empty where there is none of it."""
    return summary(tasks, {name: rows[chip] for name, rows in scores.items() if 0 <= chip < len(rows)})


def count_text(name: str, count: float) -> str:
    """A predicted count in words: `about 14 houses, in 11-100`; below one half `no houses`."""
    if count <= 0.5:  # the same edge as that of the bin 0
        return f"no {name}"
    return f"about {round(count):,} {name}, in {count_bin(count)}"


def _answer(task: Task, index: int) -> str:
    if task.classes == ("no", "yes"):
        return f"{_small(task.label)}: {task.classes[index]}"
    return task.classes[index]


def _torn(task: Task, values: npt.NDArray[np.float32]) -> str:
    first, second = np.argsort(-values, kind="stable")[:2]
    between = f"{task.classes[first]} {values[first]:.2f}, {task.classes[second]} {values[second]:.2f}"
    return f"{_small(task.label)} ({between})"


def _things(task: Task, values: npt.NDArray[np.float32]) -> list[str]:
    likely = _named(task, values, values >= SURE)
    if likely:
        return [f"{_listed(likely)} {'is' if len(likely) == 1 else 'are'} likely there"]
    # That nothing is there is said only where it is certain of every class.
    return [f"no {_small(task.label)} likely there"] if (values <= 1 - SURE).all() else []


def _named(task: Task, values: npt.NDArray[np.float32], which: npt.NDArray[np.bool_]) -> list[str]:
    """The chosen classes, the most probable first."""
    order = np.argsort(-values, kind="stable")
    return [task.classes[i] for i in order if which[i]]


def _counts(task: Task, values: npt.NDArray[np.float32]) -> str:
    """The counts that are not 0, the largest first; what there is none of only where there is nothing at all."""
    there = [i for i in np.argsort(-values, kind="stable") if values[i] > 0.5]
    if there:
        return _listed([f"about {round(float(values[i])):,} {task.classes[i]}" for i in there])
    return f"no {_listed(list(task.classes), 'or')}"


def _listed(names: Sequence[str], word: str = "and") -> str:
    if len(names) > MOST_NAMED:
        names = [*names[: MOST_NAMED - 1], f"{len(names) - MOST_NAMED + 1} more"]
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} {word} {names[-1]}"


def _small(label: str) -> str:
    """A label inside a sentence: its first letter small, but for abbreviations."""
    return label if label[1:2].isupper() else label[:1].lower() + label[1:]
