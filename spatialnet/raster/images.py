"""Chip images: whole GeoTIFF, JPEG and PNG files as arrays of their own type."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from affine import Affine
from rasterio.crs import CRS
from rasterio.enums import ColorInterp
from rasterio.io import DatasetReader
from rasterio.windows import Window

from spatialnet.raster.reading import GDAL_ERRORS, named_crs, open_image, read_native, unreadable

MAX_IMAGE_PIXELS = 64_000_000
"""A chip image with more pixels (width x height) is refused before a pixel is read."""


@dataclass(frozen=True)
class ImageHeader:
    """What a file says of its pixels, as `read_image` returns them.

    Attributes:
        count: bands; a palette counts as the three it stands for, an alpha band does not count.
        height: in pixels.
        width: in pixels.
        dtype: NumPy type.
        crs: coordinate reference system, or None for an image without a place.
        transform: pixel (column, row) to ground, or None.
        nodata: the value that means "no data", or None.
        descriptions: one name per band, "" where the file gives none.
        scales: factor per band that turns stored numbers into the meaning of the band.
        offsets: what is added after that.
        colours: `palette`, `cmyk` or `alpha` where colours were converted or a band was taken off; else "".
    """

    count: int
    height: int
    width: int
    dtype: str
    crs: CRS | None
    transform: Affine | None
    nodata: float | None
    descriptions: tuple[str, ...]
    scales: tuple[float, ...]
    offsets: tuple[float, ...]
    colours: str = ""


def image_header(path: Path | str, *, root: Path | None = None, max_pixels: int = MAX_IMAGE_PIXELS) -> ImageHeader:
    """What a chip image says of itself; no pixel is read.

    Raises:
        PathRefused: no such file, or another suffix.
        SceneUnreadable: not a whole image.
        SceneTooLarge: more pixels than `max_pixels`.
    """
    with open_image(path, root=root, max_pixels=max_pixels) as source:
        return _header(source)


def read_image(
    path: Path | str, *, root: Path | None = None, max_pixels: int = MAX_IMAGE_PIXELS
) -> tuple[npt.NDArray[Any], ImageHeader]:
    """A chip image: (bands, height, width) of the file's own type, and its header.

    Palettes become red, green and blue; CMYK becomes RGB; the alpha band of a PNG is taken off, and where it is
    transparent the pixels become float32 with NaN.

    Raises:
        PathRefused: no such file, or another suffix.
        SceneUnreadable: not a whole image.
        SceneTooLarge: more pixels than `max_pixels`.
    """
    with open_image(path, root=root, max_pixels=max_pixels) as source:
        header = _header(source)
        whole = Window(0, 0, source.width, source.height)
        if header.colours == "palette":
            return _from_palette(source, whole), header
        bands = _colour_bands(source)
        pixels = read_native(source, whole, bands)
        if header.colours == "alpha":
            transparent = read_native(source, whole, [source.count])[0] == 0
            if transparent.any():
                pixels = np.where(transparent, np.nan, pixels).astype(np.float32)
        return pixels, replace(header, dtype=str(pixels.dtype))


def _colour_bands(source: DatasetReader) -> list[int]:
    # In a GeoTIFF an "alpha" band is often the infrared one of four, written by a tool that did not know better.
    drop = source.driver == "PNG" and source.colorinterp[-1] == ColorInterp.alpha
    return list(range(1, source.count + (not drop)))


def _header(source: DatasetReader) -> ImageHeader:
    colours = ""
    bands = _colour_bands(source)
    if source.count == 1 and source.colorinterp[0] == ColorInterp.palette:
        colours = "palette"
    elif len(bands) < source.count:
        colours = "alpha"
    elif "CMYK" in str(source.tags(ns="IMAGE_STRUCTURE").get("SOURCE_COLOR_SPACE", "")):
        colours = "cmyk"
    count = 3 if colours == "palette" else len(bands)
    placed = source.crs is not None and not source.transform.is_identity
    indices = [0] * 3 if colours == "palette" else [band - 1 for band in bands]
    return ImageHeader(
        count, source.height, source.width, source.dtypes[0], named_crs(source.crs) if placed else None,
        source.transform if placed else None, source.nodata, tuple(source.descriptions[i] or "" for i in indices),
        tuple(source.scales[i] for i in indices), tuple(source.offsets[i] for i in indices), colours,
    )  # fmt: skip


def _from_palette(source: DatasetReader, window: Window) -> npt.NDArray[np.uint8]:
    table = np.zeros((256, 3), np.uint8)
    try:
        for value, colour in source.colormap(1).items():
            if 0 <= value < 256:
                table[value] = colour[:3]
        indices = source.read(1, window=window)
    except (*GDAL_ERRORS, ValueError) as error:
        raise unreadable(source.name) from error
    pixels: npt.NDArray[np.uint8] = np.ascontiguousarray(table[indices].transpose(2, 0, 1))
    return pixels
