"""Tokenisers: the bands of one sensor become a grid of tokens, and the two spatial terms that are added to them."""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Tensor, nn

from spatialnet.errors import BandsDoNotMatch
from spatialnet.model.preparation import resampled
from spatialnet.sensors import Sensor

VISIBLE_NM = (660.0, 560.0, 480.0)
"""Centre wavelengths of red, green and blue that pretrained RGB kernels stand for."""

VISIBLE_TOLERANCE_NM = 50.0


class Tokenizer(nn.Module):
    """Bands of one sensor -> tokens of one patch grid.

    Holds the sensor's normalisation, so that a checkpoint carries it.

    Attributes:
        pretrained: whether every kernel was learnt before, by a model that saw the same bands.

    Shape:
        images (batch, bands, height, width), normalised, any size; result (batch, dim, grid, grid).
    """

    mean: Tensor
    std: Tensor

    def __init__(self, sensor: Sensor, dim: int, patch: int, stem: Literal["patch", "conv"] = "patch") -> None:
        super().__init__()
        self.sensor = sensor
        self.patch = patch
        self.pretrained = False
        bands = len(sensor.bands)
        self.register_buffer("mean", torch.zeros(bands))
        self.register_buffer("std", torch.ones(bands))
        hidden = dim // 4
        self.stem = (
            nn.Sequential(
                nn.Conv2d(bands, hidden, 3, padding=1),
                nn.GELU(),
                nn.Conv2d(hidden, hidden, 3, padding=1),
                nn.GELU(),
            )
            if stem == "conv"
            else nn.Identity()
        )
        self.proj = nn.Conv2d(hidden if stem == "conv" else bands, dim, patch, patch)
        nn.init.xavier_uniform_(self.proj.weight.view(dim, -1))
        nn.init.zeros_(self.proj.bias) if self.proj.bias is not None else None

    def forward(self, images: Tensor, grid: tuple[int, int]) -> Tensor:
        """Tokens as a map (batch, dim, *grid); images of another size are resampled to the grid first.

        Raises:
            BandsDoNotMatch: `images` has another number of bands than the sensor.
        """
        if images.ndim != 4 or images.shape[1] != len(self.sensor.bands):
            raise BandsDoNotMatch(
                f"Images of {self.sensor.name} have shape {tuple(images.shape)}; (batch, "
                f"{len(self.sensor.bands)} bands, height, width) is wanted. Give the bands in the sensor's order."
            )
        images = resampled(images, (grid[0] * self.patch, grid[1] * self.patch))
        tokens: Tensor = self.proj(self.stem(images))
        return tokens

    @torch.no_grad()
    def load_rgb(self, weight: Tensor, bias: Tensor | None) -> None:
        """Start from the kernel of a model that was trained on RGB pictures.

        Args:
            weight: (dim, 3, patch, patch), channels red, green, blue.
            bias: (dim,) or None.
        """
        self.proj.weight.copy_(kernel_from_rgb(weight, self.sensor))
        if self.proj.bias is not None:
            self.proj.bias.copy_(bias) if bias is not None else self.proj.bias.zero_()
        self.pretrained = len(visible_bands(self.sensor)) == len(self.sensor.bands)


def kernel_from_rgb(weight: Tensor, sensor: Sensor) -> Tensor:
    """A patch kernel for a sensor's bands from one for red, green and blue, matched by wavelength.

    The optical bands nearest to red, green and blue (within 50 nm, each used once) get those kernels as they
    are; every other optical band gets the mean kernel times 3 / bands; bands of other sensors get the mean
    kernel. timm's own `adapt_input_conv` repeats R, G, B over the bands in file order, which would put red on
    Sentinel-2's B01.

    Args:
        weight: (dim, 3, patch, patch), channels red, green, blue.
        sensor: whose bands the result is for.

    Returns:
        (dim, bands, patch, patch).
    """
    bands = len(sensor.bands)
    mean = weight.mean(1, keepdim=True)
    if sensor.kind != "optical":
        return mean.repeat(1, bands, 1, 1)
    kernel = (mean * (3.0 / bands)).repeat(1, bands, 1, 1)
    for channel, band in visible_bands(sensor).items():
        kernel[:, band] = weight[:, channel]
    return kernel


