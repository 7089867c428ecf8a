import json

import numpy as np
import pytest
import torch

from spatialnet.errors import BandsDoNotMatch
from spatialnet.model import SpatialNetViT, load_model, save_model


def constant(value, bands=6):
    return np.full(bands, value, np.float32), np.full(bands, 2.0, np.float32)


def test_each_data_set_is_normalised_with_its_own_statistics(build, tmp_path):
    model = build(sensors=("landsat7", "sentinel1"))
    model.set_statistics({"landsat7": constant(1.0)}, "one")
    model.set_statistics({"landsat7": constant(3.0), "sentinel1": constant(-7.0, 2)}, "two")
    save_model(tmp_path / "model.safetensors", model, extra={})
    pixels = {"landsat7": np.full((1, 6, 4, 4), 5.0, np.float32), "sentinel1": np.full((1, 2, 4, 4), -5.0, np.float32)}
    for one in (model, load_model(tmp_path / "model.safetensors")[0]):

        def seen(dataset, one=one):
            return {n: t.unique().item() for n, t in one.prepare(pixels, dataset=dataset).items()}

        assert seen("two") == {"landsat7": 1.0, "sentinel1": 1.0}
        # the first set has no radar: the model's own comes from the first that has
        assert seen("one") == seen(None) == seen("never heard of") == {"landsat7": 2.0, "sentinel1": 1.0}
    model.set_statistics({"landsat7": constant(5.0)})
    assert model.prepare(pixels)["landsat7"].unique().item() == 0.0
    assert model.prepare(pixels, dataset="one")["landsat7"].unique().item() == 2.0


def test_statistics_of_another_number_of_bands_change_nothing(build):
    model = build(sensors=("landsat7", "sentinel1"))
    with pytest.raises(BandsDoNotMatch, match="3 means"):
        model.set_statistics({"landsat7": constant(1.0), "sentinel1": constant(1.0, 3)}, "one")
    assert model.tokenizer("landsat7").mean.tolist() == [0.0] * 6
    assert model.config()["statistics"] == {}


def test_statistics_survive_json_exactly(build):
    model = build()
    model.set_statistics({"landsat7": (np.random.rand(6), np.random.rand(6))}, "one")
    again = SpatialNetViT.from_config(json.loads(json.dumps(model.config())))
    assert again.config() == model.config()
    for a, b in zip(model.statistics.get("one", "landsat7"), again.statistics.get("one", "landsat7"), strict=True):
        assert torch.equal(a, b)


def test_chips_of_any_size_land_on_the_models_grid(build, stir):
    model = stir(build(chip_size=16, size=32, patch=4))
    assert model.grid == (8, 8)
    assert model.patch == 4
    for side in (16, 30, 64):
        images = {"landsat7": torch.randn(2, 6, side, side)}
        tokens, layout = model.tokens(images)
        assert layout.grid == (8, 8)
        ready = model.resample(images)
        assert ready["landsat7"].shape[-2:] == (32, 32)
        assert torch.equal(model.tokens(ready)[0], tokens), "resampling once is resampling"
        assert model.resample(ready)["landsat7"] is ready["landsat7"]
    native = torch.randn(1, 6, 16, 16, requires_grad=True)
    model(native)["land_use"].sum().backward()
    assert (native.grad != 0).all(), "every native pixel counts"


def test_a_larger_chip_is_averaged_and_not_sampled(build):
    checkers = torch.tensor([1.0, -1.0]).repeat(32).expand(1, 6, 64, 64)
    assert build(size=16).resample({"landsat7": checkers})["landsat7"][..., 1:-1, 1:-1].abs().max() < 0.05


def test_without_a_size_chips_stay_as_they_are(build):
    model = build(patch=4)
    images = {"landsat7": torch.randn(1, 6, 24, 24)}
    assert model.resample(images)["landsat7"] is images["landsat7"]
    assert model.tokens(images)[1].grid == (6, 6)


def test_the_patch_follows_the_size_and_not_the_chip(build):
    assert build("tiny", chip_size=28).patch == 3
    assert build("tiny", chip_size=28, size=224).patch == 16


def test_ground_positions_are_metres_also_after_resampling(build, stir):
    model = build(chip_size=16, gsd_m=30.0, size=32, patch=4)
    assert model.gsd_of(30.0, 16) == 15.0
    assert model.gsd_of(10.0, 48) == 15.0, "another data set with chips of the same 480 m"
    assert model.gsd_of(0.0, 48) == 0.0
    assert build().gsd_of(10.0, 48) == 10.0
    stir(model)
    images = torch.randn(1, 6, 16, 16)
    own = model(images)["land_use"]
    for same in (15.0, 0.0, torch.nan):
        assert torch.equal(model(images, gsd=torch.tensor([same]))["land_use"], own)
    assert not torch.allclose(model(images, gsd=torch.tensor([30.0]))["land_use"], own)


def test_a_model_that_knows_no_ground_distance_answers(build, stir):
    model = stir(build(gsd_m=0.0))
    images = torch.randn(1, 6, 16, 16)
    assert torch.equal(model(images, gsd=torch.tensor([10.0]))["land_use"], model(images)["land_use"])
    assert model(images)["land_use"].isfinite().all()
