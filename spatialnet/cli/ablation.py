"""The command that asks what each part of a recipe is worth."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path

from spatialnet.cli.datasets import chosen_dataset
from spatialnet.cli.progress import follow
from spatialnet.cli.table import print_rows
from spatialnet.errors import AblationNotFound
from spatialnet.evaluate.ablation_table import HEAD, markdown, measured_on, table_rows, verdicts
from spatialnet.evaluate.arms import DEFAULT_QUESTIONS, QUESTIONS
from spatialnet.jobs.ablation import Ablation, list_ablations, open_ablation, plan_for, request_ablation
from spatialnet.jobs.services import Services, services
from spatialnet.recipe import Recipe, sample_recipe


def add_ablation_commands(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add `ablate` to the parser."""
    ablate = commands.add_parser(
        "ablate", help="train with and without each part of a recipe, and say what each is worth",
        description="Train a recipe with and without each of its parts, several seeds each, and compare on the test "
        "split with intervals. Every run has the same epochs and data; people's corrections are left out.",
        epilog="example: python -m spatialnet ablate --dataset raleigh --seeds 3 --arms multi-task,augmentation",
    )  # fmt: skip
    ablate.add_argument("--dataset", help="identifier of the data set (default: the only one)")
    ablate.add_argument("--recipe", type=Path, help="the recipe to take apart (TOML; default: the sample's)")
    ablate.add_argument("--seeds", type=int, default=3, help="how often everything is trained (default: 3)")
    ablate.add_argument(
        "--arms", default=",".join(DEFAULT_QUESTIONS), metavar="A,B", help=f"any of {', '.join(QUESTIONS)} (default: all but weighting)"
    )  # fmt: skip
    ablate.add_argument(
        "--paper", action="store_true", help="also train the paper's code as published, with its own 50 epochs"
    )
    ablate.add_argument("--no-controls", action="store_true", help="leave out the two linear controls")
    ablate.add_argument("--keep-models", action="store_true", help="keep every trained network")
    ablate.add_argument("--no-wait", action="store_true", help="return at once; the job goes on by itself")
    ablate.add_argument("--list", action="store_true", help="list the ablations and start none")
    ablate.add_argument("--show", metavar="NAME", help="print the table of an ablation (`newest` for the newest)")
    ablate.add_argument("--markdown", action="store_true", help="print the table as Markdown")
    ablate.set_defaults(command="ablate")


def _ablate(options: argparse.Namespace) -> int:
    shared = services()
    if options.list:
        print_rows(
            [(a.name, f"{a.done_runs} of {len(a.info['runs'])} runs", a.title) for a in list_ablations(shared.settings)]
        )
        return 0
    if options.show:
        _show(_opened(shared, options.show), as_markdown=options.markdown)
        return 0
    data = chosen_dataset(shared, options.dataset)
    recipe = Recipe.load(options.recipe) if options.recipe else sample_recipe()
    questions = [name.strip() for name in options.arms.split(",") if name.strip()]
    plan = plan_for(data, recipe, questions, paper=options.paper, controls=not options.no_controls)
    job = request_ablation(shared.jobs, data, plan, seeds=options.seeds, keep_models=options.keep_models)
    for note in plan.notes:
        print(f"Note: {note}", file=sys.stderr)
    print(f"ablation {job.spec['run']}, job {job.id}")
    if options.no_wait:
        return 0
    status = follow(shared, job)
    _show(open_ablation(shared.settings, str(job.spec["run"])), as_markdown=options.markdown)
    return status


def _show(ablation: Ablation, *, as_markdown: bool) -> None:
    rows = table_rows(ablation.info["arms"], ablation.results, ablation.tasks, {})
    if as_markdown:
        print(f"{markdown(rows)}\n\n{measured_on(ablation.info)}")
        return
    if rows:
        print_rows([HEAD, *(row.cells for row in rows)])
        print()
        print("\n".join(verdicts(rows)))
        print()
    print(measured_on(ablation.info))
    if not ablation.done:
        print(f"{ablation.done_runs} of {len(ablation.info['runs'])} runs are done.")


def _opened(shared: Services, name: str) -> Ablation:
    if name != "newest":
        return open_ablation(shared.settings, name)
    found = list_ablations(shared.settings)
    if not found:
        raise AblationNotFound("There is no ablation yet. `python -m spatialnet ablate` starts one.")
    return found[0]


ABLATION_COMMANDS: dict[str, Callable[[argparse.Namespace], int]] = {"ablate": _ablate}
