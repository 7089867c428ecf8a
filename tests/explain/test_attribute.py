"""Attributions have known answers, and the model is left as it was found."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from spatialnet.errors import ExplanationFailed
from spatialnet.explain import integrated_gradients
from spatialnet.explain.attribute import EXPLAINERS, attribute
from spatialnet.explain.faithfulness import faithfulness
from spatialnet.explain.methods import METHODS
from spatialnet.model import SpatialNetViT, score
from spatialnet.sensors import SENSORS
from spatialnet.tasks import Task

CLASS_SPECIFIC = [name for name, method in METHODS.items() if method.class_specific]


class Linear(torch.nn.Module):
    """Answers with weights times pixels: every attribution of it is known."""

    def __init__(self, sensors=("rgb",), side=4, patch=2):
        super().__init__()
        self.sensors = {name: SENSORS[name] for name in sensors}
        self.tasks = {"sum": Task("sum", "multilabel", ("a", "b"))}
        self.patch, self.device = patch, torch.device("cpu")
        generator = torch.Generator().manual_seed(0)
        shapes = {name: (2, len(SENSORS[name].bands), side, side) for name in sensors}
        self.weights = {name: torch.randn(shape, generator=generator) for name, shape in shapes.items()}

    def forward(self, images, *, tasks, present=None, gsd=None):
        total = 0
        for name, pixels in images.items():
            part = torch.einsum("bchw,kchw->bk", pixels, self.weights[name])
            total = total + (part if not present else part * present[name][:, None])
        return {"sum": total if gsd is None else total * gsd[:, None]}


def state(model):
    hooks = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")
    return {
        "training": [module.training for module in model.modules()],
        "hooks": [len(getattr(module, kind)) for module in model.modules() for kind in hooks],
        "fused": [getattr(module, "fused_attn", None) for module in model.modules()],
        "trainable": [parameter.requires_grad for parameter in model.parameters()],
        "gradients": [None if p.grad is None else p.grad.clone() for p in model.parameters()],
        "weights": [tensor.clone() for tensor in model.state_dict().values()],
    }


def same(before, after):
    for kind in ("training", "hooks", "fused", "trainable"):
        assert before[kind] == after[kind], kind
    for kind in ("gradients", "weights"):
        for a, b in zip(before[kind], after[kind], strict=True):
            assert (a is None) == (b is None)
            assert a is None or torch.equal(a, b), kind


@pytest.fixture
def two_sensors():
    torch.manual_seed(1)
    tasks = [Task("use", "multiclass", ("a", "b", "c")), Task("yes", "binary", ("no", "yes"))]
    sensors = [SENSORS["rgb"], SENSORS["sentinel1"]]
    model = SpatialNetViT(sensors, tasks, "nano", chip_size=16, gsd_m=10.0, patch=4)
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.05)
    images = {"rgb": torch.randn(3, 3, 16, 16), "sentinel1": torch.randn(3, 2, 16, 16)}
    return model, images


@pytest.fixture(autouse=True)
def seeded():
    torch.manual_seed(3)


def test_every_described_method_is_there():
    assert list(EXPLAINERS) == list(METHODS)


def test_integrated_gradients_of_a_linear_model_are_weights_times_pixels():
    model, pixels = Linear(), torch.randn(3, 3, 4, 4)
    found = attribute(model, {"rgb": pixels}, "sum", 1, "integrated_gradients")
    expected = pixels * model.weights["rgb"][1]
    np.testing.assert_allclose(found.values, expected.sum(1), atol=1e-5)
    shares = expected.abs().sum((2, 3))
    np.testing.assert_allclose(found.bands["rgb"], shares / shares.sum(1, keepdim=True), atol=1e-5)
    assert found.info["steps"] == [32, 32, 32]
    assert max(found.info["completeness_error"]) < 1e-4


def test_occlusion_of_a_linear_model_is_the_sum_of_the_patch():
    model, pixels = Linear(), torch.randn(2, 3, 4, 4)
    found = attribute(model, {"rgb": pixels}, "sum", 0, "occlusion")
    evidence = pixels * model.weights["rgb"][0]
    patches = evidence.sum(1).unflatten(2, (2, 2)).unflatten(1, (2, 2)).sum((2, 4))
    expected = patches.repeat_interleave(2, 1).repeat_interleave(2, 2)
    np.testing.assert_allclose(found.values, expected, atol=1e-4)
    falls = evidence.sum((2, 3)).abs()
    np.testing.assert_allclose(found.bands["rgb"], falls / falls.sum(1, keepdim=True), atol=1e-4)


@pytest.mark.parametrize("method", ["corrected_gradient", "integrated_gradients", "occlusion"])
def test_sensors_presence_and_ground_distance_reach_the_model(method):
    model = Linear(("rgb", "sentinel1"))
    images = {"sentinel1": torch.randn(2, 2, 4, 4), "rgb": torch.randn(2, 3, 4, 4)}
    present = {"rgb": torch.tensor([True, True]), "sentinel1": torch.tensor([True, False])}
    gsd = torch.tensor([1.0, 3.0])
    found = attribute(model, images, "sum", 0, method, present=present, gsd=gsd)
    parts = {name: (pixels * model.weights[name][0]).sum((1, 2, 3)) for name, pixels in images.items()}
    total = found.values.sum((1, 2)) / (1 if method != "occlusion" else 4)  # each patch has 4 pixels
    assert total[0] == pytest.approx(float(parts["rgb"][0] + parts["sentinel1"][0]), abs=1e-4)
    assert total[1] == pytest.approx(float(parts["rgb"][1]) * 3, abs=1e-4)
    assert found.bands["sentinel1"][1].max() < 1e-5
    assert sum(share.sum(1) for share in found.bands.values()) == pytest.approx([1, 1], abs=1e-5)


def test_integrated_gradients_add_up_to_the_change_of_the_score(trained, planted):
    pixels = planted.images[:6]
    found = attribute(trained, {"rgb": pixels}, "square", 1, "integrated_gradients")
    with torch.no_grad():
        task = trained.tasks["square"]
        change = score(trained(pixels)["square"], task, 1) - score(trained(pixels * 0)["square"], task, 1)
    miss = np.abs(found.values.sum((1, 2)) - change.numpy()) / np.maximum(change.abs().numpy(), 0.1)
    assert miss.max() <= 0.01
    np.testing.assert_allclose(found.info["completeness_error"], miss, atol=1e-3)
    assert all(found.info["complete"])


def test_integrated_gradients_take_more_steps_only_where_needed(trained, planted, monkeypatch):
    monkeypatch.setattr(integrated_gradients, "STEPS", (1, 64))
    pixels = torch.cat([planted.images[:4], torch.zeros(1, 3, 24, 24)])  # the mean itself is complete at once
    found = attribute(trained, {"rgb": pixels}, "square", 1, "integrated_gradients")
    assert found.info["steps"][:4] == [64] * 4
    assert found.info["steps"][4] == 1
    monkeypatch.setattr(integrated_gradients, "STEPS", (1,))
    hasty = attribute(trained, {"rgb": pixels}, "square", 1, "integrated_gradients")
    assert not all(hasty.info["complete"])  # and says so


def test_rollout_of_uniform_attention_is_uniform(two_sensors):
    model, images = two_sensors
    for block in model.blocks:
        torch.nn.init.zeros_(block.attn.qkv.weight)
        torch.nn.init.zeros_(block.attn.qkv.bias)
    torch.nn.init.zeros_(model.queries.query)
    found = attribute(model, images, "use", 0, "attention_rollout")
    np.testing.assert_allclose(found.values, 1 / 16, rtol=1e-4)  # 16 patches; two sensors with 1 / 32 each
    assert found.values.shape == (3, 16, 16)


def test_rollout_is_the_same_for_every_class(trained, planted):
    one, other = (attribute(trained, {"rgb": planted.images[:2]}, "square", k, "attention_rollout") for k in (0, 1))
    np.testing.assert_array_equal(one.values, other.values)
    np.testing.assert_allclose(one.values.sum((1, 2)) / trained.patch**2, 1, rtol=1e-4)


def test_gradient_attention_is_zero_where_the_class_does_not_depend_on_the_chip(two_sensors):
    model, images = two_sensors
    torch.nn.init.zeros_(model.heads["use"].fc.weight)
    assert attribute(model, images, "use", 0, "gradient_attention").values.max() == 0
    assert attribute(model, images, "yes", 0, "gradient_attention").values.max() > 0


@pytest.mark.parametrize("method", ["gradient_attention", "attention_rollout"])
def test_an_absent_sensor_gets_no_attention(two_sensors, method):
    model, images = two_sensors
    present = {"sentinel1": torch.tensor([True, False, True])}
    found = attribute(model, images, "use", 1, method, present=present)
    assert found.info["sensors"]["sentinel1"][1] == 0
    assert found.info["sensors"]["sentinel1"][0] > 0
    alone = attribute(
        model,
        {n: v[1:2] for n, v in images.items()},
        "use",
        1,
        method,
        present={"sentinel1": present["sentinel1"][1:2]},
    )
    np.testing.assert_allclose(found.values[1:2], alone.values, rtol=1e-3, atol=1e-6)


@pytest.mark.parametrize("method", list(METHODS))
@pytest.mark.parametrize(("preset", "fusion"), [("nano", "mean"), ("paper", "early")])
def test_every_method_works_on_every_kind_of_model(two_sensors, method, preset, fusion):
    _, images = two_sensors
    torch.manual_seed(0)
    tasks = [Task("use", "multiclass", ("a", "b"))]
    sensors = [SENSORS["rgb"], SENSORS["sentinel1"]]
    model = SpatialNetViT(sensors, tasks, preset, chip_size=16, gsd_m=10.0, patch=8, fusion=fusion)
    found = attribute(model, {n: v[:1] for n, v in images.items()}, "use", 1, method)
    assert found.values.shape == (1, 16, 16)
    assert found.values.dtype == np.float32
    assert np.ptp(found.values) > 0
    assert METHODS[method].signed or found.values.min() >= 0
    assert bool(found.bands) == METHODS[method].bands


@pytest.mark.parametrize("method", list(METHODS))
def test_the_model_is_left_as_found(two_sensors, method):
    model, images = two_sensors
    model.train()
    model.blocks[1].eval()  # parts may be in different modes
    model.blocks[2].attn.fused_attn = False
    next(model.blocks[0].parameters()).requires_grad_(False)
    model(images)["yes"].sum().backward()
    before = state(model)
    attribute(model, images, "yes", 0, method)
    same(before, state(model))


@pytest.mark.parametrize("method", list(METHODS))
def test_the_model_is_left_as_found_when_something_raises(two_sensors, method):
    model, images = two_sensors
    model.train()
    before = state(model)

    class Broken(torch.nn.Module):
        def forward(self, tokens):
            raise RuntimeError("broken on purpose")

    whole, model.norm = model.norm, Broken()
    with pytest.raises(RuntimeError, match="on purpose"):
        attribute(model, images, "yes", 0, method)
    model.norm = whole
    same(before, state(model))


@pytest.mark.parametrize("method", list(METHODS))
def test_it_works_in_inference_mode_and_with_frozen_weights(two_sensors, method):
    model, images = two_sensors
    expected = attribute(model, images, "yes", 1, method).values
    model.requires_grad_(False)
    with torch.inference_mode():
        frozen = attribute(model, {n: v.clone() for n, v in images.items()}, "yes", 1, method).values
    np.testing.assert_allclose(frozen, expected, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"method": "lrp"}, "Choose one of corrected_gradient"),
        ({"task": "nothing"}, "Choose one of use, yes"),
        ({"class_index": 3}, "classes 0 to 2"),
        ({"class_index": -1}, "classes 0 to 2"),
        ({"images": {}}, "no sensor"),
        ({"images": {"landsat7": torch.zeros(1, 6, 16, 16)}}, "knows rgb, sentinel1"),
        ({"images": {"rgb": torch.zeros(1, 3, 16, 16), "sentinel1": torch.zeros(2, 2, 16, 16)}}, "one batch size"),
        ({"images": {"rgb": torch.full((1, 3, 16, 16), torch.nan)}}, "not a number"),
    ],
)
def test_what_cannot_be_explained_gets_a_clear_sentence(two_sensors, changes, words):
    model, images = two_sensors
    wanted = {"images": images, "task": "use", "class_index": 0, "method": "gradient_attention"} | changes
    with pytest.raises(ExplanationFailed, match=words):
        attribute(model, **wanted)


@pytest.mark.parametrize("method", list(METHODS))
def test_the_evidence_peaks_in_the_planted_square(trained, planted, method):
    chips = torch.nonzero(planted.kind == 1)[:8, 0]
    found = attribute(trained, {"rgb": planted.images[chips]}, "square", 1, method)
    peaks = found.values.reshape(len(chips), -1).argmax(1)
    inside = [planted.mask[chip].ravel()[peak] for chip, peak in zip(chips, peaks, strict=True)]
    assert np.mean(inside) >= 0.75  # a random map: 4 of 36 patches
    assert np.mean(found.info["probability"]) > 0.8
    if METHODS[method].bands:
        assert (found.bands["rgb"].argmax(1) == 0).all()  # the square is red


@pytest.mark.parametrize("method", CLASS_SPECIFIC)
@pytest.mark.parametrize(("task", "class_index"), [("colours", 0), ("empty", 1), ("squares", 0)])
def test_every_task_kind_can_be_explained(trained, planted, method, task, class_index):
    chips = torch.nonzero(planted.kind == 1)[:4, 0]
    found = attribute(trained, {"rgb": planted.images[chips]}, task, class_index, method)
    assert found.values.shape == (4, 24, 24)
    assert np.isfinite(found.values).all()
    assert np.ptp(found.values, axis=(1, 2)).min() > 0
    assert np.mean(found.info["probability"]) > 0.5


def test_the_two_sides_of_a_binary_task_mirror_each_other(trained, planted):
    pixels = {"rgb": planted.images[:1]}
    no, yes = (attribute(trained, pixels, "empty", k, "integrated_gradients") for k in (0, 1))
    np.testing.assert_allclose(no.values, -yes.values, atol=1e-4)
    assert no.info["probability"][0] + yes.info["probability"][0] == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize(
    ("method", "tolerance"), [("corrected_gradient", 1e-4), ("occlusion", 1e-4), ("integrated_gradients", 2e-2)]
)
def test_why_one_class_rather_than_another_is_the_difference_of_both(trained, planted, method, tolerance):
    chip = {"rgb": planted.images[:1]}
    red, green = (attribute(trained, chip, "square", kind, method) for kind in (1, 2))
    both = attribute(trained, chip, "square", 1, method, against=2)
    assert both.values == pytest.approx(red.values - green.values, abs=tolerance * float(np.abs(red.values).max()))
    ahead = red.info["score"][0] - green.info["score"][0]
    assert both.info["score"][0] == pytest.approx(ahead, rel=1e-4)
    assert both.info["probability"][0] == pytest.approx(1 / (1 + np.exp(-ahead)), rel=1e-4)
    measured = faithfulness(trained, chip, "square", 1, both.values, against=2)
    assert measured.curves["insertion"][-1] == pytest.approx(both.info["probability"][0], rel=1e-4)


@pytest.mark.parametrize(
    ("task", "method", "against", "words"),
    [
        ("square", "corrected_gradient", 1, "cannot be explained against class 1"),
        ("square", "corrected_gradient", 3, "cannot be explained against class 3"),
        ("square", "attention_rollout", 2, "same map for every class"),
        ("colours", "corrected_gradient", 0, "only a multiclass task"),
        ("empty", "corrected_gradient", 0, "only a multiclass task"),
    ],
)
def test_what_cannot_be_contrasted_is_a_sentence(trained, planted, task, method, against, words):
    with pytest.raises(ExplanationFailed, match=words):
        attribute(trained, {"rgb": planted.images[:1]}, task, 1, method, against=against)


def test_gradient_shap_draws_the_same_for_a_chip_alone_and_in_a_batch_and_leaves_the_generators(trained, planted):
    images = {"rgb": planted.images[:3]}
    torch.manual_seed(3)
    np.random.seed(3)
    expected = torch.rand(1).item(), np.random.rand()
    torch.manual_seed(3)
    np.random.seed(3)
    together = attribute(trained, images, "square", 1, "gradient_shap").values
    assert (torch.rand(1).item(), np.random.rand()) == expected
    alone = attribute(trained, {n: t[1:2] for n, t in images.items()}, "square", 1, "gradient_shap").values
    assert together[1] == pytest.approx(alone[0], abs=1e-5 * float(np.abs(alone).max()))


def test_gradient_shap_from_the_mean_says_what_integrated_gradients_says(trained, planted):
    images = {"rgb": planted.images[planted.kind == 1][:4]}
    shap = attribute(
        trained, images, "square", 1, "gradient_shap", start={n: torch.zeros_like(t) for n, t in images.items()}
    )
    exact = attribute(trained, images, "square", 1, "integrated_gradients")
    for one, other in zip(shap.values, exact.values, strict=True):
        assert np.corrcoef(one.ravel(), other.ravel())[0, 1] > 0.9


def test_the_querys_attention_is_what_the_head_pooled_by(two_sensors):
    model, images = two_sensors
    found = attribute(model, images, "use", 0, "query_attention")
    assert found.values.min() >= 0
    shares = np.array(list(found.info["sensors"].values())).sum(0)
    assert (shares <= 1 + 1e-5).all()
    assert (shares > 0.2).all()
