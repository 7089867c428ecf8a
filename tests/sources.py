"""Writes small sources as people would bring them: scenes with land cover, folders of images."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import rasterio
from affine import Affine
from PIL import Image
from rasterio.crs import CRS

from spatialnet.datasets.packed import PackedChips
from spatialnet.importing.formats import IMPORTERS
from spatialnet.importing.import_plan import propose_plan
from spatialnet.importing.importer import Source
from spatialnet.importing.packing import build_dataset
from spatialnet.importing.prescan.scan import scan

ORIGIN = (500_000.0, 4_000_000.0)
"""Upper left corner of the stack, EPSG:32617."""


def write_stack(folder: Path, *, side: int = 256) -> Path:
    """Two co-registered sensors (ten bands of Sentinel-2, Sentinel-1) and land cover in WorldCover codes, at 10 m."""
    folder.mkdir(parents=True)
    rows, columns = np.mgrid[0:side, 0:side]
    codes = np.where((rows // 16 + columns // 24) % 3 == 0, 10, np.where(columns % 90 < 50, 40, 80)).astype(np.uint8)
    generator = np.random.default_rng(11)
    level = {10: 400, 40: 1500, 80: 150}
    ground = np.vectorize(level.get)(codes)
    optical = (ground[None] + np.arange(10)[:, None, None] * 60 + generator.normal(0, 40, (10, side, side))).clip(1)
    echo = (-12 + ground[None] / 300 + generator.normal(0, 1, (2, side, side))).astype(np.float32)
    names = ("B02", "B03", "B04", "B05", "B06", "B07", "B08", "B8A", "B11", "B12")
    write_raster(folder / "sentinel2.tif", optical.astype(np.uint16), names)
    write_raster(folder / "sentinel1.tif", echo, ("VV", "VH"))
    write_raster(folder / "land_cover.tif", codes[None])
    return folder


def write_raster(path: Path, pixels: np.ndarray, descriptions: tuple[str, ...] = ()) -> Path:
    """A GeoTIFF at `ORIGIN` with pixels of 10 m."""
    count, height, width = pixels.shape
    with rasterio.open(
        path, "w", driver="GTiff", count=count, height=height, width=width, dtype=pixels.dtype, crs=CRS.from_epsg(32617),
        transform=Affine(10, 0, ORIGIN[0], 0, -10, ORIGIN[1]),
    ) as target:  # fmt: skip
        target.write(pixels)
        for band, text in enumerate(descriptions, 1):
            target.set_band_description(band, text)
    return path


def write_images(folder: Path, *, classes: tuple[str, ...] = ("Forest", "SeaLake", "river"), each: int = 12) -> Path:
    """JPEG-like pictures without a place, in one folder per class."""
    generator = np.random.default_rng(5)
    for number, name in enumerate(classes):
        (folder / name).mkdir(parents=True)
        for image in range(each):
            pixels = generator.integers(0, 120, (32, 32, 3), dtype=np.uint8)
            pixels[..., number % 3] += 100
            Image.fromarray(pixels).save(folder / name / f"{name}_{image}.png")
    return folder


def build_pictures(folder: Path, source: Path) -> PackedChips:
    """`write_images` as a data set."""
    found = scan(IMPORTERS["image_folder"].listing(Source(write_images(source))))
    return build_dataset(folder, found, propose_plan(found, folder.name))
