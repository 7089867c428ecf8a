"""The only file that opens a raster: path rules, driver, limits, and foreign errors in our own words."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import rasterio
import rasterio.shutil
from affine import Affine
from rasterio._err import CPLE_BaseError  # rasterio lets some of GDAL's own errors through as they are
from rasterio.crs import CRS
from rasterio.enums import ColorInterp, Interleaving
from rasterio.errors import CRSError, RasterioError
from rasterio.io import DatasetReader, DatasetWriter, MemoryFile
from rasterio.warp import transform_bounds
from rasterio.windows import Window

from spatialnet.atomic import beside, is_full, not_enough_disk, remove, replacing
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
MAX_PIXELS = 250_000_000

_ADDRESS = re.compile(r"\s*(<|/vsi|[A-Za-z][\w+.-]+:/)")
"""A description of a raster, a virtual path of GDAL, or a URL (with one slash where it went through `Path`)."""

_GDAL_ERRORS = (RasterioError, CRSError, CPLE_BaseError)


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


def check_path(path: Path | str, root: Path | None = None) -> Path:
    """A raster's real path, after the rules of the house.

    Args:
        path: a file on this machine.
        root: the folder it must lie in; None for a file that the person named on the command line.

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
    if not real.is_file() or real.suffix.lower() not in SUFFIXES:
        raise PathRefused(f"{name} is not a GeoTIFF file. Use a file that ends in {', '.join(SUFFIXES)}.")
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
    try:
        with rasterio.open(real, driver="GTiff") as source:
            if source.width * source.height > max_pixels:
                raise SceneTooLarge(
                    f"{shown_name(real)} has {source.width} x {source.height} pixels; the limit is {max_pixels:,} in "
                    "all. Cut it into smaller scenes first."
                )
            yield source
    except _GDAL_ERRORS as error:
        raise _unreadable(real) from error


