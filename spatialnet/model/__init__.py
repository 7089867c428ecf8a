"""SpatialNet-ViT: tokenisers, network, heads, losses, weights, checkpoints. Needs only torch, timm and safetensors."""

from spatialnet.model.checkpoint import load_model, save_model
from spatialnet.model.heads import Pooled, probabilities, score
from spatialnet.model.layout import TokenLayout
from spatialnet.model.network import FEATURES, SpatialNetViT

__all__ = [
    "FEATURES",
    "Pooled",
    "SpatialNetViT",
    "TokenLayout",
    "load_model",
    "probabilities",
    "save_model",
    "score",
]
