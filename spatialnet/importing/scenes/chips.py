"""Chips cut from scenes with targets derived from land cover, as a listing. Scenes are read strip by strip, never whole."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import numpy as np
import numpy.typing as npt
import pandas as pd
import rasterio
from rasterio.io import DatasetReader
from rasterio.warp import transform
from rasterio.windows import Window

from spatialnet.errors import BandsDoNotMatch, DataSetInvalid, ImportRefused, NothingToRead, RulesInvalid
from spatialnet.importing.importer import Progress
from spatialnet.importing.listing import Listing, Note, Origin, Pixels, Place, Ready
from spatialnet.importing.scenes.derive import Rules, cover_shares, window_means
from spatialnet.importing.scenes.grid import Ints, OpenScene, blocks, open_scenes, pixel_of, positions, told, windows
from spatialnet.importing.scenes.land_cover import Grid
from spatialnet.importing.target_plan import TargetPlan
from spatialnet.raster import open_raster, read_window
from spatialnet.sensors import Sensor
from spatialnet.tasks import Task

BLOCK_VALUES = 1 << 24
"""At most about this many values (pixels times bands) of one sensor are in memory at once."""

BLOCK_PIXELS = 1 << 22
"""At most about this many pixels of the reference sensor are looked at at once."""

CACHE_BYTES = 128 << 20
SAME_PIXEL = 0.02
"""Pixels of one sensor may differ by this share from place to place."""

_CODES = 1 << 16
_PLACE = re.compile(r"[\w][\w .+()-]{0,99}")

Shares = npt.NDArray[np.float32]


class Cover(Protocol):
    """What is known of the ground, as class codes."""

    @property
    def title(self) -> str:
        """Its name, for messages."""
        ...

    def codes(self, grid: Grid) -> npt.NDArray[np.int32]:
        """Class codes on a pixel grid: (height, width) int32, -1 where nothing is known."""
        ...


@dataclass(frozen=True)
class Chipping:
    """How a stack is cut.

    Attributes:
        size: side of a chip in pixels of the sensor with the finest pixels.
        stride: pixels from one chip to the next; below `size` chips overlap.
        min_valid: smallest share of a chip's pixels that must be valid in every band of a sensor.

    Raises:
        DataSetInvalid: a size below 2, a stride that is not 1 to the size, or a share that is not 0 to 1.
    """

    size: int = 16
    stride: int = 8
    min_valid: float = 0.95

    def __post_init__(self) -> None:
        if self.size < 2 or not 1 <= self.stride <= self.size:
            raise DataSetInvalid(
                f"Chips of {self.size} pixels every {self.stride} cannot be cut. Use a size of 2 or more and a stride from 1 to the size."
            )
        if not 0.0 < self.min_valid <= 1.0:
            raise DataSetInvalid(
                f"A valid share of {self.min_valid} cannot be asked for. Use a number above 0 and up to 1."
            )


@dataclass(frozen=True)
class StackFiles:
    """The files of one place.

    Attributes:
        place: its name.
        scenes: per sensor one file with all its bands, or one file per band.
        cover: what is known of its ground.
        bands: per sensor name which bands (from 1, over its files one after another) are the sensor's; none where they
            are in order.
        counts: further `count` tasks, each with one raster per class whose sum in a chip is the count, on the grid of
            the sensor with the finest pixels.
        land_cover: the raster behind `cover`, kept for the map, or None.
    """

    place: str
    scenes: Mapping[Sensor, tuple[Path, ...]]
    cover: Cover
    bands: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    counts: Mapping[Task, tuple[Path, ...]] = field(default_factory=dict)
    land_cover: Path | None = None


@dataclass(frozen=True)
class _Found:
    """The chips of one place: (chips,) arrays in row-major order; per sensor first row and column, -1 where missing."""

    rows: Ints
    columns: Ints
    windows: Mapping[Sensor, tuple[Ints, Ints]]
    shares: Mapping[int, Shares]
    counts: Mapping[Task, npt.NDArray[np.float32]]
    longitudes: npt.NDArray[np.float64]
    latitudes: npt.NDArray[np.float64]
    codes: Ints


def scene_listing(
    importer: str,
    origin: Origin,
    stacks: Sequence[StackFiles],
    rules: Rules,
    chipping: Chipping,
    progress: Progress = lambda _share, _text: None,
    *,
    notes: Sequence[Note] = (),
) -> Listing:
    """Cut scenes into chips and derive their targets; no more than a strip of a scene is in memory.

    Each sensor keeps its own pixel size: the finest one sets the chips, whose ground must be whole pixels of the others.
    A chip is kept if that sensor is valid there; another one may be missing.

    Args:
        importer: name of the importer.
        origin: title, licence, citation.
        stacks: the places.
        rules: how targets follow from the land cover.
        chipping: chip size and stride.
        progress: called with a share in 0..1 and what is being done.
        notes: what was noticed before.

    Returns:
        A listing whose chips are place by place, row by row.

    Raises:
        NothingToRead: no chip is valid, or the land cover knows nothing of the ground.
        RulesInvalid: the land cover holds none of the rules' codes.
        BandsDoNotMatch: scenes that do not fit together.
        SpatialNetError: another of its children says what is wrong with a file.
    """
    _check_places(stacks)
    with rasterio.Env(GDAL_CACHEMAX=CACHE_BYTES):
        sizes = _sizes(stacks, chipping)
        found = []
        for index, stack in enumerate(stacks):
            begin, part = index / len(stacks), 1 / len(stacks)

            def report(share: float, text: str, begin: float = begin, part: float = part) -> None:
                progress(begin + part * share, text)

            found.append(_place(stack, rules, chipping, sizes, report))
    said = [*notes, *_cover_notes(stacks, rules, found), *_valid_notes(stacks, chipping, found)]
    derived = rules.derive({code: np.concatenate([f.shares[code] for f in found]) for code in rules.names})
    ready = {name: Ready(targets.hard, targets.soft) for name, targets in derived.items()}
    plans = [
        TargetPlan(t.name, t.kind, t.title, (), t.classes, derived=rules.sentence(rule), colours=t.colours)
        for t, rule in ((rule.task, rule) for rule in rules.rules)
    ]
    for task in dict.fromkeys(task for stack in stacks for task in stack.counts):
        empty = np.full(len(task.classes), np.nan, np.float32)
        parts = [f.counts.get(task, np.tile(empty, (len(f.rows), 1))) for f in found]
        ready[task.name] = Ready(np.concatenate(parts))
        plans.append(TargetPlan(task.name, task.kind, task.title, (), task.classes, colours=task.colours))
    known = np.concatenate([np.stack(list(f.shares.values())).sum(axis=0) for f in found])
    blank = int((known <= 0).sum())
    if blank:
        said.append(
            Note("note", f"{blank:,} of {len(known):,} chips lie where no class is known: they have no targets.")
        )
    return Listing(
        importer, origin, _table(stacks, found), pd.DataFrame({"known_share": known}),
        tuple(_pixels(sensor, size, stacks, found) for sensor, size in sizes.items()), tuple(plans), ready,
        tuple(Place(s.place, {sensor.name: files for sensor, files in s.scenes.items()}, s.land_cover) for s in stacks),
        chipping.stride, rules.to_dict(), tuple(said),
    )  # fmt: skip


def _check_places(stacks: Sequence[StackFiles]) -> None:
    names = [stack.place for stack in stacks]
    if not stacks or any(not stack.scenes for stack in stacks):
        raise ImportRefused("No scene was named. Name at least one sensor and its file.")
    for name in names:
        if names.count(name) > 1:
            raise ImportRefused(f"Two places are called {name[:80]!r}. Give each a name of its own.")
        if not _PLACE.fullmatch(name):
            raise ImportRefused(
                f"{name[:80]!r} cannot be the name of a place. Use letters, digits, dots, dashes and spaces."
            )
    for sensor in dict.fromkeys(sensor for stack in stacks for sensor in stack.scenes):
        here = [stack for stack in stacks if sensor in stack.scenes]
        if len({(len(s.scenes[sensor]), s.bands.get(sensor.name, ())) for s in here}) > 1:
            raise ImportRefused(
                f"{sensor.label} has other files or bands at one place than at another. Bring them into one form."
            )


def _sizes(stacks: Sequence[StackFiles], chipping: Chipping) -> dict[Sensor, int]:
    """Side of a chip per sensor, in its own pixels, in the order in which sensors were named."""
    pixels: dict[Sensor, tuple[float, str]] = {}
    for stack in stacks:
        with open_scenes(stack.place, stack.scenes, stack.bands) as scenes:
            for sensor, scene in scenes.items():
                metres, place = pixels.setdefault(sensor, (scene.grid.gsd_m, stack.place))
                if abs(scene.grid.gsd_m / metres - 1) > SAME_PIXEL:
                    raise BandsDoNotMatch(
                        f"{sensor.label} has pixels of {metres:.4g} m at {place[:80]!r} and of {scene.grid.gsd_m:.4g} m at "
                        f"{stack.place[:80]!r}. One data set needs one pixel size per sensor: resample one of the files."
                    )
    finest = min(metres for metres, _ in pixels.values())
    return {sensor: max(1, round(chipping.size * finest / metres)) for sensor, (metres, _) in pixels.items()}


def _place(
    stack: StackFiles, rules: Rules, chipping: Chipping, sizes: Mapping[Sensor, int], progress: Progress
) -> _Found:
    with open_scenes(stack.place, stack.scenes, stack.bands) as scenes:
        reference = min(scenes.values(), key=lambda scene: pixel_of(scene.grid))
        size = sizes[reference.sensor]
        stride = chipping.stride * size // chipping.size
        if stride * chipping.size != chipping.stride * size:
            raise BandsDoNotMatch(
                f"At {stack.place[:80]!r} a stride of {chipping.stride} is no whole number of {reference.sensor.label}'s "
                "pixels. Use a stride that is, for example the chip size."
            )
        grid = reference.grid
        starts_r, starts_c = positions(grid, [s.grid for s in scenes.values() if s is not reference], size, stride)
        rows, columns = (a.ravel() for a in np.meshgrid(starts_r, starts_c, indexing="ij"))
        own = {sensor: _windows(reference, scene, rows, columns, sizes) for sensor, scene in scenes.items()}
        valid = {sensor: np.zeros(len(rows), np.float32) for sensor in scenes}
        shares = {code: np.zeros(len(rows), np.float32) for code in rules.names}
        counts = {task: np.zeros((len(rows), len(files)), np.float32) for task, files in stack.counts.items()}
        codes = np.zeros(_CODES, np.int64)
        budget = min(BLOCK_PIXELS, BLOCK_VALUES // max(len(scene.sensor.bands) for scene in scenes.values()))
        for done, chips in blocks(len(starts_r), len(starts_c), size, stride, budget):
            progress(done, f"Looking at the ground of {stack.place}")
            for sensor, scene in scenes.items():
                valid[sensor][chips] = _valid(scene, own[sensor][0][chips], own[sensor][1][chips], sizes[sensor])
            row, column = int(rows[chips].min()), int(columns[chips].min())
            height, width = int(rows[chips].max()) - row + size, int(columns[chips].max()) - column + size
            cover = stack.cover.codes(grid.part(row, column, height, width))
            codes += np.bincount(cover[(cover >= 0) & (cover < _CODES)], minlength=_CODES)
            here = cover_shares(cover, rows[chips] - row, columns[chips] - column, size, list(rules.names))
            for code, share in here.items():
                shares[code][chips] = share
            for task, files in stack.counts.items():
                for index, path in enumerate(files):
                    with open_raster(path) as source:
                        layer = _count_layer(source, reference, Window(column, row, width, height))
                    means = window_means(layer, rows[chips] - row, columns[chips] - column, size)
                    counts[task][chips, index] = np.round(means * size**2)
        usable = valid[reference.sensor] >= chipping.min_valid
        kept = {}
        for sensor, (own_r, own_c) in own.items():
            raster, side = scenes[sensor].grid, sizes[sensor]
            inside = (own_r >= 0) & (own_c >= 0) & (own_r + side <= raster.height) & (own_c + side <= raster.width)
            present = (inside & (valid[sensor] >= chipping.min_valid))[usable]
            kept[sensor] = np.where(present, own_r[usable], -1), np.where(present, own_c[usable], -1)
        longitudes, latitudes = _centres(grid, rows[usable], columns[usable], size)
    return _Found(
        rows[usable],
        columns[usable],
        kept,
        {code: share[usable] for code, share in shares.items()},
        {task: values[usable] for task, values in counts.items()},
        longitudes,
        latitudes,
        codes,
    )


def _centres(
    grid: Grid, rows: Ints, columns: Ints, size: int
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Longitude and latitude of the middle of each chip in degrees; NaN where its place has none."""
    place, across, down = grid.transform, columns + size / 2, rows + size / 2
    xs, ys = place.a * across + place.b * down + place.c, place.d * across + place.e * down + place.f
    found = transform(grid.crs, "EPSG:4326", xs.tolist(), ys.tolist())
    longitudes, latitudes = (np.asarray(values, np.float64) for values in found[:2])
    return np.where(np.isfinite(longitudes), longitudes, np.nan), np.where(np.isfinite(latitudes), latitudes, np.nan)


