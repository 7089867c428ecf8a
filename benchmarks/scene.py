"""A scene predicted whole, with its files written, beside the bare forward pass; its memory, and its seams.

Figures:
    over_forward       windows per second from the open scene to finished GeoTIFFs, over those of the bare forward pass at its best
                       batch size of 32, 64 and 128, the pixels already in memory and normalised (target 0.93)
    memory_growth_4x   peak memory that predicting a scene of four times the rows takes, over that of the scene (target 1.1)
    peak_gib_20k       peak memory while a scene of 20,000 x 20,000 pixels and 4 bands is predicted, most of it without data (target 3)
    seam_over_interior mean jump of a count from one pixel to the next where windows begin or end, over that elsewhere (target 1.2)

Preset tiny with random weights, 64 px windows: neither time nor memory depend on what it learnt. The sides of `over_forward` take
turns in one process with all its cores. Memory is all that a process of its own takes at its peak, Python and torch included.
"""

from __future__ import annotations

import multiprocessing
import resource
import tempfile
import time
from multiprocessing.connection import Connection
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import rasterio
from affine import Affine
from rasterio.crs import CRS
from rasterio.windows import Window

from benchmarks.figures import CannotRun, Figure, Result
from spatialnet.sensors import SENSORS
from spatialnet.tasks import Task

if TYPE_CHECKING:
    from spatialnet.model import SpatialNetViT

CHIP, SENSOR = 64, "naip"
HEIGHT, WIDTH = 1536, 1024
ROUNDS = 3
LARGE = 20_000
BATCHES = (32, 64, 128)

_TASKS = [
    Task("land_use", "multiclass", ("forest", "water", "built", "crops")),
    Task("presence", "multilabel", ("road", "house", "water")),
    Task("rural_urban", "binary", ("rural", "urban")),
    Task("number", "count", ("houses",)),
]


