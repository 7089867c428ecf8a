"""Joint runs: how the tasks of several data sets become the tasks of one model, and back. NumPy only."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from spatialnet.errors import DataSetInvalid, TargetsInvalid
from spatialnet.tasks import UNKNOWN_CLASS, Task

FILE = "joint.json"
"""Where a run folder keeps its joint tasks; a run of one data set has no such file."""

MODEL = "model.safetensors"
"""The finished model of a run; of a joint run the one with all tasks, beside one per data set in `sets/`."""


@dataclass(frozen=True)
class Share:
    """What one task of a data set is in the joint model.

    Attributes:
        task: name of the joint task.
        classes: for each class of the data set its index in the joint task.
    """

    task: str
    classes: tuple[int, ...]


@dataclass(frozen=True)
class JointTasks:
    """The tasks of a joint run.

    Attributes:
        tasks: what the model answers.
        shares: data set -> name of its own task -> what it is in the model.
    """

    tasks: tuple[Task, ...]
    shares: Mapping[str, Mapping[str, Share]]

    def lift(self, dataset: str, own: Mapping[str, npt.NDArray[Any]]) -> dict[str, npt.NDArray[Any]]:
        """A data set's targets as targets of the joint tasks that it knows.

        Args:
            dataset: which data set.
            own: per task of its own its targets, as the packed store keeps them; also shares (chips, classes) of a
                `multiclass` task.

        Returns:
            Per joint task. A class of a `multilabel` or `count` task that the data set does not know is NaN, never "no";
            a class of a `multiclass` task that it does not know has share 0.

        Raises:
            DataSetInvalid: the run does not know the data set.
            TargetsInvalid: targets name other classes than the data set has.
        """
        named = {task.name: task for task in self.tasks}
        return {
            share.task: _lifted(named[share.task], np.array(share.classes, np.int64), own[name])
            for name, share in self._of(dataset).items()
            if name in own
        }

    def project(
        self, dataset: str, scores: Mapping[str, npt.NDArray[np.float32]]
    ) -> dict[str, npt.NDArray[np.float32]]:
        """Scores of the joint tasks as scores of a data set's own tasks and classes.

        Args:
            dataset: which data set.
            scores: per joint task (chips, classes).

        Returns:
            Per own task (chips, own classes); those of `multiclass` are made to sum to 1 again.

        Raises:
            DataSetInvalid: the run does not know the data set.
        """
        kinds = {task.name: task.kind for task in self.tasks}
        result = {}
        for name, share in self._of(dataset).items():
            if share.task in scores:
                part = scores[share.task][:, list(share.classes)]
                if kinds[share.task] == "multiclass":
                    part = part / np.maximum(part.sum(1, keepdims=True), 1e-12)
                result[name] = part.astype(np.float32)
        return result

    def save(self, run: Path) -> None:
        """Write the joint tasks into a run folder that nobody reads yet."""
        values = {
            "tasks": [task.to_dict() for task in self.tasks],
            "shares": {
                dataset: {name: {"task": share.task, "classes": list(share.classes)} for name, share in own.items()}
                for dataset, own in self.shares.items()
            },
        }
        (run / FILE).write_text(json.dumps(values, indent=1), encoding="utf-8")

    @classmethod
    def load(cls, run: Path) -> JointTasks | None:
        """The joint tasks of a run; None where it was trained on one data set.

        Raises:
            DataSetInvalid: the file cannot be read.
        """
        try:
            values = json.loads((run / FILE).read_text(encoding="utf-8"))
            return cls(
                tuple(Task.from_dict(task) for task in values["tasks"]),
                {
                    dataset: {
                        name: Share(str(part["task"]), tuple(map(int, part["classes"]))) for name, part in own.items()
                    }
                    for dataset, own in values["shares"].items()
                },
            )
        except FileNotFoundError:
            return None
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise DataSetInvalid(f"{FILE} of run {run.name} cannot be read ({error}). Start a new run.") from error

    def _of(self, dataset: str) -> Mapping[str, Share]:
        if dataset not in self.shares:
            raise DataSetInvalid(
                f"The run was trained on {', '.join(self.shares)}, not on {dataset[:64]!r}. Choose one of those data sets."
            )
        return self.shares[dataset]


def part_of(run: Path, dataset: str) -> Path:
    """The folder of a run that holds what belongs to one data set: targets, weights, predictions, report, maps.

    The first data set's things lie in the run folder itself, as those of a run on one data set do.
    """
    joint = JointTasks.load(run)
    first = None if joint is None else next(iter(joint.shares))
    return run if first in (None, dataset) else run / "sets" / dataset


def model_of(run: Path, dataset: str) -> Path:
    """The model of a run that answers a data set's own tasks."""
    joint = JointTasks.load(run)
    return (run if joint is None else run / "sets" / dataset) / MODEL


def _lifted(task: Task, to: npt.NDArray[np.int64], own: npt.NDArray[Any]) -> npt.NDArray[Any]:
    if task.kind == "binary":
        return own if tuple(to) == (0, 1) else 1 - own
    if task.kind == "multiclass" and own.ndim == 1:
        known = own != UNKNOWN_CLASS
        if (known & ((own < 0) | (own >= len(to)))).any():
            raise TargetsInvalid(f"Targets of {task.label} name a class beyond the {len(to)} of their data set.")
        return np.where(known, to[np.where(known, own, 0)], UNKNOWN_CLASS).astype(np.int64)
    if own.ndim != 2 or own.shape[1] != len(to):
        raise TargetsInvalid(f"Targets of {task.label} have shape {own.shape}; their data set has {len(to)} classes.")
    result = np.full((len(own), len(task.classes)), np.nan, np.float32)
    if task.kind == "multiclass":
        result[~np.isnan(own).any(1)] = 0.0
    result[:, to] = own
    return result
