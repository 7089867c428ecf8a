"""A scene predicted by two processes of one thread each, beside one process of one thread.

Figures:
    two_over_one   throughput of two processes over that of one, by the clock, from the command to the finished
                   GeoTIFFs: starts, model loading and putting together count on both sides (target 1.8)
    identical      1 where all files of both sides are the same bytes, else 0 (target 1)

The scene has 13 bands and as many windows as keep one process busy for about half a minute; the model is preset tiny with
64 px windows at half a window's stride and random weights: neither time nor bytes depend on what it learnt. Time by the
clock is meaningful on a quiet machine of two cores only.
"""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from pathlib import Path

import numpy as np
import rasterio
from affine import Affine
from rasterio.crs import CRS

from benchmarks.figures import CannotRun, Figure, Result
from spatialnet.runs import Run
from spatialnet.sensors import SENSORS
from spatialnet.shards.manifest import Manifest
from spatialnet.shards.processes import run_processes
from spatialnet.shards.request import scenes_manifest
from spatialnet.shards.run import finish
from spatialnet.tasks import Task

HEIGHT, WIDTH, CHIP = 2560, 1024, 64
ROUNDS = 2
SENSOR = "sentinel2_l1c"


def run(shared: Path | None) -> Result:  # noqa: ARG001
    """Measure. `shared` is not needed: scene and model are generated."""
    if len(os.sched_getaffinity(0)) < 2:
        raise CannotRun("needs two processor cores")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        trained, scene = _run(folder), _scene(folder)
        seconds: dict[int, list[float]] = {1: [], 2: []}
        made: dict[int, dict[str, bytes]] = {}
        for _ in range(ROUNDS):
            for processes in (1, 2):
                out = folder / f"by-{processes}"
                manifest = scenes_manifest(out, "predict", trained, {"scene": {SENSOR: scene}})
                manifest.publish()
                start = time.monotonic()
                files = _do(manifest, processes)
                seconds[processes].append(time.monotonic() - start)
                made[processes] = {role: path.read_bytes() for role, path in files.items()}
                shutil.rmtree(out)
    ratios = [one / two for one, two in zip(seconds[1], seconds[2], strict=True)]
    value = min(seconds[1]) / min(seconds[2])
    same = float(made[1] == made[2])
    windows = (2 * HEIGHT // CHIP - 1) * (2 * WIDTH // CHIP - 1)
    rows = {
        f"{n} process{'es' * (n > 1)}": f"{min(times):.1f} s, {windows / min(times):,.0f} windows/s"
        for n, times in seconds.items()
    }
    rows["scene"] = f"{WIDTH} x {HEIGHT} px of {len(SENSORS[SENSOR].bands)} bands, {windows:,} windows of {CHIP} px"
    return Result(
        [
            Figure("two_over_one", value, "x", "higher", 1.8, ROUNDS, (min([value, *ratios]), max([value, *ratios]))),
            Figure("identical", same, "", "higher", 1.0, len(made[1]), (same, same)),
        ],
        rows,
    )


def _do(manifest: Manifest, processes: int) -> dict[str, Path]:
    run_processes(manifest, processes, threads=1, device="cpu")
    return finish(manifest)["scene"]


def _run(folder: Path) -> Run:
    import torch

    from spatialnet.model import SpatialNetViT, save_model

    torch.manual_seed(0)
    tasks = [
        Task("land_use", "multiclass", ("forest", "water", "built", "crops")),
        Task("presence", "multilabel", ("road", "house", "water")),
    ]
    model = SpatialNetViT([SENSORS[SENSOR]], tasks, "tiny", chip_size=CHIP, gsd_m=10.0)
    (folder / "run").mkdir()
    save_model(folder / "run" / "model.safetensors", model, extra={})
    return Run(folder / "run", {"dataset": "none", "created_at": 0.0, "tasks": [task.to_dict() for task in tasks]})


def _scene(folder: Path) -> Path:
    generator = np.random.default_rng(0)
    bands = len(SENSORS[SENSOR].bands)
    ground = generator.normal(0, 1, (bands, HEIGHT // 32, WIDTH // 32)).repeat(32, 1).repeat(32, 2)
    path = folder / "scene.tif"
    with rasterio.open(
        path, "w", driver="GTiff", count=bands, height=HEIGHT, width=WIDTH, dtype="float32", crs=CRS.from_epsg(32617),
        transform=Affine(10, 0, 500_000, 0, -10, 4_000_000), tiled=True, compress="DEFLATE",
    ) as target:  # fmt: skip
        target.write((ground + generator.normal(0, 0.1, ground.shape)).astype(np.float32))
    return path
