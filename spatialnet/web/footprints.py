"""Where chips lie on the map, and how many of them are painted at once (NumPy; no raster is opened).

A chip is a parallelogram in Web Mercator. 100,000 of them are four numbers each for finding those that meet a tile, and
painting costs about as much as the tile has pixels, however many chips there are.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property

import numpy as np
import numpy.typing as npt
import pandas as pd
from PIL import Image, ImageDraw
from rasterio.crs import CRS
from rasterio.errors import CRSError
from rasterio.warp import transform

from spatialnet.web.grid import HALF, TILE, Grid
from spatialnet.web.paint import Pixels

Indices = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]

DOT = 6
"""Side in tile pixels of a chip that would be smaller, where chips do not cover the ground."""

PLACE = 12
"""Side in tile pixels of a place whose chips cover it and that would be smaller."""

_POLYGONS_FROM = 32  # tile pixels; below, painting all pixels of all chips at once is faster than one polygon each
_EDGE_FROM = 12  # tile pixels; larger chips get an outline
_ROUND_FROM = 4  # tile pixels; smaller dots are squares


class Footprints:
    """The places of a data set's chips.

    Attributes:
        chips: (n,) chips that have a place, in order.
        corner: (n, 2) Web Mercator x and y of the first pixel's outer corner.
        across: (n, 2) from there along the chip's first row to its end.
        down: (n, 2) from there along the chip's first column to its end.
        places: (n,) number of the place that a chip is part of.
    """

    def __init__(self, chips: Indices, corner: Floats, across: Floats, down: Floats, places: Indices) -> None:
        self.chips, self.corner, self.across, self.down, self.places = chips, corner, across, down, places
        self._grown: dict[float, Footprints] = {}
        corners = np.stack([corner, corner + across, corner + down, corner + across + down])
        low, high = corners.min(axis=0), corners.max(axis=0)
        self._west, self._south, self._east, self._north = (np.ascontiguousarray(v) for v in (*low.T, *high.T))

    @classmethod
    def of(cls, table: pd.DataFrame, size: int) -> Footprints:
        """The footprints of a chip table.

        Args:
            table: see `spatialnet.datasets.catalogue.chip_table`.
            size: side in pixels of the chips that the table's affine transforms belong to.
        """
        quads = np.full((len(table), 3, 2), np.nan)  # first corner, end of the first row, end of the first column
        affine = table[["a", "b", "c", "d", "e", "f"]].to_numpy(np.float64)
        for text, rows in table.groupby("crs").indices.items():
            crs, given = _crs(str(text)), rows[np.isfinite(affine[rows]).all(axis=1)]
            if crs is None or not len(given):
                continue
            a, b, c, d, e, f = affine[given].T
            xs, ys = np.stack([c, c + a * size, c + b * size]), np.stack([f, f + d * size, f + e * size])
            quads[given] = _mercator(crs, xs, ys)
        bare = np.flatnonzero(~np.isfinite(quads).all(axis=(1, 2)))
        west, south, east, north = table[["west", "south", "east", "north"]].to_numpy(np.float64)[bare].T
        if len(bare):
            xs, ys = np.stack([west, east, west]), np.stack([north, north, south])
            quads[bare] = _mercator(CRS.from_epsg(4326), xs, ys)
        chips = np.flatnonzero(np.isfinite(quads).all(axis=(1, 2)))
        corner, right, bottom = quads[chips].transpose(1, 0, 2)
        places = pd.factorize(table["place"])[0][chips] if "place" in table else np.zeros(len(chips), np.int64)
        return cls(chips, corner, _short_way(right - corner), _short_way(bottom - corner), places)

    def __len__(self) -> int:
        return len(self.chips)

    def middle(self, size: int, stride: int) -> Footprints:
        """The central square of `stride` pixels of each chip, so that overlapping chips stand side by side."""
        if not 0 < stride < size:
            return self
        share = stride / size
        corner = self.corner + (self.across + self.down) * (1 - share) / 2
        return Footprints(self.chips, corner, self.across * share, self.down * share, self.places)

    def grown(self, pixel: float) -> Footprints:
        """The same, with places that are too small to see on a tile of such pixels magnified about their middles.

        Args:
            pixel: side of a tile pixel in Web Mercator metres.
        """
        if not len(self):
            return self
        middle, wide = self._spread
        factor = np.maximum(1, PLACE * pixel / np.maximum(wide, 1e-9))
        if (factor == 1).all():
            return self
        if pixel not in self._grown:
            own, about = factor[self.places][:, None], middle[self.places]
            self._grown[pixel] = Footprints(
                self.chips, about + (self.corner - about) * own, self.across * own, self.down * own, self.places
            )
        return self._grown[pixel]

    @cached_property
    def _spread(self) -> tuple[Floats, Floats]:
        """Middle (k, 2) and longer side (k,) of each place, in Web Mercator metres."""
        count = int(self.places.max()) + 1
        low, high = np.full((count, 2), np.inf), np.full((count, 2), -np.inf)
        np.minimum.at(low, self.places, np.column_stack([self._west, self._south]))
        np.maximum.at(high, self.places, np.column_stack([self._east, self._north]))
        return (low + high) / 2, (high - low).max(axis=1)

    def meeting(self, grid: Grid, margin: float = 0.0) -> Indices:
        """Positions in `chips` of those that meet a tile; `margin` in tile pixels."""
        extra = margin * grid.pixel
        west, south, east, north = grid.bounds
        inside = self._west < east + extra
        inside &= self._east > west - extra
        inside &= self._south < north + extra
        inside &= self._north > south - extra
        return np.flatnonzero(inside)

    def extent(self, at: Indices, grid: Grid) -> Floats:
        """The longer side in tile pixels of the box around each chip."""
        wide, tall = self._east[at] - self._west[at], self._north[at] - self._south[at]
        return np.maximum(wide, tall) / grid.pixel

    def on(self, at: Indices, grid: Grid) -> tuple[Floats, Floats, Floats]:
        """Corner, across and down (n, 2) in tile pixels (column, row)."""
        origin, flip = np.array([grid.bounds[0], grid.bounds[3]]), np.array([1, -1]) / grid.pixel
        return (self.corner[at] - origin) * flip, self.across[at] * flip, self.down[at] * flip

    def paint(self, grid: Grid, colours: Pixels, *, covering: bool) -> Pixels:
        """Every chip in its colour.

        Args:
            grid: the tile.
            colours: (chips, 4) RGBA of every chip of the data set; chips of alpha 0 are left out.
            covering: the chips stand side by side like the cells of a raster, and a place that is too small to see is
                magnified as a whole; otherwise small chips are drawn as dots that can be seen, and large ones get an edge.

        Returns:
            (256, 256, 4) RGBA; where chips overlap the later one shows.
        """
        if covering and (grown := self.grown(grid.pixel)) is not self:
            return grown._painted(grid, colours, covering=True)
        return self._painted(grid, colours, covering=covering)

    def _painted(self, grid: Grid, colours: Pixels, *, covering: bool) -> Pixels:
        picture = np.zeros((TILE, TILE, 4), np.uint8)
        at = self.meeting(grid, DOT)
        shown = colours[self.chips[at]]
        at, shown = at[shown[:, 3] > 0], shown[shown[:, 3] > 0]
        if not len(at):
            return picture
        sizes = self.extent(at, grid)
        large = sizes >= _POLYGONS_FROM
        if large.any():
            picture = self._polygons(at[large], grid, shown[large], edges=not covering)
        small = sizes < (2 if covering else DOT)
        for some in _alike(np.where(large | small, 0, sizes)):
            self._pixels(at[some], grid, shown[some], picture, edges=not covering)
        if small.any():
            side = max(1, int(np.ceil(sizes[small].max()))) if covering else DOT
            self._dots(at[small], grid, shown[small], picture, side)
        return picture

    def _polygons(self, at: Indices, grid: Grid, shown: Pixels, *, edges: bool) -> Pixels:
        image = Image.new("RGBA", (TILE, TILE))
        draw = ImageDraw.Draw(image)
        corner, across, down = self.on(at, grid)
        # A pixel belongs to the shape that covers its middle, and Pillow counts from middles. Far corners are cut off.
        quads = np.stack([corner, corner + across, corner + across + down, corner + down], axis=1) - 0.5
        quads = np.clip(quads, -1e5, 1e5)
        for quad, colour in zip(quads.reshape(-1, 8).tolist(), shown.tolist(), strict=True):
            dark = (*(round(v * 0.6) for v in colour[:3]), 255) if edges else None
            draw.polygon(quad, fill=tuple(colour), outline=dark)
        return np.array(image)

    def _pixels(self, at: Indices, grid: Grid, shown: Pixels, picture: Pixels, *, edges: bool) -> None:
        """Chips of a few pixels: every pixel of every chip's box is tested at once."""
        corner, across, down = self.on(at, grid)
        low = np.floor(corner + np.minimum(across, 0) + np.minimum(down, 0)).astype(np.int64)
        reach = int(np.ceil(self.extent(at, grid).max())) + 1
        steps = np.arange(reach)
        column = low[:, 0, None, None] + steps[None, None, :]
        row = low[:, 1, None, None] + steps[None, :, None]
        x, y = column + 0.5 - corner[:, 0, None, None], row + 0.5 - corner[:, 1, None, None]
        area = across[:, 0] * down[:, 1] - across[:, 1] * down[:, 0]
        area = np.where(np.abs(area) < 1e-9, np.nan, area)[:, None, None]
        u = (x * down[:, 1, None, None] - y * down[:, 0, None, None]) / area
        v = (y * across[:, 0, None, None] - x * across[:, 1, None, None]) / area
        # A hair over the edge, so that rounding leaves no gap between neighbours.
        inside = (np.abs(u - 0.5) <= 0.5001) & (np.abs(v - 0.5) <= 0.5001)
        inside &= (column >= 0) & (column < TILE) & (row >= 0) & (row < TILE)
        chip, i, j = np.nonzero(inside)
        painted = shown[chip]
        if edges and reach > _EDGE_FROM:
            wide = 1 / self.extent(at, grid)[chip]
            edge = (np.minimum(u[inside], v[inside]) < wide) | (np.maximum(u[inside], v[inside]) > 1 - wide)
            painted[edge, :3] = np.round(painted[edge, :3] * 0.6)
        picture[low[chip, 1] + i, low[chip, 0] + j] = painted

    def _dots(self, at: Indices, grid: Grid, shown: Pixels, picture: Pixels, side: int) -> None:
        """Chips as dots: the last chip of each pixel is found first, so that the cost does not grow with the chips."""
        corner, across, down = self.on(at, grid)
        first = np.floor(corner + (across + down) / 2 - (side - 1) / 2).astype(np.int64) + side
        here = ((first > 0) & (first < TILE + side)).all(axis=1)
        last = np.full((TILE + 2 * side, TILE + 2 * side), -1, np.int32)
        last[first[here, 1], first[here, 0]] = np.flatnonzero(here)
        top = np.full((TILE, TILE), -1, np.int32)
        radius = side / 2
        for i, j in np.ndindex(side, side):
            if side < _ROUND_FROM or np.hypot(i + 0.5 - radius, j + 0.5 - radius) <= radius:
                np.maximum(top, last[side - i : side - i + TILE, side - j : side - j + TILE], out=top)
        picture[top >= 0] = shown[top[top >= 0]]


def _alike(sizes: Floats) -> Iterator[Indices]:
    """Positions of chips of similar size, from 2 tile pixels on, the larger first."""
    high = float(_POLYGONS_FROM)
    while high > 2:
        some = np.flatnonzero((sizes >= high / 2) & (sizes < high))
        if len(some):
            yield some
        high /= 2


def _crs(text: str) -> CRS | None:
    if not text:
        return None
    try:
        return CRS.from_user_input(text)
    except CRSError:
        return None


def _mercator(crs: CRS, xs: Floats, ys: Floats) -> Floats:
    """(k, n) coordinates as (n, k, 2) in Web Mercator; what it has no place for is NaN."""
    x, y = transform(crs, "EPSG:3857", xs.ravel(), ys.ravel())
    both = np.stack([np.asarray(x, np.float64).reshape(xs.shape), np.asarray(y, np.float64).reshape(ys.shape)], axis=-1)
    both[~np.isfinite(both).all(axis=-1)] = np.nan
    return both.transpose(1, 0, 2)


def _short_way(step: Floats) -> Floats:
    """A chip that lies on the 180th meridian does not reach around the world."""
    step[:, 0] = (step[:, 0] + HALF) % (2 * HALF) - HALF
    return step
