"""Which parameters of a model are pretrained and which are new: what may be frozen, and how fast each layer learns."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from torch import nn

from spatialnet.errors import RecipeInvalid

if TYPE_CHECKING:
    from spatialnet.model.network import SpatialNetViT

LOW_RANK = "lora_"
"""What the names of low-rank updates hold, see `spatialnet.model.low_rank`."""

TUNES = ("all", "last", "lora", "heads")

_TIMM = re.compile(r"(?:cls_token|reg_token|pos_embed|norm_pre|rope|blocks|norm)\b")


def is_new(model: SpatialNetViT, name: str) -> bool:
    """Whether a parameter is none of the backbone's.

    New are the queries, the heads, the spatial terms, low-rank updates, the sensor codes, and the tokenisers. A
    tokeniser whose kernels were all learnt before, on the same bands, belongs to the backbone, and with it the code of an
    only sensor, which is nothing but a second bias: a frozen backbone then needs no gradient below the blocks that learn.
    """
    if LOW_RANK in name:
        return True
    part, *rest = name.split(".")
    if part == "tokenizers" or (part == "sensor_embed" and len(model.sensors) == 1):
        return not model.tokenizer(rest[0]).pretrained
    return not _TIMM.match(name)


def backbone_parameters(model: SpatialNetViT) -> list[nn.Parameter]:
    """The parameters that are not new, frozen or not."""
    return [parameter for name, parameter in model.named_parameters() if not is_new(model, name)]


def freeze(model: SpatialNetViT, tune: str, tuned_blocks: int = 0) -> None:
    """Let some parameters learn and freeze all others.

    Args:
        model: in which `requires_grad` is set.
        tune: `all`; `last` = the last blocks, the final norm and everything new; `lora` = everything new, with the low-rank
            updates; `heads` = the heads only.
        tuned_blocks: how many blocks `last` means.

    Raises:
        RecipeInvalid: there is no such `tune`.
    """
    if tune not in TUNES:
        raise RecipeInvalid(f"tune is {tune[:64]!r}; use one of {', '.join(TUNES)}.")
    last = max(0, len(model.blocks) - tuned_blocks)
    tops = ("norm.", *(f"blocks.{i}." for i in range(last, len(model.blocks))))
    for name, parameter in model.named_parameters():
        learns = tune == "all" or (name.startswith("heads.") if tune == "heads" else is_new(model, name))
        parameter.requires_grad_(learns or (tune == "last" and name.startswith(tops)))


def group_matcher(model: SpatialNetViT, *, coarse: bool = False) -> dict[str, Any]:
    """Layer groups for timm's layer decay: what is pretrained sits low.

    What is new matches nothing, which is the head group: with twelve blocks and a decay of 0.65 the stem learns at
    0.0037 of the rate, where random kernels would stay random. Tokenisers that start from mean kernels (radar, infrared)
    are new in that sense. One that was taken over as it is, band by band, is the stem it always was: at the full rate
    it would run away from the blocks above.
    """
    learnt = [re.escape(name) for name in model.sensors if model.tokenizer(name).pretrained]
    tokenizers = rf"|tokenizers\.(?:{'|'.join(learnt)})\." if learnt else ""
    return {
        "stem": rf"^(?:cls_token|reg_token|pos_embed|norm_pre{tokenizers})",
        "blocks": [
            ((r"^blocks\.(\d+)" if not coarse else "^blocks") + rf"\.(?!.*{LOW_RANK})", None),
            (r"^norm\.", (99999,)),  # with the last block, as timm does
        ],
    }
