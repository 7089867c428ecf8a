"""What an explanation of one chip costs.

Figures:
    gradient_attention_units    CPU time of gradient-weighted attention for one chip, through the public function with
                                its checks, over one forward and backward pass (to the pixels) of the same model and
                                chip. Target: at most 1.5.

The model is the sample's: preset nano, six bands, 16 px chips. Costs do not depend on the weights, so they are random.
The table shows the other cheap method, a larger model, and the empty row: one forward pass alone.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch

from benchmarks.figures import Figure, Result, cpu_seconds, matmul_gflops, one_thread, ratio_of_minima
from spatialnet.explain.attribute import attribute
from spatialnet.model import SpatialNetViT, score
from spatialnet.sensors import SENSORS
from spatialnet.tasks import Task

ROUNDS = 40
TASK = Task("land_use", "multiclass", ("water", "forest", "developed"))


def run(shared: Path | None) -> Result:  # noqa: ARG001 - this one needs no shared data
    """Measure; about ten seconds."""
    rows, figures = {"float32 matrix product, 1 thread": f"{matmul_gflops():.0f} GFLOP/s"}, []
    with one_thread():
        for preset, chip_size in (("nano", 16), ("tiny", 64)):
            seconds = cpu_seconds(_sides(preset, chip_size), rounds=ROUNDS)
            unit = min(seconds["forward and backward"])
            for side, values in seconds.items():
                rows[f"{preset}, {chip_size} px: {side}"] = (
                    f"{1e3 * min(values):.2f} ms  ({min(values) / unit:.2f} units)"
                )
            if preset == "nano":
                value, spread = ratio_of_minima(seconds["gradient attention"], seconds["forward and backward"])
                figures.append(Figure("gradient_attention_units", value, "x", "lower", 1.5, ROUNDS, spread))
    return Result(figures, rows)


def _sides(preset: str, chip_size: int) -> dict[str, Callable[[], object]]:
    torch.manual_seed(0)
    sensor = SENSORS["landsat7"]
    model = SpatialNetViT([sensor], [TASK], preset, chip_size=chip_size, gsd_m=30.0).eval()
    pixels = torch.randn(1, len(sensor.bands), chip_size, chip_size)

    def forward() -> object:
        with torch.no_grad():
            return model(pixels)

    def forward_backward() -> object:
        leaf = pixels.clone().requires_grad_()
        return torch.autograd.grad(score(model(leaf)[TASK.name], TASK, 0).sum(), leaf)

    return {
        "forward": forward,
        "forward and backward": forward_backward,
        "attention rollout": lambda: attribute(model, {sensor.name: pixels}, TASK.name, 0, "attention_rollout"),
        "gradient attention": lambda: attribute(model, {sensor.name: pixels}, TASK.name, 0, "gradient_attention"),
    }
