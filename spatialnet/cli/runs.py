"""The commands of the run registry: list, show, compare, publish, note, delete and pass on runs."""

from __future__ import annotations

import argparse
import getpass
import math
import time
from collections.abc import Callable
from pathlib import Path

from spatialnet.cli.table import print_rows
from spatialnet.errors import RunNotFound, RunRefused, SpatialNetError
from spatialnet.evaluate.comparison import Measured, compare
from spatialnet.jobs.registry import data_state, runs_in_use
from spatialnet.jobs.services import Services, services
from spatialnet.runs import Run, current_run, list_runs, open_run
from spatialnet.runs.lineage import family
from spatialnet.runs.notes import add_note, notes
from spatialnet.runs.publishing import publications, publish, published_for, roll_back
from spatialnet.runs.rivals import rival_of
from spatialnet.runs.transfer import export_run, import_run
from spatialnet.runs.trash import KEPT_DAYS, delete_run, empty_trash, restore_run, trash


def add_run_commands(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add `runs` and what can be done with runs."""
    runs = commands.add_parser(
        "runs", help="list the runs, with metrics beside baselines; compare, publish, note, delete, pass on",
        description="Without an action: every run, newest first, with its metrics beside the better baseline. The current run of a data "
        "set is what the map, the label page and `predict` use: the published one, else the newest.",
        epilog="example: python -m spatialnet runs compare run-20260101-120000 run-20260102-120000",
    )  # fmt: skip
    runs.add_argument("--dataset", help="only runs that know this data set")
    runs.set_defaults(command="runs", action="list")
    actions = runs.add_subparsers(title="actions", metavar="ACTION")

    def action(name: str, text: str, *arguments: tuple[str, str]) -> argparse.ArgumentParser:
        parser = actions.add_parser(name, help=text, description=f"{text[:1].upper()}{text[1:]}.")
        for argument, about in arguments:
            parser.add_argument(argument, help=about)
        parser.set_defaults(action=name)
        return parser

    run = ("run", "identifier of a run, as `runs` lists it")
    action("show", "show one run: metrics, data, corrections, where it comes from, notes", run)
    many = action("compare", "compare runs: metrics with intervals side by side, and where their recipes differ")
    many.add_argument("runs", nargs="+", metavar="RUN", help="two or more runs")
    one = action("publish", "make a run the current one of its data set", run)
    one.add_argument("--dataset", dest="only", help="for this data set only (default: each that it was trained on)")
    action("rollback", "take the last publication back", ("dataset_name", "identifier of the data set"))
    action("history", "list what was published for a data set", ("dataset_name", "identifier of the data set"))
    action("delete", f"move a run to the trash, where it stays for {KEPT_DAYS} days", run)
    action("restore", "bring a run back from the trash", run)
    action("trash", "list the runs in the trash")
    empty = action("empty", "delete what is in the trash for good")
    empty.add_argument(
        "--older-than", type=float, default=0.0, metavar="DAYS", help="leave what was deleted later (default: nothing)"
    )
    action("note", "write a note on a run", run, ("text", "what to note"))
    to = action("export", "write a run into one zip file that another workspace can import", run)
    to.add_argument("file", type=Path, metavar="FILE.zip", help="the file to write, or a folder to write it into")
    back = action("import", "take in a run that was exported")
    back.add_argument("file", type=Path, metavar="FILE.zip", help="the file, or a folder that it was unpacked into")


def _runs(options: argparse.Namespace) -> int:
    _ACTIONS[options.action](services(), options)
    return 0


def _list(shared: Services, options: argparse.Namespace) -> None:
    for run in list_runs(shared.settings, options.dataset):
        print(f"{run.name}\t{run.title}\t{', '.join(run.datasets)}\t{_state(shared, run)}")
        for line in _metric_lines(run):
            print(f"  {line}")


def _show(shared: Services, options: argparse.Namespace) -> None:
    run = open_run(shared.settings, options.run)
    print(f"{run.name}\t{run.title}\t{_state(shared, run)}")
    print(
        f"  started {_when(run.created_at)}, preset {run.info.get('preset', '?')}, weights {run.info.get('weights', '?')}"
    )
    for dataset in run.datasets:
        print(
            f"  data set {dataset}, fingerprint {run.fingerprint(dataset) or 'unknown'}: {data_state(shared.settings, run, dataset)}"
        )
    print(f"  label version {run.info.get('label_version', 0)}, {run.info.get('corrections', 0)} corrections")
    if came := run.info.get("imported"):
        print(f"  imported from {came['from']} on {_when(came['at'])}, where it was called {came['name']}")
    for line in _metric_lines(run):
        print(f"  {line}")
    print("  family:")
    for kin in family(run, list_runs(shared.settings)):
        title = kin.run.title if kin.run else "(not here)"
        print(f"    {'  ' * kin.depth}{kin.name}  {title}{'  <- this one' if kin.name == run.name else ''}")
    for note in notes(run):
        print(f"  note, {note.person}, {_when(note.at)}: {note.text}")


def _compare(shared: Services, options: argparse.Namespace) -> None:
    names = list(dict.fromkeys(options.runs))
    if len(names) < 2:
        raise RunRefused("Name two or more different runs to compare.")
    found = compare([open_run(shared.settings, name) for name in names])
    print_rows([("data set", "task", "metric", *names)] + [
        (row.dataset, row.task, row.metric, *(_measured(value) + ("  best" * (row.best == i)) for i, value in enumerate(row.values)))
        for row in found.rows
    ])  # fmt: skip
    if not found.differences:
        print("recipes: no difference")
    else:
        print_rows([("recipe", *names)] + [(d.field, *(str(value) for value in d.values)) for d in found.differences])
    for row in found.rows:
        if row.best is not None and not row.clear:
            print(f"{row.dataset}, {row.task}: intervals overlap, so the difference may be chance.")
    for caution in found.cautions:
        print(f"caution: {caution}")


def _publish(shared: Services, options: argparse.Namespace) -> None:
    run = open_run(shared.settings, options.run)
    publish(shared.settings, run, options.only, person=_person())
    print(f"{run.name} is the current run of {', '.join(published_for(shared.settings, run))}")


def _rollback(shared: Services, options: argparse.Namespace) -> None:
    before = roll_back(shared.settings, options.dataset_name, person=_person())
    now = before or current_run(shared.settings, options.dataset_name)
    how = "published" if before else "nothing is published; the newest counts"
    print(f"{now.name if now else 'no run'} is the current run of {options.dataset_name} ({how})")


def _history(shared: Services, options: argparse.Namespace) -> None:
    print_rows(
        [
            (_when(step.at), step.kind, step.run, step.person)
            for step in publications(shared.settings, options.dataset_name)
        ]
    )


def _delete(shared: Services, options: argparse.Namespace) -> None:
    run = open_run(shared.settings, options.run)
    delete_run(shared.settings, run, in_use=runs_in_use(shared.jobs), person=_person())
    print(
        f"{run.name} is in the trash for {KEPT_DAYS} days; `python -m spatialnet runs restore {run.name}` brings it back"
    )


def _restore(shared: Services, options: argparse.Namespace) -> None:
    print(f"{restore_run(shared.settings, options.run).name} is back")


def _trash(shared: Services, _options: argparse.Namespace) -> None:
    print_rows(
        [(deleted.run.name, deleted.run.title, _when(deleted.at), deleted.person) for deleted in trash(shared.settings)]
    )


def _empty(shared: Services, options: argparse.Namespace) -> None:
    print(f"{empty_trash(shared.settings, older_than_days=options.older_than)} deleted for good")


def _note(shared: Services, options: argparse.Namespace) -> None:
    add_note(open_run(shared.settings, options.run), options.text, _person())


def _export(shared: Services, options: argparse.Namespace) -> None:
    print(export_run(open_run(shared.settings, options.run), options.file))


def _import(shared: Services, options: argparse.Namespace) -> None:
    run = import_run(shared.settings, options.file)
    print(run.name)
    for dataset in run.datasets:
        state = data_state(shared.settings, run, dataset)
        if state != "as trained":
            what = "is not here" if state == "not here" else "is another one, or in another state"
            print(f"data set {dataset} of this run {what}; its metrics can be read, its map cannot be trusted")


def default_run(shared: Services, name: str | None) -> Run:
    """The run that a command works with: the one that is named, else the current one.

    Raises:
        RunNotFound: there is none.
    """
    if name:
        return open_run(shared.settings, name)
    run = current_run(shared.settings)
    if run is None:
        raise RunNotFound("No run has finished yet. `python -m spatialnet sample` trains the first.")
    return run


def _metric_lines(run: Run) -> list[str]:
    lines = []
    for dataset in run.datasets if run.done else ():
        try:
            tasks = run.report_on(dataset)["tasks"]
        except SpatialNetError:
            continue
        for name, values in tasks.items():
            main, over = values["run"], values["margin"]["over"]
            where = f"{dataset}, " if len(run.datasets) > 1 else ""
            lines.append(
                f"{where}{name}: {values['metric']} {main['value']:.3f}{_interval(main['low'], main['high'])}, "
                f"best baseline {over} {rival_of(values)['value']:.3f}, n = {values['chips']}"
            )
    return lines


def _state(shared: Services, run: Run) -> str:
    if not run.done:
        return "not finished"
    published = published_for(shared.settings, run)
    return f"done, published for {', '.join(published)}" if published else "done"


def _measured(value: Measured | None) -> str:
    return "-" if value is None or math.isnan(value.value) else f"{value.value:.3f}{_interval(value.low, value.high)}"


def _interval(low: float | None, high: float | None) -> str:
    return "" if low is None or high is None else f" [{low:.3f}, {high:.3f}]"


def _when(timestamp: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M", time.localtime(timestamp))


def _person() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError):
        return "command line"


_ACTIONS: dict[str, Callable[[Services, argparse.Namespace], None]] = {
    "list": _list, "show": _show, "compare": _compare, "publish": _publish, "rollback": _rollback, "history": _history,
    "delete": _delete, "restore": _restore, "trash": _trash, "empty": _empty, "note": _note, "export": _export, "import": _import,
}  # fmt: skip

RUN_COMMANDS: dict[str, Callable[[argparse.Namespace], int]] = {"runs": _runs}
