"""The only file that opens a raster: path rules, drivers, limits, and foreign errors in our own words."""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import rasterio
from affine import Affine
from rasterio._err import CPLE_BaseError  # rasterio lets some of GDAL's own errors through as they are
from rasterio.crs import CRS
from rasterio.enums import MaskFlags
from rasterio.errors import CRSError, NotGeoreferencedWarning, RasterioError
from rasterio.io import DatasetReader
from rasterio.warp import transform_bounds
from rasterio.windows import Window

from spatialnet.errors import (
    BandsDoNotMatch,
    NothingToRead,
    PathRefused,
    SceneHasNoCRS,
    SceneTooLarge,
    SceneUnreadable,
)
from spatialnet.sensors import Sensor

SUFFIXES = (".tif", ".tiff", ".gtif")
IMAGE_SUFFIXES = (*SUFFIXES, ".jpg", ".jpeg", ".png")
MAX_PIXELS = 250_000_000
_DRIVERS = {".jpg": "JPEG", ".jpeg": "JPEG", ".png": "PNG"}

_ADDRESS = re.compile(r"\s*(<|/vsi|[A-Za-z][\w+.-]+:/)")
"""A description of a raster, a virtual path of GDAL, or a URL (with one slash where it went through `Path`)."""

GDAL_ERRORS = (RasterioError, CRSError, CPLE_BaseError)


@dataclass(frozen=True)
class Raster:
    """Pixels with their place on the ground.

    Attributes:
        pixels: (bands, height, width) float32, NaN where there is no data.
        transform: pixel (column, row) to ground (x, y).
        crs: coordinate reference system.
    """

    pixels: npt.NDArray[np.float32]
    transform: Affine
    crs: CRS

    def __post_init__(self) -> None:
        if self.pixels.ndim != 3:
            raise SceneUnreadable(
                f"A raster needs (bands, height, width) pixels; these have shape {self.pixels.shape}."
            )

    @property
    def shape(self) -> tuple[int, int]:
        """(height, width) in pixels."""
        return self.pixels.shape[1], self.pixels.shape[2]

    @property
    def gsd_m(self) -> float:
        """Pixel size in metres (for a geographic CRS: along the meridian)."""
        size = float(np.hypot(self.transform.b, self.transform.e))
        return size * 111_320.0 if self.crs.is_geographic else size * float(self.crs.linear_units_factor[1])

    def wgs84_bounds(
        self, row: int, column: int, height: int, width: int | None = None
    ) -> tuple[float, float, float, float]:
        """(west, south, east, north) in degrees of a rectangle of pixels; a square where no width is given."""
        across = height if width is None else width
        corners = [self.transform @ (column + dx, row + dy) for dx in (0, across) for dy in (0, height)]
        xs, ys = [x for x, _ in corners], [y for _, y in corners]
        bounds: tuple[float, float, float, float] = transform_bounds(
            self.crs, "EPSG:4326", min(xs), min(ys), max(xs), max(ys)
        )
        return bounds


def check_path(path: Path | str, root: Path | None = None, suffixes: Sequence[str] = SUFFIXES) -> Path:
    """A raster's real path, after the rules of the house.

    Args:
        path: a file on this machine.
        root: the folder it must lie in; None for a file that the person named on the command line.
        suffixes: how the file may end.

    Raises:
        PathRefused: an address, a GDAL virtual path, a missing file, another suffix, or a path outside `root`.
    """
    text = str(path)
    name = shown_name(text)
    if _ADDRESS.match(text) or "\0" in text:
        raise PathRefused(f"{name} is an address or a description, not a file. Give the path of a file on this disk.")
    try:
        real = Path(text).resolve(strict=True)
    except (OSError, RuntimeError, ValueError) as error:  # missing, a circle of links, no path at all
        raise PathRefused(f"There is no file {name}. Check the path.") from error
    if root is not None and not real.is_relative_to(root.resolve()):
        raise PathRefused(f"{name} lies outside the workspace. Import it first.")
    if not real.is_file() or real.suffix.lower() not in suffixes:
        kind = "a GeoTIFF" if tuple(suffixes) == SUFFIXES else "an image"
        raise PathRefused(f"{name} is not {kind} file. Use a file that ends in {', '.join(suffixes)}.")
    return real


def shown_name(path: Path | str) -> str:
    """A file's name for a message: quoted, at most 80 characters, with control and direction signs made visible."""
    text = str(path)
    return repr((text if _ADDRESS.match(text) else Path(text).name or text)[:80])


@contextmanager
def open_raster(path: Path | str, *, root: Path | None = None, max_pixels: int = MAX_PIXELS) -> Iterator[DatasetReader]:
    """Open a GeoTIFF for reading, by the GTiff driver only.

    Args:
        path: the file.
        root: the folder it must lie in, or None.
        max_pixels: larger rasters (width x height) are refused before a pixel is read.

    Raises:
        PathRefused: see `check_path`.
        SceneUnreadable: the file is not a whole GeoTIFF; also when reading inside the `with` block fails.
        SceneTooLarge: more pixels than `max_pixels`.
    """
    real = check_path(path, root)
    with _opened(real, "GTiff", max_pixels) as source:
        yield source


