"""The commands that bring data in, divide it and pass it on."""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from spatialnet.cli.prescan import told, values_told
from spatialnet.cli.progress import bar, clear_bar, follow, over_bar
from spatialnet.cli.table import print_rows
from spatialnet.datasets.catalogue import open_dataset
from spatialnet.datasets.split_plans import SplitPlan
from spatialnet.datasets.versions import add_split, use_split
from spatialnet.errors import ImportRefused
from spatialnet.importing.formats import FAMILIES, IMPORTERS, importer_called, recognised
from spatialnet.importing.import_plan import ImportPlan
from spatialnet.importing.retarget import current_plans, kept_labels, retarget
from spatialnet.importing.target_plan import TargetPlan
from spatialnet.importing.transfer.archives import is_archive
from spatialnet.importing.transfer.download import fetch
from spatialnet.importing.transfer.export import export_dataset
from spatialnet.importing.wording import counted
from spatialnet.jobs.importing import (
    Prescan,
    exported,
    planned,
    read_prescan,
    request_import,
    request_restore,
    request_scan,
)
from spatialnet.jobs.services import Services, services


def _importers(options: argparse.Namespace) -> int:
    if options.name is None:
        print_rows([(i.name, i.family, f"{i.title}: {i.about}") for i in IMPORTERS.values()])
        return 0
    importer = importer_called(options.name)
    print(f"{importer.title} ({FAMILIES[importer.family]})\n{importer.about}\n\nfiles:")
    print("\n".join(f"    {line}" for line in importer.layout.rstrip().splitlines()))
    if importer.options:
        print("\noptions:")
    for option in importer.options:
        more = [f"one of {', '.join(option.choices)}"] if option.choices else []
        more += ["a file"] if option.file else []
        more += ["needed"] if option.required else [f"default {option.default}"] if option.default else []
        print(f"    {option.name}: {option.help}" + (f" ({'; '.join(more)})" if more else ""))
    if importer.downloads:
        print(f"\n`python -m spatialnet download {importer.name} --to FOLDER` fetches:")
        print("\n".join(f"    {remote.name} from {remote.url}" for remote in importer.downloads))
    return 0


def _scan(options: argparse.Namespace) -> int:
    shared = services()
    prescan = _looked_at(shared, options)
    if isinstance(prescan, int):
        return prescan
    scan, plan = prescan.scan, None
    if not scan.refused and scan.listing.targets:
        plan = planned(prescan, _name_of(options.source))
    if options.json:
        notes = [note.__dict__ for note in scan.notes]
        print(json.dumps({
            "id": prescan.id, "importer": prescan.importer.name, "reason": prescan.reason, "facts": scan.facts, "notes": notes,
            "seconds": scan.seconds, "bytes": scan.bytes, "plan": plan and plan.to_dict(),
        }, indent=1))  # fmt: skip
    else:
        print(told(prescan, plan))
    return int(scan.refused)


def _import(options: argparse.Namespace) -> int:
    shared = services()
    name = options.name or _name_of(options.source)
    if exported(options.source):
        job = request_restore(shared.jobs, options.source, options.name or "")
        return 0 if options.no_wait else follow(shared, job)
    prescan = _looked_at(shared, options)
    if isinstance(prescan, int):
        return prescan
    if prescan.scan.refused:
        print(told(prescan, None))
        return 1
    plan = _plan(options, prescan, name)
    print(told(prescan, plan))
    if not options.yes and not _agreed(plan.name):
        return 1
    job = request_import(shared.jobs, prescan, plan)
    if options.no_wait:
        print(job.id)
        return 0
    return follow(shared, job)


def _looked_at(shared: Services, options: argparse.Namespace) -> Prescan | int:
    """The pre-scan of what the arguments name; or the exit status where there is none."""
    answers = _answers(options.option)
    importer, source = options.importer, options.source
    if importer:
        importer_called(importer)
    elif source.exists() and not (source.is_file() and is_archive(source)):
        reasons = recognised(source)
        if len(reasons) != 1:
            looks = "like several formats" if reasons else "like none of the known formats"
            print(f"spatialnet: {source.name[:80]!r} looks {looks}. Choose one with --as:", file=sys.stderr)
            for choice in reasons or IMPORTERS:
                print(f"  {choice}\t{reasons.get(choice) or IMPORTERS[choice].title}", file=sys.stderr)
            return 2
        name, reason = next(iter(reasons.items()))
        print(f"Taken for {IMPORTERS[name].title}: {reason}.", file=sys.stderr)
    job = request_scan(shared.jobs, source, importer, answers, size=options.size)
    return follow(shared, job) or read_prescan(shared.settings, job.id)


