"""The recipe: every choice of a run in one frozen value that is a TOML file in the run's folder."""

from __future__ import annotations

import tomllib
from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

from spatialnet.errors import RecipeInvalid
from spatialnet.presets import preset_named


@dataclass(frozen=True)
class Recipe:
    """How a model is built and trained.

    Attributes:
        name: what people read in the list of runs.
        preset: size of the model (`spatialnet.presets.PRESETS`, or `timm:<architecture>`).
        weights: where pretrained weights come from: `none`, `file:<name>`, `timm:<model>` or
            `dinov2-saliency`.
        parent: id of the run to start from, or empty. Its weights replace `weights`.
        fusion: `early` or `mean`, for several sensors.
        patch: side of a patch in chip pixels; 0 = by preset and chip size.
        epochs: how often every training chip is seen.
        batch_size: chips per step.
        learning_rate: peak of the schedule.
        weight_decay: of AdamW, not on one-dimensional parameters and positions.
        warmup: share of all steps in which the rate rises linearly; it then falls as a cosine to 1 % of the
            peak.
        layer_decay: factor on the rate per block below the head, used when weights are pretrained.
        ema: decay of the averaged weights that are validated and kept; 0 = off.
        clip: largest norm of the gradient; 0 = off.
        drop_path: stochastic depth of the last block, 0..1.
        label_smoothing: 0..1.
        balance: 0..1, how far tasks of kind `multiclass` lean towards rare classes
            (`spatialnet.model.losses.MultiTaskLoss`).
        balance_binary: the same for `binary`; 1 suits balanced accuracy, which counts both classes alike.
        weighting: `static` or `uncertainty`, how the tasks' losses are put together.
        soft_targets: whether to train on soft targets where the data set has them.
        flips: whether to turn and mirror chips (the eight symmetries of the square).
        brightness: largest random change of an optical sensor's gain and offset, in standard deviations.
        noise: standard deviation of added noise, in standard deviations of a band.
        band_dropout: probability that a band of an optical sensor is blanked.
        speckle: standard deviation of added SAR speckle (SAR is in decibels), in standard deviations of a
            band.
        sensor_dropout: probability that a sensor is taken away, never the last; only for several sensors.
        keep: `best` = the epoch with the best validation, `last` = the last one.
        patience: stop after this many epochs without a better validation; 0 = never.
        precision: `auto`, `float32` or `bfloat16`.
        correction_weight: how much a corrected target counts against one from the data set.
        seed: of every random choice.
    """

    name: str = "run"
    preset: str = "small"
    weights: str = "none"
    parent: str = ""
    fusion: str = "early"
    patch: int = 0
    epochs: int = 30
    batch_size: int = 64
    learning_rate: float = 1e-3
    weight_decay: float = 0.05
    warmup: float = 0.1
    layer_decay: float = 0.75
    ema: float = 0.99
    clip: float = 1.0
    drop_path: float = 0.1
    label_smoothing: float = 0.0
    balance: float = 0.25
    balance_binary: float = 1.0
    weighting: str = "static"
    soft_targets: bool = True
    flips: bool = True
    brightness: float = 0.1
    noise: float = 0.05
    band_dropout: float = 0.0
    speckle: float = 0.2
    sensor_dropout: float = 0.2
    keep: str = "best"
    patience: int = 0
    precision: str = "auto"
    correction_weight: float = 5.0
    seed: int = 0

    def __post_init__(self) -> None:
        for field in fields(self):
            value, wanted = getattr(self, field.name), _TYPES[str(field.type)]
            if wanted is float and isinstance(value, int) and not isinstance(value, bool):
                object.__setattr__(self, field.name, float(value))
            elif type(value) is not wanted:
                raise RecipeInvalid(f"{field.name} is {value!r}; a value of type {field.type} is wanted.")
        for name, (fits, sentence) in _RANGES.items():
            if not fits(getattr(self, name)):
                raise RecipeInvalid(f"{name} is {getattr(self, name)!r}; it must be {sentence}.")
        preset_named(self.preset)

    @classmethod
    def from_toml(cls, text: str) -> Recipe:
        """The recipe in a TOML text; what is not named keeps its default.

        Raises:
            RecipeInvalid: the text is no TOML, names an unknown field, or holds a value outside its range.
        """
        try:
            values = tomllib.loads(text)
        except tomllib.TOMLDecodeError as error:
            raise RecipeInvalid(f"The recipe is not valid TOML: {error}. Correct that line.") from error
        unknown = sorted(values.keys() - {field.name for field in fields(cls)})
        if unknown:
            raise RecipeInvalid(
                f"A recipe has no {unknown[0][:64]!r}. Its fields are {', '.join(f.name for f in fields(cls))}."
            )
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

    def to_toml(self) -> str:
        """The recipe as TOML, one line per field."""
        return "".join(f"{field.name} = {_toml(getattr(self, field.name))}\n" for field in fields(self))

    def continued(self, parent: str) -> Recipe:
        """A shorter recipe that starts from a finished run: a third of the epochs at a third of the rate.

        Args:
            parent: id of the run to start from.
        """
        return replace(self, parent=parent, epochs=max(1, self.epochs // 3), learning_rate=self.learning_rate / 3)


def sample_recipe() -> Recipe:
    """The recipe of the sample's first run: about twenty seconds on two idle cores.

    Chosen by cross-validation over blocks of the sample's training and validation splits. Changes of brightness hurt there:
    all chips come from one scene, where absolute brightness tells classes apart.
    """
    return Recipe(name="first run", preset="nano", epochs=15, batch_size=32, brightness=0.0, noise=0.02, keep="last")


def _toml(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        quoted = value.replace("\\", "\\\\").replace('"', '\\"')
        return '"' + "".join(c if c.isprintable() else f"\\U{ord(c):08x}" for c in quoted) + '"'
    return repr(value)


def _between(low: float, high: float) -> tuple[Callable[[Any], bool], str]:
    return (lambda value: low <= value <= high), f"between {low:g} and {high:g}"


def _one_of(*words: str) -> tuple[Callable[[Any], bool], str]:
    return (lambda value: value in words), f"one of {', '.join(words)}"


_TYPES = {"str": str, "int": int, "float": float, "bool": bool}

_RANGES: dict[str, tuple[Callable[[Any], bool], str]] = {
    "name": (lambda value: 1 <= len(value) <= 120, "1 to 120 characters long"),
    "fusion": _one_of("early", "mean"),
    "patch": _between(0, 64),
    "epochs": _between(1, 10_000),
    "batch_size": _between(1, 65_536),
    "learning_rate": _between(1e-8, 1.0),
    "weight_decay": _between(0.0, 10.0),
    "warmup": _between(0.0, 0.9),
    "layer_decay": _between(0.1, 1.0),
    "ema": _between(0.0, 0.99999),
    "clip": _between(0.0, 1e6),
    "drop_path": _between(0.0, 0.9),
    "label_smoothing": _between(0.0, 0.9),
    "balance": _between(0.0, 1.0),
    "balance_binary": _between(0.0, 1.0),
    "weighting": _one_of("static", "uncertainty"),
    "brightness": _between(0.0, 2.0),
    "noise": _between(0.0, 2.0),
    "band_dropout": _between(0.0, 0.9),
    "speckle": _between(0.0, 2.0),
    "sensor_dropout": _between(0.0, 0.9),
    "keep": _one_of("best", "last"),
    "patience": _between(0, 10_000),
    "precision": _one_of("auto", "float32", "bfloat16"),
    "correction_weight": _between(0.0, 1000.0),
    "seed": _between(0, 2**31 - 1),
}
