"""Chips as they are stored: of one type and size, holes marked one way."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from spatialnet.importing.chip_reader import ChipReader
from spatialnet.importing.listing import Pixels
from spatialnet.importing.prescan.scan import Storage


def stored_chips(pixels: Pixels, storage: Storage, start: int) -> Iterator[npt.NDArray[Any]]:
    """Chips of one sensor from `start` on, as `spatialnet.datasets.packed` keeps them.

    Args:
        pixels: where they are.
        storage: type, no-data value and size in the store.
        start: the first chip.

    Returns:
        Per chip (bands, size, size) of the storage's type; where the sensor is missing, only `fill_value`.
    """
    shape = (len(pixels.sensor.bands), storage.size, storage.size)
    kind = np.dtype(storage.dtype)
    gone = np.full(shape, fill_value(storage), kind)
    masked = kind.kind == "f" and storage.nodata is not None and np.isnan(storage.nodata)
    with ChipReader(pixels, masked=masked) as reader:
        for chip in reader.chips(start, len(pixels.row)):
            if chip is None:
                yield gone
            elif chip.shape[1:] == shape[1:]:
                yield chip.astype(kind, copy=False)
            else:
                yield resampled(chip, storage.size, storage.nodata).astype(kind, copy=False)


def fill_value(storage: Storage) -> float:
    """What stands where a sensor is missing: the no-data value, NaN for floats, else 0."""
    if storage.nodata is not None:
        return storage.nodata
    return float("nan") if np.dtype(storage.dtype).kind == "f" else 0.0


def resampled(chip: npt.NDArray[Any], size: int, nodata: float | None) -> npt.NDArray[Any]:
    """A chip brought to another size: averaged where it shrinks, interpolated where it grows.

    Pixels without data keep their neighbours clean: where a chip has any, the nearest pixel is taken instead.

    Args:
        chip: (bands, height, width).
        size: side in pixels.
        nodata: the value that means "no data", or None.
    """
    holes = not np.isfinite(chip).all() if chip.dtype.kind == "f" else False
    if nodata is not None and not np.isnan(nodata):
        holes = holes or bool((chip == nodata).any())
    if holes:
        rows = (np.arange(size) + 0.5) * chip.shape[1] // size
        columns = (np.arange(size) + 0.5) * chip.shape[2] // size
        return chip[:, rows.astype(int)][:, :, columns.astype(int)]
    grown = [
        np.asarray(Image.fromarray(band.astype(np.float32)).resize((size, size), Image.Resampling.BILINEAR))
        for band in chip
    ]
    result = np.stack(grown)
    if chip.dtype.kind in "ui":
        limits = np.iinfo(chip.dtype)
        result = np.clip(np.rint(result), limits.min, limits.max)
    return result.astype(chip.dtype)
