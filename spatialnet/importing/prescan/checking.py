"""Opens every chip of a listing once and says what it found: size, type, place, values, and what identifies the picture."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from spatialnet.errors import BandsDoNotMatch, SceneTooLarge, SpatialNetError
from spatialnet.importing.chip_reader import MAX_SCENE_PIXELS, ChipReader
from spatialnet.importing.importer import Progress
from spatialnet.importing.listing import Listing, Pixels
from spatialnet.importing.prescan.duplicates import THUMBNAIL, content_hash, small_picture
from spatialnet.importing.prescan.ground import AFFINE, crs_text
from spatialnet.raster import image_header, named_crs, open_raster, shown_name

MOST_WINDOWS = 2_000
"""Windows of scenes overlap: so many of them, evenly spread, tell the range of values."""

ALL_VALUES = 20_000
"""With more chips than this, the range of values is taken from `SAMPLED` of them."""

SAMPLED = 5_000
_VALUES = 400_000
_CHUNK = 64
_THREADS = 2
_LARGEST_FLOAT16 = 65_000.0


@dataclass
class Header:
    """What the files of one chip and sensor say of themselves."""

    crs: str = ""
    affine: tuple[float, ...] = (np.nan,) * 6
    nodata: float | None = None
    colours: str = ""
    descriptions: tuple[str, ...] = ()
    scales: tuple[float, ...] = ()
    offsets: tuple[float, ...] = ()
    mixed: bool = False
    """Its files do not agree in the value that means "no data"."""


@dataclass
class Seen:
    """One chip of one sensor."""

    header: Header
    height: int
    width: int
    dtype: str
    holes: float
    low: npt.NDArray[np.float64]
    high: npt.NDArray[np.float64]
    values: npt.NDArray[np.float32] | None
    hash: int = 0
    thumbnail: npt.NDArray[np.float32] | None = None


@dataclass
class Checked:
    """What was found, chip by chip.

    Attributes:
        seen: per sensor name the chips that were opened: number to what was seen.
        reasons: chips that cannot be used: number to (what kind, why).
        hashes: (chips,) of pixels; 0 where not taken.
        thumbnails: (chips, 16, 16) float16.
        looked: chips that were opened.
        seconds: how long it took.
    """

    seen: dict[str, dict[int, Seen]]
    hashes: npt.NDArray[np.uint64]
    thumbnails: npt.NDArray[np.float16]
    looked: npt.NDArray[np.int64]
    reasons: dict[int, tuple[str, str]] = field(default_factory=dict)
    seconds: float = 0.0


def check_chips(listing: Listing, progress: Progress) -> Checked:
    """Open the chips of a listing; windows of scenes only in part (`MOST_WINDOWS`).

    Nothing is raised for a chip that cannot be read: `Checked.reasons` says why.

    Args:
        listing: the chips.
        progress: called with a share in 0..1 and what is being done.
    """
    total, begun = len(listing), time.monotonic()
    whole = listing.pixels[0].reader != "windows"
    looked = (
        np.arange(total) if whole else np.unique(np.linspace(0, total - 1, min(total, MOST_WINDOWS)).astype(np.int64))
    )
    size = total if whole else 0
    checked = Checked(
        {p.sensor.name: {} for p in listing.pixels}, np.zeros(size, np.uint64),
        np.zeros((size, THUMBNAIL, THUMBNAIL), np.float16), looked,
    )  # fmt: skip
    scenes = {p.sensor.name: _scene_headers(p, checked) for p in listing.pixels if p.reader == "windows"}
    ranged = looked if total <= ALL_VALUES else looked[:: max(1, len(looked) // SAMPLED)]
    values = max(16, min(1024, _VALUES // max(len(ranged), 1)))
    sampled = np.zeros(total, bool)
    sampled[ranged] = True
    threads = 1 if any(p.reader == "hdf5" for p in listing.pixels) else _THREADS  # HDF5 reads one thing at a time
    pieces = [looked[i : i + _CHUNK] for i in range(0, len(looked), _CHUNK)]
    look = partial(_look, listing, scenes, sampled, values)
    with ThreadPoolExecutor(threads) as pool:
        done = 0
        for results in _ahead(pool, look, pieces, 4 * threads):
            for chip, name, result in results:
                _keep(checked, chip, name, result)
            done += len({chip for chip, _, _ in results})
            left = (time.monotonic() - begun) / max(done, 1) * (len(looked) - done)
            progress(done / len(looked), f"Looked at {done:,} of {len(looked):,} chips, {_duration(left)} to go")
    checked.seconds = time.monotonic() - begun
    return checked


def _ahead(pool: ThreadPoolExecutor, look: Any, pieces: list[Any], most: int) -> Iterator[Any]:
    """Results in order, with only a few pieces waiting: memory stays small, and an interruption ends it soon."""
    waiting = [pool.submit(look, piece) for piece in pieces[:most]]
    try:
        for number in range(len(pieces)):
            yield waiting[number].result()
            waiting[number] = None  # type: ignore[call-overload]  # what was used is let go
            if len(waiting) < len(pieces):
                waiting.append(pool.submit(look, pieces[len(waiting)]))
    finally:
        for future in waiting:
            if future is not None:
                future.cancel()


def _keep(checked: Checked, chip: int, name: str, result: Seen | tuple[str, str]) -> None:
    if not isinstance(result, Seen):
        checked.reasons.setdefault(chip, result)
        return
    checked.seen[name][chip] = result
    if len(checked.hashes):
        if result.thumbnail is not None and not checked.hashes[chip]:
            checked.thumbnails[chip] = np.clip(result.thumbnail, -_LARGEST_FLOAT16, _LARGEST_FLOAT16)
        checked.hashes[chip] = (int(checked.hashes[chip]) * 1_000_003 ^ result.hash) % (1 << 64)
    result.thumbnail = None


def _look(
    listing: Listing,
    scenes: dict[str, dict[int, Header]],
    sampled: npt.NDArray[np.bool_],
    values: int,
    chips: npt.NDArray[np.int64],
) -> list[tuple[int, str, Seen | tuple[str, str]]]:
    found: list[tuple[int, str, Seen | tuple[str, str]]] = []
    for pixels in listing.pixels:
        name = pixels.sensor.name
        with ChipReader(pixels) as reader, ChipReader(pixels, masked=True) as masked:
            for chip in map(int, chips):
                try:
                    if (pixels.file[chip] < 0).any():
                        continue
                    if pixels.reader == "files":
                        # All files of one chip in a few dozen are compared; those of the others are taken to be alike.
                        header = _file_header(pixels, chip, every=chip == chips[0])
                    else:
                        here = [scenes.get(name, {}).get(int(file), Header()) for file in pixels.file[chip]]
                        header = _marked(here[0], [other.nodata for other in here])
                    array = (masked if header.mixed else reader).chip(chip)
                    if array is not None:
                        found.append((chip, name, _seen(array, header, pixels, values if sampled[chip] else 0)))
                except BandsDoNotMatch:
                    found.append((chip, name, ("bands", _band_reason(pixels, chip))))
                except (SpatialNetError, OSError) as error:
                    found.append((chip, name, ("unreadable", _reason(pixels, chip, error))))
    return found


def _file_header(pixels: Pixels, chip: int, *, every: bool) -> Header:
    # Of several band files only the first says where the chip is; opening all would cost as much as reading them.
    found = image_header(pixels.files[pixels.file[chip, 0]])
    affine = (np.nan,) * 6 if found.transform is None else tuple(found.transform)[:6]
    bands = (
        [b - 1 for b in pixels.bands if b <= found.count]
        if pixels.file.shape[1] == 1 and pixels.bands
        else range(found.count)
    )
    said = [tuple(values[i] for i in bands) for values in (found.descriptions, found.scales, found.offsets)]
    header = Header(crs_text(found.crs), affine, found.nodata, found.colours, *said)  # type: ignore[arg-type]
    others = pixels.file[chip][1:] if every else ()
    return _marked(header, [found.nodata, *(image_header(pixels.files[file]).nodata for file in others)])


def _marked(header: Header, values: list[float | None]) -> Header:
    """A chip's header, with what all its files say of "no data"; NaN needs no value, as floats mark themselves."""
    known = {None if value is None or np.isnan(value) else float(value) for value in values}
    return replace(header, mixed=len(known) > 1)


