"""Training: a recipe and a data set become a run. Needs only torch, timm, numpy and safetensors."""

from spatialnet.recipe import Recipe
from spatialnet.train.estimate import estimate_seconds
from spatialnet.train.run import train

__all__ = ["Recipe", "estimate_seconds", "train"]
