import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from spatialnet.errors import NothingToRead, RecipeInvalid, TrainingDiverged
from spatialnet.model import load_model
from spatialnet.recipe import Recipe
from spatialnet.train.devices import faults_said
from spatialnet.train.loop import Training
from spatialnet.train.run import train

STILL = Recipe(
    preset="nano", epochs=2, batch_size=8, precision="float32", patch=4, flips=False, brightness=0.0, noise=0.0,
    speckle=0.0, sensor_dropout=0.0, drop_path=0.0, weighting="uncertainty", compile="off",
)  # fmt: skip
BOTH = replace(STILL, head_epochs=2, epochs=2, flips=True, drop_path=0.1, conflicts=True)


def history(run):
    return [json.loads(line) for line in (run / "history.jsonl").read_text().splitlines()]


def weights(run):
    return load_file(run / "model.safetensors")


def same(first, second, tolerance=0.0):
    assert first.keys() == second.keys()
    for name in first:
        torch.testing.assert_close(first[name], second[name], rtol=tolerance, atol=tolerance, msg=name)


def test_the_first_stage_changes_the_heads_only(make_data, make_run):
    data = make_data()
    run = make_run(replace(BOTH, epochs=0, head_rate=1e-2))
    result = train(run, data, device="cpu")
    torch.manual_seed(0)
    fresh = Training(make_run(replace(BOTH, epochs=0), "other"), [data], BOTH, torch.device("cpu"), run)
    start, end = fresh.model.state_dict(), weights(run)
    changed = {name.split(".")[0] for name in start if not torch.equal(start[name], end[name])}
    assert changed == {"heads"}
    assert {line["stage"] for line in history(run)} == {"heads"}
    assert result["epochs"] == 2


