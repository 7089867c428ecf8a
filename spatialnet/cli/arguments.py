"""The arguments of every command, and the help that teaches them."""

from __future__ import annotations

import argparse

from spatialnet.cli.ablation import add_ablation_commands
from spatialnet.cli.captions import add_caption_commands
from spatialnet.cli.datasets import add_dataset_commands
from spatialnet.cli.import_arguments import add_import_commands
from spatialnet.cli.jobs import add_job_commands
from spatialnet.cli.runs import add_run_commands
from spatialnet.cli.shards import add_shard_commands
from spatialnet.cli.training import add_sample_commands, add_training_commands
from spatialnet.explain.methods import METHODS

_EPILOGUE = """\
a first session:
  python -m spatialnet sample                 fetch the sample and train its first run
  python -m spatialnet runs                   what was trained, with metrics beside baselines
  python -m spatialnet explain --chip 214     why the current run answers as it does
  python -m spatialnet import FOLDER          look at your own files, then make them a data set
  python -m spatialnet train --parent RUN     go on from a run with everyone's corrections

Everything is kept in the workspace: the folder data/, or the one that SPATIALNET_DATA names.
"""


def make_parser() -> argparse.ArgumentParser:
    """The parser of all commands; what it parses names its command in `command`."""
    parser = argparse.ArgumentParser(
        prog="python -m spatialnet", epilog=_EPILOGUE, formatter_class=argparse.RawDescriptionHelpFormatter,
        description="See a prediction on satellite imagery, ask why, correct it, watch the model learn.",
    )  # fmt: skip
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    add_sample_commands(commands)
    add_import_commands(commands)
    add_training_commands(commands)
    add_run_commands(commands)
    add_shard_commands(commands)
    add_ablation_commands(commands)
    _add_explain(commands)
    add_caption_commands(commands)
    _add_labels(commands)
    add_dataset_commands(commands)
    add_job_commands(commands)
    return parser


def _add_explain(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    explain = commands.add_parser(
        "explain", help="explain a run's answer for one chip, with its faithfulness",
        epilog="example: python -m spatialnet explain --chip 214 --task presence --class water "
        "--method integrated_gradients",
    )  # fmt: skip
    explain.add_argument("--run", help="identifier of a run (default: the current one)")
    explain.add_argument("--chip", type=int, required=True, help="number of the chip in the run's data set")
    explain.add_argument("--task", help="name of the task (default: the first)")
    explain.add_argument("--class", dest="class_name", help="name of the class (default: the first of the task)")
    explain.add_argument(
        "--method", default=next(iter(METHODS)), choices=list(METHODS), help="how (default: the first)"
    )
    explain.set_defaults(command="explain")


def _add_labels(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    labels = commands.add_parser(
        "labels", help="what people said: counts, or every current label as JSON lines",
        description="Without --json: how many chips of each task have an answer. With it: one line per current label.",
    )  # fmt: skip
    labels.add_argument("--dataset", help="identifier of the data set (default: the only one)")
    labels.add_argument("--json", action="store_true", help="print every current label as one JSON object per line")
    labels.set_defaults(command="labels")
