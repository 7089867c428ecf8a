"""Where each token of a sequence comes from, which of them may be attended to, and which a training step leaves out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor


@dataclass(frozen=True)
class TokenLayout:
    """Where each token of a sequence comes from.

    The sequence is `prefix` tokens (class token, registers), then one grid of patches per group, row by row. In
    training some of the patches may have been left out; their order stays.

    Attributes:
        groups: sensor names in token order; the one group `all` where sensors are fused to a mean.
        grid: patches per (column, row), that is (height, width) of each group's grid.
        prefix: how many tokens belong to no patch.
        mask: (batch, 1, 1, tokens) bool, True where a token may be attended to; None when every token may.
        kept: (batch, patches in the sequence) long, ascending: which patches of all groups' grids, counted from 0, the
            sequence holds; None when all.
    """

    groups: tuple[str, ...]
    grid: tuple[int, int]
    prefix: int
    mask: Tensor | None = None
    kept: Tensor | None = None

    @property
    def patches(self) -> int:
        """Patches of all groups' grids, whether the sequence holds them or not."""
        return len(self.groups) * self.grid[0] * self.grid[1]

    @property
    def count(self) -> int:
        """Tokens in the sequence."""
        return self.prefix + (self.patches if self.kept is None else self.kept.shape[1])

    def grids(self, values: Tensor) -> dict[str, Tensor]:
        """Values per token (batch, ..., tokens) as one map per group (batch, ..., height, width).

        Prefix tokens are left out; patches that are not in the sequence are 0.
        """
        parts = values[..., self.prefix :]
        if self.kept is not None:
            where = self.kept.reshape(len(self.kept), *(1,) * (parts.ndim - 2), -1).expand_as(parts)
            parts = parts.new_zeros(*parts.shape[:-1], self.patches).scatter(-1, where, parts)
        parts = parts.reshape(*values.shape[:-1], len(self.groups), *self.grid)
        return {name: parts[..., i, :, :] for i, name in enumerate(self.groups)}

    def usable(self, batch: int, device: torch.device) -> Tensor:
        """(batch, tokens) bool: True for patches that are there, False for prefix tokens and absent sensors."""
        there = torch.ones(batch, self.count, dtype=torch.bool, device=device)
        there[:, : self.prefix] = False
        return there if self.mask is None else there & self.mask[:, 0, 0]


def presence(names: Sequence[str], present: Mapping[str, Tensor] | None, device: torch.device) -> dict[str, Tensor]:
    """(batch,) bool per sensor, only for sensors that some chips lack.

    On a CPU a sensor that every chip has is left out, so that nothing is masked for it; elsewhere looking would make
    the processor wait for the device.
    """
    given = {name: present[name].to(device, torch.bool) for name in names if present is not None and name in present}
    return {name: there for name, there in given.items() if device.type != "cpu" or not bool(there.all())}


def attention_mask(there: Sequence[Tensor | None], batch: int, grid: tuple[int, int], prefix: int) -> Tensor | None:
    """The mask of a sequence: (batch, 1, 1, tokens) bool, True where a token may be attended to; None when every token may.

    A chip without any sensor attends to its empty tokens, which gives a constant answer and not NaN. A single group
    therefore never needs a mask.

    Args:
        there: per group which chips have it, (batch,) bool; None = all.
        batch: chips.
        grid: patches per (column, row).
        prefix: tokens that belong to no patch.
    """
    known = [one for one in there if one is not None]
    if len(there) == 1 or not known:
        return None
    whole = torch.ones(batch, dtype=torch.bool, device=known[0].device)
    shown = torch.stack([whole if one is None else one for one in there], 1)
    shown = shown | ~shown.any(1, keepdim=True)
    patches = shown.repeat_interleave(grid[0] * grid[1], 1, output_size=shown.shape[1] * grid[0] * grid[1])
    return torch.cat([patches.new_ones(batch, prefix), patches], 1)[:, None, None, :]


def masked_mean(maps: Sequence[tuple[Tensor, Tensor | None]]) -> Tensor:
    """The mean over the sensors that each chip has: (batch, dim, height, width); zeros where it has none.

    Args:
        maps: per sensor its token map, zeros for chips that lack it, and which chips have it, (batch,) bool; None = all.
    """
    first = maps[0][0]
    if len(maps) == 1:
        return first
    total, count = torch.zeros_like(first), first.new_zeros(1)
    for tokens, there in maps:
        total = total + tokens
        count = count + (1 if there is None else there.to(count.dtype))
    return total / count.clamp_min(1).reshape(-1, 1, 1, 1)


def leave_out(tokens: Tensor, layout: TokenLayout, share: float) -> tuple[Tensor, TokenLayout]:
    """Leave out a random share of the patches of each chip; at least one stays. Patches of absent sensors go first.

    Args:
        tokens: (batch, tokens, dim).
        layout: of the whole sequence.
        share: 0..1.

    Returns:
        (batch, fewer tokens, dim), and their layout.

    Source: PatchDropout (Liu et al., 2022, arXiv 2208.07220).
    """
    batch, patches = tokens.shape[0], layout.patches
    keep = max(1, round(patches * (1 - share)))
    if keep >= patches:
        return tokens, layout
    order = torch.rand(batch, patches, device=tokens.device)
    if layout.mask is not None:
        order = order + ~layout.mask[:, 0, 0, layout.prefix :]
    kept = order.topk(keep, dim=1, largest=False).indices.sort(1).values
    prefix = torch.arange(layout.prefix, device=tokens.device).expand(batch, -1)
    where = torch.cat([prefix, kept + layout.prefix], 1)
    fewer = tokens.gather(1, where[..., None].expand(-1, -1, tokens.shape[-1]))
    mask = None if layout.mask is None else layout.mask[:, 0, 0].gather(1, where)[:, None, None, :]
    return fewer, replace(layout, mask=mask, kept=kept)
