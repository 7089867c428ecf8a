"""Writes rasters: cloud-optimised GeoTIFFs that are whole or not there, and a full disk in our own words."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import rasterio
import rasterio.shutil
from affine import Affine
from rasterio.crs import CRS
from rasterio.enums import ColorInterp, Interleaving
from rasterio.io import DatasetWriter, MemoryFile

from spatialnet.atomic import beside, is_full, not_enough_disk, remove, replacing
from spatialnet.errors import SceneUnreadable
from spatialnet.raster.reading import GDAL_ERRORS, named_crs


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


class Grid(Protocol):
    """What has size and place on the ground: an open raster, or a part of one."""

    @property
    def height(self) -> int:
        """In pixels."""

    @property
    def width(self) -> int:
        """In pixels."""

    @property
    def transform(self) -> Affine:
        """Pixel (column, row) to ground."""

    @property
    def crs(self) -> CRS:
        """Coordinate reference system."""


@contextmanager
def cog_writer(
    path: Path,
    like: Grid,
    *,
    count: int,
    dtype: str,
    nodata: float,
    descriptions: Sequence[str],
    scales: Sequence[float] = (),
    tags: Mapping[str, str] | None = None,
    colours: Mapping[int, tuple[int, int, int, int]] | None = None,
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
        tags: provenance.
        colours: colour table of a one-band uint8 raster.

    Raises:
        NotEnoughDisk: the disk is full; what was at `path` before is unchanged.
        SceneUnreadable: the folder cannot be written to.
    """
    working = beside(path.with_suffix(".working"))
    profile = {
        "driver": "GTiff", "photometric": "PALETTE" if colours else "MINISBLACK", "count": count, "height": like.height,
        "width": like.width, "dtype": dtype, "crs": None if like.crs is None else named_crs(like.crs),
        "transform": like.transform, "nodata": nodata, "tiled": True, "BIGTIFF": "IF_SAFER",
        "compress": "DEFLATE", "zlevel": 1,  # it is read once, by the copy, and removed
    }  # fmt: skip
    try:
        with _writing(path, like.width * like.height * count * np.dtype(dtype).itemsize):
            with rasterio.open(working, "w", **profile) as target:
                for index, text in enumerate(descriptions, start=1):
                    target.set_band_description(index, text)
                if scales:
                    target.scales = tuple(scales)
                if tags:
                    target.update_tags(**tags)
                if colours:
                    target.write_colormap(1, dict(colours))
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
            source, partial, driver="COG", compress="DEFLATE", predictor="YES", overview_resampling="NEAREST",
            num_threads="ALL_CPUS",  # the bytes are the same with any number
        )  # fmt: skip
        _check_whole(partial)


@contextmanager
def _writing(path: Path, size: int) -> Iterator[None]:
    """Say in our own words why a raster of up to `size` bytes cannot be written."""
    try:
        yield
    except (*GDAL_ERRORS, OSError, SystemError) as error:  # rasterio calls an error without a text a SystemError
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
