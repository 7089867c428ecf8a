"""One training: how a step and a validation are done, and in which order chips are seen. No files, no clock."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from spatialnet.datasets.packed import PackedChips
from spatialnet.errors import NothingToRead, RecipeInvalid
from spatialnet.metrics import higher_is_better, metrics
from spatialnet.model import SpatialNetViT, probabilities
from spatialnet.model.losses import MultiTaskLoss
from spatialnet.model.network import Fusion
from spatialnet.model.weights import NONE, apply_weights, warm_start
from spatialnet.presets import preset_for
from spatialnet.recipe import Recipe
from spatialnet.train.augment import augment, drop_sensors
from spatialnet.train.batches import Batch, Chips, priors, run_targets, run_weights, training_targets
from spatialnet.train.state import TrainingState, schedule

MODEL = "model.safetensors"

VALIDATION_BATCH = 256

LEAST_GAIN = 1e-4
"""An epoch is better than another only by more than this, so that patience ends on a plateau."""

Measured = dict[str, dict[str, float]]


class Training:
    """The model of a run, its data, and where it stands.

    Args:
        run: the run's folder; its `targets/` and `weights/` are used where they are.
        data: the data set.
        recipe: the run's recipe.
        device: `auto`, `cpu`, `cuda` or `cuda:<index>`.
        weights_folder: where `file:` weights lie and converted ones are kept.

    Raises:
        NothingToRead: the training split is empty.
        WeightsUnavailable: pretrained weights cannot be had.
        CheckpointDoesNotFit: the parent run fits neither recipe nor data.
    """

    def __init__(
        self,
        run: Path,
        data: PackedChips,
        recipe: Recipe,
        device: str,
        weights_folder: Path,
    ) -> None:
        self.run, self.recipe, self.data = run, recipe, data
        self.device = resolve_device(device)
        torch.manual_seed(recipe.seed)
        self.model = build_model(data, recipe)
        self.origin = _start_weights(self.model, run, recipe, weights_folder)
        self.model.to(self.device)
        self.precision = autocast_dtype(recipe.precision, self.device)
        weights = {t.name: run_weights(run, data, t) for t in data.tasks}
        soft = recipe.soft_targets
        targets = {t.name: training_targets(run, data, t, weights[t.name], soft=soft) for t in data.tasks}
        self.train_chips = Chips(data, "train", self.model, targets, weights)
        self.validation_chips = Chips(data, "validation", self.model, {}, {})
        if not len(self.train_chips):
            raise NothingToRead(f"Data set {data.name} has no chips to train on. Choose one with a training split.")
        found = {t.name: priors(t, targets[t.name][self.train_chips.indices]) for t in data.tasks}
        self.loss = MultiTaskLoss(
            data.tasks,
            weighting="uncertainty" if recipe.weighting == "uncertainty" else "static",
            label_smoothing=recipe.label_smoothing,
            priors={name: prior for name, prior in found.items() if prior is not None},
            balance=recipe.balance,
            balance_binary=recipe.balance_binary,
        ).to(self.device)
        pretrained = self.origin["name"] not in (NONE, "parent")
        self.state = TrainingState(self.model, self.loss, recipe, pretrained=pretrained)
        self.batches = steps_per_epoch(len(self.train_chips), recipe)
        self.steps = self.batches * recipe.epochs
        self.rate = schedule(recipe, self.steps)
        self.generator = torch.Generator(self.device)
        self.sums: dict[str, Tensor] = {}

    def rows(self, step: int) -> Tensor:
        """Which chips of the training split a step (from 0) sees: (batch,) long, on the CPU."""
        epoch, place = divmod(step, self.batches)
        shuffle = torch.Generator().manual_seed(mixed(self.recipe.seed, epoch, 1))
        order = torch.randperm(len(self.train_chips), generator=shuffle)
        return order[place * self.recipe.batch_size : (place + 1) * self.recipe.batch_size]

    def step(self) -> None:
        """One step of the optimiser."""
        number = self.state.progress.step
        # Seeding every step makes a resumed run equal to an uninterrupted one without random state on disk.
        torch.manual_seed(mixed(self.recipe.seed, number, 2))
        self.generator.manual_seed(mixed(self.recipe.seed, number, 3))
        batch = self._disturbed(self.train_chips.batch(self.rows(number)))
        self.state.set_rate(self.rate(number))
        self.model.train()
        with self._autocast():
            logits = self.model(batch.images, present=_present(batch))
        losses = self.loss(logits, batch.targets, batch.weights)
        self.state.optimizer.zero_grad(set_to_none=True)
        losses.total.backward()
        if self.recipe.clip:
            torch.nn.utils.clip_grad_norm_(self.model.parameters(), self.recipe.clip)
        self.state.optimizer.step()
        self.state.progress.step += 1
        self.state.update_average()
        for name, value in losses.tasks.items():
            part = torch.stack([value * losses.known[name], losses.known[name]])
            self.sums[name] = self.sums[name] + part if name in self.sums else part

    def mean_losses(self) -> dict[str, float]:
        """Mean loss per task over the known targets of the current epoch so far.

        Raises:
            RecipeInvalid: a loss is no longer a number.
        """
        pairs = {name: [float(v) for v in part] for name, part in self.sums.items()}
        means = {name: total / known for name, (total, known) in pairs.items() if known}
        if not all(np.isfinite(value) for value in means.values()):
            raise RecipeInvalid(
                f"The loss is no longer a number at step {self.state.progress.step}. "
                "Lower learning_rate, or set clip to 1."
            )
        return means

    @torch.no_grad()
    def validate(self) -> Measured:
        """Metrics per task on the validation split, with the weights that are in the model now."""
        self.model.eval()
        answers: dict[str, list[Tensor]] = {name: [] for name in self.model.tasks}
        with self._autocast():
            for batch in self.validation_chips.batches(VALIDATION_BATCH):
                logits = self.model(batch.images, present=_present(batch))
                for name, task in self.model.tasks.items():
                    answers[name].append(probabilities(logits[name], task))
        rows = self.validation_chips.indices
        return {
            name: metrics(task, torch.cat(answers[name]).cpu().numpy(), run_targets(self.run, self.data, task)[rows])
            for name, task in self.model.tasks.items()
            if len(rows)
        }

    def end_epoch(self) -> Measured:
        """Validate the averaged weights and keep them if they are the best, or the last are wanted."""
        progress = self.state.progress
        self.sums = {}
        self.state.swap_average()
        try:
            measured = self.validate()
            value = selection_score(self.model, measured)
            last = progress.step == self.steps
            better = value > progress.best_score + LEAST_GAIN or not progress.best_epoch
            if last if self.recipe.keep == "last" else better:
                self.state.remember_best()
            if better or self.recipe.keep == "last":
                progress.best_score, progress.best_metrics = value, measured
                progress.best_epoch = progress.step // self.batches
        finally:
            self.state.swap_average()
        return measured

    def _autocast(self) -> torch.autocast:
        return torch.autocast(self.device.type, self.precision, enabled=self.precision is not torch.float32)

    def _disturbed(self, batch: Batch) -> Batch:
        images = augment(batch.images, self.model.sensors, self.recipe, self.generator)
        present = batch.present
        if len(present) > 1 and self.recipe.sensor_dropout:
            present = drop_sensors(present, self.recipe.sensor_dropout, self.generator)
        return Batch(images, present, batch.targets, batch.weights)


def build_model(data: PackedChips, recipe: Recipe) -> SpatialNetViT:
    """A fresh model for a data set, with the training split's normalisation."""
    fusion: Fusion = "mean" if recipe.fusion == "mean" else "early"
    model = SpatialNetViT(
        data.sensors,
        data.tasks,
        preset_for(recipe.weights, recipe.preset),
        chip_size=data.chip_size,
        gsd_m=data.gsd_m,
        fusion=fusion,
        patch=recipe.patch or None,
        drop_path=recipe.drop_path,
    )
    model.set_statistics({sensor.name: data.statistics(sensor.name) for sensor in data.sensors})
    return model