def visible_bands(sensor: Sensor) -> dict[int, int]:
    """Which band stands for red (0), green (1) and blue (2), where one does; each band for one colour at most."""
    found: dict[int, int] = {}
    if sensor.kind != "optical":
        return found
    for channel, wanted in enumerate(VISIBLE_NM):
        free = [i for i in range(len(sensor.bands)) if i not in found.values()]
        distance, band = min(((abs(sensor.wavelengths_nm[i] - wanted), i) for i in free), default=(math.inf, -1))
        if distance <= VISIBLE_TOLERANCE_NM:
            found[channel] = band
    return found


class GroundPosition(nn.Module):
    """Sine-cosine positions in metres on the ground, behind a gate that starts at zero.

    Positions are counted in patches of the reference ground sample distance, so that the same place in a
    finer picture gets the same code. With the gate at zero a pretrained model is unchanged.

    Source: scale-aware positions of Scale-MAE (Reed et al., 2023, arXiv 2212.14532).
    """

    frequencies: Tensor

    def __init__(self, dim: int, gsd_m: float, own_gsd_m: float = 0.0) -> None:
        super().__init__()
        quarter = (dim + 3) // 4
        self.dim = dim
        self.gsd_m = gsd_m
        self.own_gsd_m = own_gsd_m or gsd_m
        self.register_buffer("frequencies", 100.0 ** -(torch.arange(quarter) / quarter), persistent=False)
        self.gate = nn.Parameter(torch.zeros(dim))

    def forward(self, grid: tuple[int, int], gsd: Tensor | None) -> Tensor:
        """The term to add to a token map.

        Args:
            grid: patches per (column, row).
            gsd: (batch,) metres per pixel of each chip; 0 or NaN = not known, which counts as the model's own; None when
                all have the model's own.

        Returns:
            (batch or 1, dim, *grid).
        """
        device = self.gate.device
        own = self.own_gsd_m / self.gsd_m if self.gsd_m > 0 else 1.0
        scale = torch.full((1,), own, device=device)
        if gsd is not None and self.gsd_m > 0:
            scale = gsd.to(device).float() / self.gsd_m
            scale = torch.where(scale.isfinite() & (scale > 0), scale, own)
        rows = torch.arange(grid[0], device=device).float() + 0.5
        columns = torch.arange(grid[1], device=device).float() + 0.5
        by_row = (scale[:, None, None] * rows[None, :, None] * self.frequencies).permute(0, 2, 1)
        by_column = (scale[:, None, None] * columns[None, :, None] * self.frequencies).permute(0, 2, 1)
        y = by_row[..., None].expand(-1, -1, -1, grid[1])
        x = by_column[:, :, None, :].expand(-1, -1, grid[0], -1)
        code = torch.cat([y.sin(), y.cos(), x.sin(), x.cos()], 1)[:, : self.dim]
        return code * self.gate[None, :, None, None]


class LocalContext(nn.Module):
    """Each patch sees its eight neighbours: a depthwise 3x3 convolution on the token map, added, zero at the start.

    Shape:
        (batch, dim, height, width) -> the same.

    Source: conditional positional encodings (Chu et al., 2021, arXiv 2102.10882).
    """

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(dim, dim, 3, padding=1, groups=dim)
        nn.init.zeros_(self.conv.weight)
        if self.conv.bias is not None:
            nn.init.zeros_(self.conv.bias)

    def forward(self, tokens: Tensor) -> Tensor:
        """The token map plus its local context."""
        mixed: Tensor = self.conv(tokens)
        return tokens + mixed
