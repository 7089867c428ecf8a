"""The transformer blocks of a preset, built by timm."""

from __future__ import annotations

import timm
import torch
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor, nn

from spatialnet.errors import RecipeInvalid
from spatialnet.presets import Preset


class DropPath(nn.Module):
    """Leaves out a block's change for a random share of the chips and makes up for it in the others (stochastic depth).

    The share is a tensor, not a number: blocks that differ in a number are translated one by one by `torch.compile`, which gives
    up after eight.

    Args:
        share: of the chips, at least 0, less than 1.

    Shape:
        (chips, tokens, dim) -> the same.
    """

    kept: Tensor

    def __init__(self, share: float) -> None:
        super().__init__()
        self.register_buffer("kept", torch.tensor(1 - share), persistent=False)

    def forward(self, change: Tensor) -> Tensor:
        """The change, or where it is left out zeros."""
        if not self.training:
            return change
        stays = torch.rand(len(change), 1, 1, device=change.device) < self.kept
        return change * (stays / self.kept).to(change.dtype)


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
        **preset.options,
    )
    if type(model) is not VisionTransformer:
        raise RecipeInvalid(
            f"{preset.backbone} is a {type(model).__name__}; timm's VisionTransformer is wanted. Choose another."
        )
    if drop_path:
        for block, share in zip(model.blocks, torch.linspace(0, drop_path, len(model.blocks)).tolist(), strict=True):
            block.drop_path1, block.drop_path2 = DropPath(share), DropPath(share)
    return model
