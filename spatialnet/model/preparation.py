"""From pixels in sensor units to what a model reads: normalised per band and data set, and resampled."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from spatialnet.errors import BandsDoNotMatch
from spatialnet.sensors import Sensor

if TYPE_CHECKING:
    from spatialnet.model.tokenizer import Tokenizer

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


class Preparation(nn.Module):
    """The part of a model that knows its sensors: what comes before the first token.

    Attributes:
        sensors: by name.
        tokenizers: by sensor name.
        statistics: normalisation of the data sets that the model knows.
        grid: patches per (column, row) of the model's own chips.
        patch: side of a patch in pixels.
        size: side in pixels to which chips are resampled; 0 = as they are.
    """

    sensors: dict[str, Sensor]
    tokenizers: nn.ModuleDict
    statistics: Statistics
    grid: tuple[int, int]
    patch: int
    size: int

    @torch.no_grad()
    def prepare(
        self, images: Mapping[str, npt.NDArray[Any]], *, overwrite: bool = False, dataset: str | None = None
    ) -> dict[str, Tensor]:
        """Pixels in sensor units (batch, bands, height, width) as normalised float32 tensors on the model's device.

        Pixels without data (NaN) become 0, which is the band's mean.

        Args:
            images: per sensor name.
            overwrite: the arrays are not needed any more and may be worked on in place.
            dataset: whose statistics to normalise with; those of the first data set where it is None or unknown.
        """
        ready = {}
        for name, pixels in images.items():
            tokenizer = self.tokenizer(name)
            bands = self.statistics.get(dataset, name) or (tokenizer.mean, tokenizer.std)
            ready[name] = normalised(pixels, bands, self.device, overwrite=overwrite)
        return ready

    def resample(self, images: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Normalised images in the size that the tokenisers want, so that they need not be resampled again."""
        grid = self.grid_of(*next(iter(self.by_sensor(images).values())).shape[-2:])
        size = (grid[0] * self.patch, grid[1] * self.patch)
        return {name: resampled(pixels, size) for name, pixels in images.items()}

    def gsd_of(self, gsd_m: float, chip_size: int) -> float:
        """Metres per pixel that chips of a data set have when they enter the tokenisers; 0 where not known.

        Args:
            gsd_m: metres per pixel of the data set's chips; 0 = not known.
            chip_size: side of its chips in pixels.
        """
        return gsd_m * chip_size / (self.grid[0] * self.patch) if self.size else gsd_m

    @torch.no_grad()
    def set_statistics(
        self, statistics: Mapping[str, tuple[npt.ArrayLike, npt.ArrayLike]], dataset: str | None = None
    ) -> None:
        """Set the normalisation: mean and standard deviation per band, by sensor name.

        Args:
            statistics: per sensor.
            dataset: whose they are; the first data set with a sensor also gives the model's own for it. None = the
                model's own only.

        Raises:
            BandsDoNotMatch: an unknown sensor, or another number of bands.
        """
        checked = {n: checked_bands(n, values, len(self.tokenizer(n).mean)) for n, values in statistics.items()}
        for name, bands in checked.items():
            if dataset is None or self.statistics.put(dataset, name, bands):
                self.tokenizer(name).mean.copy_(bands[0])
                self.tokenizer(name).std.copy_(bands[1])

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return next(self.parameters()).device

    def tokenizer(self, name: str) -> Tokenizer:
        """The tokeniser of a sensor.

        Raises:
            BandsDoNotMatch: the model has no such sensor.
        """
        if name not in self.sensors:
            raise BandsDoNotMatch(f"Sensor {name[:64]!r} is unknown to this model; it has {', '.join(self.sensors)}.")
        return cast("Tokenizer", self.tokenizers[name])

    def by_sensor(self, images: Tensor | Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Images by sensor name, in the model's order.

        Raises:
            BandsDoNotMatch: an unknown sensor, none, or a plain tensor for a model of several.
        """
        if isinstance(images, Tensor):
            if len(self.sensors) != 1:
                raise BandsDoNotMatch(
                    f"This model has sensors {', '.join(self.sensors)}: give a dict of images by sensor."
                )
            return {next(iter(self.sensors)): images}
        for name in images:
            self.tokenizer(name)
        if not images:
            raise BandsDoNotMatch(f"No images were given. Give at least one of {', '.join(self.sensors)}.")
        return {name: images[name] for name in self.sensors if name in images}

    def grid_of(self, height: int, width: int) -> tuple[int, int]:
        """Patches per (column, row) of a chip of this many pixels."""
        if self.size:
            return self.grid
        return max(1, round(height / self.patch)), max(1, round(width / self.patch))
