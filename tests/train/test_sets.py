import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from spatialnet.datasets.packed import FORMAT, PackedChips
from spatialnet.errors import DataSetInvalid
from spatialnet.joint import JointTasks, Share
from spatialnet.model import load_model
from spatialnet.recipe import Recipe
from spatialnet.sensors import SENSORS
from spatialnet.tasks import Task
from spatialnet.train.loop import Training
from spatialnet.train.order import Order
from spatialnet.train.run import train

BRIGHT = Task("land_use", "multiclass", ("dark", "bright"))
OTHER = Task("cover", "multiclass", ("bright", "middle"))
SNOW = Task("snow", "binary", ("no", "yes"))
JOINT = JointTasks(
    (Task("land_use", "multiclass", ("dark", "bright", "middle")), SNOW),
    {
        "first": {"land_use": Share("land_use", (0, 1))},
        "second": {"cover": Share("land_use", (1, 2)), "snow": Share("snow", (0, 1))},
    },
)
RECIPE = Recipe(
    preset="nano", epochs=2, batch_size=8, accumulate=2, precision="float32", patch=4, sampling=0.5, compile="off"
)


def data_set(folder, sensor, tasks, *, chips=48, gsd=10.0, level=100.0, size=8):
    generator = np.random.default_rng(1)
    for part in ("chips", "targets", "splits"):
        (folder / part).mkdir(parents=True)
    truth = generator.random(chips) < 0.5
    pixels = generator.normal(level, 10, (chips, len(sensor.bands), size, size)) + 20 * truth[:, None, None, None]
    np.save(folder / "chips" / f"{sensor.name}.npy", pixels.astype(np.float32))
    for task in tasks:
        kind = np.int64 if task.kind == "multiclass" else np.float32
        np.save(folder / "targets" / f"{task.name}.npy", truth.astype(kind))
    np.save(folder / "splits/given-1.npy", (np.arange(chips) % 3).astype(np.int8))
    np.save(folder / "splits/given-1.blocks.npy", np.arange(chips).astype(np.int32))
    bands = len(sensor.bands)
    manifest = {
        "name": folder.name, "title": folder.name, "chips": chips, "chip_size": size, "gsd_m": gsd, "fingerprint": folder.name,
        "sensors": [sensor.to_dict()], "tasks": [t.to_dict() for t in tasks], "format": FORMAT, "split": {"id": "given-1"},
        "statistics": {sensor.name: {"mean": [level + 10] * bands, "std": [14.0] * bands}},
        "storage": {sensor.name: {"dtype": "float32", "nodata": None}},
    }  # fmt: skip
    (folder / "dataset.json").write_text(json.dumps(manifest))
    return PackedChips.open(folder)


@pytest.fixture
def two(tmp_path):
    first = data_set(tmp_path / "datasets/first", SENSORS["rgb"], [BRIGHT])
    second = data_set(tmp_path / "datasets/second", SENSORS["sentinel1"], [OTHER, SNOW], gsd=20.0, level=-12.0, size=12)
    return [first, second]


def test_one_model_learns_two_sets_with_other_sensors_and_tasks(two, make_run):
    run = make_run(replace(RECIPE, epochs=15, learning_rate=2e-3))
    JOINT.save(run)
    result = train(run, two, device="cpu")
    lines = [json.loads(line) for line in (run / "history.jsonl").read_text().splitlines()]
    last = [line for line in lines if "validation" in line][-1]
    assert set(last["validation_sets"]) == {"first", "second"}
    assert last["validation_sets"]["first"]["land_use"]["accuracy"] > 0.8
    assert last["validation_sets"]["second"]["cover"]["accuracy"] > 0.8
    means = [last["validation_sets"][a][b]["accuracy"] for a, b in (("first", "land_use"), ("second", "cover"))]
    assert last["validation"]["land_use"]["accuracy"] == pytest.approx(np.mean(means))
    assert set(result["validation"]) == {"land_use", "snow"}
    model, extra = load_model(run / "model.safetensors")
    assert set(model.sensors) == {"rgb", "sentinel1"}
    assert extra["datasets"] == ["first", "second"]
    ready = model.prepare({"sentinel1": two[1].images("sentinel1")[:]}, dataset="second")["sentinel1"]
    assert abs(float(ready.mean())) < 0.3


def test_targets_are_those_of_the_joint_tasks_and_others_are_missing(two, make_run):
    run = make_run(RECIPE)
    JOINT.save(run)
    training = Training(run, two, RECIPE, torch.device("cpu"), run)
    first, second = (one.train.batch(torch.arange(5)) for one in training.sets)
    assert set(first.targets) == {"land_use"}
    assert set(second.targets) == {"land_use", "snow"}
    assert first.targets["land_use"][:, 2].sum() == 0
    assert second.targets["land_use"][:, 0].sum() == 0
    assert (first.dataset, float(first.gsd[0]), float(second.gsd[0])) == ("first", 10.0, 20.0)