def _windows(
    reference: OpenScene, scene: OpenScene, rows: Ints, columns: Ints, sizes: Mapping[Sensor, int]
) -> tuple[Ints, Ints]:
    size, own = sizes[reference.sensor], sizes[scene.sensor]
    found = windows(reference.grid, scene.grid, rows, columns, size, own)
    if found is None:
        raise BandsDoNotMatch(
            f"{reference.sensor.label} has {told(reference.grid)}; {scene.sensor.label} has {told(scene.grid)}. A chip of "
            f"{size} pixels of the first is no whole number of pixels of the second: resample one of the files, or change "
            "chip size and stride."
        )
    return found


def _valid(scene: OpenScene, rows: Ints, columns: Ints, size: int) -> Shares:
    """Share of each window that holds a value in every band: (chips,) float32 in 0..1."""
    row, column = int(rows.min()), int(columns.min())
    valid = scene.valid(row, column, int(rows.max()) - row + size, int(columns.max()) - column + size)
    return window_means(valid, rows - row, columns - column, size)


def _count_layer(source: DatasetReader, reference: OpenScene, window: Window) -> Shares:
    if (source.height, source.width) != (reference.grid.height, reference.grid.width):
        raise BandsDoNotMatch(
            f"A raster of counts has {source.width} x {source.height} pixels and {reference.sensor.label} "
            f"{told(reference.grid)}. They must share one pixel grid."
        )
    return np.nan_to_num(read_window(source, window, [1])[0])


