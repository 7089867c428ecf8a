import threading

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from spatialnet.errors import TargetsInvalid
from spatialnet.recipe import Recipe
from spatialnet.train import batches as room
from spatialnet.train.batches import Chips, priors, run_targets, run_weights, training_targets
from spatialnet.train.loop import build_model
from spatialnet.train.run import train


def test_soft_targets_give_way_where_a_person_spoke(make_data, tmp_path):
    data = make_data()
    task = data.task("land_use")
    corrected = data.targets("land_use").copy()
    known = np.flatnonzero(corrected >= 0)
    changed, confirmed, untouched = known[:3]
    corrected[changed] = 1 - corrected[changed]
    weights = np.ones(len(data), np.float32)
    weights[[changed, confirmed]] = 5.0
    (tmp_path / "targets").mkdir()
    np.save(tmp_path / "targets/land_use.npy", corrected)
    found = training_targets(tmp_path, data, task, weights, soft=True)
    assert found[changed, corrected[changed]] == 1.0
    assert found[confirmed, corrected[confirmed]] == 1.0
    assert found[untouched].max() == pytest.approx(0.9)
    assert np.isnan(found[corrected < 0]).all()
    hard = training_targets(tmp_path, data, task, weights, soft=False)
    assert hard[untouched].max() == 1.0


@pytest.mark.parametrize("size", [0, 16])
def test_chips_that_are_fetched_batch_by_batch_train_the_same_model(make_data, make_run, monkeypatch, size):
    data = make_data()
    recipe = Recipe(
        preset="nano", patch=4, size=size, head_epochs=1, epochs=2, batch_size=5, accumulate=2, precision="float32"
    )
    kept, fetched, parts = (make_run(recipe, name) for name in ("kept", "fetched", "parts"))
    train(kept, data, device="cpu")
    monkeypatch.setattr(room, "RESIDENT_BYTES", 0)
    read = []
    prepare = Chips._prepare
    monkeypatch.setattr(
        Chips, "_prepare", lambda *a, **k: (read.append(threading.current_thread().name), prepare(*a, **k))[1]
    )
    train(fetched, data, device="cpu")
    assert sum(name.startswith("chips") for name in read) >= 5  # all but the first of six steps were read meanwhile
    asked = iter([False] * 6 + [True] * 99)
    assert train(parts, data, device="cpu", should_stop=lambda: next(asked))["state"] == "stopped"
    train(parts, data, device="cpu")
    first, *others = (load_file(run / "model.safetensors") for run in (kept, fetched, parts))
    assert all(torch.equal(first[name], other[name]) for other in others for name in first)
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("chips")]


def test_files_of_the_wrong_length_are_refused(make_data, tmp_path):
    data = make_data()
    for part in ("targets", "weights"):
        (tmp_path / part).mkdir()
    np.save(tmp_path / "targets/land_use.npy", np.zeros(3, np.int64))
    np.save(tmp_path / "weights/land_use.npy", np.full(len(data), -1.0))
    with pytest.raises(TargetsInvalid, match="shape"):
        run_targets(tmp_path, data, data.task("land_use"))
    with pytest.raises(TargetsInvalid, match="at least 0"):
        run_weights(tmp_path, data, data.task("land_use"))


def test_gathered_batches_equal_resident_ones(make_data, monkeypatch):
    data = make_data()
    model = build_model(data, Recipe(preset="nano"))
    targets = {"land_use": training_targets(data.folder, data, data.task("land_use"), np.ones(len(data)), soft=True)}
    rows = torch.tensor([5, 0, 3])
    resident = Chips(data, "train", model, targets, {}).batch(rows)
    monkeypatch.setattr(room, "RESIDENT_BYTES", 0)
    gathered = Chips(data, "train", model, targets, {}).batch(rows)
    for name, pixels in resident.images.items():
        assert torch.equal(pixels, gathered.images[name])
    torch.testing.assert_close(resident.targets["land_use"], gathered.targets["land_use"], equal_nan=True)
    assert torch.equal(resident.present["sentinel1"], gathered.present["sentinel1"])
    chip = data.in_split("train")[5]
    wanted = (data.images("landsat7")[chip] - 110) / 14
    np.testing.assert_allclose(resident.images["landsat7"][0].numpy(), wanted, rtol=1e-5, atol=1e-5)


def test_priors_are_shares_of_known_targets(make_data):
    data = make_data()
    land = np.array([[1, 0], [np.nan, np.nan], [0, 1], [1, 0]], np.float32)
    assert priors(data.task("land_use"), land).tolist() == pytest.approx([2 / 3, 1 / 3])
    assert priors(data.task("rural_urban"), np.array([1, np.nan, 0, 0], np.float32)).tolist() == pytest.approx(
        [2 / 3, 1 / 3]
    )
    assert priors(data.task("presence"), land) is None
