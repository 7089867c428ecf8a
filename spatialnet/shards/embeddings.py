"""Embeddings of many scenes, or of the chips of a data set: `features.npy` and `positions.parquet` in one folder each."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd

from spatialnet.atomic import replacing
from spatialnet.datasets.catalogue import chip_table
from spatialnet.datasets.packed import PackedChips, save_array, write_array
from spatialnet.predict.chips import embed_chips
from spatialnet.predict.embedding import embed_band
from spatialnet.shards.manifest import Item, Manifest, Unit
from spatialnet.shards.scenes import OpenScenes, scene_maps

CHIPS_PER_UNIT = 2048

_CHIP_COLUMNS = ("chip", "key", "place", "row", "column", "longitude", "latitude")


def embed_unit(scenes: OpenScenes, unit: Unit, folder: Path, progress: Callable[[float], None]) -> None:
    """Write `features.npy` (n, dim) float16 and `positions.parquet` (n rows) of a unit into `folder`."""
    batch = int(scenes.manifest.options["batch"])
    if "dataset" in unit.item.files:
        data = PackedChips.open(Path(unit.item.files["dataset"]))
        chips = np.arange(unit.number * CHIPS_PER_UNIT, min((unit.number + 1) * CHIPS_PER_UNIT, len(data)))
        save_array(folder / "features.npy", embed_chips(scenes.model, data, chips, batch=batch, progress=progress))
        table = chip_table(data)
        positions = table[[c for c in _CHIP_COLUMNS if c in table]].iloc[chips]
    else:
        stack, windows, _ = scenes.at(unit.item)
        band = windows.bands()[unit.number]
        found = embed_band(scenes.model, stack, windows, band, batch=batch, progress=progress)
        save_array(folder / "features.npy", found.features)
        positions = found.positions(stack, windows.size)
    positions.to_parquet(folder / "positions.parquet", index=False)


def assemble_embeddings(manifest: Manifest, item: Item, dim: int) -> dict[str, Path]:
    """Put the parts of an item together."""
    folder = scene_maps(manifest, item)
    folder.mkdir(parents=True, exist_ok=True)
    parts = [manifest.part(Unit(item, number)) for number in range(item.units)]
    features = [np.load(part / "features.npy", mmap_mode="r", allow_pickle=False) for part in parts]
    files = {"features": folder / "features.npy", "positions": folder / "positions.parquet"}
    with replacing(files["features"]) as partial:
        write_array(partial, (sum(len(f) for f in features), dim), np.float16, features)
    table = pd.concat([pd.read_parquet(part / "positions.parquet") for part in parts], ignore_index=True)
    with replacing(files["positions"]) as partial:
        table.to_parquet(partial, index=False)
    return files
