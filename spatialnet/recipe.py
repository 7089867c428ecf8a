"""The recipe: every choice of a run in one frozen value that is a TOML file in the run's folder."""

from __future__ import annotations

import textwrap
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

from spatialnet.errors import RecipeInvalid
from spatialnet.presets import preset_named

WEIGHTINGS = ("static", "uncertainty", "dwa", "rlw", "famo", "pcgrad", "unscaled")
"""How the tasks' losses may be put together, see `spatialnet.model.losses` and `spatialnet.train.weighting`."""

SECTIONS: dict[str, tuple[str, ...]] = {
    "run": ("name", "seed"),
    "model": ("preset", "weights", "parent", "fusion", "patch", "size", "spatial"),
    "stages": (
        "head_epochs", "head_rate", "epochs", "tune", "tuned_blocks", "lora_rank", "optimizer", "schedule", "learning_rate",
        "weight_decay", "warmup", "layer_decay", "ema", "clip", "drop_path", "patch_drop", "keep", "patience",
    ),
    "steps": ("batch_size", "accumulate", "checkpointing", "precision", "compile"),
    "tasks": (
        "tasks", "task_weights", "weighting", "turns", "conflicts", "label_smoothing", "balance", "balance_binary", "soft_targets",
        "assumed_negative", "correction_weight",
    ),
    "augmentation": (
        "flips", "crop", "brightness", "noise", "erase", "band_dropout", "speckle", "sensor_dropout", "mixup", "cutmix",
    ),
    "data": ("sensors", "sampling"),
}  # fmt: skip
"""The tables of the TOML file and the fields in each; every field is in one."""


LIMITS: dict[str, tuple[float, float]] = {
    "seed": (0, 2**31 - 1), "patch": (0, 64), "size": (0, 1024), "head_epochs": (0, 10_000), "head_rate": (1e-8, 1.0),
    "epochs": (0, 10_000), "tuned_blocks": (0, 64), "lora_rank": (1, 256), "learning_rate": (1e-8, 1.0),
    "weight_decay": (0.0, 10.0), "warmup": (0.0, 0.9), "layer_decay": (0.1, 1.0), "ema": (0.0, 0.99999), "clip": (0.0, 1e6),
    "drop_path": (0.0, 0.9), "patch_drop": (0.0, 0.9), "patience": (0, 10_000), "batch_size": (1, 65_536),
    "accumulate": (1, 1024), "label_smoothing": (0.0, 0.9), "balance": (0.0, 1.0), "balance_binary": (0.0, 1.0),
    "assumed_negative": (0.0, 1.0), "correction_weight": (0.0, 1000.0), "crop": (0.2, 1.0), "brightness": (0.0, 2.0),
    "noise": (0.0, 2.0), "erase": (0.0, 1.0), "band_dropout": (0.0, 0.9), "speckle": (0.0, 2.0), "sensor_dropout": (0.0, 0.9),
    "mixup": (0.0, 10.0), "cutmix": (0.0, 10.0), "sampling": (0.0, 1.0),
}  # fmt: skip
"""Lowest and highest value of every number."""

CHOICES: dict[str, tuple[str, ...]] = {
    "fusion": ("early", "mean"),
    "tune": ("all", "last", "lora"),
    "optimizer": ("adamw", "adam"),
    "schedule": ("cosine", "constant"),
    "keep": ("best", "last"),
    "precision": ("auto", "float32", "bfloat16"),
    "compile": ("auto", "on", "off"),
    "weighting": WEIGHTINGS,
    "turns": ("together", "rotating"),
}
"""The words that a field may hold."""