def run(shared: Path | None) -> Result:  # noqa: ARG001
    """Measure. `shared` is not needed: scenes and model are generated."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        scene, tall = folder / "scene.tif", folder / "tall.tif"
        _write(scene, HEIGHT)
        _write(tall, 4 * HEIGHT)
        ratios, rows = _over_forward(scene, folder)
        seam = _seam(folder / "maps" / "number.tif")
        small, tall_peak = _peak(folder, scene), _peak(folder, tall)
        growth = tall_peak / small
        large = folder / "large.tif"
        _write_sparse(large)
        peak = _peak(folder, large, stride=CHIP) / 2**30
    value = float(np.median(ratios))
    rows["peak memory"] = f"{small / 2**20:,.0f} MiB; four times the rows {tall_peak / 2**20:,.0f} MiB"
    rows["scene"] = f"{WIDTH} x {HEIGHT} px, {len(SENSORS[SENSOR].bands)} bands, windows of {CHIP} px every {CHIP // 2}"
    return Result(
        [
            Figure("over_forward", value, "x", "higher", 0.93, ROUNDS, (min(ratios), max(ratios))),
            Figure("memory_growth_4x", growth, "x", "lower", 1.1, 1, (growth, growth)),
            Figure("peak_gib_20k", peak, "GiB", "lower", 3.0, 1, (peak, peak)),
            Figure("seam_over_interior", seam, "x", "lower", 1.2, 1, (seam, seam)),
        ],
        rows,
    )


def _over_forward(scene: Path, folder: Path) -> tuple[list[float], dict[str, str]]:
    import torch

    from spatialnet.predict.scene import predict_scene

    model = _model()
    windows = (2 * HEIGHT // CHIP - 1) * (2 * WIDTH // CHIP - 1)
    (folder / "maps").mkdir()
    images = {SENSOR: torch.randn(max(BATCHES), len(SENSORS[SENSOR].bands), CHIP, CHIP)}

    def forward(batch: int, passes: int) -> float:
        part = {SENSOR: images[SENSOR][:batch]}
        with torch.inference_mode():
            start = time.perf_counter()
            for _ in range(passes):
                model(part)
        return passes * batch / (time.perf_counter() - start)

    best = max(BATCHES, key=lambda batch: (forward(batch, 1), forward(batch, 1024 // batch))[1])
    ratios, rates = [], []
    for _ in range(ROUNDS):
        before = forward(best, windows // best)
        start = time.perf_counter()
        predict_scene(model, {SENSOR: scene}, folder / "maps", batch=best)
        rates.append(windows / (time.perf_counter() - start))
        bare = (before + forward(best, windows // best)) / 2
        ratios.append(rates[-1] / bare)
    return ratios, {
        "best batch of the forward pass": str(best),
        "windows per second": ", ".join(f"{rate:.0f}" for rate in rates),
        "forward": ", ".join(f"{rate / ratio:.0f}" for rate, ratio in zip(rates, ratios, strict=True)),
    }


def _seam(path: Path) -> float:
    """Jumps of the count along rows (its raster is not rounded); windows begin and end at multiples of half a chip."""
    with rasterio.open(path) as source:
        scores = source.read(1).astype(np.float64)
    jumps = np.abs(np.diff(scores, axis=1)).mean(axis=0)
    border = (np.arange(1, scores.shape[1]) % (CHIP // 2)) == 0
    return float(jumps[border].mean() / jumps[~border].mean())


def _peak(folder: Path, scene: Path, stride: int | None = None) -> float:
    """Bytes that a process of its own takes at its peak while it predicts."""
    context = multiprocessing.get_context("spawn")
    receive, send = context.Pipe(duplex=False)
    process = context.Process(target=_predict, args=(folder / scene.stem, scene, send, stride), daemon=True)
    process.start()
    send.close()
    try:
        return float(receive.recv())
    except EOFError as error:
        raise CannotRun("the process that predicts ended early; its message stands above") from error
    finally:
        process.join()


def _predict(out: Path, scene: Path, answer: Connection, stride: int | None) -> None:
    from spatialnet.predict.scene import predict_scene

    out.mkdir()
    predict_scene(_model(), {SENSOR: scene}, out, batch=64, stride=stride)
    answer.send(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024)


def _model() -> SpatialNetViT:
    import torch  # by the processes that need it

    from spatialnet.model import SpatialNetViT

    torch.manual_seed(0)
    return SpatialNetViT([SENSORS[SENSOR]], _TASKS, "tiny", chip_size=CHIP, gsd_m=1.0).eval()


def _profile(height: int, width: int, dtype: str) -> dict[str, object]:
    return {
        "driver": "GTiff", "count": len(SENSORS[SENSOR].bands), "height": height, "width": width, "dtype": dtype,
        "crs": CRS.from_epsg(32617), "transform": Affine(1, 0, 500_000, 0, -1, 4_000_000), "tiled": True, "compress": "DEFLATE",
        "nodata": 0, "photometric": "MINISBLACK",
    }  # fmt: skip


def _write(path: Path, height: int) -> None:
    """A scene of soft blobs and noise, 8 bits."""
    generator = np.random.default_rng(0)
    bands = len(SENSORS[SENSOR].bands)
    with rasterio.open(path, "w", **_profile(height, WIDTH, "uint8")) as target:
        for top in range(0, height, 256):
            ground = generator.normal(120, 40, (bands, 8, WIDTH // 32)).repeat(32, 1).repeat(32, 2)
            pixels = np.clip(ground + generator.normal(0, 10, ground.shape), 1, 255).astype(np.uint8)
            target.write(pixels, window=Window(0, top, WIDTH, 256))


def _write_sparse(path: Path) -> None:
    """16 bits, with data in a few squares only; the rest takes no room in the file."""
    generator = np.random.default_rng(0)
    with rasterio.open(
        path, "w", **_profile(LARGE, LARGE, "uint16"), SPARSE_OK=True, blockxsize=256, blockysize=256
    ) as target:
        for place in range(0, LARGE - 512, LARGE // 6):
            pixels = generator.integers(1, 4000, (len(SENSORS[SENSOR].bands), 512, 512), dtype=np.uint16)
            target.write(pixels, window=Window(place, place, 512, 512))
