"""From raster values to pictures (pure): arrays of (height, width) or (bands, height, width) to RGBA uint8."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from functools import cache

import numpy as np
import numpy.typing as npt
from PIL import Image

from spatialnet.palette import rgb
from spatialnet.web.colours import CONFIDENCE_RAMP, UNCHANGED

Pixels = npt.NDArray[np.uint8]
Valid = npt.NDArray[np.bool_]


def composite(
    values: npt.NDArray[np.float32], valid: Valid, low: npt.NDArray[np.float32], high: npt.NDArray[np.float32]
) -> Pixels:
    """Three bands as red, green and blue.

    Args:
        values: (3, height, width), in the sensor's units; NaN is transparent.
        valid: (height, width); elsewhere transparent.
        low: (3,) values shown black.
        high: (3,) values shown at full brightness.
    """
    shown = valid & np.isfinite(values).all(axis=0)
    spread = np.maximum(high - low, np.finfo(np.float32).tiny)[:, None, None]
    scaled = np.clip((np.where(shown, values, low[:, None, None]) - low[:, None, None]) / spread, 0, 1)
    return np.dstack([*np.round(scaled * 255).astype(np.uint8), shown * np.uint8(255)])


def classes(values: Pixels, valid: Valid, colours: Mapping[int, Sequence[int]]) -> Pixels:
    """Class indices in their colours; values without a colour are transparent.

    Args:
        values: (height, width) class indices.
        valid: (height, width); elsewhere transparent.
        colours: index to (red, green, blue) or (red, green, blue, alpha), 0..255.
    """
    table = np.zeros((256, 4), np.uint8)
    for index, colour in colours.items():
        table[index] = (*colour, 255)[:4]
    return table[values] * valid[..., None]


def percent(values: Pixels, valid: Valid) -> Pixels:
    """0..100 on the confidence ramp; other values are transparent."""
    shown = valid & (values <= 100)
    return _ramp()[np.minimum(values, 100)] * shown[..., None]


def changed(now: Pixels, before: Pixels, valid: Valid, colours: Mapping[int, Sequence[int]]) -> Pixels:
    """The class of now where it differs from before; a veil where both agree."""
    picture = classes(now, valid, colours)
    picture[valid & (now == before)] = UNCHANGED
    return picture


def enlarge(picture: Pixels, size: int) -> Pixels:
    """A picture at `size` x `size` pixels, by nearest neighbour: every pixel stays a sharp square."""
    height, width = picture.shape[:2]
    return picture[(np.arange(size) * height // size)[:, None], (np.arange(size) * width // size)[None, :]]


def png(picture: Pixels, compress_level: int = 4) -> bytes:
    """A PNG file of an RGBA picture; a lower level is faster to make and larger to send."""
    file = io.BytesIO()
    Image.fromarray(picture).save(file, "PNG", compress_level=compress_level)
    return file.getvalue()


@cache
def _ramp() -> Pixels:
    stops = np.array([rgb(colour) for colour in CONFIDENCE_RAMP], np.float64)
    at = np.linspace(0, 100, len(stops))
    colours = [np.interp(np.arange(101), at, channel) for channel in stops.T]
    return np.column_stack([*np.round(colours).astype(np.uint8), np.full(101, 255, np.uint8)])
