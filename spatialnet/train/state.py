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

from spatialnet.errors import CheckpointDoesNotFit, RecipeInvalid
from spatialnet.model import SpatialNetViT
from spatialnet.model.checkpoint import load_strictly, read_tensors, write_tensors
from spatialnet.model.low_rank import add_low_rank, has_low_rank, merge_low_rank
from spatialnet.model.tuning import LOW_RANK
from spatialnet.recipe import Recipe

HEADS, ALL = "heads", "all"
"""The two stages: heads only on features of a frozen backbone, then what the recipe's `tune` says."""


@dataclass
class Progress:
    """Where a training stands.

    Attributes:
        step: steps done, over both stages.
        stage: `heads` or `all`.
        seconds: wall time spent, over all sittings.
        sums: per task summed loss and summed weight of known targets in the current epoch.
        best_score: best mean of main metrics on validation.
        best_epoch: the epoch (from 1, over both stages) of `best_score`; 0 = none yet.
        best_metrics: validation metrics of that epoch.
    """

    step: int = 0
    stage: str = ALL
    seconds: float = 0.0
    sums: dict[str, list[float]] = field(default_factory=dict)
    best_score: float = -math.inf
    best_epoch: int = 0
    best_metrics: dict[str, dict[str, float]] = field(default_factory=dict)


class TrainingState:
    """Model, task weighting, optimiser, averaged weights and the best weights so far.

    There is no random state to keep: every step draws from generators that are seeded by the recipe's seed
    and the step.

    Args:
        model: on its device.
        weighting: may hold learned task weights.
        recipe: the run's recipe.
        pretrained: whether the model started from trained weights, so that layer decay applies.
        stage: the first stage.
    """

    optimizer: torch.optim.Optimizer

    def __init__(
        self, model: SpatialNetViT, weighting: nn.Module, recipe: Recipe, *, pretrained: bool, stage: str = ALL
    ) -> None:
        self.model, self.weighting, self.recipe, self.pretrained = model, weighting, recipe, pretrained
        self.progress = Progress()
        self.best: dict[str, Tensor] = {}
        self.begin(stage)

    def begin(self, stage: str) -> None:
        """Start a stage: say which parameters learn, with a fresh optimiser and average."""
        model, recipe = self.model, self.recipe
        self.progress.stage = stage
        self.low_rank = stage == ALL and recipe.tune == "lora"
        if self.low_rank:
            torch.manual_seed(recipe.seed)  # the updates' random half is the same in a resumed run
            add_low_rank(model, recipe.lora_rank)
            model.to(model.device)
        else:
            model.freeze_backbone(HEADS if stage == HEADS else recipe.tune, recipe.tuned_blocks)
        self.learnt = [parameter for parameter in model.parameters() if parameter.requires_grad]
        self.shared = [
            p for n, p in model.named_parameters() if p.requires_grad and not n.startswith(("heads.", "queries."))
        ]
        self.names = {id(p): f"model.{n}" for n, p in model.named_parameters()}
        # "loss": the weighting's place in files of older runs.
        self.names |= {id(p): f"loss.{n}" for n, p in self.weighting.named_parameters()}
        groups = _parameter_groups(model, self.weighting, recipe, pretrained=self.pretrained)
        kind = torch.optim.Adam if recipe.optimizer == "adam" else torch.optim.AdamW
        self.optimizer = kind(groups, lr=recipe.learning_rate, fused=True)
        self.average = [p.detach().clone() for p in self.learnt] if recipe.ema else []

    def set_rate(self, rate: float) -> None:
        """Set the learning rate, scaled per layer."""
        for group in self.optimizer.param_groups:
            group["lr"] = rate * group.get("lr_scale", 1.0)

    @torch.no_grad()
    def update_average(self, steps: int) -> None:
        """Move the averaged weights towards the current ones; slower as more steps of the stage are done."""
        if self.average:
            decay = min(self.recipe.ema, (1 + steps) / (10 + steps))
            torch._foreach_lerp_(self.average, [p.detach() for p in self.learnt], 1 - decay)

    @torch.no_grad()
    def swap_average(self) -> None:
        """Exchange the current weights with the averaged ones; a second call puts them back."""
        for parameter, average in zip(self.learnt, self.average, strict=False):
            held = parameter.detach().clone()
            parameter.copy_(average)
            average.copy_(held)

    def remember_best(self) -> None:
        """Keep a copy of the current weights as the best so far."""
        self.best = {name: tensor.detach().clone() for name, tensor in self.model.state_dict().items()}

    @torch.no_grad()
    def keep_best(self) -> None:
        """Put the best weights into the model, which is a plain one afterwards: low-rank updates are added to the weights."""
        if self.low_rank and not any(LOW_RANK in name for name in self.best):
            merge_low_rank(self.model)
        self.model.load_state_dict(self.best)
        if has_low_rank(self.model):
            merge_low_rank(self.model)

    def save(self, path: Path) -> None:
        """Write everything to `path`.

        Raises:
            NotEnoughDisk: the disk is full; the file that was there is unchanged.
        """
        tensors = {f"model.{name}": tensor for name, tensor in self.model.state_dict().items()}
        tensors |= {f"loss.{name}": tensor for name, tensor in self.weighting.state_dict().items()}
        tensors |= {f"average.{i}": tensor for i, tensor in enumerate(self.average)}
        tensors |= {f"best.{name}": tensor for name, tensor in self.best.items()}
        for parameter, values in self.optimizer.state.items():
            tensors |= {f"optimizer.{key}.{self.names[id(parameter)]}": value for key, value in values.items()}
        write_tensors(path, tensors, {"progress": _finite(vars(self.progress)), "recipe": self.recipe.to_toml()})

    def load(self, path: Path) -> None:
        """Go on from what `save` wrote, in the stage it was written in.

        Raises:
            CheckpointDoesNotFit: it was written by another recipe or model, or cannot be read.
        """
        tensors, metadata = read_tensors(path, str(self.model.device))
        stored = metadata["progress"]
        changes = _changes(str(metadata.get("recipe")), self.recipe)
        if changes:
            raise CheckpointDoesNotFit(
                f"{path.name} was written by another recipe ({changes}). Start a new run for a changed recipe."
            )
        stage = stored.get("stage", ALL)
        if stage != self.progress.stage:
            self.begin(stage)
        load_strictly(self.model, _under(tensors, "model."), path.name)
        self.weighting.load_state_dict(_under(tensors, "loss."))
        for i, average in enumerate(self.average):
            average.copy_(tensors[f"average.{i}"])
        self.best = _under(tensors, "best.")
        for group in self.optimizer.param_groups:
            for parameter in group["params"]:
                name = self.names[id(parameter)]
                values = {key: tensors.get(f"optimizer.{key}.{name}") for key in ("step", "exp_avg", "exp_avg_sq")}
                if all(value is not None for value in values.values()):
                    self.optimizer.state[parameter] = values
        stored["best_score"] = -math.inf if stored["best_score"] is None else stored["best_score"]
        self.progress = Progress(**stored)