@contextmanager
def open_image(path: Path | str, *, root: Path | None = None, max_pixels: int = MAX_PIXELS) -> Iterator[DatasetReader]:
    """Open a GeoTIFF, JPEG or PNG for reading, by the driver that its suffix names.

    Raises:
        PathRefused: see `check_path`.
        SceneUnreadable: the file is not a whole image of that kind; also when reading inside the `with` block fails.
        SceneTooLarge: more pixels than `max_pixels`.
    """
    real = check_path(path, root, IMAGE_SUFFIXES)
    with _opened(real, _DRIVERS.get(real.suffix.lower(), "GTiff"), max_pixels) as source:
        yield source


@contextmanager
def _opened(real: Path, driver: str, max_pixels: int) -> Iterator[DatasetReader]:
    try:
        with warnings.catch_warnings():
            # A chip without a place on the ground is no fault.
            warnings.simplefilter("ignore", NotGeoreferencedWarning)
            source = rasterio.open(real, driver=driver)
        with source:
            if source.width * source.height > max_pixels:
                raise SceneTooLarge(
                    f"{shown_name(real)} has {source.width} x {source.height} pixels; the limit is {max_pixels:,} in "
                    "all. Cut it into smaller scenes first."
                )
            yield source
    except GDAL_ERRORS as error:
        raise unreadable(real) from error


def unreadable(path: Path | str) -> SceneUnreadable:
    """The error for a file that GDAL cannot read to its end."""
    kind = {"JPEG": "a JPEG", "PNG": "a PNG"}.get(_DRIVERS.get(Path(path).suffix.lower(), ""), "a GeoTIFF")
    return SceneUnreadable(
        f"{shown_name(path)} cannot be read as {kind}: it is cut short, damaged or of another kind. Copy it again."
    )


def read_scene(path: Path | str, sensor: Sensor, *, root: Path | None = None, max_pixels: int = MAX_PIXELS) -> Raster:
    """Read a whole scene of one sensor.

    Args:
        path: the file; one band per band of the sensor, in its order.
        sensor: what the bands are.
        root: the folder it must lie in, or None.
        max_pixels: larger scenes are refused.

    Raises:
        SceneHasNoCRS: the file has no coordinate reference system.
        BandsDoNotMatch: another number of bands than the sensor's.
        NothingToRead: no valid pixel.
    """
    with open_raster(path, root=root, max_pixels=max_pixels) as source:
        check_scene(source, sensor)
        pixels = read_window(source, Window(0, 0, source.width, source.height))
        raster = Raster(pixels, source.transform, named_crs(source.crs))
    if not np.isfinite(raster.pixels).any():
        raise NothingToRead(f"{shown_name(path)} holds only no-data pixels. Choose another file.")
    return raster


def named_crs(crs: CRS) -> CRS:
    """The EPSG system that a system spelt out in a file stands for, so that files written from it carry the code."""
    code = crs.to_epsg()
    return crs if code is None else CRS.from_epsg(code)


def check_scene(source: DatasetReader, sensor: Sensor) -> None:
    """Refuse a scene without a place on the ground or with other bands than the sensor's."""
    name = shown_name(source.name)
    if source.crs is None:
        raise SceneHasNoCRS(
            f"{name} has no coordinate reference system, so it has no place on the map. "
            "Assign one (for example with `rio edit-info --crs EPSG:32119`) and import it again."
        )
    if source.count != len(sensor.bands):
        listed = [repr(text[:40])[1:-1] if text else f"band {i + 1}" for i, text in enumerate(source.descriptions[:16])]
        found = ", ".join(listed + ["..."] * (source.count > len(listed)))
        raise BandsDoNotMatch(
            f"{name} has {source.count} bands ({found}); {sensor.label} has {len(sensor.bands)} "
            f"({', '.join(sensor.bands)}). Choose the sensor that fits the file."
        )


def read_window(source: DatasetReader, window: Window, bands: list[int] | None = None) -> npt.NDArray[np.float32]:
    """Pixels of a window: (bands, height, width) float32, NaN for no-data, NaN and infinite values.

    Args:
        source: an open raster.
        window: which pixels.
        bands: which bands, from 1; default all.

    Raises:
        SceneUnreadable: the file ends before this window or is damaged there.
    """
    try:
        pixels: npt.NDArray[np.float32] = source.read(bands, window=window, out_dtype="float32")
        valid = (source.read_masks(bands, window=window) > 0) & np.isfinite(pixels)
    except GDAL_ERRORS as error:
        raise unreadable(source.name) from error
    pixels[~valid] = np.nan
    return pixels


def read_native(source: DatasetReader, window: Window, bands: Sequence[int]) -> npt.NDArray[Any]:
    """Pixels of a window as they are in the file: (bands, height, width) of the file's own type.

    A file whose holes are marked by a mask, and not by a value, gives float32 with NaN there.

    Args:
        source: an open raster.
        window: which pixels.
        bands: which bands, from 1.

    Raises:
        SceneUnreadable: the file ends before this window or is damaged there.
    """
    if has_mask(source):
        return read_window(source, window, list(bands))
    try:
        pixels: npt.NDArray[Any] = source.read(list(bands), window=window)
    except GDAL_ERRORS as error:
        raise unreadable(source.name) from error
    return pixels


def has_mask(source: DatasetReader) -> bool:
    """Whether a file marks its holes by a mask rather than by a value; an alpha band is taken for a band."""
    flags = source.mask_flag_enums[0]
    return source.nodata is None and MaskFlags.per_dataset in flags and MaskFlags.alpha not in flags
