"""The pre-scan: every chip of a listing is opened once, unusable ones are left out, and what is known is written down."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from spatialnet.datasets.leaks import shared_ground
from spatialnet.errors import ImportRefused
from spatialnet.importing.importer import Progress
from spatialnet.importing.listing import Listing, Note, Pixels
from spatialnet.importing.prescan.checking import Checked, check_chips
from spatialnet.importing.prescan.duplicates import find_duplicates
from spatialnet.importing.prescan.facts import gather_facts
from spatialnet.importing.prescan.ground import locate
from spatialnet.importing.prescan.notes import drops, remarks

_MOST_SHARED = 50_000_000
_STORED = ("uint8", "uint16", "int16", "int32", "float32")
_WRITE_BYTES_PER_SECOND = 200e6


@dataclass(frozen=True)
class Storage:
    """How one sensor's chips are kept.

    Attributes:
        dtype: NumPy type.
        nodata: the value that means "no data"; NaN where files differ in it; None where there is none.
        size: side of a chip in pixels.
        scales: factor per band that turns stored numbers into the meaning of the band; empty for 1.
        offsets: what is added after that; empty for 0.
    """

    dtype: str
    nodata: float | None
    size: int
    scales: tuple[float, ...] = ()
    offsets: tuple[float, ...] = ()


@dataclass(frozen=True)
class Scan:
    """What a pre-scan found.

    Attributes:
        listing: the usable chips, in build order.
        storage: per sensor name.
        ground: see `spatialnet.importing.prescan.ground.locate`.
        duplicates: `a`, `b` (chip numbers), `kind` "exact" or "near".
        notes: the listing's and the scan's own.
        facts: JSON-ready; see `spatialnet.importing.prescan.facts`.
        seconds: how long the build will take, about.
        bytes: size of the chips on disk.
    """

    listing: Listing
    storage: Mapping[str, Storage]
    ground: pd.DataFrame
    duplicates: pd.DataFrame
    notes: tuple[Note, ...]
    facts: dict[str, Any]
    seconds: float
    bytes: int

    @property
    def refused(self) -> bool:
        """Whether nothing can be imported."""
        return any(note.severity == "refuse" for note in self.notes)

    @property
    def gsd_m(self) -> float:
        """Metres per pixel of the first sensor's stored chips (the median); 0 where it is not known."""
        first = self.storage.get(self.listing.pixels[0].sensor.name)
        known = self.ground[self.ground["gsd_m"].notna() & (self.ground["height"] > 0)]
        if first is None or known.empty or first.size < 1:
            return 0.0
        return float((known["gsd_m"] * known["height"] / first.size).median())

    def table(self) -> pd.DataFrame:
        """One row per chip: what the source says of it and where it lies."""
        own = self.listing.chips.drop(columns=[c for c in self.ground if c in self.listing.chips])
        return pd.concat([own.reset_index(drop=True), self.ground.reset_index(drop=True)], axis=1)

    def without_duplicates(self) -> Scan:
        """The same with one chip of each set of chips whose pixels are equal."""
        copies = self.duplicates.loc[self.duplicates["kind"] == "exact", "b"].to_numpy(np.int64)
        kept = np.setdiff1d(np.arange(len(self.listing)), copies)
        if len(kept) == len(self.listing):
            return self
        place = np.full(len(self.listing), -1, np.int64)
        place[kept] = np.arange(len(kept))
        pairs = self.duplicates.assign(a=place[self.duplicates["a"]], b=place[self.duplicates["b"]])
        share = len(kept) / len(self.listing)
        return replace(
            self, listing=self.listing.of(kept), ground=self.ground.iloc[kept].reset_index(drop=True),
            duplicates=pairs[(pairs["a"] >= 0) & (pairs["b"] >= 0)].reset_index(drop=True),
            seconds=self.seconds * share, bytes=int(self.bytes * share),
        )  # fmt: skip

    def save(self, folder: Path) -> None:
        """Write the scan into a folder: the listing, `scan.json`, `ground.parquet` and `duplicates.parquet`."""
        self.listing.save(folder)
        self.ground.to_parquet(folder / "ground.parquet", index=False)
        self.duplicates.to_parquet(folder / "duplicates.parquet", index=False)
        values = {
            "storage": {name: asdict(storage) for name, storage in self.storage.items()},
            "notes": [asdict(note) for note in self.notes], "facts": self.facts, "seconds": self.seconds, "bytes": self.bytes,
        }  # fmt: skip
        (folder / "scan.json").write_text(json.dumps(values), encoding="utf-8")

    @classmethod
    def load(cls, folder: Path) -> Scan:
        """The scan that `save` wrote.

        Raises:
            ImportRefused: the folder holds none, or a damaged one.
        """
        listing = Listing.load(folder)
        try:
            values = json.loads((folder / "scan.json").read_text(encoding="utf-8"))
            storage = {
                name: Storage(s["dtype"], s["nodata"], s["size"], tuple(s["scales"]), tuple(s["offsets"]))
                for name, s in values["storage"].items()
            }
            notes = tuple(Note(n["severity"], n["text"], tuple(n["names"])) for n in values["notes"])
            return cls(
                listing, storage, pd.read_parquet(folder / "ground.parquet"), pd.read_parquet(folder / "duplicates.parquet"),
                notes, values["facts"], float(values["seconds"]), int(values["bytes"]),
            )  # fmt: skip
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise ImportRefused("The pre-scan of this source is gone or damaged. Scan it again.") from error


