"""A small model that has learned, in a few seconds, whether a chip holds a red square, a green one, or none."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from spatialnet.model import SpatialNetViT
from spatialnet.sensors import SENSORS
from spatialnet.tasks import Task

SIZE, PATCH, SQUARE = 24, 4, 8

TASKS = (
    Task("square", "multiclass", ("none", "red", "green")),
    Task("colours", "multilabel", ("red", "green")),
    Task("empty", "binary", ("empty", "square")),
    Task("squares", "count", ("any",)),
)


@dataclass(frozen=True)
class Planted:
    """Noise (n, 3, SIZE, SIZE); where `kind` is 1 (red) or 2 (green), `mask` (n, SIZE, SIZE) shows the square."""

    images: torch.Tensor
    kind: torch.Tensor
    mask: np.ndarray


def plant(count: int, seed: int) -> Planted:
    generator = np.random.default_rng(seed)
    images = generator.standard_normal((count, 3, SIZE, SIZE)).astype(np.float32) * 0.5
    kind = generator.integers(0, 3, count)
    mask = np.zeros((count, SIZE, SIZE), bool)
    for chip in range(count):
        row, column = generator.integers(0, (SIZE - SQUARE) // PATCH + 1, 2) * PATCH
        mask[chip, row : row + SQUARE, column : column + SQUARE] = kind[chip] > 0
        if kind[chip]:
            images[chip, kind[chip] - 1][mask[chip]] += 2.0
    return Planted(torch.from_numpy(images), torch.from_numpy(kind), mask)


def _loss(answers: dict[str, torch.Tensor], kind: torch.Tensor) -> torch.Tensor:
    there = (kind > 0).float()
    return (
        F.cross_entropy(answers["square"], kind)
        + F.binary_cross_entropy_with_logits(answers["colours"], torch.stack([kind == 1, kind == 2], 1).float())
        + F.binary_cross_entropy_with_logits(answers["empty"], there)
        + F.mse_loss(answers["squares"][:, 0], there.log1p())
    )


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # batches are too small to share out
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="session")
def trained(one_thread: None) -> SpatialNetViT:
    torch.manual_seed(0)
    model = SpatialNetViT([SENSORS["rgb"]], TASKS, "nano", chip_size=SIZE, gsd_m=1.0, patch=PATCH)
    steps = 60
    optimiser = torch.optim.AdamW(model.parameters(), 1e-3)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, 2e-3, steps)
    for step in range(steps):
        data = plant(32, 100 + step)
        optimiser.zero_grad()
        _loss(model(data.images), data.kind).backward()
        optimiser.step()
        schedule.step()
    optimiser.zero_grad()
    return model.eval()


@pytest.fixture(scope="session")
def planted() -> Planted:
    return plant(48, 7)
