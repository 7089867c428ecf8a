"""Many scenes predicted: each cut into bands of rows, one folder of GeoTIFFs per scene."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from spatialnet.datasets.packed import write_array
from spatialnet.errors import PredictionRefused
from spatialnet.model import SpatialNetViT
from spatialnet.predict.scene import Rows, Sweep, map_bands, scene_windows, write_maps
from spatialnet.predict.stack import SceneStack, open_stack
from spatialnet.predict.windows import SceneWindows
from spatialnet.shards.manifest import Item, Manifest, Unit
from spatialnet.tasks import Task

_ROWS_AT_ONCE = 256


class OpenScenes:
    """The scene that is being worked on; it stays open while its bands follow each other."""

    def __init__(self, manifest: Manifest, model: SpatialNetViT) -> None:
        self.manifest, self.model = manifest, model
        self._open = ExitStack()
        self._item: str | None = None
        self._found: tuple[SceneStack, SceneWindows, Sweep] | None = None

    def __enter__(self) -> OpenScenes:
        return self

    def __exit__(self, *_details: object) -> None:
        self._open.close()

    def at(self, item: Item) -> tuple[SceneStack, SceneWindows, Sweep]:
        """The scene of an item, opened.

        Raises:
            PredictionRefused: it has another size than when the work began.
        """
        if self._item != item.name or self._found is None:
            self._open.close()
            self._item, options = item.name, self.manifest.options
            stack = self._open.enter_context(open_stack(scene_files(item), self.model.sensors))
            windows = scene_windows(stack, options["size"] or self.model.chip_size, options["stride"])
            if len(windows.bands()) != item.units:
                raise PredictionRefused(f"Scene {item.name} is another one than when the work began. Start it anew.")
            self._found = stack, windows, Sweep(self.model, stack, windows, int(options["batch"]))
        return self._found


def predict_unit(scenes: OpenScenes, unit: Unit, folder: Path, progress: Callable[[float], None]) -> None:
    """Write `<task>.npy` into `folder`: (rows, bands, width), the band's part of each raster."""
    _, windows, sweep = scenes.at(unit.item)
    parts: dict[str, list[npt.NDArray[Any]]] = {name: [] for name in scenes.model.tasks}
    for _, pixels in sweep.rows(windows.bands()[unit.number], progress):
        for name, values in pixels.items():
            parts[name].append(np.ascontiguousarray(values.transpose(1, 0, 2)))
    for name, rows in parts.items():
        shape = (sum(len(r) for r in rows), *rows[0].shape[1:])
        write_array(folder / f"{name}.npy", shape, map_bands(scenes.model.tasks[name])[1], rows)


def scene_maps(manifest: Manifest, item: Item) -> Path:
    """Where the rasters of a scene go: the work folder itself where it is the only one, else a folder of its own."""
    return manifest.folder if len(manifest.items) == 1 else manifest.folder / item.name


def assemble_maps(manifest: Manifest, item: Item, tasks: Mapping[str, Task], scenes: OpenScenes) -> dict[str, Path]:
    """Write the rasters of a scene from its parts."""
    folder = scene_maps(manifest, item)
    folder.mkdir(parents=True, exist_ok=True)
    stack, windows, _ = scenes.at(item)

    def rows() -> Iterator[Rows]:
        for unit, band in zip((Unit(item, n) for n in range(item.units)), windows.bands(), strict=True):
            parts = {
                name: np.load(manifest.part(unit) / f"{name}.npy", mmap_mode="r", allow_pickle=False) for name in tasks
            }
            for start in range(0, band.bottom - band.top, _ROWS_AT_ONCE):
                yield (
                    band.top + start,
                    {
                        n: np.ascontiguousarray(p[start : start + _ROWS_AT_ONCE].transpose(1, 0, 2))
                        for n, p in parts.items()
                    },
                )

    return write_maps(stack.grid, tasks, folder, rows())


def scene_files(item: Item) -> dict[str, Path]:
    """The rasters of a scene by sensor."""
    return {sensor: Path(file) for sensor, file in item.files.items()}
