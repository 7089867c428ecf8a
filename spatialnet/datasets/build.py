"""Builds a data set from a stack of scenes: cut chips, derive targets, split by ground, write all in one step."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from rasterio.warp import transform

from spatialnet.atomic import beside, full_disk_said, remove
from spatialnet.datasets.class_raster import NO_CLASS, CellGrid, class_bands
from spatialnet.datasets.derive import Rules, cover_shares, derive_targets, window_means
from spatialnet.datasets.packed import SPLITS, PackedChips, fingerprint, save_array, write_array
from spatialnet.datasets.splits import TRAIN, BlockPlan, block_splits, split_counts
from spatialnet.errors import BandsDoNotMatch, DataSetInvalid, NothingToRead
from spatialnet.raster import Raster, write_cog
from spatialnet.sensors import Sensor
from spatialnet.tasks import Task

STATISTICS_SAMPLE = 2000
STRETCH_PERCENTILES = (2.0, 98.0)


@dataclass(frozen=True)
class Origin:
    """Where a data set comes from; shown with everything made from it.

    Attributes:
        title: what people read.
        description: one or two sentences.
        licence: the licence's name, and what is known of it.
        citation: how to cite it.
        source: where it was taken from.
        synthetic: True for generated landscapes.
    """

    title: str
    description: str
    licence: str
    citation: str
    source: str
    synthetic: bool = False


@dataclass(frozen=True)
class Stack:
    """Co-registered scenes of one place, and what is known of its ground.

    Attributes:
        scenes: per sensor its scene; all share one pixel grid.
        land_cover: (height, width) int32 codes on that grid, -1 unknown.
        counts: further `count` tasks, each with one (height, width) array per class that sums to the count in a chip.
    """

    scenes: Mapping[Sensor, Raster]
    land_cover: npt.NDArray[np.int32]
    counts: Mapping[Task, list[npt.NDArray[np.float32]]] = field(default_factory=dict)


@dataclass(frozen=True)
class Chipping:
    """How a stack is cut.

    Attributes:
        size: side of a chip in pixels.
        stride: pixels from one chip to the next; below `size` chips overlap.
        min_valid: smallest share of pixels that must be valid in every band of every sensor.

    Raises:
        DataSetInvalid: a size below 2, or a stride that is not 1 to the size.
    """

    size: int = 16
    stride: int = 8
    min_valid: float = 0.95

    def __post_init__(self) -> None:
        if self.size < 2 or not 1 <= self.stride <= self.size:
            raise DataSetInvalid(
                f"Chips of {self.size} pixels every {self.stride} cannot be cut. Use a size of 2 or more and a stride from 1 to the size."
            )


def build_dataset(
    folder: Path,
    stack: Stack,
    rules: Rules,
    origin: Origin,
    *,
    chipping: Chipping | None = None,
    plan: BlockPlan | None = None,
    progress: Callable[[float, str], None] = lambda _share, _text: None,
) -> PackedChips:
    """Write a data set; its folder appears whole or not at all.

    Args:
        folder: the data-set folder; replaced if it exists. Its name is the data set's identifier.
        stack: scenes and land cover.
        rules: how targets follow from the land cover.
        origin: title, licence, citation, source.
        chipping: chip size and stride.
        plan: how blocks are split.
        progress: called with a share in 0..1 and what is being done.

    Raises:
        NothingToRead: no chip is valid, or there is too little ground to split.
        NotEnoughDisk: the disk is full; nothing was changed.
    """
    chipping, plan = chipping or Chipping(), plan or BlockPlan()
    partial = beside(folder)
    try:
        with full_disk_said(f"data set {folder.name}"):
            partial.mkdir(parents=True)
            _write(partial, folder.name, stack, rules, origin, chipping, plan, progress)
            _swap(partial, folder)
    finally:
        remove(partial)
    return PackedChips.open(folder)


def _write(
    folder: Path,
    name: str,
    stack: Stack,
    rules: Rules,
    origin: Origin,
    chipping: Chipping,
    plan: BlockPlan,
    progress: Callable[[float, str], None],
) -> None:
    grid = _common_grid(stack)
    progress(0.05, "Looking for valid chips")
    rows, columns = _positions(stack, grid, chipping)
    shares = cover_shares(stack.land_cover, rows, columns, chipping.size, list(rules.names))
    progress(0.2, f"Splitting {len(rows):,} chips by ground")
    strata = _strata(rules, shares)
    splits, blocks = block_splits(rows, columns, chipping.size, strata, plan)
    for part in ("chips", "targets", "soft", "scenes", "maps"):
        (folder / part).mkdir()
    save_array(folder / "splits.npy", splits)
    save_array(folder / "blocks.npy", blocks)
    progress(0.4, "Deriving targets")
    targets = _write_targets(folder, stack, rules, shares, rows, columns, chipping)
    progress(0.5, "Cutting chips")
    statistics = {s.name: _write_chips(folder, s, r, rows, columns, chipping, splits) for s, r in stack.scenes.items()}
    _write_table(folder, grid, rows, columns, chipping, splits, blocks)
    progress(0.7, "Writing scenes for the map")
    tasks = [*rules.tasks, *stack.counts]
    _write_maps(folder, stack, rules, grid, rows, columns, chipping, splits, targets)
    manifest = {
        "format": 1, "name": name, **origin.__dict__, "derived": True, "rules": rules.to_dict(),
        "sensors": [s.to_dict() for s in stack.scenes], "tasks": [t.to_dict() for t in tasks],
        "chips": len(rows), "chip_size": chipping.size, "stride": chipping.stride, "gsd_m": grid.gsd_m,
        "split": plan.to_dict() | {"counts": split_counts(splits)}, "statistics": statistics,
        "scene": {
            "height": grid.shape[0], "width": grid.shape[1], "crs": grid.crs.to_string(),
            "transform": list(grid.transform)[:6], "bounds": list(grid.wgs84_bounds(0, 0, *grid.shape)),
        },
        "fingerprint": fingerprint(folder), "created_at": time.time(),
    }  # fmt: skip
    (folder / "dataset.json").write_text(json.dumps(manifest, indent=1), encoding="utf-8")
    progress(1.0, "Done")


def _strata(rules: Rules, shares: dict[int, npt.NDArray[np.float32]]) -> npt.NDArray[np.float32]:
    derived = [derive_targets(shares, rule).hard for rule in rules.rules]
    columns = [np.eye(len(r.codes))[np.maximum(t, 0)] if t.ndim == 1 and r.rule == "majority" else t
               for r, t in zip(rules.rules, derived, strict=True)]  # fmt: skip
    return np.nan_to_num(np.column_stack(columns)).astype(np.float32)


def _common_grid(stack: Stack) -> Raster:
    grids = list(stack.scenes.items())
    sensor, first = grids[0]
    for other, raster in grids[1:]:
        if (
            raster.shape != first.shape
            or not raster.transform.almost_equals(first.transform)
            or raster.crs != first.crs
        ):
            raise BandsDoNotMatch(
                f"{other.label} has {raster.shape[1]} x {raster.shape[0]} pixels and {sensor.label} "
                f"{first.shape[1]} x {first.shape[0]}, or another place. Scenes of one stack must share one pixel grid."
            )
    return first


def _positions(stack: Stack, grid: Raster, chipping: Chipping) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    height, width = grid.shape
    if min(height, width) < chipping.size:
        raise NothingToRead(
            f"The scene has {width} x {height} pixels; a chip needs {chipping.size} x {chipping.size}. "
            "Use a larger scene."
        )
    # Centred, so that what is left over at the borders is spread evenly.
    first_r = (height - chipping.size) % chipping.stride // 2
    first_c = (width - chipping.size) % chipping.stride // 2
    r, c = np.meshgrid(
        np.arange(first_r, height - chipping.size + 1, chipping.stride),
        np.arange(first_c, width - chipping.size + 1, chipping.stride),
        indexing="ij",
    )
    rows, columns = r.ravel().astype(np.int64), c.ravel().astype(np.int64)
    usable = np.ones(len(rows), bool)
    for raster in stack.scenes.values():
        valid = np.isfinite(raster.pixels).all(axis=0)
        usable &= window_means(valid, rows, columns, chipping.size) >= chipping.min_valid
    if not usable.any():
        raise NothingToRead(
            f"No square of {chipping.size} pixels has {chipping.min_valid:.0%} valid pixels in every band. "
            "Check the no-data value of the file, or use smaller chips."
        )
    return rows[usable], columns[usable]


def _write_targets(
    folder: Path,
    stack: Stack,
    rules: Rules,
    shares: dict[int, npt.NDArray[np.float32]],
    rows: npt.NDArray[np.int64],
    columns: npt.NDArray[np.int64],
    chipping: Chipping,
) -> dict[str, npt.NDArray[Any]]:
    targets: dict[str, npt.NDArray[Any]] = {}
    for rule in rules.rules:
        derived = derive_targets(shares, rule)
        save_array(folder / "targets" / f"{rule.task.name}.npy", derived.hard)
        save_array(folder / "soft" / f"{rule.task.name}.npy", derived.soft)
        targets[rule.task.name] = derived.hard
    for task, layers in stack.counts.items():
        counts = [window_means(layer, rows, columns, chipping.size) * chipping.size**2 for layer in layers]
        targets[task.name] = np.round(np.stack(counts, axis=1)).astype(np.float32)
        save_array(folder / "targets" / f"{task.name}.npy", targets[task.name])
    return targets


def _write_chips(
    folder: Path,
    sensor: Sensor,
    raster: Raster,
    rows: npt.NDArray[np.int64],
    columns: npt.NDArray[np.int64],
    chipping: Chipping,
    splits: npt.NDArray[np.int8],
) -> dict[str, Any]:
    def cut(chip: int) -> npt.NDArray[np.float32]:
        row, column = rows[chip], columns[chip]
        return raster.pixels[:, row : row + chipping.size, column : column + chipping.size]

    shape = (len(rows), len(sensor.bands), chipping.size, chipping.size)
    write_array(folder / "chips" / f"{sensor.name}.npy", shape, np.float32, map(cut, range(len(rows))))
    train = np.flatnonzero(splits == TRAIN)
    sample = np.sort(np.random.default_rng(0).permutation(train)[:STATISTICS_SAMPLE])
    values = np.stack([cut(chip) for chip in sample]).astype(np.float64)
    low, high = np.nanpercentile(values, STRETCH_PERCENTILES, axis=(0, 2, 3))
    return {
        "mean": np.nanmean(values, axis=(0, 2, 3)).tolist(),
        "std": np.maximum(np.nanstd(values, axis=(0, 2, 3)), 1e-6).tolist(),
        "low": low.tolist(),
        "high": high.tolist(),
        "percentiles": list(STRETCH_PERCENTILES),
        "sampled_chips": len(sample),
    }


def _write_table(
    folder: Path,
    grid: Raster,
    rows: npt.NDArray[np.int64],
    columns: npt.NDArray[np.int64],
    chipping: Chipping,
    splits: npt.NDArray[np.int8],
    blocks: npt.NDArray[np.int32],
) -> None:
    bounds = [grid.wgs84_bounds(int(r), int(c), chipping.size) for r, c in zip(rows, columns, strict=True)]
    middle = chipping.size / 2
    xs, ys = zip(*(grid.transform @ (c + middle, r + middle) for r, c in zip(rows, columns, strict=True)), strict=True)
    longitudes, latitudes = transform(grid.crs, "EPSG:4326", list(xs), list(ys))
    table = pd.DataFrame(bounds, columns=["west", "south", "east", "north"])
    table.insert(0, "chip", np.arange(len(rows)))
    table = table.assign(
        row=rows,
        column=columns,
        longitude=longitudes,
        latitude=latitudes,
        block=blocks,
        split=[SPLITS[s] for s in splits],
    )
    table.to_parquet(folder / "chips.parquet", index=False)


def _write_maps(
    folder: Path,
    stack: Stack,
    rules: Rules,
    grid: Raster,
    rows: npt.NDArray[np.int64],
    columns: npt.NDArray[np.int64],
    chipping: Chipping,
    splits: npt.NDArray[np.int8],
    targets: dict[str, npt.NDArray[Any]],
) -> None:
    for sensor, raster in stack.scenes.items():
        write_cog(
            folder / "scenes" / f"{sensor.name}.tif", raster.pixels, raster.transform, raster.crs,
            nodata=float("nan"), descriptions=sensor.bands,
        )  # fmt: skip
    named = np.isin(stack.land_cover, list(rules.names))
    cover = np.where(named, stack.land_cover, NO_CLASS).astype(np.uint8)[None]
    write_cog(
        folder / "scenes" / "land_cover.tif", cover, grid.transform, grid.crs, nodata=NO_CLASS,
        colours={code: (*bytes.fromhex(shade[1:]), 255) for code, shade in rules.colours.items()},
    )  # fmt: skip
    cells = CellGrid.of(grid, rows, columns, chipping.size, chipping.stride)
    cells.write(folder / "maps" / "splits.tif", splits[:, None].astype(np.uint8), ["split"])
    for task in rules.tasks:
        bands, names = class_bands(task, _certain(task, targets[task.name]))
        cells.write(folder / "maps" / f"target-{task.name}.tif", bands, names)


def _certain(task: Task, targets: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
    """Hard targets as scores of 0 and 1, NaN where unknown: (chips, classes), binary (chips, 2)."""
    if task.kind == "multiclass":
        scores = np.eye(len(task.classes), dtype=np.float32)[np.maximum(targets, 0)]
        scores[targets < 0] = np.nan
        return scores
    if task.kind == "binary":
        return np.stack([1 - targets, targets], axis=1).astype(np.float32)
    return targets.astype(np.float32)


def _swap(partial: Path, folder: Path) -> None:
    if not folder.exists():
        partial.rename(folder)
        return
    old = beside(folder)
    folder.rename(old)
    partial.rename(folder)
    remove(old)
