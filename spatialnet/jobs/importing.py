"""The jobs that bring data in: the pre-scan of a source, and the import of what a person decided on."""

from __future__ import annotations

import hashlib
import json
import re
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from spatialnet.atomic import beside, remove
from spatialnet.datasets.catalogue import chip_table
from spatialnet.datasets.packed import PackedChips
from spatialnet.datasets.split_options import split_of_kind
from spatialnet.datasets.split_plans import SplitKind, SplitPlan, propose_split
from spatialnet.errors import DataSetInvalid, DataSetNotFound, DownloadFailed, ImportRefused, PathRefused
from spatialnet.importing.formats import importer_called, only_format, recognised
from spatialnet.importing.import_plan import ImportPlan
from spatialnet.importing.importer import Importer, Source
from spatialnet.importing.listing import Pixels, Place
from spatialnet.importing.packing import build_dataset
from spatialnet.importing.prescan.scan import Scan, scan
from spatialnet.importing.retarget import refuse_lost_labels
from spatialnet.importing.transfer.archives import is_archive, unpack
from spatialnet.importing.transfer.download import fetch
from spatialnet.importing.transfer.export import ExportNote, read_note, restore_dataset
from spatialnet.importing.wording import counted
from spatialnet.jobs.launch import Jobs
from spatialnet.jobs.reporter import Cancelled, Reporter
from spatialnet.jobs.store import Job
from spatialnet.label.store import LabelStore
from spatialnet.runs import list_runs
from spatialnet.settings import Settings, inside

KEEP_DAYS = 7
"""A pre-scan, and what was unpacked for it, is removed when it is this old."""

_UNPACKED = "unpacked"
_LISTED, _FETCHED = 0.35, 0.2


@dataclass(frozen=True)
class Prescan:
    """What a pre-scan found.

    Attributes:
        id: identifier of the job that made it.
        importer: the format.
        reason: why this format: as it was recognised, or that it was chosen.
        source: the folder or file that people named.
        options: the answers to the format's questions.
        size: side in pixels that chips of files are brought to; 0 as found.
        scan: the chips and what is known of them.
        split: the split that is proposed.
    """

    id: str
    importer: Importer
    reason: str
    source: Path
    options: Mapping[str, str]
    size: int
    scan: Scan
    split: SplitPlan


def request_scan(
    jobs: Jobs, source: Path | None, importer: str = "", options: Mapping[str, str] | None = None, *, size: int = 0,
    confined: bool = False,
) -> Job:  # fmt: skip
    """Start looking at a source.

    Args:
        jobs: the workspace's jobs.
        source: folder or file; None downloads the format's own files into the inbox first.
        importer: the format; "" to recognise it.
        options: answers to the format's questions.
        size: side in pixels that chips of files are brought to; 0 as found.
        confined: nothing outside the source folders may be read: it was asked from a page.

    Raises:
        JobRefused: the same is under way.
        PathRefused: confined, and the source or an answer leads elsewhere.
        ImportRefused: there is nothing to look at.
    """
    answers = {name: value.strip() for name, value in (options or {}).items() if value.strip()}
    if importer:
        importer_called(importer)
    if source is None and not (importer and importer_called(importer).downloads):
        raise ImportRefused(
            "This format's files cannot be fetched from here. Fetch them yourself and name their folder."
        )
    if source is not None and not source.exists():
        raise ImportRefused(f"There is nothing at {str(source)[:200]!r}. Check the path.")
    if confined:
        source = None if source is None else jobs.settings.source(source)
        _refuse_ways_out(answers)
    spec = {
        "source": None if source is None else str(source.resolve()), "importer": importer, "options": answers, "size": size,
        "confined": confined,
    }  # fmt: skip
    shown = importer_called(importer).title if source is None else source.name
    return jobs.submit("scan", f"Look at {shown}", spec)


def request_import(jobs: Jobs, prescan: Prescan, plan: ImportPlan) -> Job:
    """Start importing what was looked at.

    Raises:
        JobRefused: the same is under way.
        ImportRefused: the source was refused, or the import would spoil what people did with a data set of this name.
    """
    check_import(jobs, prescan.scan, plan)
    return jobs.submit(
        "import", f"Import {plan.origin.title or plan.name}",
        {"scan": prescan.id, "dataset": plan.name, "plan": plan.to_dict()},
    )  # fmt: skip


def exported(path: Path) -> ExportNote | None:
    """What an own export says of itself; None where a file or folder is something else."""
    try:
        return read_note(path) if path.is_dir() or path.suffix.lower() == ".zip" else None
    except ImportRefused:
        return None


def request_restore(jobs: Jobs, source: Path, name: str = "") -> Job:
    """Start making an exported data set what it was.

    Args:
        jobs: the workspace's jobs.
        source: what `export_dataset` wrote.
        name: of the data set; default the one that it had.

    Raises:
        JobRefused: the same is under way.
        ImportRefused: there is a data set of this name, or the file is no export.
    """
    note = read_note(source)
    folder = inside(jobs.settings.datasets, name or note.name)
    if folder.exists():
        raise ImportRefused(f"There is a data set {folder.name} already. Choose another name.")
    return jobs.submit(
        "import", f"Import {note.title[:100]}", {"restore": str(source.resolve()), "dataset": folder.name}
    )


