"""Cutting chips from a scene, beside TorchGeo's `GridGeoSampler` on the same file, and beside decoding it once.

Figures:
    over_gridgeosampler_64   our chips per second over TorchGeo's, 64 px chips side by side (target 15)
    over_gridgeosampler_256  the same with 256 px chips (target 3)
    reader_over_decode       our time to cut the whole scene over the time to decode every block once (target 1.15)

The scene is a cloud-optimised GeoTIFF of 4 uint16 bands in 512 px tiles, packed with Zstandard. Both readers run in one
process and one thread and hand over one array of its own per chip; TorchGeo reads through its own `DataLoader` without
workers. Beside the decoder, which hands over blocks as they are, chips are handed over as views. TorchGeo is an
optional extra: without it this benchmark cannot run.
"""

from __future__ import annotations

import tempfile
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import rasterio
from affine import Affine
from rasterio.crs import CRS

from benchmarks.figures import CannotRun, Figure, Result, cpu_seconds, ratio_of_minima
from spatialnet.importing.chip_reader import ChipReader
from spatialnet.importing.listing import Pixels
from spatialnet.raster import open_raster
from spatialnet.sensors import SENSORS

SIDE = 2048
ROUNDS = 5


def run(shared: Path | None) -> Result:  # noqa: ARG001
    """Measure. `shared` is not needed: the scene is generated."""
    try:
        import torchgeo  # noqa: F401
    except ImportError as error:
        raise CannotRun("needs TorchGeo beside the app: pip install -r requirements-torchgeo.txt") from error
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        path = _scene(Path(folder))
        figures, rows = [], {}
        for size, target in ((64, 15.0), (256, 3.0)):
            chips = (SIDE // size) ** 2
            seconds = cpu_seconds({"ours": _ours(path, size), "torchgeo": _torchgeo(path, size)}, rounds=ROUNDS)
            value, spread = ratio_of_minima(seconds["torchgeo"], seconds["ours"])
            figures.append(Figure(f"over_gridgeosampler_{size}", value, "x", "higher", target, ROUNDS, spread))
            for side, times in seconds.items():
                rows[f"{side}, {size} px"] = f"{chips / min(times):,.0f} chips/s"
        seconds = cpu_seconds({"reader": _ours(path, 64, views=True), "decode": _decode(path)}, rounds=2 * ROUNDS)
        value, spread = ratio_of_minima(seconds["reader"], seconds["decode"])
        figures.append(Figure("reader_over_decode", value, "x", "lower", 1.15, 2 * ROUNDS, spread))
        rows["decode every block once"] = f"{min(seconds['decode']):.3f} s CPU, {SIDE} x {SIDE} x 4 uint16"
    return Result(figures, rows)


def _scene(folder: Path) -> Path:
    generator = np.random.default_rng(0)
    # Smooth ground with sensor noise, so that it packs about as well as real imagery.
    coarse = generator.normal(1500, 400, (4, SIDE // 32, SIDE // 32)).repeat(32, 1).repeat(32, 2)
    pixels = np.clip(coarse + generator.normal(0, 25, coarse.shape), 0, 10_000).astype(np.uint16)
    path = folder / "scene.tif"
    with rasterio.open(
        path, "w", driver="COG", count=4, height=SIDE, width=SIDE, dtype="uint16", crs=CRS.from_epsg(32617),
        transform=Affine(10, 0, 500_000, 0, -10, 4_000_000), compress="ZSTD", blocksize=512,
    ) as target:  # fmt: skip
        target.write(pixels)
    return path


def _ours(path: Path, size: int, *, views: bool = False) -> Callable[[], None]:
    starts = np.arange(0, SIDE - size + 1, size)
    rows, columns = (axis.ravel() for axis in np.meshgrid(starts, starts, indexing="ij"))
    pixels = Pixels(
        SENSORS["naip"], "windows", (path,), np.zeros((len(rows), 1), np.int32), rows, columns, size, (1, 2, 3, 4)
    )

    def cut() -> None:
        with ChipReader(pixels) as reader:
            found = sum(
                len(chip if views else chip.copy()) == 4 for chip in reader.chips(0, len(rows)) if chip is not None
            )
        assert found == len(rows)

    return cut


def _torchgeo(path: Path, size: int) -> Callable[[], None]:
    from torch.utils.data import DataLoader
    from torchgeo.datasets import RasterDataset, stack_samples
    from torchgeo.samplers import GridGeoSampler

    data = RasterDataset(paths=[str(path)])
    sampler = GridGeoSampler(data, size=size, stride=size)

    def cut() -> None:
        loader = DataLoader(data, batch_size=1, sampler=sampler, collate_fn=stack_samples)
        found = sum(len(batch["image"]) for batch in loader)
        assert found >= (SIDE // size) ** 2

    return cut


def _decode(path: Path) -> Callable[[], None]:
    def decode() -> None:
        with open_raster(path) as source:
            for _, window in source.block_windows(1):
                source.read(window=window)

    return decode
