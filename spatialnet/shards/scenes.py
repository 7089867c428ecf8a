"""Many scenes predicted: each cut into bands of rows, one folder of GeoTIFFs per scene."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path

import rasterio
from affine import Affine
from rasterio.windows import Window

from spatialnet import __version__
from spatialnet.datasets.class_raster import NO_CLASS
from spatialnet.errors import PredictionRefused
from spatialnet.model import SpatialNetViT
from spatialnet.predict.ahead import ahead
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
            size, area = options["size"] or self.model.chip_size, options.get("area")
            stack = self._open.enter_context(
                open_stack(scene_files(item), self.model.sensors, area=tuple(area) if area else None, least=size)
            )
            windows = scene_windows(stack, size, options["stride"])
            if len(windows.bands()) != item.units:
                raise PredictionRefused(f"Scene {item.name} is another one than when the work began. Start it anew.")
            self._found = stack, windows, Sweep(self.model, stack, windows, int(options["batch"]))
        return self._found


def predict_unit(scenes: OpenScenes, unit: Unit, folder: Path, progress: Callable[[float], None]) -> None:
    """Write `<task>.tif` into `folder`: the band's part of each raster, in its place on the ground, so that a map can show it."""
    stack, windows, sweep = scenes.at(unit.item)
    grid, band = stack.grid, windows.bands()[unit.number]
    with ExitStack() as files:
        parts = {}
        for name, task in scenes.model.tasks.items():
            count, dtype = map_bands(task)
            parts[name] = files.enter_context(
                rasterio.open(
                    folder / f"{name}.tif", "w", driver="GTiff", photometric="MINISBLACK", interleave="band",
                    count=count, dtype=dtype, nodata=NO_CLASS if dtype == "uint8" else float("nan"),
                    height=band.bottom - band.top, width=grid.width, crs=grid.crs,
                    transform=grid.transform @ Affine.translation(0, band.top),
                    compress="DEFLATE", zlevel=1, BIGTIFF="IF_SAFER",
                )
            )  # fmt: skip
        for top, pixels in ahead(sweep.rows(band, progress)):
            for name, values in pixels.items():
                parts[name].write(values, window=Window(0, top - band.top, grid.width, values.shape[1]))


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
            height = band.bottom - band.top
            with ExitStack() as files:
                parts = {
                    name: files.enter_context(rasterio.open(manifest.part(unit) / f"{name}.tif")) for name in tasks
                }
                for start in range(0, height, _ROWS_AT_ONCE):
                    window = Window(0, start, stack.grid.width, min(_ROWS_AT_ONCE, height - start))
                    yield band.top + start, {name: part.read(window=window) for name, part in parts.items()}

    options, size = manifest.options, windows.size
    tags = {
        "SOFTWARE": f"SpatialNet {__version__}", "RUN": str(options.get("run", "")), "MODEL": manifest.model_stamp,
        "SCENES": json.dumps({sensor: Path(file).name for sensor, file in item.files.items()}, ensure_ascii=False),
        "WINDOW": f"{size} pixels, every {options['stride'] or max(1, size // 2)}",
    }  # fmt: skip
    return write_maps(
        stack.grid, tasks, folder, rows(), scores=bool(options.get("scores", True)), coloured=True, tags=tags
    )


def scene_files(item: Item) -> dict[str, Path]:
    """The rasters of a scene by sensor."""
    return {sensor: Path(file) for sensor, file in item.files.items()}
