"""Where chips lie on the ground: each chip's own transform, and its rectangle of longitude and latitude."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pandas as pd
from rasterio.crs import CRS
from rasterio.errors import RasterioError
from rasterio.warp import transform

from spatialnet.errors import SpatialNetError
from spatialnet.importing.chip_reader import MAX_SCENE_PIXELS
from spatialnet.importing.listing import Listing
from spatialnet.raster import named_crs, open_raster

AFFINE = tuple("abcdef")
DEGREES = ("west", "south", "east", "north", "longitude", "latitude")
_EDGE = ((0, 0), (0.5, 0), (1, 0), (1, 0.5), (1, 1), (0.5, 1), (0, 1), (0, 0.5), (0.5, 0.5))
"""Corners, middles of the sides and the centre of a chip: sides that are straight in one system are curved in another."""


def crs_text(crs: CRS | None) -> str:
    """A coordinate reference system as text: "EPSG:n" where it has a code, else WKT; "" for none."""
    if crs is None:
        return ""
    code = crs.to_epsg()
    return crs.to_wkt() if code is None else f"EPSG:{code}"


def locate(
    listing: Listing, crs: npt.NDArray[np.object_], affine: npt.NDArray[np.float64], sizes: npt.NDArray[np.int64]
) -> pd.DataFrame:
    """The ground of every chip.

    Args:
        listing: the chips; windows of rasters are looked up in their files, and the listing's `longitude` and `latitude`
            stand where a chip has no transform of its own.
        crs: (chips,) text of each chip's system, "" for none (ignored for windows).
        affine: (chips, 6) `a` to `f` of each chip, NaN for none (ignored for windows).
        sizes: (chips, 2) height and width in pixels, 0 where not known.

    Returns:
        One row per chip: `row`, `column` (of a window in its scene, else 0), `crs`, `a` to `f` (chip pixel (column, row) to
        ground), `height`, `width`, `gsd_m` (metres per pixel, NaN unknown), `west`, `south`, `east`, `north`, `longitude`,
        `latitude` in degrees, NaN unknown. `west` and `longitude` are -180..180; `east` exceeds 180 where a chip lies
        across the antimeridian, so that it is always `west` plus the chip's width.
    """
    first = listing.pixels[0]
    if first.reader == "windows":
        crs, affine, sizes = _of_windows(listing)
    table = pd.DataFrame({
        "row": first.row if first.reader == "windows" else np.zeros(len(listing), np.int64),
        "column": first.column if first.reader == "windows" else np.zeros(len(listing), np.int64),
        "crs": crs.astype(object), **dict(zip(AFFINE, affine.T, strict=True)),
        "height": sizes[:, 0], "width": sizes[:, 1], "gsd_m": np.full(len(listing), np.nan),
        **{name: np.full(len(listing), np.nan) for name in DEGREES},
    })  # fmt: skip
    placed = np.isfinite(affine).all(axis=1) & (crs != "") & (sizes > 0).all(axis=1)
    for text in sorted(set(crs[placed])):
        chips = np.flatnonzero(placed & (crs == text))
        _fill(table, chips, str(text), affine[chips], sizes[chips])
    _from_listing(table, listing.chips)
    return table


def _of_windows(
    listing: Listing,
) -> tuple[npt.NDArray[np.object_], npt.NDArray[np.float64], npt.NDArray[np.int64]]:
    crs, affine = np.full(len(listing), "", object), np.full((len(listing), 6), np.nan)
    sizes = np.zeros((len(listing), 2), np.int64)
    for pixels in reversed(listing.pixels):  # the first sensor that a chip has says where it is
        for file in np.unique(pixels.file[pixels.present, 0]):
            try:
                with open_raster(pixels.files[file], max_pixels=MAX_SCENE_PIXELS) as source:
                    grid, text = source.transform, crs_text(named_crs(source.crs) if source.crs else None)
            except SpatialNetError:
                continue  # the scan says so of every chip of this file
            chips = np.flatnonzero(pixels.present & (pixels.file[:, 0] == file))
            row, column = pixels.row[chips], pixels.column[chips]
            crs[chips], sizes[chips] = text, pixels.size
            affine[chips] = [grid.a, grid.b, 0, grid.d, grid.e, 0]
            affine[chips, 2] = grid.c + grid.a * column + grid.b * row
            affine[chips, 5] = grid.f + grid.d * column + grid.e * row
    return crs, affine, sizes


def _fill(
    table: pd.DataFrame,
    chips: npt.NDArray[np.int64],
    text: str,
    affine: npt.NDArray[np.float64],
    sizes: npt.NDArray[np.int64],
) -> None:
    """Degrees of chips of one system, all at once."""
    across, down = np.asarray(_EDGE).T
    column, row = across * sizes[:, 1:], down * sizes[:, :1]
    a, b, c, d, e, f = (affine[:, i : i + 1] for i in range(6))
    x, y = a * column + b * row + c, d * column + e * row + f
    try:
        system = CRS.from_string(text)
        longitude, latitude = (
            np.asarray(v, np.float64).reshape(x.shape)
            for v in transform(system, CRS.from_epsg(4326), x.ravel().tolist(), y.ravel().tolist())
        )
        unit = 111_320.0 if system.is_geographic else float(system.linear_units_factor[1])
    except (RasterioError, ValueError):
        return
    known = (
        np.isfinite(longitude).all(axis=1) & np.isfinite(latitude).all(axis=1) & (np.abs(latitude) <= 90).all(axis=1)
    )
    # Longitudes are counted from the chip's centre, so that no chip spans the world.
    centre = (longitude[:, -1] + 180) % 360 - 180
    offset = (longitude - longitude[:, -1:] + 180) % 360 - 180
    west = centre + offset.min(axis=1)
    turn = np.where(west < -180, 360.0, 0.0)
    values = {
        "west": west + turn, "east": centre + offset.max(axis=1) + turn, "south": latitude.min(axis=1),
        "north": latitude.max(axis=1), "longitude": centre, "latitude": latitude[:, -1],
        "gsd_m": np.hypot(affine[:, 1], affine[:, 4]) * unit,
    }  # fmt: skip
    for name, column_values in values.items():
        table.loc[chips[known], name] = column_values[known]


def _from_listing(table: pd.DataFrame, chips: pd.DataFrame) -> None:
    """Centres that the source states, for chips without a transform."""
    if not {"longitude", "latitude"} <= set(chips.columns):
        return
    said = chips[["longitude", "latitude"]].apply(pd.to_numeric, errors="coerce").to_numpy(np.float64)
    usable = np.isfinite(said).all(axis=1) & (np.abs(said[:, 0]) <= 180) & (np.abs(said[:, 1]) <= 90)
    usable &= table["longitude"].isna().to_numpy()
    table.loc[usable, ["longitude", "latitude"]] = said[usable]
