"""What would the model say if a part of the chip were not there? The chip is changed, and every head answers again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt
import torch
from torch.nn import functional as F

from spatialnet.errors import ExplanationFailed
from spatialnet.model import SpatialNetViT, probabilities

FILLS = ("blur", "mean", "neighbour")
"""What takes the place of a removed part: its surroundings grown inwards, the training mean, or another chip's pixels."""

Pixels = npt.NDArray[np.float32]


def changed(
    images: Mapping[str, Pixels],
    cells: Sequence[int],
    side: int,
    fill: str = "blur",
    *,
    neighbour: Mapping[str, Pixels] | None = None,
    bands: Sequence[tuple[str, int]] = (),
    sensors: Sequence[str] = (),
) -> dict[str, Pixels]:
    """A copy of a chip from which something was taken away.

    Args:
        images: per sensor (bands, height, width) in its own units, NaN where there is nothing.
        cells: places that are removed, numbered row by row on a grid of `side` x `side` over the chip.
        side: places along an edge of the chip.
        fill: a name in `FILLS`.
        neighbour: the other chip, for `neighbour`; a sensor that it lacks is filled with the training mean.
        bands: (sensor, index of the band) that are set to the training mean everywhere.
        sensors: sensors that the chip does not have any more.

    Returns:
        Per sensor that is left (bands, height, width); NaN, which a model reads as the training mean, where `mean` is filled in.

    Raises:
        ExplanationFailed: a place, fill, band or sensor that there is not, or no sensor is left.
    """
    if fill not in FILLS:
        raise ExplanationFailed(f"There is no fill {fill[:40]!r}. Choose {', '.join(FILLS)}.")
    if any(not 0 <= cell < side * side for cell in cells):
        raise ExplanationFailed(f"A place lies outside the chip, which has {side} x {side}. Choose places on it.")
    left = {name: pixels.astype(np.float32) for name, pixels in images.items() if name not in sensors}
    if not left:
        raise ExplanationFailed("Every sensor was taken away, so there is nothing to look at. Leave at least one.")
    for name, band in bands:
        if name in left:
            if not 0 <= band < len(left[name]):
                raise ExplanationFailed(f"Sensor {name} has {len(left[name])} bands; band {band + 1} was named.")
            left[name][band] = np.nan
    if cells:
        for name, pixels in left.items():
            gone = _mask(pixels.shape[-2:], cells, side)
            if fill == "blur":
                _grow(pixels, gone)
            else:
                other = None if neighbour is None or fill == "mean" else neighbour.get(name)
                pixels[:, gone] = np.nan if other is None else other[:, gone]
    return left


@torch.inference_mode()
def answers(model: SpatialNetViT, images: Mapping[str, Pixels], dataset: str | None = None) -> dict[str, list[float]]:
    """What every head says of one chip.

    Args:
        model: in evaluation mode.
        images: per sensor (bands, height, width).
        dataset: whose normalisation to use; default the model's first.

    Returns:
        Per task the probability of each class, or the counts.
    """
    logits = model(model.prepare({name: pixels[None] for name, pixels in images.items()}, dataset=dataset))
    return {name: probabilities(logits[name], task)[0].float().tolist() for name, task in model.tasks.items()}


def _mask(shape: tuple[int, ...], cells: Sequence[int], side: int) -> npt.NDArray[np.bool_]:
    """Which pixels lie in the places."""
    rows, columns = (np.minimum(np.arange(length) * side // length, side - 1) for length in shape)
    return np.isin(rows[:, None] * side + columns[None, :], list(cells))


def _grow(pixels: Pixels, gone: npt.NDArray[np.bool_]) -> None:
    """Fill what is gone with the mean of what is known around it, ring by ring from its rim inwards."""
    values = torch.from_numpy(np.where(gone, np.nan, pixels))
    weights = torch.ones(1, 1, 3, 3)
    for _ in range(max(gone.shape)):
        known = torch.isfinite(values)
        open_pixels = torch.from_numpy(gone)[None] & ~known
        if not open_pixels.any():
            break
        around = F.conv2d(torch.nan_to_num(values)[:, None], weights, padding=1)[:, 0]
        count = F.conv2d(known.float()[:, None], weights, padding=1)[:, 0]
        values = torch.where(open_pixels & (count > 0), around / count.clamp_min(1), values)
    pixels[:, gone] = values.numpy()[:, gone]
