from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import pytest
import torch

from spatialnet.model import SpatialNetViT
from spatialnet.sensors import SENSORS, Sensor
from spatialnet.tasks import Task

TASKS = (
    Task("land_use", "multiclass", ("low", "high")),
    Task("presence", "multilabel", ("west", "east", "never")),
    Task("urban", "binary", ("rural", "urban")),
    Task("cars", "count", ("cars",)),
)


class HandMade:
    """Stands where a model stands, with answers that can be worked out by hand from the mean of each window's first band.

    With m that mean: land_use gives m and 1 - m; presence m, 1 - m and 0.25; urban m as "urban"; cars 10 m.
    """

    chip_size = 8

    def __init__(
        self, sensors: tuple[Sensor, ...], answer: Callable[[np.ndarray], np.ndarray] = lambda means: means
    ) -> None:
        self.sensors = {sensor.name: sensor for sensor in sensors}
        self.tasks = {task.name: task for task in TASKS}
        self.answer = answer
        self.seen: list[tuple[int, Mapping[str, torch.Tensor] | None]] = []

    def prepare(self, images: Mapping[str, np.ndarray], *, overwrite=False, dataset=None) -> dict[str, torch.Tensor]:
        return {name: torch.from_numpy(np.nan_to_num(pixels)) for name, pixels in images.items()}

    def __call__(self, images, *, present=None) -> dict[str, torch.Tensor]:
        first = next(iter(images.values()))
        self.seen.append((len(first), present))
        means = torch.from_numpy(self.answer(first[:, 0].double().mean(dim=(1, 2)).numpy())).clamp(1e-6, 1 - 1e-6)
        logit = torch.logit(means)
        return {
            "land_use": torch.stack([means.log(), (1 - means).log()], 1),
            "presence": torch.stack([logit, -logit, torch.full_like(logit, float(np.log(1 / 3)))], 1),
            "urban": logit,
            "cars": torch.log1p(10 * means)[:, None],
        }


@pytest.fixture
def hand_made() -> type[HandMade]:
    return HandMade


@pytest.fixture(scope="session")
def make_model():
    """A small network with random weights that knows a data set's sensors and tasks."""

    def make(data) -> SpatialNetViT:
        torch.manual_seed(0)
        model = SpatialNetViT(data.sensors, data.tasks, "nano", chip_size=data.chip_size, gsd_m=data.gsd_m, patch=8)
        model.set_statistics({sensor.name: data.statistics(sensor.name) for sensor in data.sensors})
        for parameter in model.heads.parameters():
            torch.nn.init.normal_(parameter, std=0.5)  # so that answers differ from chip to chip
        return model.eval()

    return make


@pytest.fixture
def one_band() -> Sensor:
    return SENSORS["elevation"]
