"""The corrected gradient: what is brought adds up to the score, by every preset, and it points at what decides."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from spatialnet.explain.attribute import attribute
from spatialnet.explain.corrected_gradient import corrected
from spatialnet.model import SpatialNetViT
from spatialnet.presets import PRESETS
from spatialnet.sensors import SENSORS
from spatialnet.tasks import Task
from tests.explain.conftest import plant

TASK = Task("use", "multiclass", ("a", "b", "c"))


def without_constants(preset: str, fusion: str = "early") -> SpatialNetViT:
    """Random weights, and nothing that adds to the score by itself: no bias, no position, no class token."""
    torch.manual_seed(0)
    sensors = [SENSORS["rgb"], SENSORS["sentinel1"]]
    model = SpatialNetViT(sensors, [TASK], preset, chip_size=32, gsd_m=10.0, fusion=fusion).eval()  # type: ignore[arg-type]
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "query" in name or (parameter.ndim > 1 and "embed" not in name and "token" not in name):
                parameter.normal_(std=0.1)
            elif name.endswith("weight") or "gamma" in name:
                parameter.uniform_(0.5, 1.5)
            else:
                parameter.zero_()
        for name, parameter in model.named_parameters():
            if any(part in name for part in ("pos_embed", "cls_token", "reg_token", "sensor_embed", "gate")):
                parameter.zero_()
    return model


@pytest.mark.parametrize("fusion", ["early", "mean"])
@pytest.mark.parametrize("preset", list(PRESETS))
def test_what_the_pixels_brought_is_the_whole_score_where_the_model_adds_nothing_itself(preset, fusion):
    model = without_constants(preset, fusion)
    images = {"rgb": torch.randn(2, 3, 32, 32), "sentinel1": torch.randn(2, 2, 32, 32)}
    found = attribute(model, images, "use", 1, "corrected_gradient")
    score = np.array(found.info["score"])
    assert np.abs(score).min() > 1e-3
    assert np.allclose(found.info["brought"], score, rtol=1e-3)
    assert np.allclose(found.values.sum((1, 2)), score, rtol=1e-3)


def test_constants_are_what_the_model_adds_to_it():
    model = without_constants("nano")
    images = {"rgb": torch.randn(1, 3, 32, 32)}
    before = attribute(model, images, "use", 0, "corrected_gradient").info
    with torch.no_grad():
        model.heads["use"].fc.bias[0] += 0.75
    after = attribute(model, images, "use", 0, "corrected_gradient").info
    assert after["brought"] == pytest.approx(before["brought"])
    assert after["constants"][0] - before["constants"][0] == pytest.approx(0.75, abs=1e-5)


def test_answers_are_the_same_and_gradients_elsewhere_as_ever(trained):
    images = plant(2, 5).images.requires_grad_()
    wanted = trained(images)["square"]
    (plain,) = torch.autograd.grad(wanted[:, 1].sum(), images)
    with corrected():
        answers = trained(images)["square"]
        (held,) = torch.autograd.grad(answers[:, 1].sum(), images)
    (again,) = torch.autograd.grad(trained(images)["square"][:, 1].sum(), images)
    assert torch.allclose(answers, wanted, atol=1e-5)
    assert torch.equal(again, plain)
    assert not torch.allclose(held, plain, rtol=0.1)


@pytest.mark.parametrize("activation", [F.gelu, F.silu, lambda x: F.gelu(x, approximate="tanh")])
def test_a_gate_is_held_and_half_open_at_zero(activation):
    values = torch.tensor([-3.0, -0.5, 0.0, 0.5, 3.0], requires_grad=True)
    with corrected():
        (gradient,) = torch.autograd.grad(activation(values).sum(), values)
    plain = activation(values.detach())
    assert torch.allclose(gradient * values.detach(), plain, atol=1e-6)
    assert gradient[2] == 0.5


def test_the_scale_of_a_norm_is_held_and_its_shift_is_not():
    torch.manual_seed(0)
    values, weight, towards = torch.randn(4, 8, requires_grad=True), torch.rand(8) + 0.5, torch.randn(4, 8)
    with corrected():
        (gradient,) = torch.autograd.grad((F.layer_norm(values, (8,), weight, torch.ones(8)) * towards).sum(), values)
    scale = (values.var(-1, unbiased=False, keepdim=True) + 1e-5).rsqrt().detach()
    held = ((values - values.mean(-1, keepdim=True)) * scale * weight + 1.0) * towards
    assert torch.allclose(gradient, torch.autograd.grad(held.sum(), values)[0], atol=1e-6)


def test_only_values_pass_attention():
    torch.manual_seed(0)
    query, key, value = (torch.randn(1, 2, 5, 4, requires_grad=True) for _ in range(3))
    with corrected():
        seen = F.scaled_dot_product_attention(query, key, value)
        found = torch.autograd.grad(seen.square().sum(), (query, key, value), allow_unused=True)
    assert found[0] is None or found[0].abs().max() == 0
    assert found[1] is None or found[1].abs().max() == 0
    assert found[2].abs().max() > 0


def hits(model: SpatialNetViT, chips: int = 60) -> float:
    """How often the strongest patch lies on the square that decides."""
    data = plant(chips, 7)
    right = []
    for chip in np.flatnonzero(data.kind.numpy()):
        one = data.images[chip : chip + 1]
        values = attribute(model, {"rgb": one}, "square", int(data.kind[chip]), "corrected_gradient").values[0]
        cells = values.reshape(6, 4, 6, 4).sum((1, 3))
        row, column = np.unravel_index(cells.argmax(), cells.shape)
        right.append(data.mask[chip, 4 * row + 2, 4 * column + 2])
    return float(np.mean(right))


def test_it_points_at_the_square_that_decides_and_without_training_it_does_not(trained):
    assert hits(trained) >= 0.95
    torch.manual_seed(4)
    untrained = SpatialNetViT([SENSORS["rgb"]], list(trained.tasks.values()), "nano", chip_size=24, gsd_m=1.0, patch=4)
    assert hits(untrained) <= 0.6
