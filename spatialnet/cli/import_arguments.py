"""The arguments of the commands that bring data in, divide it and pass it on."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import get_args

from spatialnet.datasets.split_plans import SplitKind


def add_import_commands(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add `importers`, `scan`, `import`, `download`, `export`, `split` and `targets`."""
    importers = commands.add_parser(
        "importers", help="list the formats that can be imported, or show one",
        description="Without a name: every format in one line. With one: the files it expects, what it asks, and what it can fetch.",
        epilog="example: python -m spatialnet importers eurosat",
    )  # fmt: skip
    importers.add_argument("name", nargs="?", help="name of a format")
    importers.set_defaults(command="importers")
    scan = commands.add_parser(
        "scan", help="look at a folder, file or archive before it is imported",
        description="Open every file, and say what was found, what would be left out and why, how long the import would take, "
        "and how much disk it needs. Nothing is imported.",
        epilog="example: python -m spatialnet scan ~/EuroSAT_MS",
    )  # fmt: skip
    _add_source(scan)
    scan.add_argument("--json", action="store_true", help="print facts, notes and the proposed plan as JSON")
    scan.set_defaults(command="scan")
    _add_import(commands)
    download = commands.add_parser(
        "download", help="fetch a data set's files from its publisher",
        epilog="example: python -m spatialnet download ucmerced --to ~/ucmerced",
    )  # fmt: skip
    download.add_argument("name", help="name of a format, as `importers` lists it")
    download.add_argument(
        "--to", type=Path, required=True, metavar="FOLDER", help="where the files go; made where needed"
    )
    download.set_defaults(command="download")
    export = commands.add_parser(
        "export", help="write a data set into one file that another workspace can import",
        epilog="example: python -m spatialnet export raleigh --to raleigh.zip",
    )  # fmt: skip
    export.add_argument("dataset", help="identifier of the data set")
    export.add_argument("--to", type=Path, required=True, metavar="FILE.zip", help="the file to write")
    export.set_defaults(command="export")
    _add_split(commands)
    targets = commands.add_parser(
        "targets", help="show how a data set's targets follow from its labels, or change it",
        description="Without --plan: every task and what its classes are made from. --json prints the same as a file that can be "
        "edited and given to --plan: targets are then made anew from the labels that are kept with the data set.",
        epilog="example: python -m spatialnet targets eurosat --json > tasks.json",
    )  # fmt: skip
    targets.add_argument("dataset", help="identifier of the data set")
    targets.add_argument("--plan", type=Path, metavar="FILE.json", help="the tasks that it is to have")
    targets.add_argument("--json", action="store_true", help="print the tasks as JSON")
    targets.set_defaults(command="targets")


def _add_source(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("source", type=Path, help="a folder, a file, or a zip or tar archive")
    parser.add_argument(
        "--as", dest="importer", default="", metavar="NAME", help="the format (default: as it is recognised)"
    )
    parser.add_argument(
        "--option", action="append", default=[], metavar="NAME=VALUE",
        help="an answer to the format's questions; `importers NAME` lists them",
    )  # fmt: skip
    parser.add_argument(
        "--size", type=int, default=0, metavar="PX", help="bring all chip images to this side (default: as they are)"
    )


def _add_import(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    add = commands.add_parser(
        "import", help="make a data set from a folder, file or archive",
        description="Look at the source first, say what would be done, ask, and then build the data set. What is left out, and why, "
        "is said before anything is written. A stopped import goes on with `resume`. A file that `export` wrote becomes the "
        "data set that it was.",
        epilog="example: python -m spatialnet import town/ --as land_cover --name my-town --option scenes=landsat7=scene.tif "
        "--option land_cover=cover.tif --option rules=raleigh",
    )  # fmt: skip
    _add_source(add)
    add.add_argument(
        "--name", help="identifier: lower-case letters, digits and hyphens (default: from the source's name)"
    )
    add.add_argument("--title", default="", help="what people read")
    add.add_argument("--licence", default="", help="licence of the files, where the format does not know it")
    add.add_argument("--citation", default="", help="how to cite them")
    add.add_argument("--split", choices=get_args(SplitKind), help="how chips are divided (default: as proposed)")
    add.add_argument("--block-m", type=float, metavar="METRES", help="side of a block of ground")
    add.add_argument("--plan", type=Path, metavar="FILE.json", help="the whole plan, as `scan --json` prints it")
    add.add_argument("--yes", action="store_true", help="import without asking")
    add.add_argument("--no-wait", action="store_true", help="return once the import has started; it goes on by itself")
    add.set_defaults(command="import")


def _add_split(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    split = commands.add_parser(
        "split", help="list a data set's splits and their leaks, add one, or use another",
        description="Without --kind and --use: the splits that there are, with what leaks between them. --kind adds a split; splits "
        "that are there stay. --use takes one into use, for runs that are trained from then on.",
        epilog="example: python -m spatialnet split raleigh --kind blocks --block-m 2000 --name wide --use",
    )  # fmt: skip
    split.add_argument("dataset", help="identifier of the data set")
    split.add_argument("--kind", choices=get_args(SplitKind), help="add a split of this kind")
    split.add_argument("--block-m", type=float, metavar="METRES", help="side of a block of ground")
    split.add_argument("--guard-m", type=float, metavar="METRES", help="how far apart chips of different splits are")
    split.add_argument("--column", metavar="NAME", help="which column names the groups or regions")
    split.add_argument("--seed", type=int, help="of everything that is drawn")
    split.add_argument(
        "--name", default="main", help="what the split is called: lower-case letters, digits and _ (default: main)"
    )
    split.add_argument(
        "--use", nargs="?", const="", metavar="ID", help="use this split (default: the one that is added)"
    )
    split.set_defaults(command="split")
