"""Writes a small data-set folder by hand, with everything that one can hold."""

import json

import numpy as np
import pandas as pd
import tifffile

from spatialnet.datasets.packed import FORMAT, PackedChips
from spatialnet.sensors import SENSORS
from spatialnet.tasks import Task

CHIPS, SIZE = 7, 4


def write_data_set(folder):
    """Seven chips of two sensors, three tasks, two named splits, one place."""
    random = np.random.default_rng(0)
    sensors = [SENSORS["rgb"], SENSORS["sentinel1"]]
    tasks = [
        Task("kind", "multiclass", ("a", "b")),
        Task("presence", "multilabel", ("x", "y", "z")),
        Task("urban", "binary", ("no", "yes")),
    ]
    soft = random.uniform(0, 1, (CHIPS, 3)).astype(np.float32)
    arrays = {
        "chips/rgb": random.integers(0, 255, (CHIPS, 3, SIZE, SIZE)).astype(np.uint8),
        "chips/sentinel1": random.normal(-10, 2, (CHIPS, 2, SIZE, SIZE)).astype(np.float32),
        "present/sentinel1": np.arange(CHIPS) != 3,
        "targets/kind": np.array([0, 1, -100, 0, 1, 0, 1]),
        "targets/presence": np.where(soft > 0.8, np.nan, soft > 0.4).astype(np.float32),
        "soft/presence": soft,
        "targets/urban": np.array([0, 1, np.nan, 0, 1, 0, 1], np.float32),
        "splits/a-1": np.array([0, 0, 0, 1, 2, 3, 2], np.int8),
        "splits/b-2": np.array([2, 2, 1, 0, 0, 0, 0], np.int8),
        **{f"splits/{name}.blocks": np.arange(CHIPS, dtype=np.int32) for name in ("a-1", "b-2")},
    }  # fmt: skip
    for name, values in arrays.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        np.save(folder / f"{name}.npy", values)
    pd.DataFrame({
        "chip": range(CHIPS), "key": [f"c{i}" for i in range(CHIPS)], "group": "", "place": "town", "row": 0, "column": 0,
        "region": ["north"] * 4 + ["south"] * 3, "longitude": np.linspace(5, 6, CHIPS), "latitude": 50.0,
    }).to_parquet(folder / "chips.parquet")  # fmt: skip
    pd.DataFrame({"said": ["a, b", None, "c", "d", "e", "f", "g"]}).to_parquet(folder / "labels.parquet")
    pd.DataFrame({"a": [0], "b": [1], "kind": ["near"]}).to_parquet(folder / "duplicates.parquet")
    (folder / "places/town").mkdir(parents=True)
    for name in ("rgb", "sentinel1", "land_cover"):
        tifffile.imwrite(folder / f"places/town/{name}.tif", np.zeros((8, 8), np.uint8))
    splits = [{"id": n, "name": n[0], "version": int(n[2]), "kind": "random"} for n in ("a-1", "b-2")]
    storage = {
        s: {"dtype": d, "nodata": n, "scales": [], "offsets": []}
        for s, d, n in (("rgb", "uint8", 0), ("sentinel1", "float32", None))
    }
    manifest = {
        "format": FORMAT, "name": folder.name, "version": 3, "title": "Town {{7*7}}", "description": "d", "licence": "CC0-1.0",
        "citation": "me", "source": "here", "synthetic": True, "derived": False, "rules": {}, "importer": "stack", "chips": CHIPS,
        "sensors": [s.to_dict() for s in sensors], "tasks": [t.to_dict() for t in tasks], "chip_size": SIZE,
        "sizes": {s.name: SIZE for s in sensors}, "stride": 2, "gsd_m": 1.0, "storage": storage,
        "statistics": {s.name: {"mean": [0.0] * len(s.bands), "std": [1.0] * len(s.bands)} for s in sensors}, "targets": {},
        "split": splits[0], "splits": splits, "bounds": [5, 50, 6, 51], "fingerprint": "0" * 16, "created_at": 1.5,
        "places": [{"name": "town", "crs": "EPSG:32631", "transform": [1, 0, 0, 0, -1, 0], "height": 8, "width": 8,
                    "bounds": [5, 50, 6, 51], "sensors": ["rgb", "sentinel1"], "land_cover": True}],
    }  # fmt: skip
    (folder / "dataset.json").write_text(json.dumps(manifest))
    return PackedChips.open(folder)
