"""From evidence per input pixel to the chip's pixels and to shares of bands: one rule for every method."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F


def on_chip(values: Tensor, size: tuple[int, int]) -> Tensor:
    """A sensor's map (batch, height, width) on the chip's pixels; a sensor of another pixel size keeps its sum."""
    if tuple(values.shape[-2:]) == size:
        return values
    share = values.shape[-2] * values.shape[-1] / (size[0] * size[1])
    return F.interpolate(values[:, None], size=size, mode="area")[:, 0] * share


def shares(sensors: Sequence[str], found: Sequence[Tensor]) -> dict[str, Tensor]:
    """Absolute evidence per band (batch, bands) as a share of that of all bands of all sensors.

    Args:
        sensors: their names.
        found: per sensor the evidence (batch, bands, height, width).
    """
    return divided(sensors, [tensor.abs().sum((-2, -1)) for tensor in found])


def divided(sensors: Sequence[str], weights: Sequence[Tensor]) -> dict[str, Tensor]:
    """Weights per band (batch, bands), at least 0, divided by their sum over all bands of all sensors."""
    total = torch.cat(list(weights), 1).sum(1, keepdim=True).clamp_min(torch.finfo(torch.float32).tiny)
    return {name: weight / total for name, weight in zip(sensors, weights, strict=True)}