def _scene_headers(pixels: Pixels, checked: Checked) -> dict[int, Header]:
    """What each raster says of itself; all chips of one that cannot be opened are given up."""
    headers = {}
    for file in np.unique(pixels.file[pixels.file >= 0]):
        try:
            with open_raster(pixels.files[file], max_pixels=MAX_SCENE_PIXELS) as source:
                bands = [b - 1 for b in pixels.bands or range(1, source.count + 1) if b <= source.count]
                names, scales, offsets = (
                    tuple(values[i] for i in bands) for values in (source.descriptions, source.scales, source.offsets)
                )
                crs = crs_text(named_crs(source.crs)) if source.crs else ""
                headers[int(file)] = Header(
                    crs, tuple(getattr(source.transform, n) for n in AFFINE), source.nodata, "",
                    tuple(n or "" for n in names), scales, offsets,
                )  # fmt: skip
        except SpatialNetError as error:
            for chip in np.flatnonzero((pixels.file == file).any(axis=1)):
                checked.reasons.setdefault(int(chip), ("unreadable", _why(pixels.files[file], error)))
    return headers


def _seen(array: npt.NDArray[Any], header: Header, pixels: Pixels, values: int) -> Seen:
    bands, height, width = array.shape
    flat = array.reshape(bands, -1)
    valid = np.isfinite(flat) if array.dtype.kind == "f" else np.ones(flat.shape, bool)
    if header.nodata is not None and np.isfinite(header.nodata):
        valid &= flat != header.nodata
    share = float(valid.mean())
    if share == 1.0:
        low, high = flat.min(axis=1).astype(np.float64), flat.max(axis=1).astype(np.float64)
    else:
        large = np.where(valid, flat, np.nan).astype(np.float64)
        some = valid.any(axis=1)
        low, high = np.full(bands, np.nan), np.full(bands, np.nan)
        low[some], high[some] = np.nanmin(large[some], axis=1), np.nanmax(large[some], axis=1)
    sample = None
    if values:
        step = max(1, flat.shape[1] // values)
        sample = np.where(valid[:, ::step], flat[:, ::step], np.nan).astype(np.float32)[:, :values]
    if pixels.reader == "windows":
        return Seen(header, height, width, str(array.dtype), 1 - share, low, high, sample)
    shown = list(dict.fromkeys(pixels.sensor.rgb()))
    grey = array[shown].astype(np.float32).mean(axis=0)
    if share < 1.0:
        known = valid[shown].all(axis=0).reshape(height, width)
        grey = np.where(known, grey, grey[known].mean() if known.any() else 0.0).astype(np.float32)
    return Seen(
        header, height, width, str(array.dtype), 1 - share, low, high, sample, content_hash(array), small_picture(grey)
    )


def _band_reason(pixels: Pixels, chip: int) -> str:
    try:
        headers = [image_header(pixels.files[file]) for file in pixels.file[chip]] if pixels.reader == "files" else []
    except SpatialNetError:
        headers = []
    names = [text or f"band {i + 1}" for header in headers for i, text in enumerate(header.descriptions)]
    return f"{len(names)} bands ({', '.join(repr(n[:30])[1:-1] for n in names[:16])})" if names else "other bands"


def _reason(pixels: Pixels, chip: int, error: Exception) -> str:
    for file in pixels.file[chip]:
        path = pixels.files[file]
        reason = _why(path, error)
        if reason != _CUT:
            return reason
    return _CUT


_CUT = "cut short, damaged or of another kind"


def _why(path: Path, error: Exception) -> str:
    """Why a file cannot be used, in a few words."""
    if isinstance(error, SceneTooLarge) and shown_name(path) in str(error):
        return "too large: " + str(error).split(" has ", 1)[-1].split(";")[0]
    try:
        with path.open("rb") as file:
            start = file.read(64).lstrip()
    except FileNotFoundError:
        return "gone"
    except OSError:
        return "may not be read"
    if not start:
        return "0 bytes"
    if start.startswith(b"<VRTDataset"):
        return "a VRT text, which only points at other files"
    if start.startswith(b"version https://git-lfs"):
        return "a Git LFS pointer, not the file itself"
    return _CUT


def _duration(seconds: float) -> str:
    return f"about {seconds / 60:.0f} min" if seconds >= 90 else f"about {max(seconds, 1):.0f} s"
