"""Baselines: what they are, and that Integrated Gradients adds up from each of them."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from spatialnet.errors import ExplanationFailed
from spatialnet.explain.attribute import attribute
from spatialnet.explain.baselines import baseline_images
from spatialnet.explain.methods import BASELINES
from spatialnet.model import SpatialNetViT
from spatialnet.sensors import SENSORS
from spatialnet.tasks import Task


def test_each_baseline_is_what_it_says():
    model = SpatialNetViT(
        [SENSORS["rgb"]], [Task("use", "multiclass", ("a", "b"))], "nano", chip_size=16, gsd_m=1.0, patch=4
    )
    model.set_statistics({"rgb": (np.array([10.0, 20.0, 30.0]), np.array([2.0, 4.0, 5.0]))})
    pixels = np.random.default_rng(0).normal(20, 5, (2, 3, 16, 16)).astype(np.float32)
    images = model.prepare({"rgb": pixels})
    found = {kind: baseline_images(model, images, kind, neighbour={"rgb": pixels[1:]})["rgb"] for kind in BASELINES}
    assert all(tensor.shape == images["rgb"].shape for tensor in found.values())
    assert found["mean"].abs().max() == 0
    assert found["zero"][0, :, 0, 0].tolist() == pytest.approx([-5.0, -5.0, -6.0])
    assert found["neighbour"][0].numpy() == pytest.approx(images["rgb"][1].numpy())
    assert found["blurred"].mean() == pytest.approx(float(images["rgb"].mean()), abs=0.2)
    assert found["blurred"].std((-1, -2)).mean() < 0.3 * images["rgb"].std((-1, -2)).mean()
    even = {"rgb": torch.full((1, 3, 16, 16), 2.5)}
    assert baseline_images(model, even, "blurred")["rgb"].numpy() == pytest.approx(2.5)
    with pytest.raises(ExplanationFailed, match="no baseline 'magic'"):
        baseline_images(model, images, "magic")
    with pytest.raises(ExplanationFailed, match="no other chip"):
        baseline_images(model, images, "neighbour")


@pytest.mark.parametrize("kind", BASELINES)
def test_integrated_gradients_add_up_from_every_baseline(trained, planted, kind):
    images = {"rgb": planted.images[:1]}
    start = baseline_images(trained, images, kind, neighbour={"rgb": planted.images[1:2].numpy()})
    found = attribute(trained, images, "square", 1, "integrated_gradients", start=start)
    blank = attribute(trained, start, "square", 1, "integrated_gradients").info["score"][0]
    change = found.info["score"][0] - blank
    assert found.info["change"][0] == pytest.approx(change, rel=1e-4)
    assert found.values.sum() == pytest.approx(change, rel=0.02, abs=0.01)


def test_a_method_without_a_baseline_refuses_one(trained, planted):
    images = {"rgb": planted.images[:1]}
    with pytest.raises(ExplanationFailed, match="has no baseline"):
        attribute(trained, images, "square", 1, "corrected_gradient", start=baseline_images(trained, images, "zero"))
