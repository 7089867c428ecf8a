"""Pictures of chips: the three shown bands of a chip, stretched; and what stands for a chip that has no pixels."""

from __future__ import annotations

from functools import cache

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw

from spatialnet.datasets.packed import ChipArray
from spatialnet.web import paint
from spatialnet.web.shown_bands import ShownBands

LARGEST = 512
"""Side in pixels of the largest picture of a chip; larger chips are shown by every second, third ... pixel."""

_EMPTY, _LINE, _WORDS = (120, 126, 134, 255), (144, 150, 158, 255), (245, 246, 248, 255)


def chip_picture(images: ChipArray, chip: int, bands: ShownBands, largest: int = LARGEST) -> paint.Pixels:
    """A chip in three bands, at most `largest` pixels wide: (height, width, 4) RGBA; no-data is transparent."""
    values = shown_values(images, chip, bands.indices, largest)
    return paint.composite(values, np.ones(values.shape[1:], bool), *bands.limits)


def shown_values(
    images: ChipArray, chip: int, bands: tuple[int, ...], largest: int = LARGEST
) -> npt.NDArray[np.float32]:
    """Some bands of a chip, thinned to at most `largest` pixels a side: (bands, height, width), NaN for no-data."""
    step = max(1, -(-max(images.shape[2:]) // largest))
    stored = images.raw[chip, :, ::step, ::step][list(bands)]
    return ChipArray(stored[None], images.nodata)[0]


@cache
def no_data(size: int) -> paint.Pixels:
    """What is shown for a sensor that a chip does not have: grey, hatched, and where there is room the words."""
    image = Image.new("RGBA", (size, size), _EMPTY)
    draw = ImageDraw.Draw(image)
    for at in range(-size, size, max(6, size // 10)):
        draw.line((at, size, at + size, 0), fill=_LINE)
    if size >= 56:
        draw.text((size / 2, size / 2), "no data", fill=_WORDS, anchor="mm", stroke_width=2, stroke_fill=_EMPTY)
    picture = np.array(image)
    picture.flags.writeable = False
    return picture
