"""Attribution -> colours -> picture on the map (pure, but for `write_png`). Free of torch."""

from __future__ import annotations

import os
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import rasterio.warp
from affine import Affine
from PIL import Image
from rasterio.crs import CRS
from rasterio.enums import Resampling

from spatialnet.errors import ExplanationFailed, NotEnoughDisk, SceneHasNoCRS

WEB_MERCATOR = "EPSG:3857"

DIVERGING = ("#0072b2", "#7fb8d8", "#ffffff", "#eaae7f", "#d55e00")
"""Against the class (blue), nothing (white), for it (vermilion). Okabe and Ito's colour-blind-safe pair."""

SEQUENTIAL = ("#ffffcc", "#fed976", "#fd8d3c", "#e31a1c", "#800026")
"""No evidence (pale) to most evidence (dark red). ColorBrewer YlOrRd, colour-blind safe."""

RGBA = npt.NDArray[np.uint8]
Bounds = tuple[tuple[float, float], tuple[float, float]]


@dataclass(frozen=True)
class Legend:
    """The numbers and colours beside a coloured attribution.

    Attributes:
        low: value of the first colour.
        high: value of the last colour; values beyond `low` and `high` take the end colours.
        colours: evenly spaced `#rrggbb` from `low` to `high`.
        signed: zero is the middle colour.
    """

    low: float
    high: float
    colours: tuple[str, ...]
    signed: bool

    def to_dict(self) -> dict[str, Any]:
        """The legend as JSON-ready values."""
        return {"low": self.low, "high": self.high, "colours": list(self.colours), "signed": self.signed}


def limit(values: npt.NDArray[np.floating[Any]], percentile: float = 99.0) -> float:
    """Where the colour scale ends: a percentile of the finite absolute values; 1 where all of them are 0."""
    finite = np.abs(values[np.isfinite(values)])
    end = float(np.percentile(finite, percentile)) if finite.size else 0.0
    if end == 0.0 and finite.size:
        end = float(finite.max())
    return end or 1.0


def colour(
    values: npt.NDArray[np.floating[Any]], *, signed: bool, end: float | None = None, percentile: float = 99.0
) -> tuple[RGBA, Legend]:
    """Colour an attribution. Opacity grows with the evidence, so that the scene shows where there is none.

    Args:
        values: (height, width); NaN becomes transparent.
        signed: diverging colours centred on zero over -end..end; else sequential colours over 0..end.
        end: where the scale ends; the same for pictures that are compared. Default `limit(...)`.
        percentile: see `limit`.

    Returns:
        (height, width, 4) uint8 and the legend.

    Raises:
        ExplanationFailed: `values` is not one map.
    """
    if values.ndim != 2:
        raise ExplanationFailed(
            f"An overlay needs one map (height, width); this has shape {values.shape}. Pass one chip."
        )
    high = limit(values, percentile) if end is None else end
    palette, low = (DIVERGING, -high) if signed else (SEQUENTIAL, 0.0)
    place = np.clip((np.nan_to_num(values, nan=0.0) - low) / (high - low), 0.0, 1.0)
    stops = np.array([[int(c[i : i + 2], 16) for i in (1, 3, 5)] for c in palette], np.float64)
    at = np.linspace(0.0, 1.0, len(palette))
    rgba = np.empty((*values.shape, 4), np.uint8)
    for channel in range(3):
        rgba[..., channel] = np.rint(np.interp(place, at, stops[:, channel]))
    strength = np.clip(np.abs(np.nan_to_num(values, nan=0.0)) / high, 0.0, 1.0)
    rgba[..., 3] = np.rint(255 * strength**0.6)  # a power below 1 keeps weak evidence visible
    rgba[~np.isfinite(values)] = 0
    return rgba, Legend(low, high, palette, signed)


def warp(rgba: RGBA, transform: Affine, crs: CRS | str, *, side: int = 256) -> tuple[RGBA, Bounds]:
    """Warp a coloured chip to the web map's projection.

    The result has at least `side` pixels on its longer side, so that nearest-neighbour sampling, which keeps
    colours and the chip's hard edges, is off by a fraction of a chip pixel only.

    Args:
        rgba: (height, width, 4) uint8 on the chip's pixels.
        transform: the chip's affine transform, pixel corners to map units.
        crs: the chip's coordinate reference system, as anything that rasterio reads.
        side: pixels on the longer side of the result.

    Returns:
        (height, width, 4) uint8 in EPSG:3857, transparent outside the chip, and its WGS84 bounds
        ((south, west), (north, east)), as folium's `ImageOverlay` takes them.

    Raises:
        SceneHasNoCRS: `crs` is missing or unknown.
    """
    try:
        source = CRS.from_user_input(crs)
    except (rasterio.errors.CRSError, ValueError, TypeError) as error:
        raise SceneHasNoCRS(
            f"The chip's coordinate reference system {str(crs)[:80]!r} cannot be read, so its "
            "explanation has no place on a map. Import the scene with a CRS."
        ) from error
    height, width = rgba.shape[:2]
    left, bottom, right, top = _mercator_bounds(height, width, transform, source)
    scale = max(side, height, width) / max(right - left, top - bottom)
    across, down = max(1, round((right - left) * scale)), max(1, round((top - bottom) * scale))
    bands = np.zeros((4, down, across), np.uint8)
    rasterio.warp.reproject(
        np.ascontiguousarray(rgba.transpose(2, 0, 1)),
        bands,
        src_transform=transform,
        src_crs=source,
        dst_transform=Affine((right - left) / across, 0.0, left, 0.0, (bottom - top) / down, top),
        dst_crs=WEB_MERCATOR,
        resampling=Resampling.nearest,
    )
    (west, east), (south, north) = rasterio.warp.transform(WEB_MERCATOR, "EPSG:4326", [left, right], [bottom, top])
    return np.ascontiguousarray(bands.transpose(1, 2, 0)), ((south, west), (north, east))


def _mercator_bounds(height: int, width: int, transform: Affine, crs: CRS) -> tuple[float, float, float, float]:
    """Left, bottom, right, top in EPSG:3857 of the chip's outline, whose straight edges may become curves."""
    along = np.linspace(0.0, 1.0, 22)
    columns = np.concatenate([along * width, np.full(22, float(width)), along * width, np.zeros(22)])
    rows = np.concatenate([np.zeros(22), along * height, np.full(22, float(height)), along * height])
    xs = transform.a * columns + transform.b * rows + transform.c
    ys = transform.d * columns + transform.e * rows + transform.f
    east, north = rasterio.warp.transform(crs, WEB_MERCATOR, xs.tolist(), ys.tolist())
    return min(east), min(north), max(east), max(north)


def write_png(path: Path, rgba: RGBA) -> None:
    """Write a picture as PNG; a reader sees the old file or the whole new one.

    Raises:
        NotEnoughDisk: the disk is full or not writable; what was there before is unchanged.
    """
    temporary: Path | None = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=path.name, suffix=".tmp", dir=path.parent)
        temporary = Path(name)
        with os.fdopen(handle, "wb") as file:
            Image.fromarray(rgba, "RGBA").save(file, format="PNG")
        temporary.replace(path)
    except OSError as error:
        if temporary is not None:
            temporary.unlink(missing_ok=True)
        raise NotEnoughDisk(
            f"The picture {path.name} cannot be written ({error.strerror}). Free some disk space."
        ) from error