def scan(listing: Listing, *, size: int = 0, progress: Progress = lambda _share, _text: None) -> Scan:
    """Open every chip once and say what can be built.

    Args:
        listing: the chips of a source.
        size: side in pixels that the first sensor's chips are resampled to; 0 keeps the most frequent. Windows keep theirs.
        progress: called with a share in 0..1 and what is being done.

    Returns:
        The usable chips and all that is known of them; `Scan.refused` where there are none.
    """
    if not len(listing):
        empty = Note("refuse", "The source holds no chip. Choose another folder or format.")
        return Scan(listing, {}, _no_ground(listing), _no_pairs(), (*listing.notes, empty), {"chips": 0}, 0.0, 0)
    checked = check_chips(listing, lambda share, text: progress(0.9 * share, text))
    left_out = drops(listing, checked)
    kept = np.setdiff1d(np.arange(len(listing)), np.fromiter(left_out.chips, np.int64))
    usable = listing.of(kept)
    notes = [*listing.notes, *left_out.notes]
    if not len(kept):
        notes.append(
            Note("refuse", "No chip can be used. See which files were left out and why, and correct the source.")
        )
        facts = {"chips": 0, "unreadable": left_out.unreadable}
        return Scan(usable, {}, _no_ground(usable), _no_pairs(), tuple(notes), facts, 0.0, 0)
    progress(0.92, "Looking for the same picture twice")
    duplicates, more = _duplicates(checked, kept)
    progress(0.95, "Looking where the chips lie")
    ground = _ground(usable, checked, kept)
    shared = _shared(ground) if not usable.stride else 0
    seen = {
        name: {new: chips[old] for new, old in enumerate(kept.tolist()) if old in chips}
        for name, chips in checked.seen.items()
    }
    storage = _storages(usable, seen, size)
    facts = gather_facts(
        usable, seen, ground, duplicates, shared, left_out.unreadable, {n: s.size for n, s in storage.items()}
    )
    notes += remarks(usable, seen, facts, {n: s.size for n, s in storage.items()}, more)
    stored = sum(_bytes(pixels, storage[pixels.sensor.name], len(kept)) for pixels in usable.pixels)
    seconds = checked.seconds / max(len(checked.looked), 1) * len(kept) + stored / _WRITE_BYTES_PER_SECOND
    progress(1.0, "Done")
    return Scan(usable, storage, ground, duplicates, tuple(notes), facts, round(seconds, 1), stored)


