"""Importing 100,000 chips from one scene, killed in the middle and started again.

Figures:
    peak_gib   the largest memory that any process of the import held (target 2)
    lost       chips of the scene that the data set lacks (target 0)
    doubled    chips that it holds twice (target 0)

A scene of 10,112 x 10,112 pixels and its land cover are generated; 99,856 chips of 32 px are cut side by side. The
import runs as `python -m spatialnet import` does its work, in a process of its own. It is killed with signal 9 when
half of the chips are written, and run again. Every chip is then compared with the scene's own pixels.
"""

from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd
import rasterio
from affine import Affine
from rasterio.crs import CRS
from rasterio.windows import Window

from benchmarks.figures import REPOSITORY, Figure, Result
from spatialnet.datasets.packed import PackedChips

SIDE, SIZE, STRIP = 10_112, 32, 512

_IMPORT = """
import sys
from pathlib import Path
from spatialnet.importing.formats import IMPORTERS
from spatialnet.importing.import_plan import propose_plan
from spatialnet.importing.importer import Source
from spatialnet.importing.packing import build_dataset
from spatialnet.importing.prescan.scan import scan
folder, target = Path(sys.argv[1]), Path(sys.argv[2])
options = {"scenes": "landsat7=scene.tif", "land_cover": "cover.tif", "rules": "worldcover", "size": "32", "stride": "32"}
found = scan(IMPORTERS["land_cover"].listing(Source(folder, options)))
build_dataset(target, found, propose_plan(found, target.name))
"""


def run(shared: Path | None) -> Result:  # noqa: ARG001 - this one needs no shared data
    """Measure. The scene is generated."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        _write_scene(folder)
        target = folder / "datasets" / "big"
        target.parent.mkdir()
        began = time.monotonic()
        killed_at, first_gib = _killed_half_way(folder, target)
        until_kill = time.monotonic() - began
        began = time.monotonic()
        process = subprocess.Popen([sys.executable, "-c", _IMPORT, str(folder), str(target)], cwd=REPOSITORY)
        second_gib = _peak(process)
        if process.returncode:
            raise RuntimeError(f"the second import ended with {process.returncode}")
        seconds = time.monotonic() - began
        lost, doubled, wrong = _compare(folder, PackedChips.open(target))
        size = sum(path.stat().st_size for path in target.rglob("*") if path.is_file())
    peak = max(first_gib, second_gib, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 2**20)
    chips = (SIDE // SIZE) ** 2
    figures = [
        Figure("peak_gib", peak, "GiB", "lower", 2.0, 2, (min(first_gib, second_gib), peak)),
        Figure("lost", lost, "chips", "lower", 0, chips, (lost, lost)),
        Figure("doubled", doubled, "chips", "lower", 0, chips, (doubled, doubled)),
    ]
    return Result(
        figures,
        {
            "chips of 6 bands, 32 px": f"{chips:,}, {size / 2**30:.2f} GiB with the scene",
            "killed with signal 9": f"after {until_kill:.0f} s, with {killed_at:,} chips written",
            "second run to its end": f"{seconds:.0f} s",
            "chips unlike the scene": f"{wrong:,}",
        },
    )


def _write_scene(folder: Path) -> None:
    generator = np.random.default_rng(0)
    profile = {
        "driver": "GTiff", "height": SIDE, "width": SIDE, "crs": CRS.from_epsg(32617), "tiled": True, "compress": "ZSTD",
        "transform": Affine(30, 0, 500_000, 0, -30, 4_000_000), "photometric": "MINISBLACK",
    }  # fmt: skip
    with (
        rasterio.open(folder / "scene.tif", "w", count=6, dtype="uint8", **profile) as scene,
        rasterio.open(folder / "cover.tif", "w", count=1, dtype="uint8", nodata=0, **profile) as cover,
    ):
        for row in range(0, SIDE, STRIP):
            height = min(STRIP, SIDE - row)
            window = Window(0, row, SIDE, height)
            fields = generator.choice([10, 40, 50, 80], (height // 64 + 1, SIDE // 64 + 1)).astype(np.uint8)
            fields = fields.repeat(64, 0).repeat(64, 1)[:height, :SIDE]
            cover.write(fields, 1, window=window)
            noise = generator.integers(0, 8, (6, height, SIDE), dtype=np.uint8)
            scene.write(fields + noise * 4, window=window)


def _killed_half_way(folder: Path, target: Path) -> tuple[int, float]:
    process = subprocess.Popen([sys.executable, "-c", _IMPORT, str(folder), str(target)], cwd=REPOSITORY)
    note = target.with_name(f".{target.name}.building") / "chips" / "landsat7.npy.done"
    peak, done = 0.0, 0
    while process.poll() is None and done < (SIDE // SIZE) ** 2 // 2:
        peak = max(peak, _held(process.pid))
        if note.exists():
            done = int(json.loads(note.read_text())["done"])
        time.sleep(0.005)
    if process.poll() is not None:
        raise RuntimeError("the import ended before it could be killed")
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    return done, peak


def _peak(process: subprocess.Popen[bytes]) -> float:
    peak = 0.0
    while process.poll() is None:
        peak = max(peak, _held(process.pid))
        time.sleep(0.05)
    return peak


def _held(pid: int) -> float:
    """The most memory that a process has held so far, in GiB."""
    try:
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith("VmHWM"):
                return int(line.split()[1]) / 2**20
    except OSError:
        pass
    return 0.0


def _compare(folder: Path, data: PackedChips) -> tuple[int, int, int]:
    table = pd.read_parquet(data.folder / "chips.parquet")
    expected = {(r, c) for r in range(0, SIDE, SIZE) for c in range(0, SIDE, SIZE)}
    found = list(zip(table["row"].tolist(), table["column"].tolist(), strict=True))
    lost, doubled = len(expected - set(found)), len(found) - len(set(found))
    raw: npt.NDArray[np.uint8] = data.images("landsat7").raw
    wrong = 0
    with rasterio.open(folder / "scene.tif") as scene:
        for row, chips in table.groupby("row")["chip"]:
            band = scene.read(window=Window(0, row, SIDE, SIZE))
            for chip in chips:
                column = int(table["column"].iat[chip])
                wrong += not np.array_equal(raw[chip], band[:, :, column : column + SIZE])
    return lost, doubled, wrong
