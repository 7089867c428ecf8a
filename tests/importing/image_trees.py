"""Small image files for the tests of importers."""

from pathlib import Path

import numpy as np
import rasterio
from affine import Affine
from PIL import Image


def picture(path: Path, size: int = 8, seed: int = 0) -> Path:
    """An RGB image whose kind follows from the suffix."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.random.default_rng(seed).integers(0, 256, (size, size, 3), dtype=np.uint8)).save(path)
    return path


def tiff(path: Path, bands: int, size: int = 8, names: tuple[str, ...] = (), metres: float = 10.0) -> Path:
    """A placed GeoTIFF; band b (from 1) holds b everywhere."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with rasterio.open(
        path, "w", driver="GTiff", count=bands, height=size, width=size, dtype="uint16", crs="EPSG:32632",
        transform=Affine(metres, 0, 500_000, 0, -metres, 5_000_000),
    ) as target:  # fmt: skip
        target.write(np.arange(1, bands + 1, dtype=np.uint16)[:, None, None] * np.ones((1, size, size), np.uint16))
        for band, name in enumerate(names, 1):
            target.set_band_description(band, name)
    return path


def texts(listing) -> str:
    """All notes as one text."""
    return "\n".join(note.text for note in listing.notes)