@dataclass(frozen=True)
class Recipe:
    """How a model is built and trained.

    Attributes:
        name: what people read in the list of runs.
        seed: of every random choice.
        preset: size of the model (`spatialnet.presets.PRESETS`, or `timm:<architecture>`).
        weights: where pretrained weights come from: `none`, `file:<name>`, `timm:<model>` or
            `dinov2-saliency`.
        parent: id of the run to start from, or empty. Its weights replace `weights`.
        fusion: `early` or `mean`, for several sensors.
        patch: side of a patch in pixels; 0 = by preset and size.
        size: side in pixels to which chips are resampled before they are cut into patches; 0 = as they are.
        spatial: whether the model has its spatial terms (position in metres on the ground, local context);
            presets without them never have.
        head_epochs: length of the first stage in epochs: the backbone is frozen, its features are computed
            once, and only the heads learn; 0 = no such stage.
        head_rate: peak learning rate of the first stage.
        epochs: length of the second stage in epochs of all training chips; 0 = only the first stage.
        tune: what the second stage changes: `all`; `last` = the last `tuned_blocks` blocks and everything
            that is new; `lora` = low-rank updates of the attention and everything that is new.
        tuned_blocks: how many of the last blocks `last` changes.
        lora_rank: rank of the updates of `lora`; their scale is twice the rank.
        optimizer: `adamw`, or `adam` with the decay as L2 in the gradient (what the paper's code does).
        schedule: `cosine` after the warm-up down to 1 % of the peak, or `constant`.
        learning_rate: peak of the second stage.
        weight_decay: not on one-dimensional parameters and positions.
        warmup: share of all steps in which the rate rises linearly.
        layer_decay: factor on the rate per block below the head, used when weights are pretrained.
        ema: decay of the averaged weights that are validated and kept; 0 = off.
        clip: largest norm of the gradient; 0 = off.
        drop_path: stochastic depth of the last block, 0..1.
        patch_drop: share of the patches that a training step leaves out, 0..1; saves time.
        keep: `best` = the epoch with the best validation, `last` = the last one.
        patience: stop after this many epochs without a better validation; 0 = never.
        batch_size: chips per step of the optimiser, over all devices.
        accumulate: into how many parts a step is cut so that it fits into memory.
        checkpointing: whether activations are computed again in the backward pass to save memory.
        precision: `auto`, `float32` or `bfloat16`.
        compile: `auto` = on CUDA only; `on` or `off`: whether `torch.compile` translates the blocks.
        tasks: which of the data set's tasks are learnt; empty = all.
        task_weights: how much each task's loss counts; tasks that are not named count 1.
        weighting: how the tasks' losses are put together: `static`, `uncertainty`, `dwa`, `rlw`, `famo`, `pcgrad`, or
            `unscaled` (losses as they are).
        turns: `together` = every task in every step; `rotating` = one task per step in turn (what the paper's
            code does).
        conflicts: whether the cosine between the tasks' gradients is measured once an epoch.
        label_smoothing: 0..1.
        balance: 0..1, how far tasks of kind `multiclass` lean towards rare classes
            (`spatialnet.model.losses.MultiTaskLoss`).
        balance_binary: the same for `binary`; 1 suits balanced accuracy, which counts both classes alike.
        soft_targets: whether to train on soft targets where the data set has them.
        assumed_negative: how much an unknown entry of a `multilabel` task counts as a "no", 0..1. Only for data in
            which a class is either named or not mentioned, never denied.
        correction_weight: how much a corrected target counts against one from the data set.
        flips: whether to turn and mirror chips (the eight symmetries of the square).
        crop: least side of a random crop as a share of the chip's side; 1 = no crops. Tasks of kind `multilabel` and `count`
            see crops of at least 0.8, because what they ask about may be cut away.
        brightness: largest random change of an optical sensor's gain and offset, in standard deviations.
        noise: standard deviation of added noise, in standard deviations of a band.
        erase: probability that a random rectangle of a chip is blanked.
        band_dropout: probability that a band of an optical sensor is blanked.
        speckle: standard deviation of added SAR speckle (SAR is in decibels), in standard deviations of a
            band.
        sensor_dropout: probability that a sensor is taken away, never the last; only for several sensors.
        mixup: strength (alpha of the beta distribution) of mixing pairs of chips, for tasks of kind `multiclass` only; 0 = off.
        cutmix: the same for pasting a rectangle of one chip into another.
        sensors: which of the data set's sensors the model sees; empty = all.
        sampling: of several data sets each is drawn in proportion to its number of chips to this power; 0 = all alike, 1 = in
            proportion.
    """

    name: str = "run"
    seed: int = 0
    preset: str = "small"
    weights: str = "none"
    parent: str = ""
    fusion: str = "early"
    patch: int = 0
    size: int = 0
    spatial: bool = True
    head_epochs: int = 0
    head_rate: float = 1e-3
    epochs: int = 30
    tune: str = "all"
    tuned_blocks: int = 4
    lora_rank: int = 8
    optimizer: str = "adamw"
    schedule: str = "cosine"
    learning_rate: float = 1e-3
    weight_decay: float = 0.05
    warmup: float = 0.1
    layer_decay: float = 0.75
    ema: float = 0.99
    clip: float = 1.0
    drop_path: float = 0.1
    patch_drop: float = 0.0
    keep: str = "best"
    patience: int = 0
    batch_size: int = 64
    accumulate: int = 1
    checkpointing: bool = False
    precision: str = "auto"
    compile: str = "auto"
    tasks: tuple[str, ...] = ()
    task_weights: tuple[tuple[str, float], ...] = ()
    weighting: str = "static"
    turns: str = "together"
    conflicts: bool = False
    label_smoothing: float = 0.0
    balance: float = 0.25
    balance_binary: float = 1.0
    soft_targets: bool = True
    assumed_negative: float = 0.0
    correction_weight: float = 5.0
    flips: bool = True
    crop: float = 1.0
    brightness: float = 0.1
    noise: float = 0.05
    erase: float = 0.0
    band_dropout: float = 0.0
    speckle: float = 0.2
    sensor_dropout: float = 0.2
    mixup: float = 0.0
    cutmix: float = 0.0
    sensors: tuple[str, ...] = ()
    sampling: float = 0.5

    def __post_init__(self) -> None:
        for field in fields(self):
            object.__setattr__(self, field.name, _READ[str(field.type)](field.name, getattr(self, field.name)))
        if not 1 <= len(self.name) <= 120:
            raise RecipeInvalid(f"name is {self.name[:80]!r}; it must be 1 to 120 characters long.")
        for name, (low, high) in LIMITS.items():
            if not low <= getattr(self, name) <= high:
                raise RecipeInvalid(f"{name} is {getattr(self, name)!r}; it must be between {low:g} and {high:g}.")
        for name, words in CHOICES.items():
            if getattr(self, name) not in words:
                raise RecipeInvalid(f"{name} is {getattr(self, name)!r}; it must be one of {', '.join(words)}.")
        if not self.epochs and not self.head_epochs:
            raise RecipeInvalid("epochs and head_epochs are both 0; a run needs at least one epoch of either.")
        if self.accumulate > self.batch_size:
            raise RecipeInvalid(
                f"accumulate is {self.accumulate}; a step of {self.batch_size} chips cannot be cut into more parts than chips."
            )
        if self.turns == "rotating" and self.weighting in ("famo", "pcgrad"):
            raise RecipeInvalid(f"weighting {self.weighting} compares all tasks in a step; set turns to together.")
        preset_named(self.preset)

    @classmethod
    def from_toml(cls, text: str) -> Recipe:
        """The recipe in a TOML text; what is not named keeps its default.

        Fields stand in their tables (`SECTIONS`); files of older runs have them all at the top.

        Raises:
            RecipeInvalid: the text is no TOML, names an unknown field or table, or holds a value outside its range.
        """
        try:
            read = tomllib.loads(text)
        except tomllib.TOMLDecodeError as error:
            raise RecipeInvalid(f"The recipe is not valid TOML: {error}. Correct that line.") from error
        values: dict[str, Any] = {}
        for name, value in read.items():
            if name in SECTIONS and isinstance(value, dict):
                for key, inner in value.items():
                    _refuse_unknown(key, SECTIONS[name], f"The table [{name}] of a recipe")
                    values[key] = inner
            else:
                _refuse_unknown(name, tuple(field.name for field in fields(cls)), "A recipe")
                values[name] = value
        return cls(**values)

    @classmethod
    def load(cls, path: Path) -> Recipe:
        """The recipe in a file.

        Raises:
            RecipeInvalid: the file cannot be read, or as `from_toml`.
        """
        try:
            return cls.from_toml(path.read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError) as error:
            raise RecipeInvalid(f"The recipe {path.name} cannot be read ({error}). Start a new run.") from error

    def to_toml(self, *, documented: bool = False) -> str:
        """The recipe as TOML, one line per field, in tables.

        Args:
            documented: put what each field means above it, as a comment.
        """
        parts = []
        for section, names in SECTIONS.items():
            lines = [f"[{section}]"]
            for name in names:
                if documented:
                    lines += ["", *textwrap.wrap(FIELDS[name], 110, initial_indent="# ", subsequent_indent="# ")]
                lines.append(f"{name} = {_toml(getattr(self, name))}")
            parts.append("\n".join(lines) + "\n")
        return "\n".join(parts)

    def changed(self, values: Mapping[str, Any]) -> Recipe:
        """The recipe with other values of some fields.

        Raises:
            RecipeInvalid: there is no such field, or its value is of another type or outside its range.
        """
        for name in values:
            _refuse_unknown(name, tuple(field.name for field in fields(self)), "A recipe")
        return replace(self, **values)

    def continued(self, parent: str) -> Recipe:
        """A shorter recipe that starts from a finished run: a third of the epochs at a third of the rate, heads not apart.

        Args:
            parent: id of the run to start from.
        """
        epochs = max(1, self.epochs // 3)
        return replace(self, parent=parent, head_epochs=0, epochs=epochs, learning_rate=self.learning_rate / 3)

    def changes(self, other: Recipe) -> dict[str, tuple[Any, Any]]:
        """Fields in which two recipes differ: name -> (here, there), in the order of the file; names of runs aside."""
        names = [name for section in SECTIONS.values() for name in section if name != "name"]
        pairs = {name: (getattr(self, name), getattr(other, name)) for name in names}
        return {name: pair for name, pair in pairs.items() if pair[0] != pair[1]}


def sample_recipe() -> Recipe:
    """The recipe of the sample's first run: about twenty seconds on two idle cores.

    Chosen by cross-validation over blocks of the sample's training and validation splits. Changes of brightness hurt there:
    all chips come from one scene, where absolute brightness tells classes apart.
    """
    return Recipe(name="first run", preset="nano", epochs=15, batch_size=32, brightness=0.0, noise=0.02, keep="last")


def fine_tuning_recipe() -> Recipe:
    """Where to start with pretrained weights: the heads first, on features that are computed once, then everything gently."""
    return Recipe(
        name="fine-tuned", preset="dino6", weights="dinov2-saliency", size=112, head_epochs=30, epochs=10, learning_rate=1e-4,
        label_smoothing=0.1, brightness=0.1, noise=0.02,
    )  # fmt: skip


def paper_recipe() -> Recipe:
    """What the public code of the paper's authors sets (arXiv 2506.22501): 256 px, Adam at 1e-4 with L2 0.01, batches of 32, 50
    epochs, constant rate, one task per step in turn, unscaled losses, no augmentation, no pretrained weights, float32.
    """  # noqa: D205 - one thought
    return Recipe(
        name="paper", preset="paper", size=256, spatial=False, epochs=50, optimizer="adam", schedule="constant", learning_rate=1e-4,
        weight_decay=0.01, warmup=0.0, layer_decay=1.0, ema=0.0, clip=0.0, drop_path=0.0, keep="last", batch_size=32, weighting="unscaled",
        turns="rotating", balance=0.0, balance_binary=0.0, soft_targets=False, flips=False, brightness=0.0, noise=0.0, speckle=0.0,
        sensor_dropout=0.0, precision="float32", compile="off",
    )  # fmt: skip


def _documented() -> dict[str, str]:
    """What each field means, out of the class's own text."""
    lines = (Recipe.__doc__ or "").partition("Attributes:\n")[2].splitlines()
    found: dict[str, str] = {}
    name = ""
    for line in lines:
        text = line.strip()
        if line.startswith("        ") and not line.startswith("         "):
            name, _, text = text.partition(": ")
        if name and text:
            found[name] = f"{found[name]} {text}" if name in found else text
    return found


FIELDS: dict[str, str] = _documented()
"""What each field means, for comments, help texts and tables."""


def _refuse_unknown(name: str, known: tuple[str, ...], what: str) -> None:
    if name not in known:
        raise RecipeInvalid(f"{what} has no {name[:64]!r}. Its fields are {', '.join(known)}.")


def _toml(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        quoted = value.replace("\\", "\\\\").replace('"', '\\"')
        return '"' + "".join(c if c.isprintable() else f"\\U{ord(c):08x}" for c in quoted) + '"'
    if isinstance(value, tuple):
        if value and isinstance(value[0], tuple):
            return "{" + ", ".join(f"{_toml(name)} = {_toml(weight)}" for name, weight in value) + "}"
        return "[" + ", ".join(_toml(part) for part in value) + "]"
    return repr(value)


def _exactly(wanted: type) -> Callable[[str, Any], Any]:
    def read(name: str, value: Any) -> Any:
        if wanted is float and isinstance(value, int) and not isinstance(value, bool):
            return float(value)
        if type(value) is not wanted:
            raise RecipeInvalid(f"{name} is {value!r}; a value of type {wanted.__name__} is wanted.")
        return value

    return read


def _names(name: str, value: Any) -> tuple[str, ...]:
    if not isinstance(value, list | tuple) or not all(isinstance(part, str) for part in value):
        raise RecipeInvalid(f"{name} is {value!r}; a list of names is wanted.")
    return tuple(value)


def _weights(name: str, value: Any) -> tuple[tuple[str, float], ...]:
    pairs = value.items() if isinstance(value, Mapping) else value
    try:
        found = tuple((str(task), float(weight)) for task, weight in pairs)
    except (TypeError, ValueError) as error:
        raise RecipeInvalid(
            f"{name} is {value!r}; a table of numbers by task is wanted, as {{land_use = 1.0}}."
        ) from error
    if all(0.0 <= weight <= 1000.0 for _, weight in found):
        return found
    raise RecipeInvalid(f"{name} is {value!r}; every weight must be between 0 and 1000.")


_READ: dict[str, Callable[[str, Any], Any]] = {
    "str": _exactly(str),
    "int": _exactly(int),
    "float": _exactly(float),
    "bool": _exactly(bool),
    "tuple[str, ...]": _names,
    "tuple[tuple[str, float], ...]": _weights,
}
