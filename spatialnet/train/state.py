"""What a training needs to go on exactly where it was: one safetensors file per run, replaced atomically."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from timm.optim._param_groups import param_groups_layer_decay
from torch import Tensor, nn

from spatialnet.errors import CheckpointDoesNotFit
from spatialnet.model import SpatialNetViT
from spatialnet.model.checkpoint import load_strictly, read_tensors, write_tensors
from spatialnet.recipe import Recipe


@dataclass
class Progress:
    """Where a training stands.

    Attributes:
        step: steps done.
        seconds: wall time spent, over all sittings.
        sums: per task summed loss and summed weight of known targets in the current epoch.
        best_score: best mean of main metrics on validation.
        best_epoch: the epoch (from 1) of `best_score`; 0 = none yet.
        best_metrics: validation metrics of that epoch.
    """

    step: int = 0
    seconds: float = 0.0
    sums: dict[str, list[float]] = field(default_factory=dict)
    best_score: float = -math.inf
    best_epoch: int = 0
    best_metrics: dict[str, dict[str, float]] = field(default_factory=dict)


class TrainingState:
    """Model, loss weights, optimiser, averaged weights and the best weights so far.

    There is no random state to keep: every step draws from generators that are seeded by the recipe's seed
    and the step.

    Args:
        model: on its device.
        loss: may hold learned task weights.
        recipe: the run's recipe.
        pretrained: whether the model started from trained weights, so that layer decay applies.
    """

    def __init__(self, model: SpatialNetViT, loss: nn.Module, recipe: Recipe, *, pretrained: bool) -> None:
        self.model, self.loss, self.recipe = model, loss, recipe
        self.progress = Progress()
        self.optimizer = torch.optim.AdamW(
            _parameter_groups(model, loss, recipe, pretrained=pretrained), lr=recipe.learning_rate, fused=True
        )
        self.names = {id(p): f"model.{n}" for n, p in model.named_parameters()}
        self.names |= {id(p): f"loss.{n}" for n, p in loss.named_parameters()}
        self.average = [p.detach().clone() for p in model.parameters()] if recipe.ema else []
        self.best: dict[str, Tensor] = {}

    def set_rate(self, rate: float) -> None:
        """Set the learning rate, scaled per layer."""
        for group in self.optimizer.param_groups:
            group["lr"] = rate * group.get("lr_scale", 1.0)

    @torch.no_grad()
    def update_average(self) -> None:
        """Move the averaged weights towards the current ones; slower as more steps are done."""
        if self.average:
            step = self.progress.step
            decay = min(self.recipe.ema, (1 + step) / (10 + step))
            torch._foreach_lerp_(self.average, [p.detach() for p in self.model.parameters()], 1 - decay)

    @torch.no_grad()
    def swap_average(self) -> None:
        """Exchange the current weights with the averaged ones; a second call puts them back."""
        for parameter, average in zip(self.model.parameters(), self.average, strict=False):
            held = parameter.detach().clone()
            parameter.copy_(average)
            average.copy_(held)

    def remember_best(self) -> None:
        """Keep a copy of the current weights as the best so far."""
        self.best = {name: tensor.detach().clone() for name, tensor in self.model.state_dict().items()}

    def save(self, path: Path) -> None:
        """Write everything to `path`.

        Raises:
            NotEnoughDisk: the disk is full; the file that was there is unchanged.
        """
        tensors = {f"model.{name}": tensor for name, tensor in self.model.state_dict().items()}
        tensors |= {f"loss.{name}": tensor for name, tensor in self.loss.state_dict().items()}
        tensors |= {f"average.{i}": tensor for i, tensor in enumerate(self.average)}
        tensors |= {f"best.{name}": tensor for name, tensor in self.best.items()}
        for parameter, values in self.optimizer.state.items():
            tensors |= {f"optimizer.{key}.{self.names[id(parameter)]}": value for key, value in values.items()}
        write_tensors(path, tensors, {"progress": _finite(vars(self.progress)), "recipe": self.recipe.to_toml()})

    def load(self, path: Path) -> None:
        """Go on from what `save` wrote.

        Raises:
            CheckpointDoesNotFit: it was written by another recipe or model, or cannot be read.
        """
        tensors, metadata = read_tensors(path, str(self.model.device))
        if metadata.get("recipe") != self.recipe.to_toml():
            raise CheckpointDoesNotFit(
                f"{path.name} was written by another recipe. Start a new run for a changed recipe."
            )
        load_strictly(self.model, _under(tensors, "model."), path.name)
        self.loss.load_state_dict(_under(tensors, "loss."))
        for i, average in enumerate(self.average):
            average.copy_(tensors[f"average.{i}"])
        self.best = _under(tensors, "best.")
        for group in self.optimizer.param_groups:
            for parameter in group["params"]:
                name = self.names[id(parameter)]
                values = {key: tensors.get(f"optimizer.{key}.{name}") for key in ("step", "exp_avg", "exp_avg_sq")}
                if all(value is not None for value in values.values()):
                    self.optimizer.state[parameter] = values
        stored = metadata["progress"]
        stored["best_score"] = -math.inf if stored["best_score"] is None else stored["best_score"]
        self.progress = Progress(**stored)


def schedule(recipe: Recipe, steps: int) -> Callable[[int], float]:
    """The learning rate of each step (from 0): a linear rise, then a cosine to 1 % of the peak."""
    rise = max(1, round(recipe.warmup * steps))

    def rate(step: int) -> float:
        if step < rise:
            return recipe.learning_rate * (step + 1) / rise
        share = (step - rise) / max(1, steps - rise)
        return recipe.learning_rate * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * min(1.0, share))))

    return rate


def _parameter_groups(
    model: SpatialNetViT, loss: nn.Module, recipe: Recipe, *, pretrained: bool
) -> list[dict[str, Any]]:
    groups: list[dict[str, Any]] = param_groups_layer_decay(
        model,
        weight_decay=recipe.weight_decay,
        no_weight_decay_list=model.no_weight_decay(),
        layer_decay=recipe.layer_decay if pretrained else 1.0,
    )
    learned = list(loss.parameters())
    return [*groups, {"params": learned, "weight_decay": 0.0}] if learned else groups


def _under(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}


def _finite(values: dict[str, Any]) -> dict[str, Any]:
    return {k: None if isinstance(v, float) and not math.isfinite(v) else v for k, v in values.items()}
