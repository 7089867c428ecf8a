"""Which sensor a folder of images comes from: as people say, or as the first image shows."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from spatialnet.errors import BandsDoNotMatch, ImportRefused, SpatialNetError
from spatialnet.importing.importer import Option, Source
from spatialnet.importing.listing import Note
from spatialnet.importing.wording import counted
from spatialnet.raster import ImageHeader, image_header
from spatialnet.sensors import SENSORS, Sensor

SENSOR_OPTIONS = (
    Option(
        "sensor",
        "Sensor",
        "Where the images come from; taken from the first image if not given.",
        choices=tuple(SENSORS),
    ),
    Option(
        "bands",
        "Bands",
        "For another sensor: each band with its centre in nanometres, as in 'green:560, red:665, nir:842'.",
    ),
    Option("pixel_size", "Metres per pixel", "Taken from the images or the sensor if not given."),
)
"""What importers of images ask."""

GREY = Sensor("grey", "optical", ("grey",), (575.0,), 1.0, "Grey")

_BY_COUNT = {1: GREY, 3: SENSORS["rgb"], 4: SENSORS["naip"], 12: SENSORS["sentinel2_l2a"], 13: SENSORS["sentinel2_l1c"]}
_TRIES = 20


def image_sensor(source: Source, root: Path, names: Sequence[str]) -> tuple[Sensor, tuple[int, ...], tuple[Note, ...]]:
    """The sensor of all images, which band of a file each of its bands is, and what was assumed.

    Args:
        source: answers to `SENSOR_OPTIONS`.
        root: the folder of the images.
        names: relative paths; the first one that opens is looked at.

    Raises:
        ImportRefused: an answer cannot be read or does not fit the images, or no answer was given and it cannot be told.
    """
    header, name = _first_header(root, names)
    sensor, bands, notes = choose_bands(source, header.count, header.descriptions, name)
    size = source.options.get("pixel_size", "").strip()
    if size:
        try:
            metres = float(size)
        except ValueError:
            metres = math.nan
        if not 0 < metres < 1e6:
            raise ImportRefused(f"Metres per pixel cannot be {size[:40]!r}. Give a number above 0, such as 0.3.")
        return replace(sensor, gsd_m=metres), bands, notes
    measured = _pixel_size(header)
    if measured:
        return replace(sensor, gsd_m=measured), bands, notes
    assumed = f"The images have no place on the ground; {sensor.gsd_m:g} m per pixel is assumed for {sensor.label}."
    return sensor, bands, (*notes, Note("note", assumed))


def _first_header(root: Path, names: Sequence[str]) -> tuple[ImageHeader, str]:
    problem: SpatialNetError | None = None
    for name in names[:_TRIES]:
        try:
            return image_header(root / name), name
        except SpatialNetError as error:
            problem = problem or error
    raise ImportRefused(f"None of the first images can be opened. {problem}") from problem


def choose_bands(
    source: Source, count: int, names: Sequence[str], image: str
) -> tuple[Sensor, tuple[int, ...], tuple[Note, ...]]:
    """The sensor of images with `count` bands, which band (from 1) each of its bands is, and what was assumed.

    Args:
        source: answers to `SENSOR_OPTIONS`.
        count: bands of an image.
        names: what the image calls them, "" where it does not say.
        image: its name, for messages.

    Raises:
        ImportRefused: an answer cannot be read or does not fit, or no answer was given and it cannot be told.
    """
    if answer := source.options.get("bands", "").strip():
        return _fitted(_own_sensor(answer), count, names, image)
    if answer := source.options.get("sensor", "").strip():
        return _fitted(SENSORS[answer], count, names, image)
    for sensor in sorted(SENSORS.values(), key=lambda s: -len(s.bands)):
        if len(sensor.bands) > 1 and set(sensor.bands) <= set(names):
            return _fitted(sensor, count, names, image)
    if count not in _BY_COUNT:
        raise ImportRefused(
            f"Image {image[-80:]!r} has {counted(count, 'band')}, and nothing says which. Choose a sensor or describe the bands."
        )
    sensor = _BY_COUNT[count]
    said = (
        f"{image} has {counted(count, 'band')}, so all images are taken for {sensor.label} ({', '.join(sensor.bands)})."
    )
    return sensor, tuple(range(1, count + 1)), (Note("note", said),)


def _fitted(
    sensor: Sensor, count: int, names: Sequence[str], image: str
) -> tuple[Sensor, tuple[int, ...], tuple[Note, ...]]:
    """The bands of a sensor in an image: by name where the image names all of them, else by position."""
    if set(sensor.bands) <= set(names):
        bands = tuple(list(names).index(band) + 1 for band in sensor.bands)
        return sensor, bands, (Note("note", f"Bands are found by their names in {image}: {sensor.label}."),)
    if count < len(sensor.bands):
        raise ImportRefused(
            f"Image {image[-80:]!r} has {counted(count, 'band')}; {sensor.label} has {len(sensor.bands)}. Choose another sensor."
        )
    notes = []
    if count > len(sensor.bands):
        notes.append(
            Note(
                "note",
                f"{image} has {counted(count, 'band')}; the first {len(sensor.bands)} are taken for {sensor.label}.",
            )
        )
    return sensor, tuple(range(1, len(sensor.bands) + 1)), tuple(notes)


def _own_sensor(answer: str) -> Sensor:
    found = [re.fullmatch(r"\s*([^:,]{1,40}?)\s*:\s*(\d+(?:\.\d+)?)\s*", part) for part in answer.split(",")]
    pairs = [(match[1], float(match[2])) for match in found if match]
    if len(pairs) < len(found) or len({band for band, _ in pairs}) < len(pairs):
        raise ImportRefused(
            f"Bands cannot be read from {answer[:80]!r}. Write each once, as in 'green:560, red:665, nir:842'."
        )
    try:
        return Sensor("own", "optical", tuple(b for b, _ in pairs), tuple(w for _, w in pairs), 1.0, "Own bands")
    except BandsDoNotMatch as error:
        raise ImportRefused(str(error)) from error


def _pixel_size(header: ImageHeader) -> float:
    """Metres per pixel of a placed image; 0 without a place."""
    if header.transform is None or header.crs is None:
        return 0.0
    size = math.hypot(header.transform.b, header.transform.e)
    metres = size * 111_320.0 if header.crs.is_geographic else size * float(header.crs.linear_units_factor[1])
    return float(f"{metres:.4g}")
