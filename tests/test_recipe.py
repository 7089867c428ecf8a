import subprocess
import sys
from dataclasses import fields, replace

import pytest

from spatialnet.errors import RecipeInvalid
from spatialnet.recipe import Recipe, sample_recipe


def test_a_recipe_survives_toml_also_with_hostile_names():
    name = 'a "quoted" {{ name }} <script> \\ émoji 🛰 \u202eright-to-left \n line'
    recipe = replace(sample_recipe(), name=name, flips=False, learning_rate=3e-5, patch=4)
    assert Recipe.from_toml(recipe.to_toml()) == recipe


def test_what_is_not_named_keeps_its_default_and_whole_numbers_pass_for_floats():
    assert Recipe.from_toml("epochs = 3\nclip = 2") == Recipe(epochs=3, clip=2.0)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("epochs = 0", "epochs is 0; it must be between 1 and 10000"),
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


def test_every_field_is_documented():
    for field in fields(Recipe):
        assert f"\n        {field.name}: " in Recipe.__doc__, field.name


def test_continuing_is_shorter_and_names_the_parent():
    child = sample_recipe().continued("first")
    assert child.parent == "first"
    assert child.epochs < sample_recipe().epochs
    assert child.learning_rate < sample_recipe().learning_rate


def test_a_form_can_make_a_recipe_without_torch():
    code = "import sys; from spatialnet.recipe import Recipe; Recipe(); sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], timeout=60).returncode == 0
