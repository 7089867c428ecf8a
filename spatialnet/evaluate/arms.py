"""What an ablation compares: arms, each the base recipe with one part taken out or exchanged. No training here."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from spatialnet.errors import RecipeInvalid
from spatialnet.presets import preset_for, preset_named
from spatialnet.recipe import WEIGHTINGS, Recipe, paper_recipe

BASE = "base"
PAPER = "paper"
MAX_SEEDS = 20

QUESTIONS = {
    "multi-task": "Multi-task or one run per task",
    "augmentation": "Augmentation on or off",
    "pretrained": "Pretrained or from scratch",
    "spatial": "Spatial terms on or off",
    "sensors": "Each sensor left out, and alone",
    "weighting": "Other weightings of the tasks",
}
"""What can be asked, as people read it. All but the last are asked by default."""

DEFAULT_QUESTIONS = tuple(QUESTIONS)[:-1]

CONTROLS = {
    "control-bands": ("band statistics", "logistic regression on band means and deviations"),
    "control-features": ("frozen features", "logistic regression on features of the untrained backbone"),
}
"""Arms that need no training. The backbone is the pretrained one where the base recipe names weights, else a random one."""

_QUIET = {
    "flips": False, "crop": 1.0, "brightness": 0.0, "noise": 0.0, "erase": 0.0, "band_dropout": 0.0, "speckle": 0.0, "mixup": 0.0,
    "cutmix": 0.0,
}  # fmt: skip
"""No augmentation. Leaving out whole sensors stays: it teaches something else."""


@dataclass(frozen=True)
class Arm:
    """One side of a comparison with the base recipe.

    Attributes:
        name: identifier within the ablation.
        part: what the base has and this arm has not, as people read it.
        instead: what this arm has instead.
        recipes: the runs that answer for it; each answers its recipe's tasks. None for a control.
    """

    name: str
    part: str
    instead: str
    recipes: tuple[Recipe, ...]


@dataclass(frozen=True)
class Plan:
    """What an ablation trains.

    Attributes:
        base: the recipe that every arm is compared with.
        arms: the others.
        notes: what was asked for and cannot be compared, and why; one sentence each.
    """

    base: Recipe
    arms: tuple[Arm, ...]
    notes: tuple[str, ...]


@dataclass(frozen=True)
class PlannedRun:
    """One training of an ablation.

    Attributes:
        folder: name of its run folder.
        arm: whose it is; `BASE` for the base recipe.
        seed: of the run; arms are compared seed by seed.
        recipe: with that seed.
    """

    folder: str
    arm: str
    seed: int
    recipe: Recipe


def plan_arms(
    recipe: Recipe,
    tasks: Sequence[str],
    sensors: Sequence[str],
    questions: Sequence[str] = DEFAULT_QUESTIONS,
    *,
    paper: bool = False,
    controls: bool = True,
) -> Plan:
    """The arms that answer some questions about a recipe on a data set.

    Args:
        recipe: the base; its parent is left out, because every run starts from the beginning.
        tasks: names of the data set's tasks.
        sensors: names of its sensors.
        questions: keys of `QUESTIONS`.
        paper: also train the recipe of the paper's public code as it was published, with its own budget.
        controls: also fit both controls.

    Raises:
        RecipeInvalid: an unknown question, or nothing is left to compare.
    """
    unknown = [name for name in questions if name not in QUESTIONS]
    if unknown:
        raise RecipeInvalid(f"There is no question {unknown[0][:80]!r}. Ask any of {', '.join(QUESTIONS)}.")
    notes = []
    base = replace(recipe, name="base", parent="")
    if recipe.parent:
        notes.append(
            "The base recipe goes on from another run; here every run starts from the beginning, without that parent."
        )
    arms: list[Arm] = []
    for question in dict.fromkeys(questions):
        found = _ARMS[question](base, recipe.tasks or tuple(tasks), recipe.sensors or tuple(sensors))
        if isinstance(found, str):
            notes.append(found)
        else:
            arms += found
    if paper:
        published = replace(paper_recipe(), tasks=base.tasks, sensors=base.sensors)
        arms.append(
            Arm(PAPER, "This recipe", "the paper's code as published, with its own number of epochs", (published,))
        )
    if controls:
        arms += [Arm(name, f"Training, beside {short}", text, ()) for name, (short, text) in CONTROLS.items()]
    if not arms:
        raise RecipeInvalid(" ".join(["Nothing is left to compare.", *notes, "Choose another question or recipe."]))
    return Plan(base, tuple(arms), tuple(notes))


def planned_runs(plan: Plan, seeds: int) -> list[PlannedRun]:
    """Every training of a plan, in order: all arms with the first seed, then all with the next.

    Args:
        plan: what to compare.
        seeds: how many; they count up from the base recipe's own.

    Raises:
        RecipeInvalid: no seed, or too many.
    """
    if not 1 <= seeds <= MAX_SEEDS:
        raise RecipeInvalid(f"{seeds} seeds were asked for; 1 to {MAX_SEEDS} are wanted, 3 are usual.")
    runs = []
    sides = [(BASE, (plan.base,)), *((arm.name, arm.recipes) for arm in plan.arms)]
    for seed in range(plan.base.seed, plan.base.seed + seeds):
        for number, (name, recipes) in enumerate(sides):
            for part, recipe in enumerate(recipes):
                stem = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")[:32]
                folder = f"{number:02d}-{stem}-seed{seed}" + (f"-{part + 1}" if len(recipes) > 1 else "")
                runs.append(PlannedRun(folder, name, seed, replace(recipe, name=f"{name}, seed {seed}", seed=seed)))
    return runs


def _multi_task(base: Recipe, tasks: tuple[str, ...], _sensors: tuple[str, ...]) -> list[Arm] | str:
    if len(tasks) < 2:
        return "There is one task only, so there is nothing to learn together."
    alone = tuple(replace(base, tasks=(task,)) for task in tasks)
    return [Arm("single-task", "Learning the tasks together", "one run per task", alone)]


def _augmentation(base: Recipe, _tasks: tuple[str, ...], _sensors: tuple[str, ...]) -> list[Arm] | str:
    plain = replace(base, **_QUIET)  # type: ignore[arg-type]
    if not base.changes(plain):
        return "The base recipe has no augmentation to leave out."
    return [Arm("no-augmentation", "Augmentation", "none", (plain,))]


def _pretrained(base: Recipe, _tasks: tuple[str, ...], _sensors: tuple[str, ...]) -> list[Arm] | str:
    if base.weights == "none":
        return "The base recipe starts from random weights; name pretrained weights to see what they are worth."
    # Heads on frozen random features, or low-rank updates of them, would be no fair start: all epochs train everything.
    scratch = replace(
        base, weights="none", preset=preset_for(base.weights, base.preset), head_epochs=0,
        epochs=base.head_epochs + base.epochs, tune="all",
    )  # fmt: skip
    return [Arm("scratch", "Pretrained weights", "random weights, all epochs for the whole network", (scratch,))]


def _spatial(base: Recipe, _tasks: tuple[str, ...], _sensors: tuple[str, ...]) -> list[Arm] | str:
    if not base.spatial or not preset_named(preset_for(base.weights, base.preset)).spatial:
        return "The base recipe has no spatial terms to leave out."
    return [Arm("no-spatial", "Spatial terms", "none", (replace(base, spatial=False),))]


def _sensors(base: Recipe, _tasks: tuple[str, ...], sensors: tuple[str, ...]) -> list[Arm] | str:
    if len(sensors) < 2:
        return "There is one sensor only, so none can be left out."
    arms = [
        Arm(
            f"without-{name}", f"Sensor {name}", "trained without it",
            (replace(base, sensors=tuple(other for other in sensors if other != name)),),
        )
        for name in sensors
    ]  # fmt: skip
    if len(sensors) > 2:  # of two, leaving one out leaves the other alone
        arms += [
            Arm(f"only-{name}", f"The sensors beside {name}", f"{name} alone", (replace(base, sensors=(name,)),))
            for name in sensors
        ]
    return arms


def _weighting(base: Recipe, tasks: tuple[str, ...], _sensors: tuple[str, ...]) -> list[Arm] | str:
    if len(tasks) < 2:
        return "There is one task only, so there is nothing to weigh."
    arms = []
    for name in WEIGHTINGS:
        if name != base.weighting and not (base.turns == "rotating" and name in ("famo", "pcgrad")):
            changed = replace(base, weighting=name)
            arms.append(Arm(f"weighting-{name}", f"Weighting {base.weighting}", f"weighting {name}", (changed,)))
    return arms


_ARMS: dict[str, Callable[[Recipe, tuple[str, ...], tuple[str, ...]], list[Arm] | str]] = {
    "multi-task": _multi_task, "augmentation": _augmentation, "pretrained": _pretrained, "spatial": _spatial, "sensors": _sensors,
    "weighting": _weighting,
}  # fmt: skip