def _cover_notes(stacks: Sequence[StackFiles], rules: Rules, found: Sequence[_Found]) -> list[Note]:
    """What the land cover does not say; refused where it says nothing at all."""
    codes = np.sum([f.codes for f in found], axis=0)
    if not codes.any():
        raise NothingToRead(
            f"{stacks[0].cover.title} holds no class on the ground of the scene. Choose a land cover of the same place."
        )
    strange = [int(code) for code in np.flatnonzero(codes) if code not in rules.names]
    listed = ", ".join(map(str, strange[:20]))
    if not any(codes[code] for code in rules.names):
        raise RulesInvalid(
            f"{stacks[0].cover.title} holds the codes {listed}; the rules for {rules.title[:80]!r} name none of them. "
            "Choose the rules of this land cover."
        )
    notes = []
    if strange:
        share = codes[strange].sum() / codes.sum()
        notes.append(
            Note(
                "note",
                f"The rules do not name the land-cover codes {listed} ({share:.1%} of the ground): unknown there.",
            )
        )
    bare = tuple(stack.place for stack, f in zip(stacks, found, strict=True) if not f.codes.any())
    if bare:
        notes.append(Note("note", "The land cover knows nothing of some places, whose chips have no targets.", bare))
    return notes


def _valid_notes(stacks: Sequence[StackFiles], chipping: Chipping, found: Sequence[_Found]) -> list[Note]:
    empty = tuple(stack.place for stack, f in zip(stacks, found, strict=True) if not len(f.rows))
    if len(empty) == len(stacks):
        raise NothingToRead(
            f"No square of {chipping.size} pixels has {chipping.min_valid:.0%} valid pixels in every band. "
            "Check the no-data value of the file, or use smaller chips."
        )
    return [Note("note", "Some places have no chip with enough valid pixels.", empty)] if empty else []