def _unreadable(path: Path | str) -> SceneUnreadable:
    return SceneUnreadable(
        f"{shown_name(path)} cannot be read as a GeoTIFF: it is cut short, damaged or of another kind. Copy it again."
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
    except _GDAL_ERRORS as error:
        raise _unreadable(source.name) from error
    pixels[~valid] = np.nan
    return pixels


def write_cog(
    path: Path,
    pixels: npt.NDArray[Any],
    transform: Affine,
    crs: CRS,
    *,
    nodata: float | None,
    descriptions: Sequence[str] = (),
    scales: Sequence[float] = (),
    tags: Mapping[str, str] | None = None,
    colours: Mapping[int, tuple[int, int, int, int]] | None = None,
) -> None:
    """Write a cloud-optimised GeoTIFF in one step: the file is whole or not there.

    Args:
        path: the file to write; its folder exists.
        pixels: (bands, height, width); the type of the array is the type in the file.
        transform: pixel (column, row) to ground.
        crs: coordinate reference system.
        nodata: the value that means "no data", or None.
        descriptions: one name per band.
        scales: factor per band that turns stored numbers into the meaning of the band.
        tags: provenance.
        colours: colour table of a one-band uint8 raster.

    Raises:
        NotEnoughDisk: the disk is full; what was at `path` before is unchanged.
        SceneUnreadable: the folder cannot be written to.
    """
    profile = {
        # Else GDAL takes the fourth band of four for an alpha channel.
        "driver": "GTiff", "photometric": "MINISBLACK", "count": pixels.shape[0], "height": pixels.shape[1], "width": pixels.shape[2],
        "dtype": pixels.dtype, "crs": crs, "transform": transform, "nodata": nodata,
    }  # fmt: skip
    with MemoryFile() as memory:
        with memory.open(**profile) as target:
            target.write(pixels)
            for index, text in enumerate(descriptions, start=1):
                target.set_band_description(index, text)
            if scales:
                target.scales = tuple(scales)
            if tags:
                target.update_tags(**tags)
            if colours and pixels.shape[0] == 1:
                target.colorinterp = [ColorInterp.palette]
                target.write_colormap(1, dict(colours))
        copy_to_cog(memory.name, path)


@contextmanager
def cog_writer(
    path: Path,
    like: DatasetReader,
    *,
    count: int,
    dtype: str,
    nodata: float,
    descriptions: Sequence[str],
    scales: Sequence[float] = (),
) -> Iterator[DatasetWriter]:
    """A raster on the grid of `like` to write window by window; it becomes a COG at `path` when the block ends well.

    Args:
        path: the file to write; its folder exists.
        like: gives size, transform and coordinate reference system.
        count: number of bands.
        dtype: NumPy type of the pixels.
        nodata: the value that means "no data".
        descriptions: one name per band.
        scales: factor per band that turns stored numbers into the meaning of the band.

    Raises:
        NotEnoughDisk: the disk is full; what was at `path` before is unchanged.
        SceneUnreadable: the folder cannot be written to.
    """
    working = beside(path.with_suffix(".working"))
    profile = {
        "driver": "GTiff", "photometric": "MINISBLACK", "count": count, "height": like.height,
        "width": like.width, "dtype": dtype, "crs": like.crs,
        "transform": like.transform, "nodata": nodata, "tiled": True, "compress": "DEFLATE", "BIGTIFF": "IF_SAFER",
    }  # fmt: skip
    try:
        with _writing(path, like.width * like.height * count * np.dtype(dtype).itemsize):
            with rasterio.open(working, "w", **profile) as target:
                for index, text in enumerate(descriptions, start=1):
                    target.set_band_description(index, text)
                if scales:
                    target.scales = tuple(scales)
                yield target
            _check_whole(working)
        copy_to_cog(str(working), path)
    finally:
        remove(working)


def copy_to_cog(source: str, path: Path) -> None:
    """Turn a raster that GDAL can already read into a cloud-optimised GeoTIFF at `path`, whole or not at all.

    Raises:
        NotEnoughDisk: the disk is full; what was at `path` before is unchanged.
        SceneUnreadable: the folder cannot be written to.
    """
    with rasterio.open(source) as opened:
        size = opened.width * opened.height * opened.count * np.dtype(opened.dtypes[0]).itemsize
    with _writing(path, size), replacing(path) as partial:
        rasterio.shutil.copy(
            source, partial, driver="COG", compress="DEFLATE", predictor="YES", overview_resampling="NEAREST"
        )
        _check_whole(partial)


@contextmanager
def _writing(path: Path, size: int) -> Iterator[None]:
    """Say in our own words why a raster of up to `size` bytes cannot be written."""
    try:
        yield
    except (*_GDAL_ERRORS, OSError, SystemError) as error:  # rasterio calls an error without a text a SystemError
        # GDAL does not say why a write failed, so the disk itself is asked; overviews and GDAL's own files come on top.
        if not _disk_holds(path.parent, 2 * size):
            raise not_enough_disk(path.name) from error
        raise SceneUnreadable(f"{path.name} could not be written ({error}). Check the folder's permissions.") from error


def _disk_holds(folder: Path, size: int) -> bool:
    probe = beside(folder / "space")
    try:
        with probe.open("wb") as file:
            if not hasattr(os, "posix_fallocate"):
                return shutil.disk_usage(folder).free >= size
            os.posix_fallocate(file.fileno(), 0, size)
    except OSError as error:
        return not is_full(error)
    finally:
        remove(probe)
    return True


def _check_whole(path: Path) -> None:
    """Refuse a GeoTIFF that lacks a block: GDAL is silent about what fails while it closes a file."""
    end = path.stat().st_size
    with rasterio.open(path, driver="GTiff") as source:
        levels = len(source.overviews(1))
        bands = [1] if source.interleaving == Interleaving.pixel else list(source.indexes)
    for level in range(-1, levels):
        with rasterio.open(path, driver="GTiff", **({} if level < 0 else {"OVERVIEW_LEVEL": level})) as source:
            for band in bands:
                for (row, column), _ in source.block_windows(band):
                    place = (
                        source.get_tag_item(f"BLOCK_{v}_{column}_{row}", "TIFF", bidx=band) for v in ("OFFSET", "SIZE")
                    )
                    if sum(int(number or end + 1) for number in place) > end:
                        raise OSError(f"block {row}, {column} is missing")
