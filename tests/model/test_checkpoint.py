import json

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file

from spatialnet.errors import CheckpointDoesNotFit, NotEnoughDisk
from spatialnet.model import SpatialNetViT, load_model, save_model
from spatialnet.sensors import SENSORS
from spatialnet.tasks import Task

TASKS = (Task("land_use", "multiclass", ("wood", "water")), Task("rural_urban", "binary", ("rural", "urban")))


@pytest.fixture
def model():
    made = SpatialNetViT([SENSORS["landsat7"]], TASKS, "nano", chip_size=16, gsd_m=28.5).eval()
    made.set_statistics({"landsat7": (torch.arange(6).numpy(), torch.arange(1, 7).numpy())})
    return made


def test_a_saved_model_answers_the_same_and_carries_its_facts(model, tmp_path):
    save_model(tmp_path / "model.safetensors", model, extra={"fingerprint": "f00d", "weights": {"name": "none"}})
    again, extra = load_model(tmp_path / "model.safetensors")
    images = torch.randn(2, 6, 16, 16)
    assert torch.equal(model(images)["land_use"], again(images)["land_use"])
    assert extra == {"fingerprint": "f00d", "weights": {"name": "none"}}
    assert again.tasks["land_use"].classes == ("wood", "water")
    assert again.tokenizer("landsat7").mean.tolist() == [0, 1, 2, 3, 4, 5]
    with safe_open(tmp_path / "model.safetensors", "pt") as file:
        assert json.loads(file.metadata()["spatialnet"])["config"]["sensors"][0]["name"] == "landsat7"
    assert [p.name for p in tmp_path.iterdir()] == ["model.safetensors"]


def test_truncated_foreign_and_missing_files_are_refused(model, tmp_path):
    path = tmp_path / "model.safetensors"
    save_model(path, model, extra={})
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(CheckpointDoesNotFit, match="cannot be read"):
        load_model(path)
    save_file({"weight": torch.zeros(1)}, path)
    with pytest.raises(CheckpointDoesNotFit, match="not written by SpatialNet"):
        load_model(path)
    with pytest.raises(CheckpointDoesNotFit, match="cannot be read"):
        load_model(tmp_path / "none.safetensors")


def test_tensors_that_do_not_fit_the_description_are_named(model, tmp_path):
    from spatialnet.model.checkpoint import write_tensors

    tensors = model.state_dict()
    tensors["heads.land_use.fc.weight"] = torch.zeros(3, 128)
    del tensors["norm.bias"]
    write_tensors(tmp_path / "model.safetensors", tensors, {"config": model.config(), "extra": {}})
    with pytest.raises(CheckpointDoesNotFit, match=r"lacks norm.bias; heads.land_use.fc.weight is \(3, 128\)"):
        load_model(tmp_path / "model.safetensors")


def test_a_full_disk_leaves_the_old_file_whole(model, tmp_path, monkeypatch):
    from spatialnet.model import checkpoint as room

    path = tmp_path / "model.safetensors"
    save_model(path, model, extra={"kept": True})

    def full(tensors, part, metadata):
        part.write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(room, "save_file", full)
    with pytest.raises(NotEnoughDisk, match="disk is full"):
        save_model(path, model, extra={})
    assert load_model(path)[1] == {"kept": True}
    assert [p.name for p in tmp_path.iterdir()] == ["model.safetensors"]
