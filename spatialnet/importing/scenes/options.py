"""What importers that cut chips from scenes ask alike: which files are which sensor, and how chips are cut."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from spatialnet.errors import DataSetInvalid, ImportRefused
from spatialnet.importing.importer import Option, Source
from spatialnet.importing.listing import Note, Origin
from spatialnet.importing.scenes.chips import Chipping
from spatialnet.raster import shown_name
from spatialnet.sensors import SENSORS, Sensor

SCENES = Option(
    "scenes", "Scenes", "For each sensor `name=file`, parted by commas; `+` joins band files; `*` stands for the place, as in "
    "`sentinel2_l2a=S2/*.tif, sentinel1=S1/*.tif` or `naip=*/image.tif`. For a single file: the sensor's name alone.",
)  # fmt: skip
BANDS = Option(
    "bands", "Bands", "Only where a file's bands are not the sensor's in order: `name=1+2+3+4+5+7` counts file bands from 1.",
)  # fmt: skip
SIZE = Option("size", "Chip size", "Side of a chip in pixels of the finest sensor.", "64")
STRIDE = Option(
    "stride", "Stride", "Pixels from one chip to the next; empty is the chip size, less makes chips overlap."
)
MIN_VALID = Option("min_valid", "Valid share", "A chip needs at least this share of valid pixels, 0 to 1.", "0.95")

CUTTING = (SIZE, STRIDE, MIN_VALID)


@dataclass(frozen=True)
class PlaceFiles:
    """The files of one place.

    Attributes:
        name: of the place.
        scenes: per sensor its files.
        further: other files by option name.
    """

    name: str
    scenes: Mapping[Sensor, tuple[Path, ...]]
    further: Mapping[str, Path]


def chipping(options: Mapping[str, str]) -> Chipping:
    """How chips are cut, from the answers of `CUTTING`.

    Raises:
        ImportRefused: an answer is no number, or the numbers contradict each other.
    """
    size = whole(options, SIZE)
    stride = whole(options, STRIDE) if options.get(STRIDE.name) else size
    try:
        return Chipping(size, stride, share(options, MIN_VALID))
    except DataSetInvalid as error:
        raise ImportRefused(str(error)) from error


def whole(options: Mapping[str, str], option: Option) -> int:
    """The answer to an option as a whole number."""
    text = options.get(option.name) or option.default
    if not re.fullmatch(r"\d{1,6}", text):
        raise ImportRefused(f"{option.label} is {text[:40]!r}. Give a whole number: {option.help}")
    return int(text)


def share(options: Mapping[str, str], option: Option) -> float:
    """The answer to an option as a share above 0 and up to 1."""
    text = options.get(option.name) or option.default
    if not re.fullmatch(r"[01]?\.?\d{0,6}", text) or text in ("", ".") or not 0 < float(text) <= 1:
        raise ImportRefused(f"{option.label} is {text[:40]!r}. Give a share above 0 and up to 1.")
    return float(text)


def named_sensor(name: str) -> Sensor:
    """A sensor of the registry.

    Raises:
        ImportRefused: there is none of this name.
    """
    if name not in SENSORS:
        raise ImportRefused(f"There is no sensor {name[:64]!r}. Use one of {', '.join(SENSORS)}.")
    return SENSORS[name]


def band_numbers(text: str) -> dict[str, tuple[int, ...]]:
    """Per sensor name the numbers of file bands, from the answer of `BANDS`."""
    found = {}
    for name, value in _pairs(text, BANDS):
        if not re.fullmatch(r"\d{1,4}(\s*\+\s*\d{1,4})*", value):
            raise ImportRefused(f"The bands of {name[:64]!r} are {value[:60]!r}. Write numbers from 1, as in 1+2+3.")
        found[named_sensor(name).name] = tuple(int(number) for number in value.split("+"))
    return found


def find_places(source: Source, further: Sequence[Option] = ()) -> tuple[list[PlaceFiles], list[Note]]:
    """The places of a source, from the answer of `SCENES` and of options that name one more file per place.

    A place that lacks a sensor is kept; one that lacks a further file is left out, with a note.

    Raises:
        ImportRefused: a file or sensor is not there, or the answer cannot be read.
    """
    folder = source.path if source.path.is_dir() else source.path.parent
    scenes = _scene_patterns(source)
    others = {option: source.options.get(option.name, "").strip() for option in further}
    if not any("*" in pattern for patterns in scenes.values() for pattern in patterns):
        name = source.path.stem if source.path.is_file() else folder.resolve().name
        files = {sensor: tuple(_file(folder, p) for p in patterns) for sensor, patterns in scenes.items()}
        more = {option.name: _file(folder, pattern) for option, pattern in others.items() if pattern}
        return [PlaceFiles(_place_name(name), files, more)], []
    found = {sensor: [_matches(folder, p, sensor.label) for p in patterns] for sensor, patterns in scenes.items()}
    also = {
        option.name: _matches(folder, pattern, option.label) if "*" in pattern else _file(folder, pattern)
        for option, pattern in others.items() if pattern
    }  # fmt: skip
    names = sorted({place for parts in found.values() for part in parts for place in part})
    places, left = [], []
    for name in names:
        files = {
            s: tuple(part[name] for part in parts) for s, parts in found.items() if all(name in part for part in parts)
        }
        more = {key: value[name] if isinstance(value, dict) else value for key, value in also.items()
                if not isinstance(value, dict) or name in value}  # fmt: skip
        if files and len(more) == len(also):
            places.append(PlaceFiles(_place_name(name), files, more))
        else:
            left.append(name)
    notes = [Note("drop", "Some places lack a file and were left out.", tuple(left))] if left else []
    if not places:
        raise ImportRefused("No place has all the files that were named. Compare the names that stand for `*`.")
    return places, notes


def own_origin(source: Source, about: str) -> Origin:
    """What is known of a person's own files: their name."""
    name = source.path.resolve().stem if source.path.is_file() else source.path.resolve().name
    return Origin(name, about, "Not stated by the files", "", name)


