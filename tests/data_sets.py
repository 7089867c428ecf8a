"""Writes small data-set folders as the build would leave them, without building anything."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from affine import Affine
from rasterio.crs import CRS
from rasterio.warp import transform_bounds

from spatialnet.datasets.packed import SPLITS, PackedChips, digest
from spatialnet.raster import write_cog
from spatialnet.sensors import SENSORS, Sensor
from spatialnet.tasks import Task

LAND_USE = Task("land_use", "multiclass", ("forest", "water"), "Land use", ("#006400", "#0000ff"))
PRESENCE = Task("presence", "multilabel", ("road", "house"), "Object presence")
COUNTRY = Task("rural_urban", "binary", ("rural", "urban"), "Rural or urban")
HOUSES = Task("houses", "count", ("houses",), "Houses")


def write_data_set(
    folder: Path,
    images: Mapping[Sensor, np.ndarray],
    targets: Mapping[Task, np.ndarray],
    table: pd.DataFrame,
    *,
    splits: np.ndarray,
    blocks: np.ndarray | None = None,
    present: Mapping[str, np.ndarray] | None = None,
    nodata: Mapping[str, float] | None = None,
    leaks: pd.DataFrame | None = None,
    places: Sequence[dict[str, Any]] = (),
    stride: int = 0,
    **manifest: Any,
) -> PackedChips:
    """Write a data-set folder.

    Args:
        folder: its name is the data set's identifier.
        images: per sensor (chips, bands, height, width) in the type that is stored.
        targets: per task its targets.
        table: one row per chip; columns that are missing are empty or NaN.
        splits: (chips,) index into SPLITS.
        blocks: (chips,); default each chip its own.
        present: per sensor (chips,) bool where it is missing for some chips.
        nodata: per sensor the stored value that means no data.
        leaks: pairs of the current split, or None where there is none.
        places: what the manifest says of stacks; their rasters are written by the caller.
        stride: of windows; 0 for files.
        manifest: further entries, over those made here.
    """
    for part in ("chips", "present", "targets", "splits"):
        (folder / part).mkdir(parents=True, exist_ok=True)
    for sensor, pixels in images.items():
        np.save(folder / "chips" / f"{sensor.name}.npy", pixels)
    for name, there in (present or {}).items():
        np.save(folder / "present" / f"{name}.npy", there)
    for task, values in targets.items():
        np.save(folder / "targets" / f"{task.name}.npy", values)
    count = len(splits)
    np.save(folder / "splits" / "given-1.npy", splits.astype(np.int8))
    np.save(folder / "splits" / "given-1.blocks.npy", (np.arange(count) if blocks is None else blocks).astype(np.int32))
    if leaks is not None:
        leaks.to_parquet(folder / "splits" / "given-1.leaks.parquet")
    table = _whole(table)
    table.to_parquet(folder / "chips.parquet")
    files = [path for part in ("chips", "targets", "splits") for path in sorted((folder / part).glob("*.npy"))]
    first = next(iter(images.values()))
    low, high = table[["west", "south"]].min(), table[["east", "north"]].max()
    split = {
        "id": "given-1", "name": "given", "version": 1, "kind": "official", "plan": {"kind": "official"},
        "counts": {name: int((splits == i).sum()) for i, name in enumerate(SPLITS)},
        "leaks": {} if leaks is None else {str(k): int(n) for k, n in leaks["kind"].value_counts().items()},
    }  # fmt: skip
    values = {
        "format": 2, "name": folder.name, "version": 1, "title": folder.name.replace("-", " ").capitalize(),
        "description": "Made by a test.", "licence": "CC BY 4.0", "citation": "A. Tester (2026)", "source": "a test",
        "synthetic": False, "derived": False, "rules": {}, "importer": "test", "chips": count,
        "sensors": [s.to_dict() for s in images], "tasks": [t.to_dict() for t in targets],
        "chip_size": first.shape[-1], "sizes": {s.name: p.shape[-1] for s, p in images.items()}, "stride": stride, "gsd_m": 10.0,
        "storage": {
            s.name: {"dtype": str(p.dtype), "nodata": (nodata or {}).get(s.name), "scales": [], "offsets": []} for s, p in images.items()
        },
        "statistics": {s.name: _statistics(p) for s, p in images.items()},
        "targets": {t.name: {"name": t.name, "derived": "", "sentence": f"{t.label} as the test says"} for t in targets},
        "split": split, "splits": [split], "places": list(places),
        "bounds": [*low.tolist(), *high.tolist()] if np.isfinite(low).all() else None,
        "digests": {path.relative_to(folder).as_posix(): digest(path) for path in files}, "fingerprint": "f00d",
        "created_at": 1_700_000_000.0,
    }  # fmt: skip
    (folder / "dataset.json").write_text(json.dumps(values | manifest))
    return PackedChips.open(folder)


def two_places(folder: Path, *, size: int = 16, stride: int = 8) -> PackedChips:
    """Chips cut from two stacks 40 km apart in different UTM zones, seen by two sensors, one of them missing in one place."""
    generator = np.random.default_rng(7)
    s2, s1 = SENSORS["sentinel2_l2a"], SENSORS["sentinel1"]
    spots = {"west-bank": ("EPSG:32617", 760_000.0, 4_000_000.0), "east-bank": ("EPSG:32618", 250_000.0, 4_000_000.0)}
    rows, places, optical, radar = [], [], [], []
    for name, (crs, x, y) in spots.items():
        transform = Affine(10, 0, x, 0, -10, y)
        scene = generator.integers(200, 3000, (12, 64, 80)).astype(np.uint16)
        scene[:, :8, :8] = 0
        echo = generator.normal(-12, 3, (2, 64, 80)).astype(np.float32)
        sensors = ["sentinel2_l2a", "sentinel1"] if name == "west-bank" else ["sentinel2_l2a"]
        (folder / "places" / name).mkdir(parents=True)
        place = CRS.from_user_input(crs)
        write_cog(folder / "places" / name / "sentinel2_l2a.tif", scene, transform, place, nodata=0)
        if len(sensors) > 1:
            write_cog(folder / "places" / name / "sentinel1.tif", echo, transform, place, nodata=float("nan"))
        colours = {1: (0, 100, 0, 255), 2: (0, 0, 255, 255)}
        cover = np.where(np.arange(80) < 40, 1, 2).astype(np.uint8)[None, None].repeat(64, axis=1)
        write_cog(folder / "places" / name / "land_cover.tif", cover, transform, place, nodata=255, colours=colours)
        bounds = transform_bounds(crs, "EPSG:4326", x, y - 640, x + 800, y)
        places.append({
            "name": name, "crs": crs, "transform": list(transform)[:6], "height": 64, "width": 80, "bounds": list(bounds),
            "sensors": sensors, "land_cover": True,
        })  # fmt: skip
        for row in range(0, 64 - size + 1, stride):
            for column in range(0, 80 - size + 1, stride):
                optical.append(scene[:, row : row + size, column : column + size])
                radar.append(echo[:, row : row + size, column : column + size])
                rows.append(_window(len(rows), name, crs, transform, row, column, size))
    table = pd.DataFrame(rows)
    count = len(table)
    use = np.where(table["column"].to_numpy() + size / 2 < 40, 0, 1).astype(np.int64)
    use[5] = -100
    presence = generator.integers(0, 2, (count, 2)).astype(np.float32)
    presence[3], presence[4] = np.nan, 0
    splits = np.where(table["place"] == "west-bank", 0, np.where(table["row"] < 24, 1, 2))
    splits[7] = 3
    leaks = pd.DataFrame({
        "a": [0, 1], "b": [count - 1, count - 2], "split_a": "train", "split_b": "test", "kind": ["shared ground", "exact duplicate"],
    })  # fmt: skip
    return write_data_set(
        folder, {s2: np.stack(optical), s1: np.stack(radar)},
        {LAND_USE: use, PRESENCE: presence, COUNTRY: (presence[:, 1] > 0).astype(np.float32), HOUSES: presence[:, 1:] * 3},
        table, splits=splits, present={"sentinel1": (table["place"] == "west-bank").to_numpy()}, nodata={"sentinel2_l2a": 0},
        leaks=leaks, places=places, stride=stride,
        rules={"title": "Land cover of the test", "classes": [
            {"code": 1, "name": "forest", "colour": "#006400"}, {"code": 2, "name": "water", "colour": "#0000ff"}], "sentences": {}},
    )  # fmt: skip


def pictures_only(folder: Path, count: int = 30, size: int = 32) -> PackedChips:
    """JPEG-like chips without any place on the ground."""
    generator = np.random.default_rng(3)
    pixels = generator.integers(0, 256, (count, 3, size, size)).astype(np.uint8)
    table = pd.DataFrame({
        "key": [f"{'Forest' if i % 2 else 'SeaLake'}/img_{i}.jpg" for i in range(count)], "region": ["north", "south", ""] * (count // 3),
    })  # fmt: skip
    use = (np.arange(count) % 2).astype(np.int64)
    return write_data_set(
        folder, {SENSORS["rgb"]: pixels}, {LAND_USE: 1 - use}, table, splits=np.arange(count) % 3, gsd_m=0.0,
        title="Pictures <b>only</b> {{7*7}}",
    )  # fmt: skip


def scattered_chips(folder: Path, count: int = 400, size: int = 32, *, spread: float = 2.0) -> PackedChips:
    """GeoTIFF-like chips, each with its own footprint, over a few degrees; no scene."""
    generator = np.random.default_rng(5)
    x, y = generator.uniform(3e5, 3e5 + spread * 1e5, count), generator.uniform(4e6, 4e6 + spread * 1e5, count)
    use = generator.integers(0, 2, count)
    pixels = generator.integers(20, 120, (count, 3, size, size), dtype=np.uint8)
    pixels[np.arange(count), np.where(use == 0, 1, 2)] += 100
    affine = pd.DataFrame({"a": 10.0, "b": 0.0, "c": x, "d": 0.0, "e": -10.0, "f": y})
    table = _degrees(affine.assign(crs="EPSG:32617", key=[f"chip-{i:06d}" for i in range(count)]), size)
    table["region"] = np.where(x > np.median(x), "east", "west")
    houses = generator.poisson(2, (count, 1)).astype(np.float32)
    return write_data_set(
        folder, {SENSORS["rgb"]: pixels}, {LAND_USE: use, HOUSES: houses}, table, splits=generator.integers(0, 3, count)
    )


def _window(number: int, place: str, crs: str, transform: Affine, row: int, column: int, size: int) -> dict[str, Any]:
    own = transform @ Affine.translation(column, row)
    corners = [own @ (dx, dy) for dx in (0, size) for dy in (0, size)]
    xs, ys = [x for x, _ in corners], [y for _, y in corners]
    west, south, east, north = transform_bounds(crs, "EPSG:4326", min(xs), min(ys), max(xs), max(ys))
    return {
        "chip": number, "key": f"{place}/{row}-{column}", "place": place, "row": row, "column": column, "crs": crs,
        **dict(zip("abcdef", list(own)[:6], strict=True)), "west": west, "south": south, "east": east, "north": north,
        "longitude": (west + east) / 2, "latitude": (south + north) / 2,
    }  # fmt: skip


def _degrees(table: pd.DataFrame, size: int) -> pd.DataFrame:
    from rasterio.warp import transform

    x, y = table["c"].to_numpy(), table["f"].to_numpy()
    side = 10.0 * size
    west, north = transform("EPSG:32617", "EPSG:4326", x, y)
    east, south = transform("EPSG:32617", "EPSG:4326", x + side, y - side)
    table = table.assign(west=west, south=south, east=east, north=north)
    return table.assign(longitude=(table["west"] + table["east"]) / 2, latitude=(table["south"] + table["north"]) / 2)


def _whole(table: pd.DataFrame) -> pd.DataFrame:
    words = {name: "" for name in ("key", "group", "place", "region", "crs") if name not in table}
    numbers = ("a", "b", "c", "d", "e", "f", "west", "south", "east", "north", "longitude", "latitude")
    table = table.assign(**words, **{name: np.nan for name in numbers if name not in table})
    table = table.assign(**{name: 0 for name in ("row", "column") if name not in table})
    return table.assign(chip=np.arange(len(table)))


def _statistics(pixels: np.ndarray) -> dict[str, Any]:
    sample = pixels[:200].astype(np.float64)
    low, high = np.nanpercentile(sample, [2, 98], axis=(0, 2, 3))
    return {
        "mean": np.nanmean(sample, axis=(0, 2, 3)).tolist(), "std": np.nanstd(sample, axis=(0, 2, 3)).tolist(),
        "low": low.tolist(), "high": high.tolist(), "percentiles": [2.0, 98.0], "sampled_chips": len(sample),
    }  # fmt: skip