def test_what_the_heads_read_is_what_the_model_answers(make_data, make_run):
    data = make_data()
    recipe = replace(BOTH, epochs=0)
    training = Training(make_run(recipe), [data], recipe, torch.device("cpu"), data.folder)
    training.make_ready(lambda _share: False)
    rows = torch.tensor([3, 0, 7])
    chips = training.sets[0].train
    whole, kept = chips.batch(rows), chips.batch(rows, pixels=False)
    assert not kept.images
    names = list(training.model.tasks)
    with torch.no_grad():
        for name, logits in training._answers(whole, names).items():
            torch.testing.assert_close(training._answers(kept, names)[name], logits, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("tune", ["all", "last", "lora"])
@pytest.mark.parametrize("stop_at", [3, 4, 7])
def test_resumed_in_either_stage_equals_uninterrupted(make_data, make_run, tune, stop_at):
    data = make_data()
    recipe = replace(BOTH, tune=tune, tuned_blocks=2, lora_rank=2, keep="last")
    whole, parts = make_run(recipe, "whole"), make_run(recipe, "parts")
    train(whole, data, device="cpu")
    asked = {"steps": 0}

    def stop():
        return (history_step(parts) or 0) >= stop_at

    def history_step(run):
        asked["steps"] += 1
        return asked["steps"] - 1 - asked.get("features", 0)

    train(parts, data, device="cpu", should_stop=stop)
    assert not (parts / "model.safetensors").exists()
    torch.rand(3)
    assert train(parts, data, device="cpu")["state"] == "finished"
    same(weights(whole), weights(parts))
    model, _ = load_model(whole / "model.safetensors")  # plain weights, whatever was tuned
    assert not any("lora" in name for name in model.state_dict())
    stages = [line["stage"] for line in history(whole) if "validation" in line]
    assert stages == ["heads", "heads", "all", "all"]


@pytest.mark.parametrize(
    ("tune", "blocks"), [("last", {"blocks.2", "blocks.3"}), ("all", {f"blocks.{i}" for i in range(4)})]
)
def test_the_second_stage_changes_what_the_recipe_says(make_data, make_run, tune, blocks):
    data = make_data()
    recipe = replace(BOTH, head_epochs=0, epochs=1, tune=tune, tuned_blocks=2, ema=0.0)
    run = make_run(recipe)
    training = Training(run, [data], recipe, torch.device("cpu"), run)
    start = {name: value.clone() for name, value in training.model.state_dict().items()}
    train(run, data, device="cpu")
    changed = {".".join(n.split(".")[:2]) for n, v in weights(run).items() if not torch.equal(v, start[n])}
    assert {name for name in changed if name.startswith("blocks")} == blocks


@pytest.mark.parametrize("weighting", ["static", "uncertainty", "dwa", "pcgrad"])
def test_a_step_in_parts_is_the_step(make_data, make_run, weighting):
    data = make_data()
    recipe = replace(STILL, weighting=weighting, clip=0.5)
    one, parts, asked = (
        make_run(r, n) for r, n in ((recipe, "one"), (replace(recipe, accumulate=3), "three"), (recipe, "asked"))
    )
    train(one, data, device="cpu")
    train(parts, data, device="cpu")
    train(asked, data, device="cpu", parts=4)
    # Adam divides by the gradient's size, so that rounding shows most where the gradient is nearly nothing.
    same(weights(one), weights(parts), 2e-4)
    same(weights(one), weights(asked), 2e-4)
    losses = [[line["losses"] for line in history(run) if "validation" in line] for run in (one, parts)]
    for first, second in zip(*losses, strict=True):
        assert first == pytest.approx(second, rel=1e-4)


def test_checkpointing_and_a_constant_rate_change_nothing_else(make_data, make_run):
    data = make_data()
    plain, saving = make_run(STILL, "plain"), make_run(replace(STILL, checkpointing=True), "saving")
    train(plain, data, device="cpu")
    train(saving, data, device="cpu")
    same(weights(plain), weights(saving), 1e-6)
    constant = make_run(replace(STILL, schedule="constant", warmup=0.0, optimizer="adam", ema=0.0), "constant")
    train(constant, data, device="cpu")
    assert {line["learning_rate"] for line in history(constant)} == {1e-3}


def test_adam_decays_through_the_gradient(make_data, make_run):
    data = make_data()
    recipe = replace(STILL, optimizer="adam", weight_decay=0.5)
    training = Training(make_run(recipe), [data], recipe, torch.device("cpu"), data.folder)
    assert type(training.state.optimizer) is torch.optim.Adam
    assert {group["weight_decay"] for group in training.state.optimizer.param_groups} == {0.0, 0.5}


def test_tasks_take_turns(make_data, make_run):
    data = make_data()
    run = make_run(replace(STILL, turns="rotating", weighting="unscaled", batch_size=4, epochs=1))
    training = Training(run, [data], Recipe.load(run / "recipe.toml"), torch.device("cpu"), run)
    training.make_ready(lambda _share: False)
    seen = []
    for _ in range(4):
        training.step()
        seen.append(list(training.weighting.weights))
    assert seen == [["land_use"], ["presence"], ["rural_urban"], ["cars"]]


def test_history_says_what_each_task_counted_and_how_they_conflict(make_data, make_run):
    data = make_data()
    run = make_run(replace(BOTH, task_weights=(("cars", 0.5),), weighting="static"))
    train(run, data, device="cpu")
    ends = [line for line in history(run) if "validation" in line]
    assert ends[0]["weights"]["cars"] == 0.5
    assert "conflicts" not in ends[0]  # frozen: nothing is shared
    assert set(ends[-1]["conflicts"]) >= {"land_use|presence", "presence|cars"}
    assert all(-1 <= v <= 1 for v in ends[-1]["conflicts"].values())
    assert ends[-1]["memory_gib"] > 0
    assert ends[-1]["eta_seconds"] == 0


def test_a_task_without_targets_is_left_out_and_said(make_data, make_run):
    data = make_data(soft=False)
    np.save(data.folder / "targets/rural_urban.npy", np.full(len(data), np.nan, np.float32))
    run = make_run(replace(STILL, epochs=1))
    assert train(run, data, device="cpu")["skipped_tasks"] == ["rural_urban"]
    assert "rural_urban" in (run / "log.txt").read_text()
    assert "rural_urban" not in load_model(run / "model.safetensors")[0].tasks
    alone = make_run(replace(STILL, tasks=("rural_urban",)), "alone")
    with pytest.raises(NothingToRead, match="rural_urban"):
        train(alone, data, device="cpu")
    with pytest.raises(RecipeInvalid, match="'roads'"):
        train(make_run(replace(STILL, tasks=("roads",)), "roads"), data, device="cpu")


def test_a_weight_of_a_task_that_is_not_there_is_said(make_data, make_run):
    data = make_data()
    run = make_run(replace(STILL, epochs=1, tasks=("cars",), task_weights=(("cars", 2.0), ("roads", 3.0))))
    assert train(run, data, device="cpu")["state"] == "finished"
    said = "task_weights names tasks that are not learnt here, which changes nothing: roads; learnt are cars"
    assert said in (run / "log.txt").read_text()
    other = make_run(replace(STILL, epochs=1, task_weights=(("cars", 2.0),)), "other")
    train(other, data, device="cpu")
    assert "task_weights" not in (other / "log.txt").read_text()


def test_a_class_with_one_sample_is_learnt(make_data, make_run):
    data = make_data(soft=False)
    land = data.targets("land_use")
    land[data.in_split("train")] = 0
    land[data.in_split("train")[0]] = 1
    np.save(data.folder / "targets/land_use.npy", land)
    run = make_run(replace(STILL, balance=1.0))
    assert train(run, data, device="cpu")["state"] == "finished"
    assert all(torch.isfinite(value).all() for value in weights(run).values())


def test_some_tasks_and_sensors_only(make_data, make_run):
    data = make_data()
    run = make_run(replace(STILL, tasks=("cars",), sensors=("sentinel1",), epochs=1))
    train(run, data, device="cpu")
    model, _ = load_model(run / "model.safetensors")
    assert (list(model.tasks), list(model.sensors)) == (["cars"], ["sentinel1"])
    with pytest.raises(RecipeInvalid, match="'radar'"):
        train(make_run(replace(STILL, sensors=("radar",)), "radar"), data, device="cpu")


def test_a_loss_that_is_no_number_stops_before_the_step(make_data, make_run):
    data = make_data()
    run = make_run(replace(STILL, epochs=3, clip=0.0))
    stopped = iter([False, False, False, True])
    train(run, data, device="cpu", should_stop=lambda: next(stopped))
    good = load_file(run / "checkpoint.safetensors")
    pixels = np.load(data.folder / "chips/landsat7.npy")
    np.save(data.folder / "chips/landsat7.npy", np.full_like(pixels, 3e38))  # a number, until it is added up
    with pytest.raises(TrainingDiverged, match=r"epoch 2, step 4, at chips .* of bright"):
        train(run, data, device="cpu")
    kept = load_file(run / "checkpoint.safetensors")
    assert all(torch.equal(good[name], kept[name]) for name in good)


def test_what_the_machine_does_is_said():
    from spatialnet.errors import DeviceUnavailable, OutOfMemory

    for error, wanted in (
        (torch.OutOfMemoryError("CUDA out of memory"), OutOfMemory),
        (RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried 8 bytes"), OutOfMemory),
        (MemoryError(), OutOfMemory),
        (RuntimeError("CUDA error: an illegal memory access was encountered\nlong text"), DeviceUnavailable),
    ):
        with pytest.raises(wanted, match="run first stopped, its last checkpoint is"), faults_said("first"):
            raise error
    with pytest.raises(RuntimeError, match="a fault of ours"), faults_said("first"):
        raise RuntimeError("a fault of ours")


def test_a_real_allocation_beyond_all_memory_is_said():
    from spatialnet.errors import OutOfMemory

    with pytest.raises(OutOfMemory, match="accumulate"), faults_said("first"):
        torch.empty(1 << 60, dtype=torch.uint8).fill_(1)


def test_an_old_flat_recipe_in_a_checkpoint_still_resumes(make_data, make_run, monkeypatch):
    data = make_data()
    run = make_run(STILL)
    stopped = iter([False, False, True])
    flat = "\n".join(line for line in STILL.to_toml().splitlines() if line and not line.startswith("["))
    with monkeypatch.context() as patched:
        patched.setattr(Recipe, "to_toml", lambda _self: flat)
        train(run, data, device="cpu", should_stop=lambda: next(stopped))
    assert train(run, data, device="cpu")["state"] == "finished"
