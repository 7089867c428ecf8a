"""Training: a recipe and a data set become a run. Needs only torch, timm, numpy and safetensors.

`recipe` is plain values, free of torch, so that a form can make one; `run`, `loop` and `estimate` need torch and are
loaded when they are first asked for.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from spatialnet.recipe import Recipe, sample_recipe

if TYPE_CHECKING:
    from spatialnet.train.estimate import estimate_seconds
    from spatialnet.train.run import train

__all__ = ["Recipe", "estimate_seconds", "sample_recipe", "train"]

_HOMES = {"train": "run", "estimate_seconds": "estimate"}


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