def _plan(options: argparse.Namespace, prescan: Prescan, name: str) -> ImportPlan:
    if options.plan:
        values = _read_json(options.plan)
        plan = ImportPlan.from_dict(values.get("plan", values) if isinstance(values, dict) else values)
        return replace(plan, name=options.name or plan.name)
    origin = {key: getattr(options, key) for key in ("title", "licence", "citation")}
    plan = planned(prescan, name, kind=options.split, **origin)
    return plan if options.block_m is None else replace(plan, split=replace(plan.split, block_m=options.block_m))


def _agreed(name: str) -> bool:
    if not sys.stdin.isatty():
        print("spatialnet: Nothing was imported. Add --yes to import this.", file=sys.stderr)
        return False
    print(f"Import this as {name}? [y/N] ", end="", file=sys.stderr, flush=True)
    return sys.stdin.readline().strip().lower() in ("y", "yes")


def _download(options: argparse.Namespace) -> int:
    importer = importer_called(options.name)
    if not importer.downloads:
        raise ImportRefused(
            f"{importer.title} cannot be fetched from here. Fetch it from its publisher and import its folder."
        )
    for remote in importer.downloads:
        path = fetch(remote, options.to, bar)
        print(over_bar(str(path)))
    return 0


def _export(options: argparse.Namespace) -> int:
    data = open_dataset(services().settings, options.dataset)
    export_dataset(data, options.to, bar)
    print(over_bar(f"{options.to}\t{options.to.stat().st_size / 1e6:,.1f} MB"))
    return 0


def _split(options: argparse.Namespace) -> int:
    data = open_dataset(services().settings, options.dataset)
    if options.kind:
        given = {k: getattr(options, k) for k in ("block_m", "guard_m", "column", "seed")}
        plan = SplitPlan(kind=options.kind, name=options.name, **{k: v for k, v in given.items() if v is not None})
        data = add_split(data, plan, use=options.use == "", progress=bar)
    if options.use:
        data = use_split(data, options.use)
    rows = []
    for split in data.manifest["splits"]:
        counts = ", ".join(f"{name} {count:,}" for name, count in split["counts"].items() if count)
        leaking = {kind: count for kind, count in split["leaks"].items() if count}
        leaks = ", ".join(f"{counted(count, 'pair')}: {kind}" for kind, count in leaking.items()) or "no leaks"
        rows.append((split["id"], split["kind"], counts, leaks, "in use" if split["id"] == data.split_id else ""))
    clear_bar()
    print_rows(rows)
    return 0


def _targets(options: argparse.Namespace) -> int:
    shared = services()
    data = open_dataset(shared.settings, options.dataset)
    if options.plan:
        values = _read_json(options.plan)
        try:
            plans = [TargetPlan.from_dict(value) for value in values]
        except (KeyError, TypeError, AttributeError) as error:
            raise ImportRefused(
                f"{options.plan.name[:80]!r} holds no list of tasks. Start from what `targets {data.name} --json` prints."
            ) from error
        data = retarget(data, plans, shared.labels.labelled_tasks(data.name))
    plans = list(current_plans(data))
    if options.json:
        print(json.dumps([plan.to_dict() for plan in plans], indent=1))
        return 0
    labels = kept_labels(data)
    for plan in plans:
        made = (
            f"from {', '.join(plan.columns)}" if plan.columns else f"derived by the importer: {', '.join(plan.classes)}"
        )
        print(f"task: {plan.title} ({plan.name}, {plan.kind}), {made}")
        for line in values_told(plan, plan.found(labels)):
            print(f"    {line}")
    return 0


def _answers(texts: Sequence[str]) -> dict[str, str]:
    answers = {}
    for text in texts:
        name, separator, value = text.partition("=")
        if not separator:
            raise ImportRefused(f"--option {text[:80]!r} holds no answer. Write NAME=VALUE.")
        answers[name.strip()] = value
    return answers


def _name_of(source: Path) -> str:
    """A data set's identifier from the name of a file or folder."""
    stem = re.sub(r"(\.tar)?\.\w+$", "", source.resolve().name)
    return re.sub(r"[^a-z0-9]+", "-", stem.lower()).strip("-")[:64].strip("-") or "imported"


def _read_json(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ImportRefused(f"{path.name[:80]!r} cannot be read as JSON ({str(error)[:120]}).") from error


IMPORT_COMMANDS: dict[str, Callable[[argparse.Namespace], int]] = {
    "importers": _importers, "scan": _scan, "import": _import, "download": _download, "export": _export, "split": _split,
    "targets": _targets,
}  # fmt: skip
