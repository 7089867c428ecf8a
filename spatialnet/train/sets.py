"""What a run learns from: one data set or several, the tasks and sensors of its model, and each set's chips and targets."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from spatialnet.datasets.packed import PackedChips
from spatialnet.errors import DataSetInvalid, NothingToRead, RecipeInvalid
from spatialnet.joint import JointTasks, part_of
from spatialnet.metrics import metrics
from spatialnet.model import SpatialNetViT
from spatialnet.model.network import Fusion
from spatialnet.presets import preset_for
from spatialnet.recipe import Recipe
from spatialnet.sensors import Sensor
from spatialnet.tasks import Task
from spatialnet.train.batches import Chips, priors, run_targets, run_weights, training_targets

Measured = dict[str, dict[str, float]]


class LearntSet:
    """One data set of a run: its targets as those of the model's tasks, and its chips.

    Args:
        run: the run's folder.
        data: the data set.
        joint: the run's joint tasks, where it has several data sets.
        recipe: the run's recipe.

    Attributes:
        targets: per task of the model (chips, ...) float32, NaN unknown.
        weights: the same tasks, (chips,).
    """

    train: Chips
    validation: Chips

    def __init__(self, run: Path, data: PackedChips, joint: JointTasks | None, recipe: Recipe) -> None:
        self.data, self.joint = data, joint
        self.folder = run if joint is None else part_of(run, data.name)
        weights = {t.name: run_weights(self.folder, data, t) for t in data.tasks}
        own = {
            t.name: training_targets(self.folder, data, t, weights[t.name], soft=recipe.soft_targets)
            for t in data.tasks
        }
        self.names = {t.name: t.name for t in data.tasks}
        if joint is not None:
            self.names = {name: share.task for name, share in joint.shares.get(data.name, {}).items()}
            own = {name: np.asarray(v, np.float32) for name, v in joint.lift(data.name, own).items()}
            weights = {self.names[name]: values for name, values in weights.items() if name in self.names}
        self.targets: dict[str, npt.NDArray[np.float32]] = own
        self.weights: dict[str, npt.NDArray[np.float32]] = weights

    def known(self, task: str) -> npt.NDArray[np.float32] | None:
        """Targets of a task of the training chips of which something is known; None where there are none."""
        if task not in self.targets:
            return None
        values = self.targets[task][self.data.in_split("train")]
        some = ~np.isnan(values).all(axis=tuple(range(1, values.ndim)))
        some &= self.weights[task][self.data.in_split("train")] > 0
        return values[some] if some.any() else None

    def settle(self, model: SpatialNetViT) -> None:
        """Make the batches, once the model is on its device."""
        named = self.joint is not None
        targets = {name: values for name, values in self.targets.items() if name in model.tasks}
        weights = {name: self._asked(model.tasks[name]) for name in targets}
        self.train = Chips(self.data, "train", model, targets, weights, named=named, seen_only=True)
        self.validation = Chips(self.data, "validation", model, {}, {}, named=named)

    def _asked(self, task: Task) -> npt.NDArray[np.float32]:
        """Weights of a task, (chips,); or (chips, classes) where nobody asked this data set about some classes.

        Those count nothing, also where what is unknown is taken for a "no".
        """
        weights = self.weights[task.name]
        if self.joint is None or task.kind != "multilabel":
            return weights
        shares = self.joint.shares[self.data.name].values()
        known = sorted({index for share in shares if share.task == task.name for index in share.classes})
        if len(known) == len(task.classes):
            return weights
        spread = np.zeros((len(weights), len(task.classes)), np.float32)
        spread[:, known] = weights[:, None]
        return spread

    def answered(self, model: SpatialNetViT) -> list[str]:
        """The model's tasks that this data set knows."""
        return [name for name in model.tasks if name in self.names.values()]

    def measure(self, scores: dict[str, npt.NDArray[np.float32]]) -> Measured:
        """Metrics per task of this data set, in its own classes, of scores of the validation chips by the model's tasks."""
        rows = self.validation.indices
        own = scores if self.joint is None else self.joint.project(self.data.name, scores)
        return {
            task.name: metrics(task, own[task.name], run_targets(self.folder, self.data, task)[rows])
            for task in self.data.tasks
            if task.name in own and len(rows)
        }


def learnt_sets(run: Path, data: Sequence[PackedChips], recipe: Recipe) -> tuple[list[LearntSet], JointTasks | None]:
    """The data sets of a run, and its joint tasks.

    Raises:
        DataSetInvalid: the run was made for other data sets.
    """
    joint = JointTasks.load(run)
    wanted = [] if joint is None else list(joint.shares)
    given = [one.name for one in data]
    if (joint is None and len(data) != 1) or (joint is not None and wanted != given):
        raise DataSetInvalid(
            f"Run {run.name} was made for {', '.join(wanted) or 'one data set'}; {', '.join(given)} was given. "
            "Give its data sets in this order."
        )
    return [LearntSet(run, one, joint, recipe) for one in data], joint


