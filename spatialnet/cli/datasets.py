"""The command that lists data sets, and how commands choose one."""

from __future__ import annotations

import argparse
from collections.abc import Callable

from spatialnet.cli.table import print_rows
from spatialnet.datasets.catalogue import list_datasets, open_dataset
from spatialnet.datasets.packed import PackedChips
from spatialnet.errors import DataSetNotFound
from spatialnet.jobs.services import Services, services


def add_dataset_commands(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add `datasets` to the parser."""
    commands.add_parser("datasets", help="list the data sets").set_defaults(command="datasets")


def chosen_dataset(shared: Services, name: str | None) -> PackedChips:
    """The data set that a command works with: the one that is named, else the only one.

    Raises:
        DataSetNotFound: it is not there; or none is named, and there is not exactly one.
        DataSetInvalid: it cannot be read.
    """
    if name:
        return open_dataset(shared.settings, name)
    found = list_datasets(shared.settings)
    if len(found) != 1:
        names = ", ".join(data.name for data in found) or "none; `python -m spatialnet sample` makes one"
        raise DataSetNotFound(f"Name a data set with --dataset. There is: {names}.")
    return found[0]


def _datasets(_options: argparse.Namespace) -> int:
    rows = []
    for data in list_datasets(services().settings):
        made = " (synthetic)" if data.manifest["synthetic"] else ""
        rows.append((data.name, f"{len(data):,} chips of {data.chip_size} px", f"{data.title}{made}"))
    print_rows(rows)
    return 0


DATASET_COMMANDS: dict[str, Callable[[argparse.Namespace], int]] = {"datasets": _datasets}
