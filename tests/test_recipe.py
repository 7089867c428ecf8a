import subprocess
import sys
import tomllib
from dataclasses import fields, replace

import pytest

from spatialnet.errors import RecipeInvalid
from spatialnet.recipe import FIELDS, SECTIONS, Recipe, paper_recipe, sample_recipe


def test_a_recipe_survives_toml_also_with_hostile_names():
    name = 'a "quoted" {{ name }} <script> \\ émoji 🛰 \u202eright-to-left \n line'
    recipe = replace(sample_recipe(), name=name, flips=False, learning_rate=3e-5, patch=4)
    assert Recipe.from_toml(recipe.to_toml()) == recipe


def test_what_is_not_named_keeps_its_default_and_whole_numbers_pass_for_floats():
    assert Recipe.from_toml("epochs = 3\nclip = 2") == Recipe(epochs=3, clip=2.0)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("epochs = -1", "epochs is -1; it must be between 0 and 10000"),
        ("epochs = 0", "epochs and head_epochs are both 0"),
        ("[stages]\nflips = true", r"table \[stages\] of a recipe has no 'flips'"),
        ("[speed]\nfast = 1", "no 'speed'"),
        ("task_weights = {land_use = -1}", "every weight must be between"),
        ("task_weights = 3", "a table of numbers by task"),
        ("tasks = 'land_use'", "a list of names"),
        ("accumulate = 65", "cannot be cut into more parts than chips"),
        ("turns = 'rotating'\nweighting = 'famo'", "compares all tasks in a step"),
        ("epochs = 2.5", "epochs is 2.5; a value of type int"),
        ('epochs = "3"', "epochs is '3'"),
        ("flips = 1", "flips is 1; a value of type bool"),
        ("seed = true", "seed is True"),
        ("learning_rate = nan", "learning_rate is nan"),
        ("fusion = 'late'", "fusion is 'late'; it must be one of early, mean"),
        ("preset = 'huge'", "no preset 'huge'"),
        ("speed = 3", "no 'speed'"),
        ("epochs = ", "not valid TOML"),
    ],
)
def test_what_cannot_be_used_is_refused_with_a_sentence(text, said):
    with pytest.raises(RecipeInvalid, match=said):
        Recipe.from_toml(text)


def test_a_missing_file_is_refused(tmp_path):
    with pytest.raises(RecipeInvalid, match="cannot be read"):
        Recipe.load(tmp_path / "recipe.toml")


def test_every_field_is_documented_and_stands_in_one_table():
    names = [field.name for field in fields(Recipe)]
    assert sorted(FIELDS) == sorted(names)
    assert sorted(name for section in SECTIONS.values() for name in section) == sorted(names)


def test_the_documented_file_says_what_every_field_means_and_reads_back():
    recipe = replace(sample_recipe(), tasks=("land_use",), task_weights=(("land use", 0.5),))
    text = recipe.to_toml(documented=True)
    assert Recipe.from_toml(text) == recipe
    assert all(" ".join(FIELDS[name].split()[:3]) in text for name in FIELDS)
    assert tomllib.loads(text)["tasks"]["task_weights"] == {"land use": 0.5}


def test_recipes_of_older_runs_with_all_fields_at_the_top_still_read():
    assert Recipe.from_toml('name = "old"\npreset = "nano"\nflips = false') == Recipe(
        name="old", preset="nano", flips=False
    )


def test_what_differs_is_named_with_both_values():
    assert Recipe(epochs=3, name="a").changes(Recipe(epochs=4, name="b")) == {"epochs": (3, 4)}


def test_the_papers_recipe_trains_as_its_code_does():
    recipe = paper_recipe()
    assert (recipe.preset, recipe.optimizer, recipe.schedule, recipe.turns) == ("paper", "adam", "constant", "rotating")
    assert (recipe.learning_rate, recipe.weight_decay, recipe.batch_size, recipe.epochs) == (1e-4, 0.01, 32, 50)


def test_continuing_is_shorter_and_names_the_parent():
    child = sample_recipe().continued("first")
    assert child.parent == "first"
    assert child.epochs < sample_recipe().epochs
    assert child.learning_rate < sample_recipe().learning_rate


def test_a_form_can_make_a_recipe_without_torch():
    code = "import sys; from spatialnet.recipe import Recipe; Recipe(); sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], timeout=60).returncode == 0
