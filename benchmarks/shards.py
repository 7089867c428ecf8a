"""A scene predicted by two processes of one thread each, beside one process of one thread.

Figures:
    two_over_one   throughput of two processes over that of one, by the clock, from when all of a side's processes have
                   imported what they need to the finished GeoTIFFs: loading the model, reading, predicting, the rows that both
                   compute, and putting together count on both sides; starting and ending Python do not (target 1.8)
    identical      1 where all files of both sides are the same bytes, else 0 (target 1)

The sides take turns, in another order each round; the value is the middle round's. The scene has 13 bands; the model is
preset tiny with 64 px windows at half a window's stride and random weights: neither time nor bytes depend on what it learnt.
Time by the clock is meaningful on a quiet machine of two cores or more only: the load of the machine is printed.
"""

from __future__ import annotations

import multiprocessing
import os
import shutil
import tempfile
import time
from contextlib import suppress
from multiprocessing.synchronize import Barrier
from pathlib import Path
from threading import BrokenBarrierError

import numpy as np
import rasterio
from affine import Affine
from rasterio.crs import CRS

from benchmarks.figures import CannotRun, Figure, Result
from spatialnet.runs import Run
from spatialnet.sensors import SENSORS
from spatialnet.shards.manifest import Manifest, read_manifest
from spatialnet.shards.request import scenes_manifest
from spatialnet.shards.run import finish, run_shard
from spatialnet.tasks import Task

HEIGHT, WIDTH, CHIP = 4096, 768, 64
ROUNDS = 3
SENSOR = "sentinel2_l1c"

_ONE_THREAD = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "OMP_WAIT_POLICY": "PASSIVE"}
_PATIENCE = 300.0
"""Seconds that a process may take to import what it needs."""


def run(shared: Path | None) -> Result:  # noqa: ARG001
    """Measure. `shared` is not needed: scene and model are generated."""
    if len(os.sched_getaffinity(0)) < 2:
        raise CannotRun("needs two processor cores")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        trained, scene = _run(folder), _scene(folder)
        seconds: dict[int, list[float]] = {1: [], 2: []}
        made: dict[int, dict[str, bytes]] = {}
        loads = []
        for number in range(ROUNDS):
            loads.append(os.getloadavg()[0])
            for processes in (1, 2) if number % 2 == 0 else (2, 1):
                out = folder / f"by-{processes}"
                manifest = scenes_manifest(out, "predict", trained, {"scene": {SENSOR: scene}})
                manifest.publish()
                taken, files = _timed(manifest, processes)
                seconds[processes].append(taken)
                made[processes] = {role: path.read_bytes() for role, path in files.items()}
                shutil.rmtree(out)
    ratios = [one / two for one, two in zip(seconds[1], seconds[2], strict=True)]
    value = float(np.median(ratios))
    same = float(made[1] == made[2])
    windows = (2 * HEIGHT // CHIP - 1) * (2 * WIDTH // CHIP - 1)
    rows = {
        f"{n} process{'es' * (n > 1)}": f"{min(times):.1f} s, {windows / min(times):,.0f} windows/s"
        for n, times in seconds.items()
    }
    rows["load of the machine before each round"] = ", ".join(f"{load:.1f}" for load in loads)
    rows["scene"] = f"{WIDTH} x {HEIGHT} px of {len(SENSORS[SENSOR].bands)} bands, {windows:,} windows of {CHIP} px"
    return Result(
        [
            Figure("two_over_one", value, "x", "higher", 1.8, ROUNDS, (min(ratios), max(ratios))),
            Figure("identical", same, "", "higher", 1.0, len(made[1]), (same, same)),
        ],
        rows,
    )


def _timed(manifest: Manifest, processes: int) -> tuple[float, dict[str, Path]]:
    """Seconds from when all processes are ready to the finished files, and these."""
    context = multiprocessing.get_context("spawn")
    ready = context.Barrier(processes + 1)
    before = {name: os.environ.get(name) for name in _ONE_THREAD}
    os.environ.update(_ONE_THREAD)
    try:
        shards = [
            context.Process(target=_shard, args=(manifest.folder, number, processes, ready), daemon=True)
            for number in range(1, processes + 1)
        ]
        for shard in shards:
            shard.start()
    finally:
        for name, value in before.items():
            os.environ.pop(name) if value is None else os.environ.update({name: value})
    ready.wait(_PATIENCE)
    start = time.monotonic()
    with suppress(BrokenBarrierError):  # a process that fails breaks it
        ready.wait(_PATIENCE)
    worked = time.monotonic() - start
    for shard in shards:
        shard.join()
    if any(shard.exitcode for shard in shards):
        raise CannotRun("a process of the prediction failed; its message stands above")
    start = time.monotonic()
    files = finish(manifest)["scene"]
    return worked + time.monotonic() - start, files


def _shard(folder: Path, number: int, shards: int, ready: Barrier) -> None:
    import torch

    torch.set_num_threads(1)
    manifest = read_manifest(folder)
    ready.wait(_PATIENCE)
    try:
        run_shard(manifest, number, shards, device="cpu")
    except BaseException:
        ready.abort()
        raise
    ready.wait(_PATIENCE)


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
