"""Presets: the sizes in which SpatialNet-ViT comes, each on a timm vision transformer."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

import timm
from timm.models.vision_transformer import VisionTransformer
from torch import nn

from spatialnet.errors import RecipeInvalid

TIMM_PREFIX = "timm:"


@dataclass(frozen=True)
class Preset:
    """One size of the model.

    Attributes:
        name: what a recipe calls it.
        title: what people read in a list.
        backbone: the timm architecture, of class `VisionTransformer`.
        options: arguments that change the architecture (width, depth, ...).
        native_patch: side of the architecture's own patch in pixels; patches of small chips are smaller.
        least_grid: at least this many patches along a side of the chip, where the chip has as many pixels.
        pool: `query` = one learned query per task on top of the mean of the patches; `class` = the class
            token.
        spatial: whether the ground-position term and the local-context term are there.
        stem: `patch` = one strided convolution, takes pretrained kernels; `conv` = small convolutions before
            it, for training from scratch on small chips.
    """

    name: str
    title: str
    backbone: str
    options: dict[str, Any] = field(default_factory=dict)
    native_patch: int = 16
    least_grid: int = 8
    pool: Literal["query", "class"] = "query"
    spatial: bool = True
    stem: Literal["patch", "conv"] = "patch"

    def patch(self, chip_size: int) -> int:
        """Side of a patch in chip pixels: the native patch, or less so that a small chip still has a grid."""
        return max(1, min(self.native_patch, chip_size // self.least_grid))


PRESETS: dict[str, Preset] = {
    preset.name: preset
    for preset in (
        Preset(
            "nano", "nano: 128 wide, 4 blocks (small chips, seconds on a CPU)", "vit_tiny_patch16_224",
            {"embed_dim": 128, "depth": 4, "num_heads": 4, "class_token": False, "global_pool": "avg", "fc_norm": False},
            least_grid=8,
        ),
        Preset("tiny", "tiny: 192 wide, 12 blocks, 6 M parameters", "vit_tiny_patch16_224"),
        Preset("small", "small: 384 wide, 12 blocks, 22 M parameters", "vit_small_patch16_224"),
        Preset("medium", "medium: 512 wide, 12 blocks, 39 M (the paper's size)", "vit_medium_patch16_reg4_gap_256"),
        Preset("base", "base: 768 wide, 12 blocks, 86 M parameters", "vit_base_patch16_224"),
        Preset(
            "dino6", "dino6: 384 wide, 6 blocks (for the weights dinov2-saliency)", "vit_small_patch14_dinov2",
            {"depth": 6, "final_norm": False, "fc_norm": False, "global_pool": "avg"},
            native_patch=14,
        ),
        Preset(
            "paper", "paper: as published in the authors' code, 512 wide, 12 blocks", "vit_base_patch16_224",
            {
                "embed_dim": 512, "depth": 12, "num_heads": 8,
                "proj_drop_rate": 0.1, "attn_drop_rate": 0.1, "pos_drop_rate": 0.1,
            },
            pool="class", spatial=False,
        ),
    )
}  # fmt: skip
"""Presets by name.

`paper` has the numbers of the authors' public code: patch 16, 512 wide, 12 blocks, 8 heads, dropout 0.1,
learned positions, one linear head per task on the class token, no spatial terms. One deviation: timm's blocks
normalise before attention, PyTorch's `nn.TransformerEncoder` after it.
"""


def preset_named(name: str) -> Preset:
    """The preset called `name`, or the plain architecture `timm:<architecture>`.

    Raises:
        RecipeInvalid: there is no such preset.
    """
    if name.startswith(TIMM_PREFIX):
        architecture = name.removeprefix(TIMM_PREFIX).split(".")[0]
        if not architecture.startswith("vit_") or not timm.is_model(architecture):
            raise RecipeInvalid(
                f"{architecture[:80]!r} is not a vision transformer of timm. Choose a name that starts with vit_."
            )
        native = int(timm.get_pretrained_cfg_value(architecture, "patch_size") or _patch_in_name(architecture))
        return Preset(name, architecture, architecture, native_patch=native)
    if name not in PRESETS:
        raise RecipeInvalid(
            f"There is no preset {name[:64]!r}. Use one of {', '.join(PRESETS)}, or timm:<architecture>."
        )
    return PRESETS[name]


def _patch_in_name(architecture: str) -> int:
    digits = [part.removeprefix("patch") for part in architecture.split("_") if part.startswith("patch")]
    return int(digits[0]) if digits and digits[0].isdigit() else 16


def build_backbone(preset: Preset, grid: int, patch: int, drop_path: float = 0.0) -> VisionTransformer:
    """A timm vision transformer with random weights, three input channels and no head.

    Args:
        preset: which size.
        grid: patches along a side.
        patch: side of a patch in pixels.
        drop_path: stochastic depth of the last block, 0..1; linear from 0 in the first.

    Raises:
        RecipeInvalid: timm builds another class than `VisionTransformer` under this name.
    """
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
