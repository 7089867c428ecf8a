"""The packed chip store, beside one GeoTIFF per chip read through a `Dataset` and `DataLoader`.

Figures:
    packed_over_geotiff   batches per second ready for the model (float32, normalised) out of the store, over those of
                          one-GeoTIFF-per-chip (target 30)
    packed_over_training  the store's rate over the rate at which `nano` trains on the same chips (target 2)

The chips are those of an import of EuroSAT's own layout: 13 bands of 64 x 64 uint16. The store is read from its memory
map, batch by batch; what a training of this size does, keeping the normalised chips in memory, is shown beside it.
Every side runs in one thread.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import rasterio
import torch
from affine import Affine
from rasterio.crs import CRS
from torch.utils.data import DataLoader, Dataset

from benchmarks.figures import Figure, Result, cpu_seconds, matmul_gflops, one_thread, ratio_of_minima
from spatialnet.datasets.packed import PackedChips
from spatialnet.importing.formats import IMPORTERS
from spatialnet.importing.import_plan import propose_plan
from spatialnet.importing.importer import Source
from spatialnet.importing.packing import build_dataset
from spatialnet.importing.prescan.scan import scan
from spatialnet.model import SpatialNetViT
from spatialnet.model.losses import MultiTaskLoss
from spatialnet.train import batches
from spatialnet.train.batches import Chips

CLASSES = ("Forest", "River", "Residential", "Pasture")
CHIPS = 1024
BATCH = 64
ROUNDS = 5


def run(shared: Path | None) -> Result:  # noqa: ARG001 - this one needs no shared data
    """Measure. The chips are generated."""
    with tempfile.TemporaryDirectory() as folder, one_thread():
        files = _write(Path(folder) / "EuroSAT_MS")
        data = _packed(Path(folder))
        model = SpatialNetViT(data.sensors, data.tasks, "nano", chip_size=64, gsd_m=data.gsd_m)
        model.set_statistics({s.name: data.statistics(s.name) for s in data.sensors})
        mapped, kept = _chips(data, model, resident=False), _chips(data, model, resident=True)
        sides = {
            "store, memory-mapped": _from_store(mapped),
            "store, kept in memory": _from_store(kept),
            "one GeoTIFF per chip": _from_files(files, data),
            "nano training": _training(kept, model),
        }
        counts = {"one GeoTIFF per chip": len(files)}
        seconds = {
            side: [t / counts.get(side, len(mapped)) for t in times]
            for side, times in cpu_seconds(sides, rounds=ROUNDS).items()
        }
        ceiling = matmul_gflops()
    packed = seconds["store, memory-mapped"]
    figures = []
    for name, other, target in (
        ("packed_over_geotiff", "one GeoTIFF per chip", 30.0),
        ("packed_over_training", "nano training", 2.0),
    ):
        value, spread = ratio_of_minima(seconds[other], packed)
        figures.append(Figure(name, value, "x", "higher", target, ROUNDS, spread))
    rows = {side: f"{1 / min(times):,.0f} chips/s" for side, times in seconds.items()}
    return Result(figures, rows | {"matrix product": f"{ceiling:.0f} GFLOP/s"})


def _write(folder: Path) -> list[Path]:
    generator, files = np.random.default_rng(0), []
    for number in range(CHIPS):
        name = CLASSES[number % len(CLASSES)]
        path = folder / name / f"{name}_{number // len(CLASSES) + 1}.tif"
        path.parent.mkdir(parents=True, exist_ok=True)
        smooth = generator.normal(1500, 400, (13, 8, 8)).repeat(8, 1).repeat(8, 2)
        pixels = np.clip(smooth + generator.normal(0, 25, smooth.shape), 0, 10_000).astype(np.uint16)
        place = Affine(10, 0, 400_000 + 700 * (number % 32), 0, -10, 5_000_000 - 700 * (number // 32))
        with rasterio.open(
            path, "w", driver="GTiff", count=13, height=64, width=64, dtype="uint16", crs=CRS.from_epsg(32632),
            transform=place, photometric="MINISBLACK",
        ) as target:  # fmt: skip
            target.write(pixels)
        files.append(path)
    return files


def _packed(folder: Path) -> PackedChips:
    listing = IMPORTERS["eurosat"].listing(Source(folder / "EuroSAT_MS"))
    scanned = scan(listing)
    return build_dataset(folder / "datasets" / "eurosat", scanned, propose_plan(scanned, "eurosat"))


def _chips(data: PackedChips, model: SpatialNetViT, *, resident: bool) -> Chips:
    targets = {t.name: _dense(data, t.name) for t in data.tasks}
    weights = {t.name: np.ones(len(data), np.float32) for t in data.tasks}
    with mock.patch.object(batches, "RESIDENT_BYTES", 2 << 30 if resident else 0):
        return Chips(data, "train", model, targets, weights)


def _dense(data: PackedChips, task: str) -> Any:
    return batches.training_targets(data.folder, data, data.task(task), np.ones(len(data), np.float32), soft=False)


def _from_store(chips: Chips) -> Callable[[], None]:
    def read() -> None:
        order = torch.from_numpy(np.random.default_rng(0).permutation(len(chips)))
        for start in range(0, len(chips), BATCH):
            chips.batch(order[start : start + BATCH])

    return read


class _Files(Dataset[torch.Tensor]):
    """One GeoTIFF per chip, as most data sets are read."""

    def __init__(self, files: list[Path], mean: torch.Tensor, std: torch.Tensor) -> None:
        self.files, self.mean, self.std = files, mean, std

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, index: int) -> torch.Tensor:
        with rasterio.open(self.files[index]) as source:
            pixels = torch.from_numpy(source.read().astype(np.float32))
        return (pixels - self.mean) / self.std


def _from_files(files: list[Path], data: PackedChips) -> Callable[[], None]:
    mean, std = (torch.from_numpy(part)[:, None, None] for part in data.statistics(data.sensors[0].name))

    def read() -> None:
        for _ in DataLoader(_Files(files, mean, std), batch_size=BATCH, shuffle=True):
            pass

    return read


def _training(chips: Chips, model: SpatialNetViT) -> Callable[[], None]:
    loss = MultiTaskLoss(list(model.tasks.values()))
    optimizer = torch.optim.AdamW([*model.parameters(), *loss.parameters()], lr=1e-4, fused=True)

    def train() -> None:
        model.train()
        order = torch.from_numpy(np.random.default_rng(0).permutation(len(chips)))
        for start in range(0, len(chips), BATCH):
            batch = chips.batch(order[start : start + BATCH])
            value = torch.stack([*loss(model(batch.images), batch.targets).tasks.values()]).sum()
            optimizer.zero_grad(set_to_none=True)
            value.backward()
            optimizer.step()

    return train
