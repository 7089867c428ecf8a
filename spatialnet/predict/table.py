"""Predictions over a data set as a Parquet file: one row per chip, one column per task and class. No torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd

from spatialnet.atomic import replacing
from spatialnet.errors import RunNotFound
from spatialnet.tasks import Task

Scores = dict[str, npt.NDArray[np.float32]]


def write_predictions(path: Path, tasks: Sequence[Task], scores: Mapping[str, npt.NDArray[np.float32]]) -> None:
    """Write scores; the file appears whole or not at all.

    Args:
        path: the Parquet file.
        tasks: the tasks of the run.
        scores: per task (chips, classes) in 0..1 (`binary` has two columns; `count` holds counts).

    Raises:
        NotEnoughDisk: the disk is full; what was at `path` before is unchanged.
    """
    columns: dict[str, npt.NDArray[np.float32]] = {}
    for task in tasks:
        columns |= {f"{task.name}:{name}": scores[task.name][:, index] for index, name in enumerate(task.classes)}
    table = pd.DataFrame(columns)
    table.insert(0, "chip", np.arange(len(table)))
    with replacing(path) as partial:
        table.to_parquet(partial, index=False)


def read_predictions(path: Path, tasks: Sequence[Task]) -> Scores:
    """Scores as `write_predictions` took them.

    Raises:
        RunNotFound: the run has no predictions yet, or their file is damaged.
    """
    try:
        table = pd.read_parquet(path)
    except FileNotFoundError as error:
        raise RunNotFound(f"Run {path.parent.name} has no predictions yet. Wait until it has finished.") from error
    except (OSError, ValueError) as error:
        raise RunNotFound(
            f"The predictions of run {path.parent.name} cannot be read ({error}). Train it again."
        ) from error
    columns = {task.name: [f"{task.name}:{name}" for name in task.classes] for task in tasks}
    # A task whose classes were changed since is one that the run does not answer.
    return {
        name: table[wanted].to_numpy(np.float32)
        for name, wanted in columns.items()
        if set(wanted) <= set(table.columns)
    }


def answer(task: Task, scores: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """The answer that scores stand for, in the form of a target: (chips,) or (chips, classes)."""
    if task.kind in ("multiclass", "binary"):
        return scores.argmax(axis=1).astype(np.float32)
    return np.round(scores).astype(np.float32) if task.kind == "count" else (scores >= 0.5).astype(np.float32)


def uncertainty(task: Task, scores: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """How unsure a model is of each chip: 0 sure, 1 as unsure as can be (chips,); 0 for counts.

    One minus the margin between the two best classes; for `multilabel` the least sure yes or no.
    """
    if task.kind == "count":
        return np.zeros(len(scores), np.float32)
    if task.kind == "multilabel":
        return 1 - np.abs(2 * scores - 1).min(axis=1)
    best = np.sort(scores, axis=1)
    return 1 - (best[:, -1] - best[:, -2])
