"""A first guess at what the rasters of a folder are: which sensor, or the land cover. People look at it before it counts."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from spatialnet.errors import SpatialNetError
from spatialnet.raster import SUFFIXES, ImageHeader, image_header
from spatialnet.sensors import SENSORS

LAND_COVER = "land cover"
MOST = 60

_COVER_NAME = re.compile(
    r"land.?cover|lulc|world.?cover|nlcd|clc|corine|dynamic.?world|land.?use|classes|labels?\b", re.IGNORECASE
)
_NAMES = {
    "sentinel1": r"sentinel.?1|(^|[^a-z0-9])s1([^0-9]|$)", "sentinel2_l2a": r"sentinel.?2|(^|[^a-z0-9])s2([^0-9]|$)",
    "landsat7": r"landsat|lsat|(^|[^a-z0-9])l7([^0-9]|$)", "naip": r"naip", "elevation": r"elevation|\bdem\b|dsm|dtm",
}  # fmt: skip
_BY_COUNT = {3: "rgb", 4: "naip", 6: "landsat7", 10: "sentinel2_10", 12: "sentinel2_l2a", 13: "sentinel2_l1c"}


@dataclass(frozen=True)
class Raster:
    """One raster of a folder, or one kind of raster that every place has.

    Attributes:
        pattern: its path inside the folder; `*` stands for the place.
        bands: how many, and what they are called where the file says so.
        role: the name of a sensor, `LAND_COVER`, or "" where nothing fits.
    """

    pattern: str
    bands: tuple[str, ...]
    role: str


def propose_roles(folder: Path) -> tuple[Raster, ...]:
    """The GeoTIFFs in a folder and in the folders right below it; of many with like names the first is looked at.

    Args:
        folder: the source; a file stands for itself.
    """
    if folder.is_file():
        return _raster(folder.parent, folder.name, folder.name)
    found: list[Raster] = []
    for name in _rasters(folder):
        found += _raster(folder, name, name)
    for below in sorted(entry for entry in folder.iterdir() if entry.is_dir() and not entry.name.startswith("."))[
        :MOST
    ]:
        names = _rasters(below)
        if names and len(found) < MOST:
            found += _raster(folder, f"{below.name}/*{Path(names[0]).suffix}", f"{below.name}/{names[0]}")
    taken: set[str] = set()
    once = []
    for raster in found[:MOST]:  # of two that look like one sensor the second is left for people to say
        once.append(Raster(raster.pattern, raster.bands, "" if raster.role in taken else raster.role))
        taken.add(raster.role)
    return tuple(once)


def answers(roles: Mapping[str, str]) -> dict[str, str]:
    """Answers to `scenes` and `land_cover` for what people said each pattern is.

    Args:
        roles: per pattern a sensor's name, `LAND_COVER`, or "".
    """
    scenes = [f"{role}={pattern}" for pattern, role in roles.items() if role in SENSORS]
    cover = [pattern for pattern, role in roles.items() if role == LAND_COVER]
    return {"scenes": ", ".join(scenes)} | ({"land_cover": cover[0]} if cover else {})


def band_mismatch(sensor: str, header: ImageHeader) -> tuple[int, ...] | None:
    """The file band, from 1, for each band of a sensor as its names say; None where bands agree in number and order.

    Where names say nothing, bands are taken in their order as far as there are any; 0 is none.
    """
    wanted, named = SENSORS[sensor].bands, header.descriptions
    if header.count == len(wanted) and (not any(named) or named == wanted or not set(named) & set(wanted)):
        return None
    if set(wanted) & set(named):
        return tuple(named.index(band) + 1 if band in named else 0 for band in wanted)
    return tuple(band + 1 if band < header.count else 0 for band in range(len(wanted)))


def _rasters(folder: Path) -> list[str]:
    try:
        return sorted(
            entry.name for entry in folder.iterdir()
            if entry.suffix.lower() in SUFFIXES and not entry.name.startswith(".") and entry.is_file()
        )[:MOST]  # fmt: skip
    except OSError:
        return []


def _raster(root: Path, pattern: str, name: str) -> tuple[Raster, ...]:
    try:
        header = image_header(root / name, max_pixels=1 << 40)
    except SpatialNetError:
        return ()
    bands = tuple(text or f"band {n}" for n, text in enumerate(header.descriptions or ("",) * header.count, 1))
    return (Raster(pattern, bands, _role(pattern, header)),)


def _role(pattern: str, header: ImageHeader) -> str:
    if _COVER_NAME.search(pattern) and header.count == 1:
        return LAND_COVER
    names = set(header.descriptions)
    by_bands = [s.name for s in SENSORS.values() if set(s.bands) <= names and len(s.bands) > 1]
    if by_bands:
        return max(by_bands, key=lambda name: len(SENSORS[name].bands))
    for name, expression in _NAMES.items():
        if re.search(expression, pattern, re.IGNORECASE):
            return name
    if header.count == 2 and header.dtype.startswith("float"):
        return "sentinel1"
    return _BY_COUNT.get(header.count, "")


def first_file(folder: Path, pattern: str) -> Path | None:
    """The first file that a pattern stands for."""
    root = folder if folder.is_dir() else folder.parent
    return next(iter(sorted(root.glob(pattern))), None) if "*" in pattern else root / pattern


def sensors_of(text: str) -> Sequence[tuple[str, str]]:
    """(sensor, first file pattern) pairs of an answer to `scenes`; what cannot be read is left out."""
    pairs = (part.partition("=") for part in text.split(","))
    return [
        (name.strip(), value.split("+")[0].strip())
        for name, equals, value in pairs
        if equals and name.strip() in SENSORS
    ]
