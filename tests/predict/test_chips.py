import numpy as np
import pytest
import torch

from spatialnet.datasets.packed import PackedChips
from spatialnet.errors import CheckpointDoesNotFit
from spatialnet.model import probabilities
from spatialnet.predict.chips import predict_chips


@pytest.fixture(scope="module")
def model(make_model, landscape_stack):
    return make_model(landscape_stack)


def test_every_chip_gets_the_answer_that_the_model_gives_it_alone(model, landscape_stack):
    data = landscape_stack
    shares = []
    scores = predict_chips(model, data, np.arange(120), batch=50, progress=shares.append)
    for chip in (0, 49, 50, 119):
        with torch.inference_mode():
            logits = model(model.prepare({s.name: data.images(s.name)[chip : chip + 1] for s in data.sensors}))
        for name, task in model.tasks.items():
            assert scores[name][chip] == pytest.approx(probabilities(logits[name], task)[0].numpy(), rel=1e-4, abs=1e-5)
    assert {name: values.shape for name, values in scores.items()} == {
        task.name: (120, len(task.classes)) for task in data.tasks
    }
    assert scores["land_use"].sum(axis=1) == pytest.approx(1, abs=1e-5)
    assert np.ptp(scores["land_use"], axis=0).max() > 0.05
    assert shares[-1] == 1
    assert shares == sorted(shares)


def test_chosen_chips_come_in_the_order_in_which_they_were_asked(model, landscape_stack):
    rows = np.array([5, 3, 3, 11])
    some, every = predict_chips(model, landscape_stack, rows), predict_chips(model, landscape_stack, np.arange(12))
    for name in some:
        assert some[name] == pytest.approx(every[name][rows], rel=1e-4, abs=1e-5)
    none = predict_chips(model, landscape_stack, np.array([], int))
    assert none["land_use"].shape == (0, 6)


def test_a_sensor_that_a_chip_lacks_does_not_count(model, landscape_stack, tmp_path):
    """A chip without radar is answered as if there were no radar at all, whatever its pixels hold."""
    data = landscape_stack
    folder = tmp_path / "partly"
    folder.mkdir()
    for part in ("chips", "targets", "dataset.json", "splits"):
        (folder / part).symlink_to(data.folder / part)
    (folder / "present").mkdir()
    there = np.ones(len(data), bool)
    there[:10] = False
    np.save(folder / "present" / "sentinel1.npy", there)
    scores = predict_chips(model, PackedChips(folder, data.manifest), np.arange(20))
    whole = predict_chips(model, data, np.arange(20))
    with torch.inference_mode():
        without = model(model.prepare({n: data.images(n)[:10] for n in ("landsat7", "elevation")}))
    assert scores["land_use"][10:] == pytest.approx(whole["land_use"][10:], abs=1e-5)
    assert scores["land_use"][:10] == pytest.approx(without["land_use"].softmax(-1).numpy(), abs=1e-5)
    assert np.abs(scores["land_use"][:10] - whole["land_use"][:10]).max() > 1e-3


def test_a_data_set_of_other_sensors_is_one_sentence(model, landscape, tmp_path):
    manifest = {**landscape.manifest, "sensors": [{**landscape.manifest["sensors"][0], "name": "naip"}]}
    with pytest.raises(CheckpointDoesNotFit, match=r"knows the sensors landsat7, sentinel1, elevation; .* has naip"):
        predict_chips(model, PackedChips(landscape.folder, manifest))
