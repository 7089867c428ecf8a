"""From pixels in sensor units to what a model reads: normalised per band and data set, and resampled."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional as F

from spatialnet.errors import BandsDoNotMatch

Bands = tuple[Tensor, Tensor]
"""Mean and standard deviation per band, float32."""


class Statistics:
    """The normalisation of each data set that a model knows, per sensor.

    Args:
        values: data set -> sensor -> `mean` and `std`, lists with one number per band, as `to_dict` gives them.
    """

    def __init__(self, values: Mapping[str, Mapping[str, Mapping[str, Any]]]) -> None:
        self._known: dict[str, dict[str, Bands]] = {
            dataset: {
                sensor: (torch.tensor(bands["mean"]).float(), torch.tensor(bands["std"]).float())
                for sensor, bands in sensors.items()
            }
            for dataset, sensors in values.items()
        }

    def put(self, dataset: str, sensor: str, bands: Bands) -> bool:
        """Keep a sensor's statistics in a data set; whether this data set is the first that has the sensor."""
        first = next((name for name, sensors in self._known.items() if sensor in sensors), dataset) == dataset
        self._known.setdefault(dataset, {})[sensor] = bands
        return first

    def get(self, dataset: str | None, sensor: str) -> Bands | None:
        """A sensor's statistics in a data set; None where they are not known."""
        return self._known.get(dataset or "", {}).get(sensor)

    def to_dict(self) -> dict[str, dict[str, dict[str, list[float]]]]:
        """JSON-ready values, without loss."""
        return {
            dataset: {name: {"mean": mean.tolist(), "std": std.tolist()} for name, (mean, std) in sensors.items()}
            for dataset, sensors in self._known.items()
        }


def checked_bands(name: str, statistics: tuple[npt.ArrayLike, npt.ArrayLike], bands: int) -> Bands:
    """Statistics as tensors; standard deviations are at least 1e-6.

    Raises:
        BandsDoNotMatch: another number of bands.
    """
    mean, std = (torch.as_tensor(np.array(values, np.float32)) for values in statistics)
    if tuple(mean.shape) != (bands,) or tuple(std.shape) != (bands,):
        raise BandsDoNotMatch(
            f"Statistics of {name[:64]} have {mean.numel()} means and {std.numel()} deviations for {bands} bands. "
            "Give one of each per band."
        )
    return mean, std.clamp_min(1e-6)


def normalised(pixels: npt.NDArray[Any], bands: Bands, device: torch.device, *, overwrite: bool = False) -> Tensor:
    """Pixels (batch, bands, height, width) as a float32 tensor with mean 0 and deviation 1 per band; NaN becomes 0.

    Args:
        pixels: in sensor units.
        bands: mean and standard deviation.
        device: where the result is wanted.
        overwrite: the array is not needed any more and may be worked on in place.
    """
    tensor = torch.from_numpy(np.require(pixels, np.float32, ["C", "W"])).to(device)
    # A product is several times faster than a division over as many pixels.
    mean, scale = (values.to(device)[:, None, None] for values in (bands[0], bands[1].reciprocal()))
    scaled = (tensor.sub_(mean) if overwrite else tensor.sub(mean)).mul_(scale)
    return torch.nan_to_num_(scaled, nan=0.0, posinf=0.0, neginf=0.0)


def resampled(images: Tensor, size: tuple[int, int]) -> Tensor:
    """Images (batch, bands, height, width) at another (height, width), bilinear; the same tensor where they have it.

    Larger images are smoothed first, so that no detail turns into a false one.
    """
    if tuple(images.shape[-2:]) == size:
        return images
    smaller = images.shape[-2] > size[0] or images.shape[-1] > size[1]
    return F.interpolate(images, size=size, mode="bilinear", align_corners=False, antialias=smaller)
