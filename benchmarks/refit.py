"""Heads refitted on kept features, beside the backbone pass that made them; embedding beside the pure forward pass.

Figures:
    seconds_9k           wall seconds to refit three heads (30 classes, 15 objects, 2 classes) on 9,000 chips x 384 features, best
                         of 3, from fresh heads; its spread reaches up to the first call, right after the start (target 2)
    refit_over_backbone  CPU seconds of one backbone pass over the same chips over those of a refit (target 1,000)
    embed_over_forward   chips per second embedded from packed chips, with reading and normalising, over those of the forward pass
                         alone at its best batch size (target 0.95)

The backbone is preset small (384 wide, 12 blocks) on chips of 64 px and 13 bands, as `embed_chips` runs it in the app; its pass is
measured on a part of the chips and scaled to all. The features have a cluster per class with as much noise as leaves some objects
wrong. CPU time is that of one thread, both sides interleaved.
"""

from __future__ import annotations

import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from benchmarks.figures import Figure, Result, cpu_seconds, matmul_gflops, one_thread, ratio_of_minima

CHIPS = 9_000
PART = 192
SIDE = 64
SENSOR = "sentinel2_l1c"
BATCHES = (8, 16, 32, 64)
ROUNDS = 5


def run(shared: Path | None) -> Result:  # noqa: ARG001 - this one needs no shared data
    """Measure. Chips, features and weights are generated."""
    import torch

    from benchmarks.generated import TASKS, noise
    from spatialnet.model import SpatialNetViT
    from spatialnet.predict.chips import embed_chips
    from spatialnet.sensors import SENSORS
    from spatialnet.train.refit import refit_heads

    torch.manual_seed(0)
    model = SpatialNetViT([SENSORS[SENSOR]], TASKS, "small", chip_size=SIDE, gsd_m=10.0).eval()
    features, targets = _problem(model.dim)
    fresh = {name: value.clone() for name, value in model.heads.state_dict().items()}

    def refit() -> None:
        model.heads.load_state_dict(fresh)
        refit_heads(model, features, targets)

    wall = []
    for _ in range(4):
        start = time.perf_counter()
        refit()
        wall.append(time.perf_counter() - start)
    right = _right(model, features, targets)
    with tempfile.TemporaryDirectory() as folder, one_thread():
        data = noise(Path(folder) / "chips", SENSORS[SENSOR], PART, SIDE)
        images = torch.randn(max(BATCHES), len(SENSORS[SENSOR].bands), SIDE, SIDE)

        @torch.inference_mode()
        def forward(batch: int) -> None:
            for _ in range(PART // batch):
                model(images[:batch], tasks=["land_use"], return_features=True)

        trial = {batch: min(cpu_seconds({"": lambda b=batch: forward(b)}, rounds=1)[""]) for batch in BATCHES}  # type: ignore[misc]
        best = min(trial, key=lambda batch: trial[batch])
        seconds = cpu_seconds(
            {"forward": lambda: forward(best), "embed": lambda: embed_chips(model, data), "refit": refit}, rounds=ROUNDS
        )
    backbone = [s * CHIPS / PART for s in seconds["embed"]]
    over, over_spread = ratio_of_minima(backbone, seconds["refit"])
    embed, embed_spread = ratio_of_minima(seconds["forward"], seconds["embed"])
    rows = {
        "refit, first call": f"{wall[0]:.2f} s by the clock",
        "refit": f"{min(seconds['refit']):.3f} s CPU; right on the features it was fitted to: {right}",
        "backbone pass": f"{min(backbone):.0f} s CPU for {CHIPS:,} chips, from {PART}: {PART / min(seconds['embed']):.1f} chips/s",
        "forward alone": f"{PART / min(seconds['forward']):.1f} chips/s at batch {best}, the best of {', '.join(map(str, BATCHES))}",
        "matrix product": f"{matmul_gflops():.0f} GFLOP/s",
    }
    return Result(
        [
            Figure("seconds_9k", min(wall[1:]), "s", "lower", 2.0, len(wall), (min(wall), max(wall))),
            Figure("refit_over_backbone", over, "x", "higher", 1000.0, ROUNDS, over_spread),
            Figure("embed_over_forward", embed, "x", "higher", 0.95, ROUNDS, embed_spread),
        ],
        rows,
    )


def _problem(dim: int) -> tuple[npt.NDArray[np.float32], dict[str, npt.NDArray[Any]]]:
    generator = np.random.default_rng(0)
    use = generator.integers(0, 30, CHIPS)
    features = generator.normal(size=(30, dim))[use] + 2 * generator.normal(size=(CHIPS, dim))
    there = (generator.random((30, 15)) < 0.3)[use] ^ (generator.random((CHIPS, 15)) < 0.05)
    urban = (use % 2 == 1) ^ (generator.random(CHIPS) < 0.03)
    targets = {"land_use": use, "presence": there.astype(np.float32), "rural_urban": urban.astype(np.float32)}
    return features.astype(np.float32), targets


def _right(model: Any, features: npt.NDArray[np.float32], targets: dict[str, npt.NDArray[Any]]) -> str:
    import torch

    shares = []
    for name, head in model.heads.items():
        with torch.inference_mode():
            logits = head(torch.from_numpy(features)).numpy()
        answer = logits.argmax(1) if name == "land_use" else logits > 0
        shares.append(f"{name} {100 * (answer == targets[name]).mean():.1f} %")
    return ", ".join(shares)
