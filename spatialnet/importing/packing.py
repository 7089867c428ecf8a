"""The one way a data set comes to be: chips of a scanned listing are packed, split, measured, and appear all at once.

Work goes on in a hidden folder beside the data set. A build that was killed goes on where it stopped when the same plan
is built again; another plan, or changed files, start anew.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from spatialnet.atomic import closed_folder_said, full_disk_said, put_in_place, remove, replacing
from spatialnet.datasets.chip_file import write_chips
from spatialnet.datasets.leaks import find_leaks
from spatialnet.datasets.packed import FORMAT, ChipArray, PackedChips, digest, fingerprint, save_array
from spatialnet.datasets.split_plans import make_split
from spatialnet.datasets.split_store import strata, write_split
from spatialnet.datasets.statistics import band_statistics
from spatialnet.datasets.versions import alone
from spatialnet.errors import DataSetInvalid, DataSetNotFound, ImportRefused
from spatialnet.importing.chip_pixels import stored_chips
from spatialnet.importing.import_plan import ImportPlan
from spatialnet.importing.listing import Listing
from spatialnet.importing.places import keep_places
from spatialnet.importing.prescan.scan import Scan, Storage
from spatialnet.importing.target_plan import TargetPlan
from spatialnet.settings import inside

Progress = Callable[[float, str], None]

_CHIPS_SHARE = 0.75
"""Share of the progress bar that writing chips takes."""


def build_dataset(
    folder: Path, scan: Scan, plan: ImportPlan, progress: Progress = lambda _share, _text: None
) -> PackedChips:
    """Pack a scanned listing; the data-set folder appears whole or not at all.

    Args:
        folder: the data-set folder; replaced if it exists. Its name is the plan's.
        scan: the pre-scan.
        plan: what people decided.
        progress: called with a share in 0..1 and what is being done; what it raises stops the build, which can go on later.

    Raises:
        ImportRefused: the pre-scan refuses the source, the plan does not fit it, or the data set is being built already.
        PathRefused: the folder may not be written to.
        NotEnoughDisk: the disk is full; nothing was changed, and the build can go on.
        SpatialNetError: another of its children says which file cannot be read any more.
    """
    inside(folder.parent, plan.name)
    if scan.refused:
        reasons = [note.text for note in scan.notes if note.severity == "refuse"]
        raise ImportRefused(f"Nothing was imported. {reasons[0]}")
    scan = scan.without_duplicates() if plan.drop_duplicates else scan
    with closed_folder_said(folder.parent), alone(folder), full_disk_said(f"data set {folder.name}"):
        building = folder.with_name(f".{folder.name}.building")
        _start(building, scan, plan)
        _write(building, folder, scan, plan, progress)
        put_in_place(building, folder)
    return PackedChips.open(folder)


def _start(building: Path, scan: Scan, plan: ImportPlan) -> None:
    """Keep what an earlier attempt at the very same build wrote; remove anything else."""
    wanted = {"plan": plan.to_dict(), "source": _signature(scan), "storage": repr(sorted(scan.storage.items()))}
    note = building / "build.json"
    try:
        if json.loads(note.read_text(encoding="utf-8")) == json.loads(json.dumps(wanted)):
            return
    except (OSError, ValueError):
        pass
    remove(building)
    for part in ("chips", "present", "targets", "soft", "splits", "places"):
        (building / part).mkdir(parents=True)
    with replacing(note) as partial:
        partial.write_text(json.dumps(wanted), encoding="utf-8")


def _signature(scan: Scan) -> str:
    """Changes when the chips, or the files they come from, change."""
    listing, total = scan.listing, hashlib.sha256()
    total.update("\n".join(listing.chips["key"]).encode())
    for pixels in listing.pixels:
        for path in pixels.files:
            try:
                stat = path.stat()
            except OSError as error:
                raise ImportRefused(
                    f"{str(path)[-120:]!r} is gone since the pre-scan. Put it back, or scan again."
                ) from error
            total.update(f"{path}:{stat.st_size}:{stat.st_mtime_ns}".encode())
        for part in (pixels.file, pixels.row, pixels.column):
            total.update(np.ascontiguousarray(part).tobytes())
    return total.hexdigest()


def _write(building: Path, folder: Path, scan: Scan, plan: ImportPlan, progress: Progress) -> None:
    listing = scan.listing
    targets = make_targets(listing, plan.targets)
    table = scan.table()
    progress(0.01, f"Splitting {len(listing):,} chips")
    splits, blocks = make_split(plan.split, table, strata([t.task() for t in plan.targets], targets), scan.duplicates)
    leaks = find_leaks(splits, table, scan.duplicates)
    split = write_split(
        building, plan.split.to_dict(), plan.split.name, 1, plan.split.sentence(), splits, blocks, leaks
    )
    for name, hard in targets.items():
        save_array(building / "targets" / f"{name}.npy", hard)
        soft = listing.ready[name].soft if name in listing.ready else None
        if soft is not None:
            save_array(building / "soft" / f"{name}.npy", soft)
    _write_pixels(building, scan, progress)
    progress(_CHIPS_SHARE, "Measuring bands")
    statistics = {
        sensor.name: band_statistics(_open_raw(building, scan, sensor.name), splits, listing.pixels[i].present)
        for i, sensor in enumerate(listing.sensors)
    }
    table.insert(0, "chip", np.arange(len(table)))
    table.rename(columns={"split": "source_split"}).to_parquet(building / "chips.parquet", index=False)
    listing.labels.to_parquet(building / "labels.parquet", index=False)
    scan.duplicates.to_parquet(building / "duplicates.parquet", index=False)
    progress(0.8, "Writing scenes for the map")
    places = keep_places(building / "places", listing, progress) if plan.keep_scenes else []
    progress(0.97, "Checking what was written")
    (building / "build.json").unlink(missing_ok=True)
    for left in building.rglob("*.done"):
        left.unlink()
    for part in ("present", "soft", "places"):
        with suppress(OSError):  # what holds something stays
            (building / part).rmdir()
    manifest = _manifest(building, folder, scan, plan, split, statistics, places)
    with replacing(building / "dataset.json") as partial:
        partial.write_text(json.dumps(manifest, indent=1), encoding="utf-8")
    progress(1.0, "Done")


def _write_pixels(building: Path, scan: Scan, progress: Progress) -> None:
    listing = scan.listing
    total, before, last_told = len(listing) * len(listing.pixels), 0, 0.0
    began: tuple[float, int] | None = None

    def tell(done: int) -> None:
        nonlocal last_told, began
        now, written = time.monotonic(), before + done
        if began is None:  # a build that goes on has chips already
            began = (now, written)
        if now - last_told < 0.5:
            return
        last_told = now
        rate = (written - began[1]) / max(now - began[0], 1e-3)
        share = 0.02 + (_CHIPS_SHARE - 0.02) * written / total
        progress(share, f"{written:,} of {total:,} chips, {rate:,.0f} a second")

    for pixels in listing.pixels:
        storage = scan.storage[pixels.sensor.name]
        shape = (len(listing), len(pixels.sensor.bands), storage.size, storage.size)
        path = building / "chips" / f"{pixels.sensor.name}.npy"
        write_chips(path, shape, storage.dtype, lambda start, p=pixels, s=storage: stored_chips(p, s, start), tell)  # type: ignore[misc]
        if not pixels.present.all():
            save_array(building / "present" / f"{pixels.sensor.name}.npy", pixels.present)
        before += len(listing)


def _open_raw(building: Path, scan: Scan, sensor: str) -> ChipArray:
    raw = np.load(building / "chips" / f"{sensor}.npy", mmap_mode="r", allow_pickle=False)
    return ChipArray(raw, scan.storage[sensor].nodata)


def make_targets(listing: Listing, plans: Sequence[TargetPlan]) -> dict[str, npt.NDArray[Any]]:
    """Hard targets of every task of a plan, as the packed store keeps them.

    Raises:
        ImportRefused: the plan does not fit the labels, or no chip has a target.
    """
    targets = {}
    for target in plans:
        target.task()
        if target.columns:
            targets[target.name] = target.make(listing.labels)
        elif target.name in listing.ready:
            targets[target.name] = listing.ready[target.name].hard
        else:
            raise ImportRefused(f"Task {target.name} names no label column. Choose one, or leave the task out.")
    return targets


def _manifest(
    building: Path, folder: Path, scan: Scan, plan: ImportPlan, split: dict[str, Any], statistics: dict[str, Any],
    places: list[dict[str, Any]],
) -> dict[str, Any]:  # fmt: skip
    listing = scan.listing
    digests = {p.relative_to(building).as_posix(): digest(p) for p in sorted(building.rglob("*.npy"))}
    sizes = {name: storage.size for name, storage in scan.storage.items()}
    first, tasks = listing.sensors[0], [target.task() for target in plan.targets]
    return {
        "format": FORMAT, "name": folder.name, "version": _version(folder) + 1, **plan.origin.__dict__,
        "importer": listing.importer, "derived": all(t.derived or not t.columns for t in plan.targets),
        "rules": dict(listing.rules), "sensors": [s.to_dict() for s in listing.sensors],
        "tasks": [task.to_dict() for task in tasks], "chips": len(listing), "chip_size": sizes[first.name],
        "sizes": sizes, "stride": listing.stride, "gsd_m": _gsd(scan),
        "storage": {name: _storage(storage) for name, storage in scan.storage.items()},
        "statistics": statistics,
        "targets": {t.name: t.to_dict() | {"sentence": target_sentence(listing.rules, t)} for t in plan.targets},
        "split": split, "splits": [split], "places": places, "bounds": _bounds(scan.ground),
        "digests": digests, "fingerprint": fingerprint(digests, split["id"], tasks), "created_at": time.time(),
    }  # fmt: skip


def _gsd(scan: Scan) -> float:
    """Metres per pixel of the first sensor's chips; the sensor's nominal ones where no chip has a place."""
    if scan.gsd_m > 0:
        return scan.gsd_m
    first = scan.listing.sensors[0]
    found = scan.ground["height"].median()
    size = scan.storage[first.name].size
    return first.gsd_m * (float(found) / size if np.isfinite(found) and found > 0 else 1.0)


def _storage(storage: Storage) -> dict[str, Any]:
    # JSON as browsers and other tools read it has no NaN; a float that is not finite is no-data anyway.
    nodata = storage.nodata if storage.nodata is not None and np.isfinite(storage.nodata) else None
    return {"dtype": storage.dtype, "nodata": nodata, "scales": storage.scales, "offsets": storage.offsets}


def target_sentence(rules: Mapping[str, Any], plan: TargetPlan) -> str:
    """How a task's targets came about, in words."""
    if plan.derived:
        return plan.derived
    if not plan.columns:
        return str(rules.get("sentences", {}).get(plan.name, "derived by the importer"))
    shown = ", ".join(plan.columns[:4]) + (f" and {len(plan.columns) - 4} more" if len(plan.columns) > 4 else "")
    return f"as the source says ({shown})"


def _bounds(ground: pd.DataFrame) -> list[float] | None:
    known = ground.dropna(subset=["west", "south", "east", "north"])
    if known.empty:
        return None
    return [
        float(known["west"].min()),
        float(known["south"].min()),
        float(known["east"].max()),
        float(known["north"].max()),
    ]


def _version(folder: Path) -> int:
    try:
        return int(PackedChips.open(folder).manifest.get("version", 1))
    except (DataSetNotFound, DataSetInvalid):
        return 0
