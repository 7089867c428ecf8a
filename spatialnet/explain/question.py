"""What is to be explained: one class of one task, for a batch of chips and one model."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from spatialnet.errors import ExplanationFailed
from spatialnet.model import SpatialNetViT, probabilities, score
from spatialnet.tasks import Task


@dataclass(frozen=True)
class Question:
    """One class of one task, for a batch of chips and one model.

    Captum takes tensors, not dicts: `inputs` and `context` are those, `score` and `logits` take them back.

    Attributes:
        model: the model; its state is not changed here.
        task: the task.
        class_index: index into the task's classes.
        against: another class: why the one rather than this. None asks about the one alone.
        start: normalised chips that a method with a baseline starts from, one per name in `sensors`; none is the training mean.
        sensors: names of the sensors that are given, in the model's order.
        inputs: normalised pixels (batch, bands, height, width), one per name in `sensors`.
        context: what else the model is told, each (batch,): whether a chip has a sensor, per name in `told`; then the
            ground sample distance if `gsd`.
        told: sensors whose presence is in `context`.
        gsd: the last entry of `context` is the ground sample distance.
    """

    model: SpatialNetViT
    task: Task
    class_index: int
    sensors: tuple[str, ...]
    inputs: tuple[Tensor, ...]
    context: tuple[Tensor, ...] = ()
    told: tuple[str, ...] = ()
    gsd: bool = False
    against: int | None = None
    start: tuple[Tensor, ...] = ()

    @property
    def baselines(self) -> tuple[Tensor, ...]:
        """What a method with a baseline starts from, like `inputs`."""
        return self.start or tuple(torch.zeros_like(tensor) for tensor in self.inputs)

    @property
    def batch(self) -> int:
        """How many chips."""
        return int(self.inputs[0].shape[0])

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of the chip, which are those of the first sensor, in pixels."""
        height, width = self.inputs[0].shape[-2:]
        return int(height), int(width)

    def keywords(self, context: tuple[Tensor, ...]) -> dict[str, Any]:
        """`context` as keyword arguments of the model."""
        return {
            "present": dict(zip(self.told, context, strict=False)) if self.told else None,
            "gsd": context[-1] if self.gsd else None,
        }

    def logits(self, *tensors: Tensor) -> Tensor:
        """The task's logits for inputs followed by context, of any batch size."""
        images = dict(zip(self.sensors, tensors, strict=False))
        keywords = self.keywords(tensors[len(self.sensors) :])
        answers: dict[str, Tensor] = self.model(images, tasks=[self.task.name], **keywords)
        return answers[self.task.name]

    def score(self, *tensors: Tensor) -> Tensor:
        """The number that is explained (batch,), for inputs followed by context (see `spatialnet.model.score`)."""
        return self.score_of(self.logits(*tensors))

    def score_of(self, logits: Tensor) -> Tensor:
        """The number that is explained (batch,), from the task's logits; against another class, how far it is ahead."""
        own = score(logits, self.task, self.class_index)
        return own if self.against is None else own - score(logits, self.task, self.against)

    def probability(self, logits: Tensor) -> Tensor:
        """What the class gets in the task's own unit (batch,): a probability, or a count.

        Against another class: its probability where it is one of these two.
        """
        if self.against is not None:
            return torch.sigmoid(self.score_of(logits))
        return probabilities(logits, self.task)[:, self.class_index]

    def select(self, chips: Tensor) -> Question:
        """The same question about some of the chips, by index."""
        return Question(
            self.model,
            self.task,
            self.class_index,
            self.sensors,
            tuple(tensor[chips] for tensor in self.inputs),
            tuple(tensor[chips] for tensor in self.context),
            self.told,
            self.gsd,
            self.against,
            tuple(tensor[chips] for tensor in self.start),
        )


@dataclass(frozen=True)
class Evidence:
    """What a method found.

    Attributes:
        values: (batch, height, width) on chip pixels.
        logits: the task's logits for the chips as they are.
        bands: share of the evidence per sensor (batch, bands), summing to 1 over all sensors; empty where the method
            cannot tell.
        info: JSON-ready facts, lists with one entry per chip.
    """

    values: Tensor
    logits: Tensor
    bands: dict[str, Tensor] = field(default_factory=dict)
    info: dict[str, Any] = field(default_factory=dict)


def ask(
    model: SpatialNetViT,
    images: Mapping[str, Tensor],
    task: str,
    class_index: int,
    *,
    present: Mapping[str, Tensor] | None = None,
    gsd: Tensor | None = None,
    against: int | None = None,
    start: Mapping[str, Tensor] | None = None,
) -> Question:
    """Check and arrange what `attribute` and `faithfulness` are given; see there.

    Raises:
        ExplanationFailed: an unknown task, class or sensor, classes that cannot be contrasted, or images that do not fit each other.
    """
    if task not in model.tasks:
        raise ExplanationFailed(f"This run has no task {task[:64]!r}. Choose one of {', '.join(model.tasks)}.")
    kind = model.tasks[task]
    if not 0 <= class_index < len(kind.classes):
        raise ExplanationFailed(
            f"Task {task} has classes 0 to {len(kind.classes) - 1}; class {class_index} was asked for. "
            "Choose one of those."
        )
    if against is not None:
        _check_contrast(kind, class_index, against)
    sensors = tuple(name for name in model.sensors if name in images)
    if not sensors or len(sensors) != len(images):
        raise ExplanationFailed(
            f"Images of {', '.join(images) or 'no sensor'} were given; this run knows {', '.join(model.sensors)}."
        )
    if len({images[name].shape[0] for name in sensors}) != 1 or any(images[n].ndim != 4 for n in sensors):
        shapes = ", ".join(f"{name} {tuple(images[name].shape)}" for name in sensors)
        raise ExplanationFailed(
            f"Images have shapes {shapes}; each needs (batch, bands, height, width) with one batch size."
        )
    told = tuple(name for name in sensors if present is not None and name in present)
    context = [present[name] for name in told] if present is not None else []
    context += [] if gsd is None else [gsd]
    with torch.inference_mode(False):  # a copy made here can take part in a gradient, whatever mode the caller is in
        return Question(
            model,
            kind,
            class_index,
            sensors,
            tuple(images[name].detach().to(model.device, copy=True) for name in sensors),
            tuple(tensor.detach().to(model.device, copy=True) for tensor in context),
            told,
            gsd is not None,
            against,
            tuple(start[name].detach().to(model.device, copy=True) for name in sensors) if start else (),
        )


def _check_contrast(task: Task, class_index: int, against: int) -> None:
    if task.kind != "multiclass":
        raise ExplanationFailed(
            f"Task {task.name} is {task.kind}; only a multiclass task has several classes to choose between. Ask about one class."
        )
    if not 0 <= against < len(task.classes) or against == class_index:
        raise ExplanationFailed(
            f"Class {class_index} of task {task.name} cannot be explained against class {against}. Choose another of its "
            f"classes 0 to {len(task.classes) - 1}."
        )


@contextmanager
def left_as_found(model: SpatialNetViT) -> Iterator[None]:
    """The model in evaluation mode; every part's own mode is back afterwards, also when something raises."""
    modes = [(module, module.training) for module in model.modules()]
    try:
        for module, _ in modes:
            module.training = False
        yield
    finally:
        for module, training in modes:
            module.training = training
