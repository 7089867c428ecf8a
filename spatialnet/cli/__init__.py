"""The command line: every capability without a browser. Each command's `--help` shows how it is used."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace

from spatialnet.cli.ablation import ABLATION_COMMANDS
from spatialnet.cli.arguments import make_parser
from spatialnet.cli.captions import CAPTION_COMMANDS
from spatialnet.cli.importing import IMPORT_COMMANDS
from spatialnet.cli.jobs import JOB_COMMANDS
from spatialnet.cli.progress import follow
from spatialnet.cli.runs import RUN_COMMANDS, default_run
from spatialnet.cli.shards import SHARD_COMMANDS
from spatialnet.cli.table import print_rows
from spatialnet.datasets.catalogue import list_datasets, open_dataset
from spatialnet.datasets.packed import PackedChips
from spatialnet.errors import (
    DataSetNotFound,
    ExplanationFailed,
    SpatialNetError,
)
from spatialnet.jobs.explanations import ExplanationRequest
from spatialnet.jobs.requests import request_sample, request_training
from spatialnet.jobs.services import Services, services
from spatialnet.joint import part_of
from spatialnet.predict.table import read_predictions
from spatialnet.recipe import Recipe, sample_recipe
from spatialnet.runs import open_run
from spatialnet.summary import chip_summary


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command.

    Returns:
        The exit status: 0 done, 1 refused or failed (one sentence on standard error), 2 wrong usage.
    """
    options = make_parser().parse_args(arguments)
    try:
        status: int = _COMMANDS[options.command](options)
    except SpatialNetError as error:
        print(f"spatialnet: {error}", file=sys.stderr)
        return 1
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # or Python complains once more as it ends
        return 1
    except OSError as error:
        print(f"spatialnet: {error.strerror or error}: {error.filename}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print(
            "spatialnet: stopped; jobs that were started go on. `python -m spatialnet jobs` lists them.",
            file=sys.stderr,
        )
        return 130
    return status


def _sample(options: argparse.Namespace) -> int:
    shared = services()
    job = request_sample(shared.jobs, options.source)
    if options.no_wait:
        print(job.id)
        return 0
    status = follow(shared, job)
    trained = [j for j in shared.jobs.store.live() if j.kind == "train"]
    return follow(shared, trained[-1]) if status == 0 and trained else status


def _train(options: argparse.Namespace) -> int:
    shared = services()
    parent = open_run(shared.settings, options.parent) if options.parent else None
    data = _dataset(shared, options.dataset or (parent.dataset if parent else None))
    recipe = Recipe.load(options.recipe) if options.recipe else sample_recipe()
    if parent:
        recipe = Recipe.load(parent.folder / "recipe.toml").continued(parent.name)
    changes = {key: getattr(options, key) for key in ("name", "preset", "weights", "epochs", "seed")}
    recipe = replace(recipe, **{key: value for key, value in changes.items() if value is not None})
    version = 0 if options.no_corrections else shared.labels.version()
    corrections = (
        sum(len(shared.labels.corrected(data.name, task.name, version)) for task in data.tasks) if version else 0
    )
    job = request_training(shared.jobs, data, recipe, label_version=version, corrections=corrections)
    print(f"run {job.spec['run']}, job {job.id}")
    return 0 if options.no_wait else follow(shared, job)


def _explain(options: argparse.Namespace) -> int:
    shared = services()
    run = default_run(shared, options.run)
    data = open_dataset(shared.settings, run.dataset)
    task = data.task(options.task) if options.task else data.tasks[0]
    name = options.class_name or task.classes[0]
    if name not in task.classes:
        raise ExplanationFailed(f"Task {task.name} has no class {name[:64]!r}; it has {', '.join(task.classes)}.")
    request = ExplanationRequest(run.name, options.chip, task.name, task.classes.index(name), options.method)
    try:
        facts = shared.compute.explain(request)
    finally:
        shared.compute.stop()
    badge = facts["faithfulness"]
    scores = read_predictions(part_of(run.folder, data.name) / "predictions.parquet", data.tasks) if run.done else {}
    if text := chip_summary(data.tasks, scores, options.chip):
        print(text)
    print(f"{task.label} = {name}: {facts['info']['probability'][0]:.3f}")
    print(f"faithfulness: {badge['verdict']} (margin {badge['margin']:.1f}). {badge['sentence']}")
    print(f"picture: {shared.settings.cache / 'overlays' / (facts['picture'] + '.png')}")
    return 0


def _labels(options: argparse.Namespace) -> int:
    shared = services()
    data = _dataset(shared, options.dataset)
    for task in data.tasks:
        if options.json:
            for chip, answer in sorted(shared.labels.current(data.name, task.name).items()):
                print(json.dumps({"dataset": data.name, "task": task.name, "chip": chip, **answer.__dict__}))
        else:
            counts = shared.labels.counts(data.name, task.name)
            print(
                f"{task.label}: {counts.labelled} labelled, {counts.unsure} unsure, {counts.skipped} skipped "
                f"of {len(data):,} chips"
            )
    return 0


def _datasets(_options: argparse.Namespace) -> int:
    rows = []
    for data in list_datasets(services().settings):
        made = " (synthetic)" if data.manifest["synthetic"] else ""
        rows.append((data.name, f"{len(data):,} chips of {data.chip_size} px", f"{data.title}{made}"))
    print_rows(rows)
    return 0


def _dataset(shared: Services, name: str | None) -> PackedChips:
    if name:
        return open_dataset(shared.settings, name)
    found = list_datasets(shared.settings)
    if len(found) != 1:
        names = ", ".join(data.name for data in found) or "none; `python -m spatialnet sample` makes one"
        raise DataSetNotFound(f"Name a data set with --dataset. There is: {names}.")
    return found[0]


_COMMANDS: dict[str, Callable[[argparse.Namespace], int]] = {
    "sample": _sample, "train": _train, "explain": _explain, "labels": _labels,
    "datasets": _datasets,
    **ABLATION_COMMANDS, **CAPTION_COMMANDS, **IMPORT_COMMANDS, **JOB_COMMANDS, **RUN_COMMANDS, **SHARD_COMMANDS,
}  # fmt: skip
