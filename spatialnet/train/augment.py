"""Random changes to a batch of chips that leave their targets true. Works on normalised pixels, on any device, all at once.

What is drawn is a few numbers per chip; the pixels are then gone through as rarely as the device allows: on the CPU by the
operators that are fastest there, on CUDA by one translated function (`spatialnet.train.fused`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from spatialnet.recipe import Recipe
from spatialnet.sensors import Sensor
from spatialnet.train import fused

CAREFUL_CROP = 0.8
"""Crops are at least this large where a task asks about things that may be cut away."""

_ERASED = (0.02, 0.2)
"""Smallest and largest share of a chip that is blanked."""

_ASPECT = 3.0
"""A blanked rectangle is at most this many times as long as it is wide."""


@dataclass(frozen=True)
class View:
    """How each chip is looked at; the same for all its sensors.

    Attributes:
        turns: (batch,) long in 0..7 as in `turn`, or None.
        windows: (batch, 3): the crop's side and its centre from the top and from the left, as shares of the chip's side,
            or None.
        blanks: (batch, 4): top, left, bottom and right of the blanked rectangle as shares of the chip's side; without area
            where nothing is blanked; or None.
    """

    turns: Tensor | None
    windows: Tensor | None
    blanks: Tensor | None


@dataclass(frozen=True)
class Disturbance:
    """What happens to the values of one sensor.

    Attributes:
        noise: standard deviation of what is added, in that of a band.
        gain: (batch, 1, 1, 1) factor, or None.
        offset: (batch, 1, 1, 1) added, or None.
        kept: (batch, bands, 1, 1) bool, which bands are not blanked, or None.
    """

    noise: float = 0.0
    gain: Tensor | None = None
    offset: Tensor | None = None
    kept: Tensor | None = None


def augment(
    images: Mapping[str, Tensor],
    sensors: Mapping[str, Sensor],
    recipe: Recipe,
    generator: torch.Generator,
    *,
    careful: bool = False,
) -> dict[str, Tensor]:
    """Turn, mirror, crop, disturb and partly blank each chip.

    Args:
        images: per sensor (batch, bands, side, side), normalised, so that 0 is a band's mean.
        sensors: by name; their kind decides which disturbances make sense.
        recipe: how strong.
        generator: on the images' device.
        careful: whether the run has tasks of kind `multilabel` or `count`, for which crops stay large.

    Returns:
        Tensors of the same shapes; what nothing happens to is returned as it is. All sensors of a chip are turned, cropped
        and blanked alike.
    """
    first = next(iter(images.values()))
    view = draw_view(len(first), recipe, generator, careful=careful)
    translated = first.device.type == "cuda" and recipe.compile != "off"
    changed = {}
    for name, pixels in images.items():
        disturbance = draw_disturbance(pixels.shape[:2], sensors[name], recipe, generator)
        if translated:
            changed[name] = fused.translated()(pixels, view, disturbance, fused.draw_seeds(len(pixels), generator))
        else:
            changed[name] = apply(pixels, view, disturbance, generator)
    return changed


def draw_view(batch: int, recipe: Recipe, generator: torch.Generator, *, careful: bool = False) -> View:
    """Turn, crop and blank rectangle of each chip."""
    u = torch.rand((9, batch), generator=generator, device=generator.device)
    turns = (u[0] * 8).long().clamp_max(7) if recipe.flips else None
    windows = blanks = None
    least = max(recipe.crop, CAREFUL_CROP) if careful else recipe.crop
    if least < 1:
        side = least + (1 - least) * u[1]
        windows = torch.stack([side, side / 2 + (1 - side) * u[2], side / 2 + (1 - side) * u[3]], 1)
    if recipe.erase:
        area = (_ERASED[0] + (_ERASED[1] - _ERASED[0]) * u[5]) * (u[4] < recipe.erase)
        stretch = _ASPECT ** (u[6] - 0.5)
        height, width = area.sqrt() * stretch, area.sqrt() / stretch
        top, left = (1 - height) * u[7], (1 - width) * u[8]
        blanks = torch.stack([top, left, top + height, left + width], 1)
    return View(turns, windows, blanks)


def draw_disturbance(
    shape: tuple[int, int] | torch.Size, sensor: Sensor, recipe: Recipe, generator: torch.Generator
) -> Disturbance:
    """What happens to a sensor's values.

    Args:
        shape: (chips, bands).
        sensor: optical values are changed in gain and offset, get noise and lose bands; SAR gets speckle; elevation is
            left alone.
        recipe: how strong.
        generator: of the device that the result lies on.
    """
    if sensor.kind != "optical":
        return Disturbance(noise=recipe.speckle if sensor.kind == "sar" else 0.0)
    batch, bands = shape
    gain = offset = kept = None
    if recipe.brightness:
        u = torch.rand((2, batch, 1, 1, 1), generator=generator, device=generator.device) * 2 - 1
        gain, offset = 1 + recipe.brightness * u[0], recipe.brightness * u[1]
    if recipe.band_dropout and bands > 1:
        u = torch.rand((batch, bands, 1, 1), generator=generator, device=generator.device)
        kept = u >= recipe.band_dropout
        kept = kept | ~kept.any(1, keepdim=True)
    return Disturbance(recipe.noise, gain, offset, kept)


def apply(pixels: Tensor, view: View, disturbance: Disturbance, generator: torch.Generator) -> Tensor:
    """One sensor's chips after what was drawn; the input is left as it is.

    Args:
        pixels: (batch, bands, side, side).
        view: of these chips.
        disturbance: of this sensor.
        generator: of the noise.
    """
    original = pixels
    if view.windows is not None:
        pixels = crop(pixels, view.windows, view.turns)
    elif view.turns is not None:
        pixels = turn(pixels, view.turns)
    if disturbance.gain is not None and disturbance.offset is not None:
        gain = disturbance.gain.to(pixels.dtype)
        pixels = pixels * gain if pixels is original else pixels.mul_(gain)
        pixels.add_(disturbance.offset)
    if disturbance.noise:
        noise = torch.randn(pixels.shape, generator=generator, device=pixels.device, dtype=pixels.dtype)
        pixels = noise.mul_(disturbance.noise).add_(pixels)
    hidden = None if view.blanks is None else fused.inside(view.blanks, pixels.shape[-2], pixels.shape[-1])
    for mask in (hidden, None if disturbance.kept is None else ~disturbance.kept):
        if mask is not None:
            pixels = pixels.masked_fill(mask, 0.0) if pixels is original else pixels.masked_fill_(mask, 0.0)
    return pixels


def turn(pixels: Tensor, turns: Tensor) -> Tensor:
    """Apply to each chip one of the eight symmetries of the square.

    Args:
        pixels: (batch, bands, side, side).
        turns: (batch,) long in 0..7: quarter turns, plus 4 for mirrored.
    """
    if pixels.device.type != "cpu":
        return fused.looked_at(pixels, turns, None)
    # Eight strided copies: faster here than one gathering by pixel, while on a GPU each would wait for the chips' numbers.
    result = torch.empty_like(pixels)
    for code in range(8):
        chosen = (turns == code).nonzero()[:, 0]
        part = pixels[chosen].rot90(code % 4, (-2, -1))
        result[chosen] = part.flip(-1) if code >= 4 else part
    return result


def crop(pixels: Tensor, windows: Tensor, turns: Tensor | None = None) -> Tensor:
    """Cut a square out of each chip and zoom it to the chip's size (bilinear), turned or mirrored at the same time.

    Args:
        pixels: (batch, bands, side, side).
        windows: (batch, 3), as `View.windows`.
        turns: (batch,) as `turn`; None: upright.
    """
    side, centre = windows[:, 0], windows[:, 1:] * 2 - 1
    cosine, sine, mirror = fused.rotation(turns if turns is not None else torch.zeros_like(side, dtype=torch.long))
    across = torch.stack([side * cosine * mirror, -side * sine, centre[:, 1]], 1)
    down = torch.stack([side * sine * mirror, side * cosine, centre[:, 0]], 1)
    grid = F.affine_grid(torch.stack([across, down], 1), list(pixels.shape), align_corners=False)
    # In bfloat16 a place on the grid would be off by up to a quarter of a pixel at 64 pixels.
    return F.grid_sample(pixels.float(), grid, padding_mode="border", align_corners=False).to(pixels.dtype)


def drop_sensors(present: Mapping[str, Tensor], probability: float, generator: torch.Generator) -> dict[str, Tensor]:
    """Take whole sensors away from chips, never a chip's last one.

    Args:
        present: per sensor (batch,) bool.
        probability: 0..1, per sensor and chip.
        generator: on the same device.
    """
    there = torch.stack(list(present.values()), 1)
    kept = there & (torch.rand(there.shape, generator=generator, device=there.device) >= probability)
    kept = torch.where(kept.any(1, keepdim=True), kept, there)
    return {name: kept[:, i] for i, name in enumerate(present)}