def _duplicates(checked: Checked, kept: npt.NDArray[np.int64]) -> tuple[pd.DataFrame, bool]:
    if not len(checked.hashes):
        return _no_pairs(), False
    pictures = checked.thumbnails[kept].astype(np.float32)
    low, high = (0.0, 255.0)
    if pictures.max() > 255 or pictures.min() < 0 or pictures.max() <= 1.5:
        low, high = np.percentile(pictures[:: max(1, len(pictures) // 2000)], [0.5, 99.5])
    scaled = np.clip((pictures - low) * (255 / max(high - low, 1e-9)), 0, 255)
    return find_duplicates(checked.hashes[kept], np.rint(scaled).astype(np.uint8))


def _ground(usable: Listing, checked: Checked, kept: npt.NDArray[np.int64]) -> pd.DataFrame:
    crs, affine = np.full(len(kept), "", object), np.full((len(kept), 6), np.nan)
    sizes = np.zeros((len(kept), 2), np.int64)
    for chips in reversed(checked.seen.values()):  # the first sensor that a chip has says where it is
        for new, old in enumerate(kept.tolist()):
            if old in chips:
                found = chips[old]
                crs[new], affine[new], sizes[new] = found.header.crs, found.header.affine, (found.height, found.width)
    return locate(usable, crs, affine, sizes)


def _shared(ground: pd.DataFrame) -> int:
    count = 0
    for a, _ in shared_ground(ground):
        count += len(a)
        if count > _MOST_SHARED:
            break
    return count


def _storages(listing: Listing, seen: Mapping[str, Mapping[int, Any]], size: int) -> dict[str, Storage]:
    storages: dict[str, Storage] = {}
    factor = 0.0
    for pixels in listing.pixels:
        chips = list(seen[pixels.sensor.name].values())
        own = pixels.size or _usual_side(chips)
        if size and not pixels.size:
            factor = factor or size / own
            own = max(1, round(own * factor))
        storages[pixels.sensor.name] = _storage(chips, own)
    return storages


def _storage(chips: list[Any], size: int) -> Storage:
    kinds = {chip.dtype for chip in chips}
    dtype = str(np.result_type(*kinds)) if kinds else "float32"
    if dtype not in _STORED:
        dtype = {"bool": "uint8", "int8": "int16"}.get(dtype, "float32")
    values = {
        None if chip.header.nodata is None or np.isnan(chip.header.nodata) else chip.header.nodata for chip in chips
    }
    mixed = len(values) != 1 or any(chip.header.mixed for chip in chips)
    nodata: float | None = float("nan") if mixed else values.pop()
    if not chips:
        nodata = None
    elif nodata is not None and np.isnan(nodata):
        dtype = "float32"
    elif nodata is not None and np.dtype(dtype).kind in "ui":
        limits = np.iinfo(dtype)
        # A value that the type cannot hold (-9999 in uint16) marks nothing.
        nodata = nodata if limits.min <= nodata <= limits.max and float(nodata).is_integer() else None
    scales, offsets = ({getattr(chip.header, part) for chip in chips} for part in ("scales", "offsets"))
    scale = next(iter(scales)) if len(scales) == 1 else ()
    offset = next(iter(offsets)) if len(offsets) == 1 else ()
    plain = all(v == 1 for v in scale) and all(v == 0 for v in offset)
    return Storage(dtype, nodata, size, () if plain else scale, () if plain else offset)


def _usual_side(chips: list[Any]) -> int:
    """The shorter side of the most frequent size."""
    sides: dict[tuple[int, int], int] = {}
    for chip in chips:
        sides[chip.height, chip.width] = sides.get((chip.height, chip.width), 0) + 1
    if not sides:
        return 1
    height, width = max(sides, key=lambda side: (sides[side], side))
    return min(height, width)


def _bytes(pixels: Pixels, storage: Storage, chips: int) -> int:
    return chips * len(pixels.sensor.bands) * storage.size**2 * np.dtype(storage.dtype).itemsize


def _no_ground(listing: Listing) -> pd.DataFrame:
    return locate(listing.of(np.zeros(0, np.int64)), np.zeros(0, object), np.zeros((0, 6)), np.zeros((0, 2), np.int64))


def _no_pairs() -> pd.DataFrame:
    return pd.DataFrame({"a": np.zeros(0, np.int64), "b": np.zeros(0, np.int64), "kind": np.zeros(0, object)})
