"""The command line: every capability without a browser. Each command's `--help` shows how it is used."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Callable, Sequence

from spatialnet.cli.ablation import ABLATION_COMMANDS
from spatialnet.cli.arguments import make_parser
from spatialnet.cli.captions import CAPTION_COMMANDS
from spatialnet.cli.datasets import DATASET_COMMANDS, chosen_dataset
from spatialnet.cli.importing import IMPORT_COMMANDS
from spatialnet.cli.jobs import JOB_COMMANDS
from spatialnet.cli.runs import RUN_COMMANDS, default_run
from spatialnet.cli.shards import SHARD_COMMANDS
from spatialnet.cli.training import TRAINING_COMMANDS
from spatialnet.datasets.catalogue import open_dataset
from spatialnet.errors import ExplanationFailed, SpatialNetError
from spatialnet.jobs.explanations import ExplanationRequest
from spatialnet.jobs.services import services
from spatialnet.joint import part_of
from spatialnet.predict.table import read_predictions
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
    data = chosen_dataset(shared, options.dataset)
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


_COMMANDS: dict[str, Callable[[argparse.Namespace], int]] = {
    "explain": _explain, "labels": _labels,
    **ABLATION_COMMANDS, **CAPTION_COMMANDS, **DATASET_COMMANDS, **IMPORT_COMMANDS, **JOB_COMMANDS, **RUN_COMMANDS,
    **SHARD_COMMANDS, **TRAINING_COMMANDS,
}  # fmt: skip