def test_classes_that_a_data_set_does_not_have_stay_unknown_where_silence_is_a_no(two, make_run, tmp_path):
    """A set that was never asked about boats says nothing about boats; what it knows and left out counts as a "no"."""
    seen = {"first": ("tree", "car"), "second": ("car", "boat")}
    data = []
    for one in two:
        task = Task("presence", "multilabel", seen[one.name])
        said = np.tile(np.array([1.0, np.nan], np.float32), (len(one), 1))
        said[3] = np.nan  # nobody looked
        np.save(one.folder / "targets/presence.npy", said)
        manifest = json.loads((one.folder / "dataset.json").read_text())
        manifest["tasks"].append(task.to_dict())
        (one.folder / "dataset.json").write_text(json.dumps(manifest))
        data.append(PackedChips.open(one.folder))
    joint = JointTasks(
        (*JOINT.tasks, Task("presence", "multilabel", ("tree", "car", "boat"))),
        {
            "first": {**JOINT.shares["first"], "presence": Share("presence", (0, 1))},
            "second": {**JOINT.shares["second"], "presence": Share("presence", (1, 2))},
        },
    )
    recipe = replace(RECIPE, assumed_negative=0.25)
    run = make_run(recipe)
    joint.save(run)
    training = Training(run, data, recipe, torch.device("cpu"), run)
    for one, wanted in zip(training.sets, ([1.0, 0.25, 0.0], [0.0, 1.0, 0.25]), strict=True):
        batch = one.train.batch(torch.arange(len(one.train)))
        known = training.loss.known(batch.targets, batch.weights)["presence"]
        assert float(known) == pytest.approx((len(one.train) - 1) * 1.25)
        logits = torch.zeros(len(batch), 3, requires_grad=True)
        training.loss({"presence": logits}, batch.targets, batch.weights).tasks["presence"].backward()
        slope = logits.grad.abs().sum(0)
        assert (slope / slope.max()).tolist() == pytest.approx(wanted)
    assert train(run, data, device="cpu")["state"] == "finished"


def test_a_joint_run_resumes_to_the_same_model(two, make_run):
    whole, parts = make_run(replace(RECIPE, head_epochs=1), "whole"), make_run(replace(RECIPE, head_epochs=1), "parts")
    for run in (whole, parts):
        JOINT.save(run)
    train(whole, two, device="cpu")
    answers = iter([False] * 9 + [True] * 99)
    train(parts, two, device="cpu", should_stop=lambda: next(answers))
    train(parts, two, device="cpu")
    first, second = (load_model(run / "model.safetensors")[0].state_dict() for run in (whole, parts))
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_what_does_not_belong_together_is_refused(two, make_run, tmp_path):
    run = make_run(RECIPE)
    with pytest.raises(DataSetInvalid, match="made for one data set"):
        train(run, two, device="cpu")
    JOINT.save(run)
    with pytest.raises(DataSetInvalid, match="first, second"):
        train(run, two[::-1], device="cpu")
    other = replace(SENSORS["rgb"], bands=("blue", "green", "red"))
    third = data_set(tmp_path / "datasets/third", other, [BRIGHT])
    strange = make_run(RECIPE, "strange")
    JointTasks((BRIGHT,), {n: {"land_use": Share("land_use", (0, 1))} for n in ("first", "third")}).save(strange)
    with pytest.raises(DataSetInvalid, match="One name must mean the same bands"):
        train(strange, [two[0], third], device="cpu")


@pytest.mark.parametrize(("power", "share"), [(0.0, 0.5), (0.5, 0.75), (1.0, 0.9)])
def test_sets_are_drawn_by_their_size_to_a_power(power, share):
    order = Order([900, 100], Recipe(batch_size=10, accumulate=2, sampling=power), 4000)
    drawn = [draw.number for step in range(4000) for draw in order(step)]
    assert np.mean(np.array(drawn) == 0) == pytest.approx(share, abs=0.02)


def test_every_chip_is_seen_once_before_any_is_seen_again():
    order = Order([40, 20], Recipe(batch_size=8, accumulate=2), 60)
    seen = [draw.rows for step in range(60) for draw in order(step) if draw.number == 1][:5]
    assert sorted(torch.cat(seen).tolist()) == list(range(20))
    again = Order([40, 20], Recipe(batch_size=8, accumulate=2), 60)
    assert [d.rows.tolist() for d in again(37)] == [d.rows.tolist() for d in order(37)]
