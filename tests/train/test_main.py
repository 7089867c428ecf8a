import re

from spatialnet.recipe import Recipe
from spatialnet.train.__main__ import main


def test_the_command_trains_a_folder_and_says_how_it_went(make_data, make_run, capsys):
    data = make_data()
    run = make_run(Recipe(preset="nano", epochs=1, batch_size=8))
    assert main([str(run), "--data", str(data.folder), "--device", "cpu"]) == 0
    said = capsys.readouterr().out
    assert re.search(r"epoch 1/1 .*land_use accuracy .*chips/s", said)
    assert "finished at step 2 of 2" in said


def test_errors_are_one_sentence(make_data, make_run, capsys, tmp_path):
    data = make_data()
    assert main([str(tmp_path), "--data", str(data.folder)]) == 1
    assert "recipe.toml cannot be read" in capsys.readouterr().err
    assert main([str(tmp_path), "--data", str(tmp_path / "none")]) == 1
