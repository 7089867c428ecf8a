"""Augmentation as one function of a pixel's place, which `torch.compile` turns into one pass over the pixels on a GPU.

Written without a library's random numbers, because those of a generator cannot be drawn inside a translated function: the
noise follows from a number per chip and the place of the value.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cache
from typing import TYPE_CHECKING, cast

import torch
from torch import Tensor

if TYPE_CHECKING:
    from spatialnet.train.augment import Disturbance, View

Applied = Callable[[Tensor, "View", "Disturbance", Tensor], Tensor]

# The multipliers of the `lowbias32` hash (Wellons, "Prospecting for Hash Functions", 2018), as signed numbers.
_FIRST, _SECOND = 0x7FEB352D, 0x846CA68B - (1 << 32)


def apply(pixels: Tensor, view: View, disturbance: Disturbance, seeds: Tensor) -> Tensor:
    """What `spatialnet.train.augment.apply` does, with noise from `seeds`.

    Args:
        pixels: (batch, bands, side, side).
        view: of these chips.
        disturbance: of this sensor.
        seeds: (batch,) int32, as `draw_seeds`.
    """
    changed = looked_at(pixels, view.turns, view.windows)
    if disturbance.gain is not None and disturbance.offset is not None:
        changed = changed * disturbance.gain + disturbance.offset
    if disturbance.noise:
        changed = changed + disturbance.noise * normal(seeds, pixels.shape)
    if disturbance.kept is not None:
        changed = torch.where(disturbance.kept, changed, 0.0)
    if view.blanks is not None:
        changed = torch.where(inside(view.blanks, pixels.shape[-2], pixels.shape[-1]), 0.0, changed)
    return changed.to(pixels.dtype)


@cache
def translated() -> Applied:
    """`apply` through `torch.compile`; the first call with a new kind of batch takes seconds."""
    return cast(Applied, torch.compile(apply))


def draw_seeds(batch: int, generator: torch.Generator) -> Tensor:
    """(batch,) int32 random numbers."""
    return torch.randint(-(1 << 31), 1 << 31, (batch,), generator=generator, device=generator.device).int()


def looked_at(pixels: Tensor, turns: Tensor | None, windows: Tensor | None) -> Tensor:
    """Chips turned, mirrored and zoomed; each value is gathered from where it was.

    Args:
        pixels: (batch, bands, side, side).
        turns: (batch,) as `spatialnet.train.augment.turn`, or None.
        windows: (batch, 3) as `spatialnet.train.augment.View`, or None.
    """
    if turns is None and windows is None:
        return pixels
    batch, bands, height, width = pixels.shape
    y = ((torch.arange(height, device=pixels.device) + 0.5) / height - 0.5)[None, :, None]
    x = ((torch.arange(width, device=pixels.device) + 0.5) / width - 0.5)[None, None, :]
    if turns is not None:
        cosine, sine, mirror = (part[:, None, None] for part in rotation(turns))
        y, x = cosine * y + sine * mirror * x, cosine * mirror * x - sine * y
    flat = pixels.flatten(2)

    def at(rows: Tensor, columns: Tensor) -> Tensor:
        places = (rows * width + columns).expand(batch, height, width).reshape(batch, 1, height * width)
        return flat.gather(2, places.expand(batch, bands, height * width)).reshape(pixels.shape)

    if windows is None:
        return at(((y + 0.5) * height - 0.5).round().long(), ((x + 0.5) * width - 0.5).round().long())
    side, down, across = (windows[:, i, None, None] for i in range(3))
    y = ((down + side * y) * height - 0.5).clamp(0, height - 1)
    x = ((across + side * x) * width - 0.5).clamp(0, width - 1)
    top, left = y.floor(), x.floor()
    below, right = (y - top)[:, None].to(pixels.dtype), (x - left)[:, None].to(pixels.dtype)
    rows, columns = top.long(), left.long()
    under, beside = (rows + 1).clamp_max(height - 1), (columns + 1).clamp_max(width - 1)
    upper = at(rows, columns) * (1 - right) + at(rows, beside) * right
    lower = at(under, columns) * (1 - right) + at(under, beside) * right
    return upper * (1 - below) + lower * below


def rotation(turns: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Cosine and sine of each quarter turn, and -1 where mirrored, else 1: (batch,) float each.

    A pixel at (y, x) from the middle was at (cosine y + sine x', cosine x' - sine y), x' = mirror x.
    """
    quarter = turns % 4
    cosine = (quarter == 0).float() - (quarter == 2).float()
    sine = (quarter == 1).float() - (quarter == 3).float()
    return cosine, sine, 1 - 2 * (turns >= 4).float()


def inside(blanks: Tensor, height: int, width: int) -> Tensor:
    """(batch, 1, height, width) bool: which pixels' middles lie in a rectangle given as shares of the sides.

    Args:
        blanks: (batch, 4): top, left, bottom, right.
        height: in pixels.
        width: in pixels.
    """
    y = ((torch.arange(height, device=blanks.device) + 0.5) / height)[None, None, :, None]
    x = ((torch.arange(width, device=blanks.device) + 0.5) / width)[None, None, None, :]
    top, left, bottom, right = (blanks[:, i, None, None, None] for i in range(4))
    return (y >= top) & (y < bottom) & (x >= left) & (x < right)


def normal(seeds: Tensor, shape: tuple[int, ...] | torch.Size) -> Tensor:
    """Normal numbers of any shape that follow from a seed per chip; float32, at most 4.7 from 0.

    Args:
        seeds: (batch,) int32.
        shape: (batch, ...).

    Source: Box and Muller, 1958, on the two halves of a 32-bit hash.
    """
    count = math.prod(shape[1:])
    places = torch.arange(count, device=seeds.device, dtype=torch.int32)
    bits = _hashed(places[None] ^ _hashed(seeds)[:, None])
    radius = (((bits & 0xFFFF).float() + 0.5) / 65536).log().mul(-2).sqrt()
    angle = ((bits >> 16) & 0xFFFF).float() * (2 * math.pi / 65536)
    return (radius * angle.cos()).reshape(shape)


def _hashed(x: Tensor) -> Tensor:
    """A 32-bit hash; a shift of a signed number drags its sign along, which is masked off."""
    x = (x ^ ((x >> 16) & 0xFFFF)) * _FIRST
    x = (x ^ ((x >> 15) & 0x1FFFF)) * _SECOND
    return x ^ ((x >> 16) & 0xFFFF)
