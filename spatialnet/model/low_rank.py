"""Low-rank updates of the attention (LoRA): few parameters learn, and afterwards the weights are plain ones again."""

from __future__ import annotations

from typing import cast

from torch import nn

from spatialnet.errors import RecipeInvalid
from spatialnet.model.network import SpatialNetViT

_TARGETS = r"blocks\.\d+\.attn\.(?:qkv|proj)"


def add_low_rank(model: SpatialNetViT, rank: int) -> None:
    """Put a low-rank update beside every block's attention weights; the rest of the backbone is frozen, new parts learn.

    The updates start at zero, so that the model's answers stay the same; their scale is 2 (alpha is twice the rank).

    Args:
        model: without updates.
        rank: at least 1.

    Raises:
        RecipeInvalid: the rank is below 1, the model has updates already, or the package peft is missing.

    Source: LoRA (Hu et al., 2022, arXiv 2106.09685).
    """
    if rank < 1:
        raise RecipeInvalid(f"lora_rank is {rank}; it must be at least 1.")
    if has_low_rank(model):
        raise RecipeInvalid("The model has low-rank updates already. Merge them before adding others.")
    try:
        from peft import LoraConfig, inject_adapter_in_model  # slow to import, and not needed for anything else
    except ImportError as error:
        raise RecipeInvalid(
            "tune = lora needs the package peft, which is not installed. Install peft, or set tune to all or last."
        ) from error
    inject_adapter_in_model(LoraConfig(r=rank, lora_alpha=2 * rank, target_modules=_TARGETS), model)
    model.freeze_backbone("lora")


def has_low_rank(model: SpatialNetViT) -> bool:
    """Whether the model has low-rank updates that are not merged."""
    return any(hasattr(module, "lora_A") for module in model.modules())


def merge_low_rank(model: SpatialNetViT) -> None:
    """Add the updates to the weights: the same answers from a plain model, in which every parameter may learn again."""
    for name, module in list(model.named_modules()):
        if hasattr(module, "lora_A"):
            module.merge()
            parent, _, own = name.rpartition(".")
            setattr(model.get_submodule(parent), own, cast("nn.Module", module.get_base_layer()))
    if hasattr(model, "peft_config"):
        del model.peft_config
    model.freeze_backbone("all")
