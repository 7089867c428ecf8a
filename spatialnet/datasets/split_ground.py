"""Blocks of ground for splits: a scene's own pixel grid where there is one, else equal-area squares of the globe. Pure."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

METRES_PER_DEGREE = 111_195.0
"""Along a meridian of the sphere used here."""

_RADIUS = 6_371_007.0
"""Of the sphere with the Earth's surface, in metres."""

_TRUE = np.cos(np.radians(30.0))
"""Cylindrical equal-area projection that is true at 30 degrees (the sphere's form of EPSG:6933)."""

_ROUND = 1.01
"""The Earth is no sphere: lengths may be wrong by half a per cent, so guards are a little wider."""


@dataclass(frozen=True)
class BlockGrid:
    """Which blocks chips lie in and reach into, as `search_blocks` takes them.

    Attributes:
        middle: (chips, 2) row and column of the block of each chip's centre.
        first: (chips, 2) first block that the chip with half a guard around it reaches into.
        last: (chips, 2) last such block.
    """

    middle: npt.NDArray[np.int64]
    first: npt.NDArray[np.int64]
    last: npt.NDArray[np.int64]


def has_ground(table: pd.DataFrame) -> npt.NDArray[np.bool_]:
    """Which chips have a place on the ground: (chips,) bool."""
    if not {"longitude", "latitude"} <= set(table.columns):
        return np.zeros(len(table), bool)
    return np.isfinite(table[["longitude", "latitude"]].to_numpy(np.float64)).all(axis=1)


def block_grid(table: pd.DataFrame, block_m: float, guard_m: float) -> BlockGrid:
    """Blocks of `block_m` metres; chips of different splits will be `guard_m` metres apart, edge to edge.

    Args:
        table: chips with known ground; see `spatialnet.datasets.split_plans.make_split`.
        block_m: side of a block in metres (away from 30 degrees of latitude as wide or as high as keeps its area).
        guard_m: width of the guard band in metres.
    """
    scene = _scene_grid(table)
    if scene is not None:
        row, column, side, gsd = scene
        block, guard = max(1, round(block_m / gsd)), int(np.ceil(guard_m / gsd - 1e-3))
        margin = (guard + 1) // 2
        top = np.stack([row, column], axis=1)
        corners = (top + side // 2, top - margin, top + side - 1 + margin)
        return BlockGrid(*(np.maximum(v // block, 0) for v in corners))
    low, high = _projected(table, 0.0)
    near, far = _projected(table, guard_m / 2 * _ROUND)
    blocks = [np.floor(v / block_m).astype(np.int64) for v in ((low + high) / 2, near, far)]
    lowest = blocks[1].min(axis=0)
    return BlockGrid(*(v - lowest for v in blocks))


def place_of_blocks(table: pd.DataFrame, block_m: float) -> npt.NDArray[np.int64]:
    """One number per block of ground for each chip: (chips,)."""
    middle = block_grid(table, block_m, 0.0).middle
    return middle[:, 0] * (int(middle[:, 1].max()) + 1) + middle[:, 1]


def chip_side_m(table: pd.DataFrame) -> float:
    """The median side of a chip on the ground in metres; 0 where only its centre is known."""
    scene = _scene_grid(table)
    if scene is not None:
        return scene[2] * scene[3]
    if not {"south", "north"} <= set(table.columns):
        return 0.0
    height = (table["north"] - table["south"]).to_numpy(np.float64) * METRES_PER_DEGREE
    height = height[np.isfinite(height)]
    return float(np.median(height)) if len(height) else 0.0


def _scene_grid(table: pd.DataFrame) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], int, float] | None:
    """First row and column, side and metres per pixel where all chips are windows of one scene with square pixels."""
    if not {"row", "column", "height", "width", "crs", "gsd_m", *"abcdef"} <= set(table.columns):
        return None
    affine = table[list("abcdef")].to_numpy(np.float64)
    row, column = table["row"].to_numpy(np.int64), table["column"].to_numpy(np.int64)
    side, gsd = int(table["height"].iloc[0]), float(table["gsd_m"].iloc[0])
    origin = affine[:, [2, 5]] - affine[:, [0, 3]] * column[:, None] - affine[:, [1, 4]] * row[:, None]
    grid = np.column_stack([affine[:, [0, 1, 3, 4]], origin])
    pixel = float(np.hypot(affine[0, 0], affine[0, 3])) or 1.0
    one = (
        table["crs"].nunique() == 1
        and (table[["height", "width"]] == side).all(axis=None)
        and bool((np.abs(grid - grid[0]) < 0.01 * pixel).all())
    )
    if not one or gsd <= 0 or not (row.any() or column.any()):
        return None
    across = float(
        (table["east"].iloc[0] - table["west"].iloc[0])
        * np.cos(np.radians(table["latitude"].iloc[0])) * METRES_PER_DEGREE / side
    )  # fmt: skip
    # Where a pixel is not as wide as it is high (degrees), a square of pixels is no square of ground.
    return (row, column, side, gsd) if abs(across / gsd - 1) < 0.15 else None


def _projected(table: pd.DataFrame, margin_m: float) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Lower and upper (y, x) of each chip with a margin around it, in metres of the equal-area grid."""
    longitude, latitude = (table[n].to_numpy(np.float64) for n in ("longitude", "latitude"))

    def side(name: str, otherwise: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        values = table[name].to_numpy(np.float64) if name in table else otherwise
        return np.where(np.isfinite(values), values, otherwise)

    margin = margin_m / METRES_PER_DEGREE
    south = np.maximum(side("south", latitude) - margin, -90.0)
    north = np.minimum(side("north", latitude) + margin, 90.0)
    shrunk = np.cos(np.radians(np.minimum(np.maximum(np.abs(south), np.abs(north)), 89.0)))
    half = np.maximum(side("east", longitude) - side("west", longitude), 0) / 2 + margin / shrunk
    # The globe is cut where no chip is, so that neighbours across the antimeridian stay neighbours.
    turned = np.sort(longitude % 360)
    gaps = np.diff(np.r_[turned, turned[0] + 360])
    widest = int(np.argmax(gaps))
    x = (longitude - turned[widest] - gaps[widest] / 2) % 360
    low = np.column_stack([np.sin(np.radians(south)) / _TRUE, np.radians(x - half) * _TRUE]) * _RADIUS
    high = np.column_stack([np.sin(np.radians(north)) / _TRUE, np.radians(x + half) * _TRUE]) * _RADIUS
    return low, high