def planned(prescan: Prescan, name: str, *, kind: SplitKind | None = None, **origin: str) -> ImportPlan:
    """The proposed plan under a name, with another kind of split or other facts where a person said so.

    Args:
        prescan: what was found.
        name: identifier of the data set.
        kind: of the split.
        origin: title, licence, citation; empty ones are left as proposed.

    Raises:
        ImportRefused: the source has no task.
    """
    listing = prescan.scan.listing
    said: dict[str, Any] = {key: value for key, value in origin.items() if value}
    split = prescan.split if kind is None else split_of_kind(prescan.scan.table(), prescan.split, kind)
    return ImportPlan(name, replace(listing.origin, **said), listing.targets, split)


def read_prescan(settings: Settings, identifier: str) -> Prescan:
    """What a pre-scan found.

    Raises:
        ImportRefused: there is none of this name, or it is damaged.
    """
    try:
        folder = inside(settings.imports, identifier)
        said = json.loads((folder / "prescan.json").read_text(encoding="utf-8"))
        return Prescan(
            identifier, importer_called(str(said["importer"])), str(said["reason"]), Path(said["source"]), said["options"],
            int(said["size"]), Scan.load(folder), SplitPlan.from_dict(said["split"]),
        )  # fmt: skip
    except (OSError, ValueError, KeyError, TypeError, PathRefused) as error:
        raise ImportRefused(
            "This look at a source is gone: it is kept for a week. Look at the source again."
        ) from error


def is_scanned(settings: Settings, identifier: str) -> bool:
    """Whether a pre-scan is there."""
    with suppress(PathRefused):
        return (inside(settings.imports, identifier) / "prescan.json").is_file()
    return False


def check_import(jobs: Jobs, found: Scan, plan: ImportPlan) -> None:
    """Refuse an import that could not be made, or that would spoil what people did with a data set of this name.

    Raises:
        ImportRefused: why, in one sentence.
        PathRefused: the name is none.
    """
    folder = inside(jobs.settings.datasets, plan.name)
    try:
        data = PackedChips.open(folder)
    except (DataSetNotFound, DataSetInvalid):
        return
    labelled = LabelStore(jobs.engine).labelled_tasks(data.name)
    listing = (found.without_duplicates() if plan.drop_duplicates else found).listing
    if chip_table(data)["key"].tolist() != listing.chips["key"].astype(str).tolist():
        if labelled:
            raise ImportRefused(
                f"Data set {data.name} holds other chips, and people have labelled them. Choose another name for this import."
            )
        if list_runs(jobs.settings, data.name):
            raise ImportRefused(
                f"Data set {data.name} holds other chips, and runs were trained on them. Choose another name for this import."
            )
    refuse_lost_labels(data, [target.task() for target in plan.targets], labelled)


def scan_source(jobs: Jobs, job: Job, report: Reporter) -> str:
    """Fetch, unpack, list and scan a source; keep what was found under the job's name.

    Returns:
        What was found, in one sentence.
    """
    settings, spec = jobs.settings, job.spec
    remove_old_scans(settings, {j.id for j in jobs.store.live()} | {j.spec.get("scan") for j in jobs.store.live()})
    importer = importer_called(spec["importer"]) if spec["importer"] else None
    path = _downloaded(settings, importer, report) if spec["source"] is None and importer else Path(spec["source"])
    source = path
    if spec["confined"]:
        settings.source(path)
    if path.is_file() and is_archive(path):
        path = _unpacked(settings, path, report)
    if importer is None:
        importer, _ = only_format(path)
    reason = recognised(path).get(importer.name, "as chosen")
    report(_FETCHED, f"Looking for chips: {importer.title}")
    progress = Clock(report, _FETCHED, _LISTED)
    listing = importer.listing(Source(path, spec["options"], progress))
    if spec["confined"]:
        _refuse_strangers(settings, listing.pixels, listing.places)
    found = scan(listing, size=int(spec["size"]), progress=Clock(report, _LISTED, 0.98))
    split = SplitPlan("random") if found.refused else propose_split(found.table(), found.listing.stride)
    said = {
        "importer": importer.name, "reason": reason, "source": str(source), "options": spec["options"], "size": spec["size"],
        "split": split.to_dict(),
    }  # fmt: skip
    folder = settings.imports / job.id
    writing = beside(folder)
    try:
        writing.mkdir()
        found.save(writing)
        (writing / "prescan.json").write_text(json.dumps(said), encoding="utf-8")
        remove(folder)
        writing.rename(folder)
    finally:
        remove(writing)
    report(1.0, "Done")
    refused = [note.text for note in found.notes if note.severity == "refuse"]
    return (
        f"It cannot be imported: {refused[0]}"
        if refused
        else f"{importer.title}: {counted(len(found.listing), 'chip')}."
    )


