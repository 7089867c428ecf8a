"""Makes a Why-map: every window of an area is explained, and what overlapping windows say is blended into one raster."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from affine import Affine
from rasterio.io import DatasetReader
from rasterio.warp import transform_bounds

from spatialnet import __version__
from spatialnet.datasets.catalogue import chip_table, open_dataset
from spatialnet.datasets.packed import PackedChips
from spatialnet.errors import ExplanationFailed
from spatialnet.explain.attribute import Attribution, attribute
from spatialnet.explain.faithfulness import faithfulness
from spatialnet.explain.methods import METHODS
from spatialnet.explain.overlay import colour
from spatialnet.explain.pixels import on_chip
from spatialnet.jobs.chip_grid import chip_grid
from spatialnet.jobs.launch import Jobs
from spatialnet.jobs.reporter import Reporter
from spatialnet.jobs.store import Job
from spatialnet.jobs.why_map import WHOLE_PLACE, WhyMapRequest, why_map_facts, why_map_raster
from spatialnet.joint import model_of
from spatialnet.model import SpatialNetViT, load_model
from spatialnet.predict.area import area_window
from spatialnet.predict.chips import prepared
from spatialnet.predict.scene import scene_windows
from spatialnet.predict.stack import SceneStack, Strip, open_stack
from spatialnet.predict.windows import blend_weights
from spatialnet.raster import named_crs, write_cog
from spatialnet.runs import Run, open_run, write_json
from spatialnet.settings import Settings
from spatialnet.train.devices import resolve_device

BATCH = 16
"""Windows that are explained together."""

SAMPLED = 3
"""Windows whose explanation is tested, evenly over the area: testing costs more than explaining."""

MOST_PIXELS = 40_000_000
"""An area is held in memory, at nine bytes per pixel."""

Progress = Callable[[float, str], None]


@dataclass(frozen=True)
class Area:
    """Rows `top` to `bottom` and columns `left` to `right` of the finest scene, the last ones not included."""

    top: int
    bottom: int
    left: int
    right: int

    @property
    def shape(self) -> tuple[int, int]:
        """Height and width in pixels."""
        return self.bottom - self.top, self.right - self.left


def draw_why_map(jobs: Jobs, job: Job, report: Reporter) -> str:
    """Make the Why-map of a job (`spatialnet.jobs.why_map.request_why_map`).

    Returns:
        How many chips were explained, in a sentence.
    """
    request = WhyMapRequest(**job.spec["request"])
    run = open_run(jobs.settings, request.run)
    model, _ = load_model(model_of(run.folder, request.dataset), resolve_device(report.device))
    facts = why_map(jobs.settings, request, model, report)
    return f"{facts['windows']:,} overlapping chips explained."


def why_map(
    settings: Settings, request: WhyMapRequest, model: SpatialNetViT, progress: Progress = lambda _share, _text: None
) -> dict[str, Any]:
    """Explain an area, write its raster and facts, and return the facts.

    The raster is a one-band float32 GeoTIFF on the scene's own grid: evidence per pixel, NaN where the scene has no data. Windows lie
    half a chip apart, so every pixel away from the border is seen by four; each counts most in its middle and nothing
    beyond its edge.

    Args:
        settings: the workspace.
        request: which map.
        model: the run's, for this data set.
        progress: called with a share in 0..1 and what is being done; may raise to stop.

    Returns:
        JSON-ready: the request; `title` of the run; `bounds` (west, south, east, north) in degrees; `legend`; `bands`, shares of the
        evidence over the area; `windows`; `tested` and `faithful`, how many windows' explanations were tested and found
        faithful; `unit`; `probability`, its mean over the windows; `seconds`.

    Raises:
        ExplanationFailed: the chip lies in no scene, the run knows none of its sensors, or the area is too large.
        PredictionRefused: a drawn area does not meet the scene.
    """
    started = time.perf_counter()
    run, data = open_run(settings, request.run), open_dataset(settings, request.dataset)
    if not 0 <= request.chip < len(data):
        raise ExplanationFailed(f"There is no chip {request.chip}; data set {data.title} has {len(data)}.")
    chip = chip_table(data).iloc[request.chip]
    place = next((p for p in data.places if p["name"] == chip["place"]), None)
    grid = None if place is None else chip_grid(data, place, chip, model.sensors)
    if grid is None:
        raise ExplanationFailed(
            "This chip lies in no scene that the run can read, so there is nothing around it to explain. Explain the chip alone."
        )
    progress(0.0, "Explaining the area")
    with open_stack(grid.scenes, model.sensors, settings.workspace) as stack:
        area = _area(stack, grid.origin, grid.size, request)
        sweep = _Sweep(model, request, stack, area, grid.size, grid.origin)
        for done in sweep.windows():
            progress(0.9 * done, "Explaining the area")
        values = sweep.values()
        transform = stack.grid.transform @ Affine.translation(area.left, area.top)
        bounds = _bounds(stack.grid, transform, area.shape)
        progress(0.95, "Writing the map")
        path = why_map_raster(settings, request.key)
        path.parent.mkdir(parents=True, exist_ok=True)
        write_cog(
            path, values[None], transform, named_crs(stack.grid.crs), nodata=float("nan"),
            descriptions=[f"evidence for {_asked_class(data, request)}"],
            tags=_tags(run, data, request, grid.size, sweep.unit),
        )  # fmt: skip
    _, legend = colour(values, signed=METHODS[request.method].signed)
    facts = {
        **request.__dict__, "title": run.title, "bounds": bounds, "legend": legend.to_dict(), "bands": sweep.bands(),
        "windows": sweep.explained, "tested": sweep.tested, "faithful": sweep.faithful, "unit": sweep.unit,
        "probability": sweep.probability, "seconds": round(time.perf_counter() - started, 3),
    }  # fmt: skip
    write_json(why_map_facts(settings, request.key), facts)
    return facts


class _Sweep:
    """Explains the windows that reach into an area, and blends them."""

    def __init__(
        self,
        model: SpatialNetViT,
        request: WhyMapRequest,
        stack: SceneStack,
        area: Area,
        size: int,
        origin: tuple[int, int],
    ) -> None:
        self.model, self.request, self.area, self.size = model, request, area, size
        windows = scene_windows(stack, size, max(1, size // 2), origin)
        self._rows = [row for row in windows.rows if row + size > area.top and row < area.bottom]
        self._columns = [column for column in windows.columns if column + size > area.left and column < area.right]
        self._strip, self._blend = Strip(stack, size), blend_weights(size)
        self._total, self._weight = np.zeros(area.shape, np.float32), np.zeros(area.shape, np.float32)
        self._valid = np.zeros(area.shape, bool)
        self._shares: dict[str, npt.NDArray[np.float64]] = {}
        self._strength = self._answers = 0.0
        self.explained = self.tested = self.faithful = 0
        self.unit = ""

    @property
    def probability(self) -> float:
        """Mean over the windows of what the class gets."""
        return self._answers / max(1, self.explained)

    def windows(self) -> Iterator[float]:
        """Explain row of windows after row of windows; gives the share that is done."""
        middle = len(self._rows) * len(self._columns) // SAMPLED
        to_test = {middle // 2 + middle * number for number in range(SAMPLED)}
        for number, row in enumerate(self._rows):
            self._strip.move(row)
            self._note_valid(row)
            for start in range(0, len(self._columns), BATCH):
                columns = self._columns[start : start + BATCH]
                first = number * len(self._columns) + start
                self._explain(row, columns, [at for at in range(len(columns)) if first + at in to_test])
            yield (number + 1) / len(self._rows)

    def values(self) -> npt.NDArray[np.float32]:
        """The blended evidence, (height, width), NaN where the scene has no data."""
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.where(self._valid & (self._weight > 0), self._total / self._weight, np.nan).astype(np.float32)

    def bands(self) -> dict[str, list[float]]:
        """Share of the evidence per sensor and band over all windows, each counted by how much evidence it holds."""
        return {name: (shares / max(self._strength, 1e-30)).tolist() for name, shares in self._shares.items()}

    def _explain(self, row: int, columns: list[int], to_test: list[int]) -> None:
        images, present, seen = self._strip.windows(columns)
        kept = [column for column, there in zip(columns, seen, strict=True) if there]
        if not kept:
            return
        asked, inputs = self.request, prepared(self.model, images, self.request.dataset)
        with torch.inference_mode(False):
            found = attribute(
                self.model, inputs, asked.task, asked.class_index, asked.method, present=present, against=asked.against
            )
        maps = on_chip(torch.from_numpy(found.values), (self.size, self.size)).numpy()
        for values, column in zip(maps, kept, strict=True):
            self._add(values, row, column)
        self._count(found)
        for at in to_test:
            if seen[at]:
                self._test(inputs, present, found, int(np.count_nonzero(seen[:at])))

    def _add(self, values: npt.NDArray[np.float32], row: int, column: int) -> None:
        area = self.area
        top, bottom = max(row, area.top), min(row + self.size, area.bottom)
        left, right = max(column, area.left), min(column + self.size, area.right)
        there = slice(top - area.top, bottom - area.top), slice(left - area.left, right - area.left)
        here = slice(top - row, bottom - row), slice(left - column, right - column)
        self._total[there] += values[here] * self._blend[here]
        self._weight[there] += self._blend[here]

    def _note_valid(self, row: int) -> None:
        area, valid = self.area, self._strip.valid(self.size)
        top, bottom = max(row, area.top), min(row + self.size, area.bottom)
        self._valid[top - area.top : bottom - area.top] = valid[top - row : bottom - row, area.left : area.right]

    def _count(self, found: Attribution) -> None:
        strength = np.abs(found.values).sum((1, 2), dtype=np.float64)
        for name, shares in found.bands.items():
            self._shares[name] = self._shares.get(name, np.zeros(shares.shape[1])) + strength @ shares
        self._strength += float(strength.sum())
        self._answers += float(np.sum(found.info["probability"]))
        self.explained += len(strength)
        self.unit = str(found.info.get("unit", ""))

    def _test(
        self,
        inputs: Mapping[str, torch.Tensor],
        present: Mapping[str, torch.Tensor] | None,
        found: Attribution,
        at: int,
    ) -> None:
        one = slice(at, at + 1)
        badge = faithfulness(
            self.model, {name: tensor[one] for name, tensor in inputs.items()}, found.task, found.class_index,
            found.values[one], present=None if present is None else {name: has[one] for name, has in present.items()},
            against=self.request.against,
        )  # fmt: skip
        self.tested += 1
        self.faithful += badge.verdict == "faithful"


def _area(stack: SceneStack, chip: tuple[int, int], size: int, request: WhyMapRequest) -> Area:
    height, width = stack.grid.height, stack.grid.width
    area = Area(0, height, 0, width)
    if request.area is not None:
        part = area_window(stack.grid, request.area, size)
        area = Area(part.row_off, part.row_off + part.height, part.col_off, part.col_off + part.width)
    elif request.around != WHOLE_PLACE:
        reach = max(0, request.around) * size
        area = Area(
            max(0, chip[0] - reach), min(height, chip[0] + size + reach),
            max(0, chip[1] - reach), min(width, chip[1] + size + reach),
        )  # fmt: skip
    pixels = area.shape[0] * area.shape[1]
    if pixels > MOST_PIXELS:
        raise ExplanationFailed(
            f"The area has {pixels / 1e6:.0f} million pixels; a Why-map takes up to {MOST_PIXELS // 10**6} million. Choose a smaller one."
        )
    return area


def _bounds(grid: DatasetReader, transform: Affine, shape: tuple[int, int]) -> tuple[float, float, float, float]:
    height, width = shape
    corners = [transform @ corner for corner in ((0, 0), (width, 0), (0, height), (width, height))]
    xs, ys = [x for x, _ in corners], [y for _, y in corners]
    west, south, east, north = transform_bounds(grid.crs, "EPSG:4326", min(xs), min(ys), max(xs), max(ys))
    return west, south, east, north


def _tags(run: Run, data: PackedChips, request: WhyMapRequest, size: int, unit: str) -> dict[str, str]:
    task = data.task(request.task)
    return {
        "SOFTWARE": f"SpatialNet {__version__}", "RUN": run.name, "DATA_SET": data.name, "TASK": task.name,
        "CLASS": _asked_class(data, request), "METHOD": request.method, "UNIT": unit,
        "WINDOW": f"{size} pixels, every {max(1, size // 2)}",
    }  # fmt: skip


def _asked_class(data: PackedChips, request: WhyMapRequest) -> str:
    classes = data.task(request.task).classes
    own = classes[request.class_index]
    return own if request.against is None else f"{own} rather than {classes[request.against]}"
