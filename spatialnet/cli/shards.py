"""The commands that predict and embed: on this machine, in shards on any batch system, or on a Ray cluster."""

from __future__ import annotations

import argparse
import csv
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from spatialnet.cli.progress import bar, clear_bar
from spatialnet.cli.runs import default_run
from spatialnet.datasets.catalogue import open_dataset
from spatialnet.errors import PredictionRefused
from spatialnet.jobs.services import Services, services

if TYPE_CHECKING:
    from spatialnet.shards.manifest import Manifest

_EPILOGUE = """\
examples:
  one scene             {name} --scene landsat7=my_scene.tif --out {out}
  a stack of sensors    {name} --scene landsat7=a.tif --scene sentinel1=b.tif --out {out}
  many scenes           {name} --scenes list.csv --out {out}
                        list.csv has the columns name, sensor, file; each scene gets a folder
  a part of a scene     {name} --scene landsat7=my_scene.tif --area=8.0,54.3,8.4,54.6 --out {out}
  two processes         {name} --scenes list.csv --out {out} --processes 2
  a Slurm array         sbatch --array=1-20 --wrap '{name} --scenes list.csv --out {out} --shard $SLURM_ARRAY_TASK_ID/20'
  and when all are done {name} --scenes list.csv --out {out} --finish

Shards share nothing but the folder --out, which all machines see under one path. Each may be killed and started again at any time.
On processors of one kind, results are the same bytes however many shards made them; a GPU rounds differently. With
SPATIALNET_RAY set, the command without --shard runs on that cluster.
"""