def _scene_patterns(source: Source) -> dict[Sensor, tuple[str, ...]]:
    text = source.options.get(SCENES.name, "").strip()
    if source.path.is_file() and text and "=" not in text and "," not in text:
        return {named_sensor(text): (source.path.name,)}
    found: dict[Sensor, tuple[str, ...]] = {}
    for name, value in _pairs(text, SCENES):
        sensor = named_sensor(name)
        if sensor in found:
            raise ImportRefused(f"{sensor.label} is named twice. Join its band files with `+`.")
        found[sensor] = tuple(part.strip() for part in value.split("+"))
    stars = {"*" in pattern for patterns in found.values() for pattern in patterns}
    if not found or len(stars) > 1:
        raise ImportRefused(f"The scenes are {text[:80]!r}. {SCENES.help} Use `*` in every file name, or in none.")
    return found


def _pairs(text: str, option: Option) -> list[tuple[str, str]]:
    pairs = []
    for part in filter(None, (part.strip() for part in text.split(","))):
        name, equals, value = (piece.strip() for piece in part.partition("="))
        if not (name and equals and value):
            raise ImportRefused(f"{option.label} holds {part[:60]!r}. {option.help}")
        pairs.append((name, value))
    return pairs


def _file(folder: Path, name: str) -> Path:
    path = folder / name
    if "\0" in name or not path.is_file():
        raise ImportRefused(f"There is no file {name[:120]!r}. Give a path, or one relative to the source folder.")
    return path


def _matches(folder: Path, pattern: str, what: str) -> dict[str, Path]:
    """Files by place for a pattern with one `*`, which stands for a part of one folder's or file's name."""
    begin, _, end = pattern.partition("*")
    if "*" in end or "?" in pattern or "[" in pattern or "\0" in pattern or Path(pattern).is_absolute():
        raise ImportRefused(f"{what} is at {pattern[:80]!r}. Use one `*`, in a path that starts at the source folder.")
    whole_name = re.compile(re.escape(begin) + r"([^/\\]+)" + re.escape(end))
    found = {}
    for path in sorted(folder.glob(pattern)):
        match = whole_name.fullmatch(path.relative_to(folder).as_posix())
        if match and path.is_file():
            found[match[1]] = path
    if not found:
        raise ImportRefused(f"No file fits {pattern[:80]!r} for {what}. Paths start at {shown_name(folder)}.")
    return found


def _place_name(name: str) -> str:
    return re.sub(r"[^\w .+()-]", "-", name).strip(" .+()-")[:100] or "place"