def schedule(recipe: Recipe, steps: int, peak: float | None = None) -> Callable[[int], float]:
    """The learning rate of each step (from 0) of a stage: a linear rise, then a cosine to 1 % of the peak, or no change.

    Args:
        recipe: its `warmup` and `schedule` are used.
        steps: of the stage.
        peak: default the recipe's `learning_rate`.
    """
    top = recipe.learning_rate if peak is None else peak
    rise = max(1, round(recipe.warmup * steps)) if recipe.warmup or recipe.schedule == "cosine" else 0

    def rate(step: int) -> float:
        if step < rise:
            return top * (step + 1) / rise
        if recipe.schedule == "constant":
            return top
        share = (step - rise) / max(1, steps - rise)
        return top * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * min(1.0, share))))

    return rate


def _parameter_groups(
    model: SpatialNetViT, weighting: nn.Module, recipe: Recipe, *, pretrained: bool
) -> list[dict[str, Any]]:
    groups: list[dict[str, Any]] = param_groups_layer_decay(
        model,
        weight_decay=recipe.weight_decay,
        no_weight_decay_list=model.no_weight_decay(),
        layer_decay=recipe.layer_decay if pretrained else 1.0,
    )
    learned = list(weighting.parameters())
    return [*groups, {"params": learned, "weight_decay": 0.0}] if learned else groups


def _changes(stored: str, recipe: Recipe) -> str:
    """In what a stored recipe differs, or nothing; one that cannot be read differs."""
    try:
        found = Recipe.from_toml(stored).changes(recipe)
    except RecipeInvalid:
        return "one that cannot be read"
    return ", ".join(f"{name} was {before!r} and is {now!r}" for name, (before, now) in list(found.items())[:3])


def _under(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}


def _finite(values: dict[str, Any]) -> dict[str, Any]:
    return {k: None if isinstance(v, float) and not math.isfinite(v) else v for k, v in values.items()}
