"""Random changes to a batch of chips that leave their targets true. Works on normalised pixels, on any device."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from spatialnet.recipe import Recipe
from spatialnet.sensors import Sensor


def augment(
    images: Mapping[str, Tensor],
    sensors: Mapping[str, Sensor],
    recipe: Recipe,
    generator: torch.Generator,
) -> dict[str, Tensor]:
    """Turn, mirror and disturb each chip.

    Args:
        images: per sensor (batch, bands, height, width), normalised.
        sensors: by name; their kind decides which disturbances make sense.
        recipe: how strong.
        generator: on the images' device.

    Returns:
        New tensors of the same shapes; all sensors of a chip are turned alike.
    """
    changed = dict(images)
    if recipe.flips:
        first = next(iter(images.values()))
        turns = torch.randint(8, (len(first),), generator=generator, device=first.device)
        changed = {name: turn(pixels, turns) for name, pixels in changed.items()}
    for name, pixels in changed.items():
        kind = sensors[name].kind
        if kind == "optical":
            changed[name] = _optical(pixels, recipe, generator)
        elif kind == "sar" and recipe.speckle:
            changed[name] = pixels + recipe.speckle * _normal(pixels.shape, pixels, generator)
    return changed


def turn(pixels: Tensor, turns: Tensor) -> Tensor:
    """Apply to each chip one of the eight symmetries of the square.

    Args:
        pixels: (batch, bands, side, side).
        turns: (batch,) long in 0..7: quarter turns, plus 4 for mirrored.
    """
    result = torch.empty_like(pixels)
    for code in range(8):
        chosen = (turns == code).nonzero()[:, 0]
        part = pixels[chosen].rot90(code % 4, (-2, -1))
        result[chosen] = part.flip(-1) if code >= 4 else part
    return result


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


def _optical(pixels: Tensor, recipe: Recipe, generator: torch.Generator) -> Tensor:
    batch, bands = pixels.shape[:2]
    if recipe.brightness:
        gain = 1 + recipe.brightness * _uniform((batch, 1, 1, 1), pixels, generator)
        offset = recipe.brightness * _uniform((batch, 1, 1, 1), pixels, generator)
        pixels = pixels * gain + offset
    if recipe.noise:
        pixels = pixels + recipe.noise * _normal(pixels.shape, pixels, generator)
    if recipe.band_dropout and bands > 1:
        kept = torch.rand((batch, bands, 1, 1), generator=generator, device=pixels.device) >= recipe.band_dropout
        pixels = torch.where(kept | ~kept.any(1, keepdim=True), pixels, 0.0)
    return pixels


def _uniform(shape: tuple[int, ...], like: Tensor, generator: torch.Generator) -> Tensor:
    return torch.rand(shape, generator=generator, device=like.device, dtype=like.dtype) * 2 - 1


def _normal(shape: tuple[int, ...], like: Tensor, generator: torch.Generator) -> Tensor:
    return torch.randn(shape, generator=generator, device=like.device, dtype=like.dtype)