def _table(stacks: Sequence[StackFiles], found: Sequence[_Found]) -> pd.DataFrame:
    parts = [
        pd.DataFrame({
            "key": [f"{stack.place}/{r}-{c}" for r, c in zip(f.rows, f.columns, strict=True)], "split": "",
            "group": "", "place": stack.place, "longitude": f.longitudes, "latitude": f.latitudes, "region": "",
        })
        for stack, f in zip(stacks, found, strict=True)
    ]  # fmt: skip
    return pd.concat(parts, ignore_index=True)


def _pixels(sensor: Sensor, size: int, stacks: Sequence[StackFiles], found: Sequence[_Found]) -> Pixels:
    files: list[Path] = []
    parts: list[Ints] = []
    starts: list[tuple[Ints, Ints]] = []
    width = next(len(stack.scenes[sensor]) for stack in stacks if sensor in stack.scenes)
    for stack, f in zip(stacks, found, strict=True):
        missing = np.full(len(f.rows), -1, np.int64)
        rows, columns = f.windows.get(sensor, (missing, missing))
        numbers = np.arange(len(files), len(files) + width)
        parts.append(np.where(rows[:, None] >= 0, numbers, -1))
        starts.append((np.maximum(rows, 0), np.maximum(columns, 0)))
        files.extend(stack.scenes.get(sensor, ()))
    bands = next((stack.bands[sensor.name] for stack in stacks if sensor.name in stack.bands), ())
    return Pixels(
        sensor, "windows", tuple(files), np.concatenate(parts).astype(np.int32),
        np.concatenate([rows for rows, _ in starts]), np.concatenate([columns for _, columns in starts]), size,
        bands or tuple(range(1, len(sensor.bands) + 1)),
    )  # fmt: skip