def add_shard_commands(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add `predict` and `embed` to the parser."""
    predict = _command(
        commands, "predict", "maps/", "predict scenes with a run; writes one GeoTIFF per task",
        "Windows of one chip slide over each scene and are blended. TASK.tif: band 1 holds the class, band 2 its score in percent, "
        "band 3 and on the score of each class. TASK-classes.tif: the class alone, with its colours.",
    )  # fmt: skip
    predict.add_argument("--stride", type=int, help="pixels from one window to the next (default: half a chip)")
    predict.add_argument(
        "--no-scores", action="store_true", help="write class and confidence only, not the score of each class"
    )
    embed = _command(
        commands, "embed", "vectors/", "embeddings of scenes or of a data set's chips, as NumPy and Parquet",
        "Writes features.npy (one float16 row per window or chip) and positions.parquet (the same rows: pixels, ground, degrees).",
    )  # fmt: skip
    embed.add_argument("--dataset", help="identifier of a data set whose chips are embedded, in place of scenes")
    embed.add_argument("--stride", type=int, help="pixels from one window to the next (default: a whole chip)")


def _command(
    commands: argparse._SubParsersAction[argparse.ArgumentParser], name: str, out: str, text: str, description: str
) -> argparse.ArgumentParser:
    parser = commands.add_parser(
        name, help=text, description=description, formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog=_EPILOGUE.format(name=f"python -m spatialnet {name}", out=out),
    )  # fmt: skip
    parser.add_argument("--run", help="identifier of a run (default: the newest finished one)")
    parser.add_argument(
        "--scene", action="append", default=[], metavar="SENSOR=FILE",
        help="a scene of one sensor; several sensors make a stack, the same sensor again makes another scene",
    )  # fmt: skip
    parser.add_argument("--scenes", type=Path, metavar="CSV", help="a list of scenes: columns name, sensor, file")
    parser.add_argument(
        "--area", metavar="W,S,E,N", help="only what lies between these degrees (default: whole scenes); write --area=-3,50,-2,51"
    )  # fmt: skip
    parser.add_argument("--out", type=Path, required=True, help="folder for the results; made if it is not there")
    parser.add_argument("--batch", type=int, default=32, help="windows per forward pass (default: 32; GPUs like 256)")
    parser.add_argument("--shard", metavar="I/N", help="do one of N shards only, counted from 1")
    parser.add_argument("--finish", action="store_true", help="put the results of all shards together")
    parser.add_argument("--processes", type=int, default=1, help="processes on this machine (default: 1)")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:<index> (default: auto)")
    parser.add_argument("--no-wait", action="store_true", help="return at once; the work goes on as a job")
    parser.set_defaults(command=name)
    return parser


def _work(options: argparse.Namespace) -> int:
    from spatialnet.shards.__main__ import parse_shard  # torch takes seconds to import; other commands do without
    from spatialnet.shards.processes import run_processes
    from spatialnet.shards.run import finish, run_shard

    shared = services()
    shard = parse_shard(options.shard) if options.shard else None
    manifest = _manifest(shared, options)
    manifest.publish()
    if options.no_wait:
        from spatialnet.jobs.sharding import request_work

        print(request_work(shared.jobs, manifest.folder, manifest.kind, options.processes, options.device).id)
        return 0
    if shard:
        run_shard(manifest, *shard, progress=bar, device=options.device)
        clear_bar()
        print(f"{manifest.done()} of {len(manifest.units)} units done", file=sys.stderr)
        return 0
    if not options.finish and not manifest.finished:
        if shared.settings.ray:
            from spatialnet.jobs.ray_engine import run_on_ray

            run_on_ray(manifest, shared.settings.ray, progress=bar)
        elif options.processes > 1:
            run_processes(manifest, options.processes, progress=bar, device=options.device)
        else:
            run_shard(manifest, 1, 1, progress=bar, device=options.device)
    found = finish(manifest)
    clear_bar()
    for item, files in found.items():
        for role, path in files.items():
            print(f"{role}\t{path}" if len(found) == 1 else f"{item}\t{role}\t{path}")
    return 0


def _manifest(shared: Services, options: argparse.Namespace) -> Manifest:
    from spatialnet.predict.area import parse_area
    from spatialnet.shards.request import chips_manifest, scenes_manifest

    run = default_run(shared, options.run)
    options.out.mkdir(parents=True, exist_ok=True)
    dataset = getattr(options, "dataset", None)
    if dataset:
        if options.scene or options.scenes or options.area:
            raise PredictionRefused("Name scenes (and an area of them) or a data set, not both.")
        return chips_manifest(options.out, run, open_dataset(shared.settings, dataset), batch=options.batch)
    scenes = _listed(options.scenes) if options.scenes else _scenes(options.scene)
    return scenes_manifest(
        options.out, options.command, run, scenes, stride=options.stride, batch=options.batch,
        area=parse_area(options.area) if options.area else None, scores=not getattr(options, "no_scores", False),
    )  # fmt: skip


def _scenes(texts: Sequence[str]) -> dict[str, dict[str, Path]]:
    """`SENSOR=FILE` arguments as scenes: a sensor that comes again begins the next one."""
    stacks: list[dict[str, Path]] = []
    for text in texts:
        sensor, separator, file = text.partition("=")
        if not separator:
            raise PredictionRefused(
                f"--scene {text[:80]!r} names no sensor. Write SENSOR=FILE, for example landsat7=my_scene.tif."
            )
        if not stacks or sensor in stacks[-1]:
            stacks.append({})
        stacks[-1][sensor] = Path(file)
    return _named((next(iter(stack.values())).stem, stack) for stack in stacks)


def _listed(path: Path) -> dict[str, dict[str, Path]]:
    """The scenes of a CSV file; relative paths are taken from its folder."""
    scenes: dict[str, dict[str, Path]] = {}
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            for row in csv.DictReader(file):
                scenes.setdefault(row["name"].strip(), {})[row["sensor"].strip()] = path.parent / row["file"].strip()
    except (OSError, ValueError, KeyError, AttributeError, csv.Error) as error:
        raise PredictionRefused(
            f"{path.name[:80]!r} is no list of scenes ({str(error)[:80]}). Write a CSV file with the columns name, sensor, file."
        ) from error
    return scenes


def _named(stacks: object) -> dict[str, dict[str, Path]]:
    named: dict[str, dict[str, Path]] = {}
    for stem, stack in stacks:  # type: ignore[attr-defined]
        if stem in named:
            raise PredictionRefused(f"Two scenes are called {stem[:64]!r}. Name them in a list with --scenes.")
        named[stem] = stack
    return named


SHARD_COMMANDS: Mapping[str, Callable[[argparse.Namespace], int]] = {"predict": _work, "embed": _work}