def import_dataset(jobs: Jobs, job: Job, report: Reporter) -> str:
    """Build the data set that a person decided on. Goes on where an earlier attempt stopped.

    Returns:
        What was imported, in one sentence.
    """
    if "restore" in job.spec:
        source, folder = Path(job.spec["restore"]), inside(jobs.settings.datasets, str(job.spec["dataset"]))
        return _told(restore_dataset(source, folder, Clock(report, 0.0, 1.0)))
    prescan = read_prescan(jobs.settings, str(job.spec["scan"]))
    plan = ImportPlan.from_dict(job.spec["plan"])
    check_import(jobs, prescan.scan, plan)
    folder = inside(jobs.settings.datasets, plan.name)
    return _told(build_dataset(folder, prescan.scan, plan, Clock(report, 0.0, 1.0)))


def _told(data: PackedChips) -> str:
    split = data.manifest["split"]
    counts = ", ".join(f"{name} {count:,}" for name, count in split["counts"].items() if count)
    leaks = sum(split["leaks"].values())
    told = (
        f"{counted(leaks, 'pair')} of chips leak{'s' * (leaks == 1)} between splits."
        if leaks
        else "No leak between splits was found."
    )
    return f"{data.title}: {counted(len(data), 'chip')} ({counts}). {told}"


class Clock:
    """Progress of one part of a job, with the time that is left of it."""

    def __init__(self, report: Callable[..., None], begin: float, end: float) -> None:
        self._report, self._begin, self._end = report, begin, end
        self._first: tuple[float, float] | None = None

    def __call__(self, share: float, text: str) -> None:
        """Pass on how far the part is, 0..1, and what is being done."""
        now = time.monotonic()
        if self._first is None or share < self._first[1]:
            self._first = (now, share)
        since, before = now - self._first[0], share - self._first[1]
        left = since * (1 - share) / before if since > 2 and before > 0.01 else None
        self._report(self._begin + (self._end - self._begin) * min(max(share, 0.0), 1.0), text, left)


def remove_old_scans(settings: Settings, keep: set[Any], days: float = KEEP_DAYS) -> None:
    """Remove pre-scans and unpacked archives that nobody has used for some days.

    Args:
        settings: the workspace.
        keep: names of pre-scans that live jobs use.
        days: how old they may be.
    """
    old = time.time() - days * 86_400
    for folder in (*settings.imports.iterdir(), *(settings.imports / _UNPACKED).glob("*")):
        if folder.name not in keep and folder.name != _UNPACKED and folder.stat().st_mtime < old:
            remove(folder)


def _downloaded(settings: Settings, importer: Importer, report: Reporter) -> Path:
    """The files of a format, fetched into the inbox; archives are unpacked beside themselves."""
    folder = settings.inbox / importer.name
    total = len(importer.downloads)
    for number, remote in enumerate(importer.downloads):
        begin, end = _FETCHED * number / total, _FETCHED * (number + 1) / total
        try:
            path = fetch(remote, folder, Clock(report, begin, end), lambda: report.stop_requested)
        except DownloadFailed as error:
            if report.stop_requested:
                raise Cancelled from error
            raise
        if is_archive(path) and not (target := _without_suffix(path)).exists():
            unpack(path, target, progress=Clock(report, begin, end))
    return folder


def _unpacked(settings: Settings, archive: Path, report: Reporter) -> Path:
    """What is in an archive, unpacked once for all pre-scans of it."""
    stat = archive.stat()
    name = hashlib.sha256(f"{archive}:{stat.st_size}:{stat.st_mtime_ns}".encode()).hexdigest()[:16]
    folder = settings.imports / _UNPACKED / name
    target = folder / _without_suffix(archive).name
    folder.mkdir(parents=True, exist_ok=True)
    folder.touch()
    if not target.exists():
        unpack(archive, target, progress=Clock(report, 0.0, _FETCHED))
    below = list(target.iterdir())
    return below[0] if len(below) == 1 and below[0].is_dir() else target


def _without_suffix(path: Path) -> Path:
    return path.with_name(re.sub(r"(\.tar)?\.\w+$", "", path.name) or "archive")


def _refuse_ways_out(options: Mapping[str, str]) -> None:
    """Answers given on a page name files inside the source only."""
    for value in options.values():
        for part in re.split(r"[,=+;\s]", value):
            if part.startswith(("/", "~", "\\")) or ".." in re.split(r"[/\\]", part) or "://" in part or "\0" in part:
                raise PathRefused(f"{value[:80]!r} leads out of the source. Name files by their path inside it.")


def _refuse_strangers(settings: Settings, pixels: Sequence[Pixels], places: Sequence[Place]) -> None:
    """What a link inside the source leads to is not the source's."""
    files = {path for entry in pixels for path in entry.files}
    for place in places:
        files |= {path for paths in place.scenes.values() for path in paths}
        files |= set() if place.land_cover is None else {place.land_cover}
    allowed = [folder.resolve() for folder in (*settings.source_folders, settings.imports)]
    real = {path.parent.resolve() for path in files} | {path.resolve() for path in files if path.is_symlink()}
    for path in real:
        if not any(path.is_relative_to(folder) for folder in allowed):
            raise PathRefused(
                f"A link in the source leads to {str(path)[-120:]!r}, outside the source folders. Copy the file instead."
            )
