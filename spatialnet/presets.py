"""Presets: the sizes in which SpatialNet-ViT comes, each on a timm vision transformer. Plain values, free of torch."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

from spatialnet.errors import RecipeInvalid

TIMM_PREFIX = "timm:"
SALIENCY = "dinov2-saliency"


@dataclass(frozen=True)
class Preset:
    """One size of the model.

    Attributes:
        name: what a recipe calls it.
        title: what people read in a list.
        backbone: the timm architecture, of class `VisionTransformer`.
        width: numbers per token; only to estimate work.
        depth: blocks; only to estimate work.
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
    width: int
    depth: int
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
            "nano", "nano: 128 wide, 4 blocks (small chips, seconds on a CPU)", "vit_tiny_patch16_224", 128, 4,
            {
                "embed_dim": 128, "depth": 4, "num_heads": 4,
                "class_token": False, "global_pool": "avg", "fc_norm": False,
            },
            least_grid=4, stem="conv",
        ),
        Preset("tiny", "tiny: 192 wide, 12 blocks, 6 M parameters", "vit_tiny_patch16_224", 192, 12),
        Preset("small", "small: 384 wide, 12 blocks, 22 M parameters", "vit_small_patch16_224", 384, 12),
        Preset("medium", "medium: 512 wide, 12 blocks, 39 M (the paper's size)", "vit_medium_patch16_reg4_gap_256", 512, 12),
        Preset("base", "base: 768 wide, 12 blocks, 86 M parameters", "vit_base_patch16_224", 768, 12),
        Preset(
            "dino6", "dino6: 384 wide, 6 blocks (for the weights dinov2-saliency)", "vit_small_patch14_dinov2", 384, 6,
            {"depth": 6, "final_norm": False, "fc_norm": False, "global_pool": "avg"},
            native_patch=14,
        ),
        Preset(
            "paper", "paper: as published in the authors' code, 512 wide, 12 blocks", "vit_base_patch16_224", 512, 12,
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
        if not architecture.startswith("vit_"):
            raise RecipeInvalid(
                f"{architecture[:80]!r} is not a vision transformer of timm. Choose a name that starts with vit_."
            )
        return Preset(name, architecture, architecture, 768, 12, native_patch=_patch_in_name(architecture))
    if name not in PRESETS:
        raise RecipeInvalid(
            f"There is no preset {name[:64]!r}. Use one of {', '.join(PRESETS)}, or timm:<architecture>."
        )
    return PRESETS[name]


def _patch_in_name(architecture: str) -> int:
    digits = [part.removeprefix("patch") for part in architecture.split("_") if part.startswith("patch")]
    return int(digits[0]) if digits and digits[0].isdigit() else 16


def preset_for(weights: str, preset: str) -> str:
    """The preset that fits the weights: `preset` itself where it does, else the one that the weights decide.

    Args:
        weights: a name as `spatialnet.model.weights.apply_weights` takes it.
        preset: what was asked for.
    """
    if weights == SALIENCY:
        return "dino6"
    if weights.startswith(TIMM_PREFIX):
        architecture = weights.split(".")[0]
        chosen = preset_named(preset)
        same = chosen.backbone == architecture.removeprefix(TIMM_PREFIX) and not chosen.options
        return preset if same else architecture
    return preset


def relative_cost(name: str, chip_size: int) -> float:
    """Multiplications for one chip of one sensor, to compare presets with: blocks x tokens x (12 width^2 + 2 tokens width).

    Args:
        name: a preset.
        chip_size: side of the chip in pixels.
    """
    preset = preset_named(name)
    tokens = max(1, round(chip_size / preset.patch(chip_size))) ** 2
    return float(preset.depth * tokens * (12 * preset.width**2 + 2 * tokens * preset.width))
