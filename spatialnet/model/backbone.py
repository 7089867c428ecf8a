"""The transformer blocks of a preset, built by timm."""

from __future__ import annotations

import timm
from timm.models.vision_transformer import VisionTransformer
from torch import nn

from spatialnet.errors import RecipeInvalid
from spatialnet.presets import Preset


def build_backbone(preset: Preset, grid: int, patch: int, drop_path: float = 0.0) -> VisionTransformer:
    """A timm vision transformer with random weights, three input channels and no head.

    Args:
        preset: which size.
        grid: patches along a side.
        patch: side of a patch in pixels.
        drop_path: stochastic depth of the last block, 0..1; linear from 0 in the first.

    Raises:
        RecipeInvalid: timm has no such architecture, or builds another class than `VisionTransformer` under this name.
    """
    if not timm.is_model(preset.backbone):
        raise RecipeInvalid(f"timm has no architecture {preset.backbone[:80]!r}. Choose another preset.")
    model: nn.Module = timm.create_model(
        preset.backbone,
        pretrained=False,
        num_classes=0,
        img_size=grid * patch,
        patch_size=patch,
        drop_path_rate=drop_path,
        **preset.options,
    )
    if type(model) is not VisionTransformer:
        raise RecipeInvalid(
            f"{preset.backbone} is a {type(model).__name__}; timm's VisionTransformer is wanted. Choose another."
        )
    return model
