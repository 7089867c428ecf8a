import json
import signal
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from spatialnet.errors import CheckpointDoesNotFit, DataSetInvalid, RecipeInvalid, WeightsUnavailable
from spatialnet.model import load_model
from spatialnet.recipe import Recipe
from spatialnet.train.run import train

SHORT = Recipe(preset="nano", epochs=3, batch_size=5, weighting="uncertainty", precision="float32", patch=4)


def history(run):
    return [json.loads(line) for line in (run / "history.jsonl").read_text().splitlines()]


def test_a_run_learns_and_leaves_a_model_with_its_facts(make_data, make_run):
    data = make_data(chips=90)
    run = make_run(replace(SHORT, epochs=12, batch_size=10, learning_rate=2e-3))
    (run / "run.json").write_text(
        json.dumps({"id": "first", "fingerprint": "f00d", "label_version": 7, "parent": None})
    )
    beats = []
    result = train(run, data, device="cpu", heartbeat=beats.append)
    assert result["state"] == "finished"
    assert result["validation"]["rural_urban"]["balanced_accuracy"] > 0.9
    lines = history(run)
    assert lines == beats
    ends = [line for line in lines if "validation" in line]
    assert [line["epoch"] for line in ends] == list(range(1, 13))
    assert ends[-1]["loss"] < ends[0]["loss"] / 2
    assert ends[-1]["eta_seconds"] == 0
    assert not (run / "checkpoint.safetensors").exists()
    model, extra = load_model(run / "model.safetensors")
    assert (extra["fingerprint"], extra["label_version"], extra["weights"]["name"]) == ("f00d", 7, "none")
    assert Recipe.from_toml(extra["recipe"]).epochs == 12
    assert model.tokenizer("landsat7").mean.tolist() == [110.0] * 6
    assert train(run, data, device="cpu") == result


@pytest.mark.parametrize("stop_at", [1, 3, 5, 8])
def test_stopped_and_resumed_equals_uninterrupted_bit_for_bit(make_data, make_run, stop_at):
    data = make_data()
    whole, parts = make_run(SHORT, "whole"), make_run(SHORT, "parts")
    train(whole, data, device="cpu")
    asked = iter(range(1000))
    stopped = train(parts, data, device="cpu", should_stop=lambda: next(asked) == stop_at)
    assert (stopped["state"], stopped["step"]) == ("stopped", stop_at)
    assert not (parts / "model.safetensors").exists()
    torch.rand(7)  # whatever else drew random numbers in between
    assert train(parts, data, device="cpu")["state"] == "finished"
    first, second = load_file(whole / "model.safetensors"), load_file(parts / "model.safetensors")
    assert all(torch.equal(first[name], second[name]) for name in first)
    ends = [[line for line in history(run) if "validation" in line] for run in (whole, parts)]
    assert [line["losses"] for line in ends[0]] == [line["losses"] for line in ends[1]]


KILLED = """
import os, signal, sys, torch
from pathlib import Path
from spatialnet.datasets.packed import PackedChips
from spatialnet.train.run import train
torch.set_num_threads(int(sys.argv[3]))
asked = iter(range(1000))
def die_at_seven():
    return next(asked) == 7 and os.kill(os.getpid(), signal.SIGKILL)
train(Path(sys.argv[1]), PackedChips.open(Path(sys.argv[2])), device="cpu", should_stop=die_at_seven)
"""


def test_a_killed_training_goes_on_to_the_same_model(make_data, make_run):
    data = make_data()
    whole, killed = make_run(SHORT, "whole"), make_run(SHORT, "killed")
    command = [sys.executable, "-c", KILLED, str(killed), str(data.folder), str(torch.get_num_threads())]
    assert subprocess.run(command, timeout=120).returncode == -signal.SIGKILL
    assert (killed / "checkpoint.safetensors").exists()
    assert not (killed / "model.safetensors").exists()
    train(whole, data, device="cpu")
    train(killed, data, device="cpu")
    first, second = load_file(whole / "model.safetensors"), load_file(killed / "model.safetensors")
    assert all(torch.equal(first[name], second[name]) for name in first)
    steps = [line["step"] for line in history(killed) if "validation" in line]
    assert steps == [3, 6, 9]


def test_a_corrected_chip_with_weight_changes_what_is_learned(make_data, make_run):
    data = make_data()
    plain, told = make_run(SHORT, "plain"), make_run(SHORT, "told")
    (told / "targets").mkdir()
    np.save(told / "targets/rural_urban.npy", 1 - data.targets("rural_urban"))
    first = train(plain, data, device="cpu")["validation"]["rural_urban"]
    train(told, data, device="cpu")
    models = [load_model(run / "model.safetensors")[0] for run in (plain, told)]
    images = models[0].prepare({"landsat7": data.images("landsat7")[:], "sentinel1": data.images("sentinel1")[:]})
    answers = [model(images)["rural_urban"] for model in models]
    assert first["accuracy"] >= 0
    bright = data.targets("rural_urban") == 1
    assert answers[0][bright].mean() > answers[0][~bright].mean()
    assert answers[1][bright].mean() < answers[1][~bright].mean()


def test_a_child_starts_from_its_parent(make_data, make_run):
    data = make_data(chips=90)
    parent = make_run(replace(SHORT, epochs=10, batch_size=10, learning_rate=2e-3), "parent")
    train(parent, data, device="cpu")
    recipe = replace(SHORT, batch_size=10, epochs=1, learning_rate=1e-5)
    warm, cold = make_run(replace(recipe, parent="parent"), "warm"), make_run(recipe, "cold")
    result = train(warm, data, device="cpu")
    train(cold, data, device="cpu")
    assert history(warm)[-1]["loss"] < history(cold)[-1]["loss"] / 2
    assert result["weights"]["name"] == "parent"
    assert result["weights"]["source"] == "parent"


def test_what_cannot_go_on_is_refused(make_data, make_run):
    data = make_data()
    run = make_run(SHORT)
    asked = iter(range(10))
    train(run, data, device="cpu", should_stop=lambda: next(asked) == 2)
    (run / "recipe.toml").write_text(replace(SHORT, epochs=4).to_toml())
    with pytest.raises(CheckpointDoesNotFit, match="another recipe"):
        train(run, data, device="cpu")
    (run / "run.json").write_text(json.dumps({"fingerprint": "beef"}))
    with pytest.raises(DataSetInvalid, match="changed since"):
        train(run, data, device="cpu")
    with pytest.raises(WeightsUnavailable):
        train(make_run(replace(SHORT, weights="file:none.safetensors"), "w"), data, device="cpu")
    with pytest.raises(CheckpointDoesNotFit):
        train(make_run(replace(SHORT, parent="nobody"), "p"), data, device="cpu")
    with pytest.raises(RecipeInvalid, match="not a device"):
        train(make_run(SHORT, "d"), data, device="toaster")


def test_patience_ends_a_run_that_no_longer_improves(make_data, make_run):
    recipe = replace(SHORT, epochs=50, patience=2, learning_rate=1e-8)
    result = train(make_run(recipe), make_data(), device="cpu")
    assert result["state"] == "finished"
    assert result["step"] < result["steps"] / 2
