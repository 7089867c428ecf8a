"""One training: how a step and a validation are done, in two stages. No files, no clock."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from spatialnet.datasets.packed import PackedChips
from spatialnet.errors import NothingToRead, TrainingDiverged
from spatialnet.metrics import higher_is_better
from spatialnet.model import SpatialNetViT, probabilities
from spatialnet.model.losses import Losses, MultiTaskLoss
from spatialnet.model.weights import NONE, apply_weights, warm_start
from spatialnet.recipe import Recipe
from spatialnet.train import sets as learnt
from spatialnet.train.augment import augment, drop_sensors
from spatialnet.train.batches import Batch
from spatialnet.train.devices import autocast_dtype
from spatialnet.train.devices import resolve_device as resolve_device
from spatialnet.train.distributed import Processes
from spatialnet.train.features import classify_features, compute_features
from spatialnet.train.mixing import mix
from spatialnet.train.order import Order, mixed
from spatialnet.train.order import steps_per_epoch as steps_per_epoch
from spatialnet.train.sets import Measured
from spatialnet.train.sets import build_model as build_model
from spatialnet.train.state import ALL, HEADS, TrainingState, schedule
from spatialnet.train.weighting import gradient_conflicts, make_weighting

MODEL = "model.safetensors"

VALIDATION_BATCH = 256

LEAST_GAIN = 1e-4
"""An epoch is better than another only by more than this, so that patience ends on a plateau."""

CAREFUL = ("multilabel", "count")
"""Kinds of tasks that ask about things which a small crop may cut away."""


class Training:
    """The model of a run, its data, and where it stands.

    Args:
        run: the run's folder; its `targets/` and `weights/` are used where they are.
        data: the data sets; several need the run's joint tasks.
        recipe: the run's recipe.
        device: where to train.
        weights_folder: where `file:` weights lie and converted ones are kept.
        parts: into how many parts a step is cut, where that is not the recipe's `accumulate`.

    Raises:
        NothingToRead: the training split is empty, or no task has a target.
        RecipeInvalid: the recipe names tasks or sensors that there are not.
        DataSetInvalid: the data sets do not fit the run or each other.
        WeightsUnavailable: pretrained weights cannot be had.
        CheckpointDoesNotFit: the parent run fits neither recipe nor data.
    """

    def __init__(
        self,
        run: Path,
        data: Sequence[PackedChips],
        recipe: Recipe,
        device: torch.device,
        weights_folder: Path,
        parts: int | None = None,
    ) -> None:
        self.recipe, self.device = recipe, device
        self.processes = Processes(device)
        for given in data:
            if not len(given.in_split("train")):
                raise NothingToRead(
                    f"Data set {given.name} has no chips to train on. Choose one with a training split."
                )
        self.sets, joint = learnt.learnt_sets(run, data, recipe)
        tasks, self.skipped = learnt.chosen_tasks(self.sets, joint, recipe)
        torch.manual_seed(recipe.seed)
        self.model = build_model(data, recipe, tasks)
        self.origin = _start_weights(self.model, run, recipe, weights_folder)
        self.model.to(device)
        self.precision = autocast_dtype(recipe.precision, device)
        for one in self.sets:
            one.settle(self.model)
        self.loss = MultiTaskLoss(
            tasks,
            label_smoothing=recipe.label_smoothing,
            priors=learnt.task_priors(self.sets, tasks),
            balance=recipe.balance,
            balance_binary=recipe.balance_binary,
            assumed_negative=recipe.assumed_negative,
            unscaled=recipe.weighting == "unscaled",
        ).to(device)
        names = list(self.model.tasks)
        counts = [task.name for task in tasks if task.kind == "count"]
        self.weighting = make_weighting(recipe, names, counts).to(device)
        self.careful = any(task.kind in CAREFUL for task in tasks)
        self.chips = sum(len(one.train) for one in self.sets)
        self.batches = steps_per_epoch(self.chips, recipe)
        self.head_steps = self.batches * recipe.head_epochs
        self.steps = self.head_steps + self.batches * recipe.epochs
        self.order = Order([len(one.train) for one in self.sets], recipe, self.steps)
        self.pieces = -(-max(parts or recipe.accumulate, 1) // self.order.draws)
        pretrained = self.origin["name"] not in (NONE, "parent")
        self.state = TrainingState(
            self.model, self.weighting, recipe, pretrained=pretrained, stage=HEADS if self.head_steps else ALL
        )
        self.generator = torch.Generator(device)
        self.sums: dict[str, Tensor] = {}
        self.conflicts: dict[str, float] = {}
        self._rates = {
            HEADS: schedule(recipe, self.head_steps, recipe.head_rate),
            ALL: schedule(recipe, self.steps - self.head_steps),
        }
        self._ahead: tuple[int, Future[list[Batch]]] | None = None
        self._fetcher: ThreadPoolExecutor | None = None
        self._unsure: deque[tuple[Tensor, int]] = deque()
        self._ready = ""

    @property
    def stage(self) -> str:
        """The stage that the next step belongs to."""
        return HEADS if self.state.progress.step < self.head_steps else ALL

    def make_ready(self, heard: Callable[[float], bool]) -> None:
        """Go over to the stage of the next step, where that is another.

        Args:
            heard: called with the share of the chips whose features are there; True = stop.

        Raises:
            Stopped: `heard` said so.
        """
        if self._ready == self.stage:
            return
        if self.state.progress.stage != self.stage:
            self.state.begin(self.stage)
        if self.stage == HEADS:
            compute_features(self.model, self.sets, self.processes, self._autocast(), VALIDATION_BATCH, heard)
        else:
            for one in self.sets:
                one.train.features = one.validation.features = None
            self.model.set_checkpointing(self.recipe.checkpointing)
            if self.recipe.compile == "on" or (self.recipe.compile == "auto" and self.device.type == "cuda"):
                for block in self.model.blocks:
                    block.compile()
        self._ready = self.stage

    def rate(self, step: int) -> float:
        """The learning rate of a step."""
        return self._rates[HEADS](step) if step < self.head_steps else self._rates[ALL](step - self.head_steps)

    def step(self) -> None:
        """One step of the optimiser.

        Raises:
            TrainingDiverged: the loss or its gradient is no longer a number; the step is not taken.
        """
        progress, number = self.state.progress, self.state.progress.step
        # Seeding every step makes a resumed run equal to an uninterrupted one without random state on disk.
        own = (self.processes.rank,) if self.processes.rank else ()
        torch.manual_seed(mixed(self.recipe.seed, number, 2, *own))
        self.generator.manual_seed(mixed(self.recipe.seed, number, 3, *own))
        parts = [part for batch in self._gathered(number) for part in self._disturbed(batch).cut(self.pieces)]
        norm = self._norm(parts)
        self.state.set_rate(self.rate(number))
        self.model.train(self.stage == ALL)
        self.state.optimizer.zero_grad(set_to_none=True)
        self.weighting.begin_step(number, norm)
        several = self.processes.count > 1
        reduce = self.processes.sum_ if several else None
        measuring = self.recipe.conflicts and number % self.batches == 0 and bool(self.state.shared)
        found: list[Losses] = []
        for i, part in enumerate(parts):
            losses = self._losses(part, norm)
            if measuring and i == 0:
                self.conflicts = gradient_conflicts(losses, self.state.shared)
            found.append(Losses({n: v.detach() for n, v in losses.tasks.items()}, losses.known, losses.share))
            self.weighting.backward(losses, self.state.shared, last=i + 1 == len(parts), reduce=reduce)
        if several:
            self._sum_gradients()
        self._refuse_infinite(number, self._count(found, norm))
        self.state.optimizer.step()
        progress.step += 1
        self.state.update_average(progress.step - (self.head_steps if self.stage_of(number) == ALL else 0))
        self.weighting.after_step(lambda: self._again(parts, norm), reduce)

    def stage_of(self, step: int) -> str:
        """The stage that a step belongs to."""
        return HEADS if step < self.head_steps else ALL

    def mean_losses(self) -> dict[str, float]:
        """Mean loss per task over the known targets of the current epoch so far."""
        pairs = {name: [float(v) for v in part] for name, part in self.sums.items()}
        return {name: total / known for name, (total, known) in pairs.items() if known}

    @torch.no_grad()
    def validate(self) -> dict[str, Measured]:
        """Metrics per data set and task on the validation splits, with the weights that are in the model now."""
        self.model.eval()
        measured = {}
        for one in self.sets:
            names = one.answered(self.model)
            answers: dict[str, list[Tensor]] = {name: [] for name in names}
            with self._autocast():
                for batch in one.validation.batches(VALIDATION_BATCH, pixels=one.validation.features is None):
                    for name, logits in self._answers(batch, names).items():
                        answers[name].append(probabilities(logits, self.model.tasks[name]))
            scores = {name: torch.cat(parts).cpu().numpy() for name, parts in answers.items() if parts}
            measured[one.data.name] = one.measure(scores)
        return measured

    def end_epoch(self) -> dict[str, Measured]:
        """Validate the averaged weights and keep them if they are the best, or the last are wanted."""
        self.check()
        progress = self.state.progress
        self.weighting.end_epoch(self.mean_losses())
        self.sums = {}
        if not self.processes.main:
            return {}
        self.state.swap_average()
        try:
            measured = self.validate()
            value = self._score(measured)
            better = value > progress.best_score + LEAST_GAIN or not progress.best_epoch
            if progress.step == self.steps if self.recipe.keep == "last" else better:
                self.state.remember_best()
            if better or self.recipe.keep == "last":
                progress.best_score, progress.best_metrics = value, learnt.mean_over_sets(measured, self.sets)
                progress.best_epoch = progress.step // self.batches
        finally:
            self.state.swap_average()
        return measured

    def check(self) -> None:
        """Look at the steps of which it is not yet known whether they were numbers.

        Raises:
            TrainingDiverged: one was not.
        """
        while self._unsure:
            self._look(*self._unsure.popleft())

    def close(self) -> None:
        """End the thread that fetches chips."""
        if self._fetcher is not None:
            self._fetcher.shutdown(cancel_futures=True)

    def _score(self, measured: Mapping[str, Measured]) -> float:
        scores = [selection_score(one.data.tasks, measured[one.data.name]) for one in self.sets]
        return float(np.mean(scores))

    def _gathered(self, number: int) -> list[Batch]:
        """A step's chips of this process, a batch per draw; those of the next step are fetched meanwhile where they must be
        read.
        """  # noqa: D205 - one thought
        if self.stage == HEADS or all(one.train.resident for one in self.sets):
            return self._fetch(number)
        if self._fetcher is None:
            self._fetcher = ThreadPoolExecutor(1, "chips")
        held = self._ahead
        batches = held[1].result() if held is not None and held[0] == number else self._fetch(number)
        self._ahead = None
        if number + 1 < self.steps:
            self._ahead = (number + 1, self._fetcher.submit(self._fetch, number + 1))
        return batches

    def _fetch(self, number: int) -> list[Batch]:
        batches = []
        pixels = self.stage_of(number) == ALL
        for draw in self.order(number):
            rows = self.processes.deal(draw.rows)
            batch = self.sets[draw.number].train.batch(rows if len(rows) else draw.rows[:1], pixels=pixels)
            if self.recipe.turns == "rotating":
                names = list(batch.targets)
                chosen = names[draw.visit % len(names)]
                batch = replace(batch, targets={chosen: batch.targets[chosen]})
            batches.append(batch if len(rows) else batch.unknown())
        return batches

    def _disturbed(self, batch: Batch) -> Batch:
        if batch.features is not None:
            return batch
        images = augment(batch.images, self.model.sensors, self.recipe, self.generator, careful=self.careful)
        batch = replace(batch, images=images)
        if self.recipe.mixup or self.recipe.cutmix:
            batch = mix(batch, self.recipe, self.model.tasks.values(), self.generator)
        if len(batch.present) > 1 and self.recipe.sensor_dropout:
            batch = replace(batch, present=drop_sensors(batch.present, self.recipe.sensor_dropout, self.generator))
        return batch

    def _norm(self, parts: Sequence[Batch]) -> dict[str, Tensor] | None:
        """Known weight per task of the whole step; None where the one part is the whole step and says so itself."""
        if len(parts) == 1 and self.processes.count == 1:
            return None
        total: dict[str, Tensor] = {}
        for part in parts:
            for name, known in self.loss.known(part.targets, part.weights).items():
                total[name] = total[name] + known if name in total else known
        return self.processes.summed(total)

    def _losses(self, part: Batch, norm: Mapping[str, Tensor] | None) -> Losses:
        with self._autocast():
            logits = self._answers(part, list(part.targets))
        losses: Losses = self.loss(logits, part.targets, part.weights, norm)
        return losses

    def _answers(self, batch: Batch, names: Sequence[str]) -> dict[str, Tensor]:
        if batch.features is not None:
            return classify_features(self.model, batch.features, names)
        present = batch.present if len(batch.present) > 1 else None
        answers: dict[str, Tensor] = self.model(batch.images, present=present, gsd=batch.gsd, tasks=names)
        return answers

    def _again(self, parts: Sequence[Batch], norm: Mapping[str, Tensor] | None) -> Losses:
        """The losses of a step's chips once more, with the changed model."""
        tasks: dict[str, Tensor] = {}
        known: dict[str, Tensor] = {}
        share: dict[str, Tensor] = {}
        for part in parts:
            losses = self._losses(part, norm)
            for total, found in ((tasks, losses.tasks), (known, losses.known), (share, losses.share)):
                for name, value in found.items():
                    total[name] = total[name] + value if name in total else value
        return Losses(tasks, known, share)

    def _count(self, found: Sequence[Losses], norm: Mapping[str, Tensor] | None) -> Tensor:
        """Add a step's losses to the epoch's; their sum."""
        pairs: dict[str, Tensor] = {}
        for losses in found:
            for name, value in losses.tasks.items():
                whole = losses.known[name] if norm is None else norm[name]
                pair = torch.stack([value.detach() * whole, losses.known[name]])
                pairs[name] = pairs[name] + pair if name in pairs else pair
        pairs = self.processes.summed(pairs)
        for name, pair in pairs.items():
            self.sums[name] = self.sums[name] + pair if name in self.sums else pair
        return torch.stack(list(pairs.values()))[:, 0].sum()

    def _sum_gradients(self) -> None:
        learned: list[nn.Parameter] = [*self.state.learnt, *self.weighting.parameters()]
        if self.recipe.weighting == "pcgrad":  # summed them itself, before the surgery
            shared = {id(p) for p in self.state.shared}
            learned = [p for p in learned if id(p) not in shared]
        self.processes.sum_gradients(learned)

    def _refuse_infinite(self, number: int, total: Tensor) -> None:
        """Clip the gradient, and take no step where it is not a number."""
        clip = self.recipe.clip or torch.inf
        length = torch.nn.utils.clip_grad_norm_(self.state.learnt, clip, foreach=True)
        bad = ~(torch.isfinite(length) & torch.isfinite(total))
        if self.device.type != "cuda":
            self._look(bad, number)
            return
        # Asking a GPU waits for it. The optimiser leaves the step out by itself, and the answer is read two steps later.
        self.state.optimizer.found_inf = bad.float()  # type: ignore[attr-defined]
        self.state.optimizer.grad_scale = None  # type: ignore[attr-defined]
        self._unsure.append((bad, number))
        if len(self._unsure) > 2:
            self._look(*self._unsure.popleft())

    def _look(self, bad: Tensor, number: int) -> None:
        if not bool(bad):
            return
        seen = [(draw.number, draw.rows) for draw in self.order(number)]
        raise TrainingDiverged(
            f"The loss is no longer a number in epoch {number // self.batches + 1}, step {number + 1}, at "
            f"{learnt.named_chips(self.sets, seen)}. That step was not taken and the checkpoint before it is kept. Lower "
            "learning_rate, set clip to 1, or look at those chips."
        )

    def _autocast(self) -> torch.autocast:
        return torch.autocast(self.device.type, self.precision, enabled=self.precision is not torch.float32)


def selection_score(tasks: Sequence[Any], measured: Measured) -> float:
    """One number that ranks epochs: the mean of the tasks' main metrics; an error e counts as 1 / (1 + e)."""
    values = []
    for task in tasks:
        if task.main_metric in measured.get(task.name, {}):
            value = measured[task.name][task.main_metric]
            values.append(value if higher_is_better(task.main_metric) else 1 / (1 + value))
    return float(np.mean(values)) if values else 0.0


def _start_weights(model: SpatialNetViT, run: Path, recipe: Recipe, folder: Path) -> dict[str, Any]:
    if recipe.parent:
        return warm_start(model, run.parent / recipe.parent / MODEL)
    return apply_weights(model, recipe.weights, folder)