def chosen_tasks(sets: Sequence[LearntSet], joint: JointTasks | None, recipe: Recipe) -> tuple[list[Task], list[str]]:
    """The tasks to learn, and the names of those that are left out because no training chip has a target.

    Raises:
        RecipeInvalid: the recipe names a task that there is not.
        NothingToRead: no task has a target.
    """
    tasks = list(sets[0].data.tasks if joint is None else joint.tasks)
    names = [task.name for task in tasks]
    for name in recipe.tasks:
        if name not in names:
            raise RecipeInvalid(f"The recipe names a task {name[:64]!r}; the data has {', '.join(names)}.")
    wanted = [task for task in tasks if task.name in (recipe.tasks or names)]
    learnt = [task for task in wanted if any(one.known(task.name) is not None for one in sets)]
    if not learnt:
        raise NothingToRead(
            f"No training chip of {', '.join(one.data.name for one in sets)} has a target of "
            f"{', '.join(task.name for task in wanted)}. Import or label some, or choose another split."
        )
    return learnt, [task.name for task in wanted if task not in learnt]


def chosen_sensors(data: Sequence[PackedChips], recipe: Recipe) -> list[Sensor]:
    """The sensors of the model: those of all data sets that the recipe wants.

    Raises:
        DataSetInvalid: two data sets mean different bands by one name, or one has none of the sensors.
        RecipeInvalid: the recipe names a sensor that there is not.
    """
    found: dict[str, tuple[Sensor, str]] = {}
    for one in data:
        for sensor in one.sensors:
            before, where = found.setdefault(sensor.name, (sensor, one.name))
            if (before.kind, before.bands) != (sensor.kind, sensor.bands):
                raise DataSetInvalid(
                    f"{where} and {one.name} both have a sensor {sensor.name!r}, with bands {', '.join(before.bands)} "
                    f"and {', '.join(sensor.bands)}. One name must mean the same bands; import one of them under another name."
                )
    for name in recipe.sensors:
        if name not in found:
            raise RecipeInvalid(f"The recipe names a sensor {name[:64]!r}; the data has {', '.join(found)}.")
    wanted = recipe.sensors or tuple(found)
    for one in data:
        if not any(sensor.name in wanted for sensor in one.sensors):
            raise DataSetInvalid(f"Data set {one.name} has none of the sensors {', '.join(wanted)}. Leave it out.")
    return [sensor for sensor, _ in found.values() if sensor.name in wanted]


def build_model(
    data: PackedChips | Sequence[PackedChips], recipe: Recipe, tasks: Sequence[Task] | None = None
) -> SpatialNetViT:
    """A fresh model for one data set or several, with the normalisation of each one's training split.

    Args:
        data: the first one's chips decide size and ground sample distance.
        recipe: the run's recipe.
        tasks: what the model answers; default the tasks of the first data set.
    """
    several = [data] if isinstance(data, PackedChips) else list(data)
    fusion: Fusion = "mean" if recipe.fusion == "mean" else "early"
    model = SpatialNetViT(
        chosen_sensors(several, recipe),
        several[0].tasks if tasks is None else tasks,
        preset_for(recipe.weights, recipe.preset),
        chip_size=several[0].chip_size,
        gsd_m=several[0].gsd_m,
        fusion=fusion,
        patch=recipe.patch or None,
        drop_path=recipe.drop_path,
        size=recipe.size,
        spatial=recipe.spatial,
        patch_drop=recipe.patch_drop,
    )
    for one in several:
        own = [sensor.name for sensor in one.sensors if sensor.name in model.sensors]
        model.set_statistics({name: one.statistics(name) for name in own}, one.name)
    return model


def task_priors(sets: Sequence[LearntSet], tasks: Sequence[Task]) -> dict[str, Tensor]:
    """Share of each class among the known training targets of all data sets, for tasks that have such."""
    found: dict[str, Tensor] = {}
    for task in tasks:
        known = [values for one in sets if (values := one.known(task.name)) is not None]
        prior = priors(task, np.concatenate(known)) if known else None
        if prior is not None:
            found[task.name] = prior
    return found


def mean_over_sets(measured: dict[str, Measured], sets: Sequence[LearntSet]) -> Measured:
    """Metrics per task of the model: the mean over the data sets that know it."""
    lists: dict[str, dict[str, list[float]]] = {}
    for one in sets:
        for name, values in measured.get(one.data.name, {}).items():
            for metric, value in values.items():
                lists.setdefault(one.names[name], {}).setdefault(metric, []).append(value)
    return {task: {metric: float(np.mean(v)) for metric, v in values.items()} for task, values in lists.items()}


def named_chips(sets: Sequence[LearntSet], seen: Sequence[tuple[int, Any]], most: int = 8) -> str:
    """Which chips of which data sets, for people.

    Args:
        sets: the data sets.
        seen: pairs of data set and rows of its training split.
        most: how many chips to name per data set.
    """
    said = []
    for number, rows in seen:
        chips = sets[number].train.indices[torch.as_tensor(rows).numpy()]
        more = f" and {len(chips) - most} more" if len(chips) > most else ""
        said.append(f"chips {', '.join(map(str, chips[:most]))}{more} of {sets[number].data.name}")
    return "; ".join(said)
