import pytest

from spatialnet.errors import RecipeInvalid
from spatialnet.evaluate.arms import BASE, CONTROLS, PAPER, QUESTIONS, plan_arms, planned_runs
from spatialnet.recipe import Recipe, paper_recipe

TASKS, SENSORS = ["land_use", "presence"], ["landsat7", "sentinel1", "elevation"]
RECIPE = Recipe(
    name="mine",
    preset="tiny",
    weights="timm:vit_tiny_patch16_224.augreg_in21k",
    epochs=8,
    head_epochs=2,
    tune="last",
    mixup=0.2,
    seed=7,
)


def changed(plan) -> dict[str, list[set[str]]]:
    """What each arm changes of the base."""
    return {arm.name: [set(plan.base.changes(recipe)) for recipe in arm.recipes] for arm in plan.arms}


def test_each_arm_changes_one_part_and_nothing_else():
    plan = plan_arms(RECIPE, TASKS, SENSORS, tuple(QUESTIONS))
    found = changed(plan)
    assert found.pop("single-task") == [{"tasks"}, {"tasks"}]
    assert found.pop("no-augmentation") == [{"flips", "brightness", "noise", "speckle", "mixup"}]
    assert found.pop("scratch") == [{"weights", "head_epochs", "epochs", "tune"}]
    assert found.pop("no-spatial") == [{"spatial"}]
    for sensor in SENSORS:
        assert found.pop(f"without-{sensor}") == found.pop(f"only-{sensor}") == [{"sensors"}]
    assert {name for name in found if name.startswith("weighting-")} == {
        f"weighting-{name}" for name in ("uncertainty", "dwa", "rlw", "famo", "pcgrad", "unscaled")
    }
    assert all(found.pop(name) == [{"weighting"}] for name in list(found) if name.startswith("weighting-"))
    assert found == {name: [] for name in CONTROLS}
    assert plan.notes == ()


def test_every_arm_has_the_same_budget_but_the_paper():
    plan = plan_arms(RECIPE, TASKS, SENSORS, paper=True)
    recipes = {arm.name: arm.recipes for arm in plan.arms}
    published = recipes.pop(PAPER)[0]
    assert published.changes(paper_recipe()) == {}
    for name, several in recipes.items():
        for recipe in several:
            assert recipe.epochs + recipe.head_epochs == 10, name
            assert (recipe.batch_size, recipe.parent) == (RECIPE.batch_size, ""), name
    assert recipes["scratch"][0].preset == "timm:vit_tiny_patch16_224" or recipes["scratch"][0].preset == "tiny"


def test_what_cannot_be_compared_is_said():
    bare = Recipe(
        preset="paper", flips=False, brightness=0, noise=0, speckle=0, parent="run-1", spatial=True, tasks=("land_use",)
    )
    plan = plan_arms(bare, TASKS, ["landsat7"], tuple(QUESTIONS))
    assert [arm.name for arm in plan.arms] == list(CONTROLS)
    text = " ".join(plan.notes)
    for part in (
        "without that parent", "one task only, so there is nothing to learn", "no augmentation", "random weights", "no spatial terms",
        "one sensor only", "nothing to weigh",
    ):  # fmt: skip
        assert part in text
    with pytest.raises(RecipeInvalid, match=r"Nothing is left to compare\. .*Choose another question"):
        plan_arms(bare, TASKS, ["landsat7"], controls=False)


def test_of_two_sensors_each_is_left_out_once():
    plan = plan_arms(RECIPE, TASKS, SENSORS[:2], ("sensors",), controls=False)
    assert [(arm.name, arm.recipes[0].sensors) for arm in plan.arms] == [
        ("without-landsat7", ("sentinel1",)), ("without-sentinel1", ("landsat7",)),
    ]  # fmt: skip


def test_seeds_and_folders():
    plan = plan_arms(RECIPE, TASKS, ["sentinel2_l2a", "sentinel2.l2a"], ("multi-task", "sensors"), controls=True)
    runs = planned_runs(plan, 3)
    assert len(runs) == 3 * (1 + 2 + 2)
    assert {run.seed for run in runs} == {7, 8, 9} == {run.recipe.seed for run in runs}
    assert [run.arm for run in runs[:5]] == [
        BASE, "single-task", "single-task", "without-sentinel2_l2a", "without-sentinel2.l2a",
    ]  # fmt: skip
    assert len({run.folder for run in runs}) == len(runs)
    assert runs[1].folder == "01-single-task-seed7-1"
    for wrong in (0, 21):
        with pytest.raises(RecipeInvalid, match="1 to 20 are wanted"):
            planned_runs(plan, wrong)


def test_an_unknown_question_is_one_sentence():
    with pytest.raises(RecipeInvalid, match=r"There is no question 'luck'\. Ask any of multi-task"):
        plan_arms(RECIPE, TASKS, SENSORS, ("luck",))