def selection_score(model: SpatialNetViT, measured: Measured) -> float:
    """One number that ranks epochs: the mean of the tasks' main metrics; an error e counts as 1 / (1 + e)."""
    values = []
    for name, task in model.tasks.items():
        if task.main_metric in measured.get(name, {}):
            value = measured[name][task.main_metric]
            values.append(value if higher_is_better(task.main_metric) else 1 / (1 + value))
    return float(np.mean(values)) if values else 0.0


def steps_per_epoch(chips: int, recipe: Recipe) -> int:
    """Full batches in an epoch; at least one, which may then be short."""
    return max(1, chips // recipe.batch_size)


def resolve_device(name: str) -> torch.device:
    """The device called `name`; `auto` is CUDA where there is one, else the CPU.

    Raises:
        RecipeInvalid: there is no such device here.
    """
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise RecipeInvalid(f"{name[:64]!r} is not a device. Use auto, cpu, cuda or cuda:<index>.") from error
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise RecipeInvalid(
            f"This machine has {torch.cuda.device_count()} CUDA devices; {name} was asked for. Use auto."
        )
    return device


def autocast_dtype(precision: str, device: torch.device) -> torch.dtype:
    """What matrix products are computed in: `auto` is bfloat16 where the device has instructions for it."""
    if precision == "auto":
        if device.type == "cuda":
            return torch.bfloat16 if torch.cuda.is_bf16_supported(including_emulation=False) else torch.float32
        features = torch.cpu.get_capabilities() if hasattr(torch.cpu, "get_capabilities") else {}
        return torch.bfloat16 if features.get("avx512_bf16") else torch.float32
    return torch.bfloat16 if precision == "bfloat16" else torch.float32


def mixed(*numbers: int) -> int:
    """One seed from several numbers, such that neighbours have unrelated seeds."""
    high, low = np.random.SeedSequence(numbers).generate_state(2, np.uint32)
    return (int(high) << 31) ^ int(low)


def _start_weights(model: SpatialNetViT, run: Path, recipe: Recipe, folder: Path) -> dict[str, Any]:
    if recipe.parent:
        return warm_start(model, run.parent / recipe.parent / MODEL)
    return apply_weights(model, recipe.weights, folder)


def _present(batch: Batch) -> dict[str, Tensor] | None:
    return batch.present if len(batch.present) > 1 else None
