"""The badge's further checks: edges, shuffled weights, noise."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.stats import spearmanr

from spatialnet.explain.attribute import attribute
from spatialnet.explain.faithfulness import edge_map, faithfulness
from spatialnet.explain.question import ask
from spatialnet.explain.stability import Stability, judged, rank_correlation, stability
from tests.explain.conftest import SIZE


def with_square(planted) -> list[int]:
    return [int(chip) for chip in np.flatnonzero(planted.kind.numpy() > 0)[:6]]


def test_edges_lie_where_pixels_change():
    pixels = torch.zeros(1, 3, SIZE, SIZE)
    pixels[..., SIZE // 2 :] = 1.0

    class Shown:
        inputs, size = (pixels,), (SIZE, SIZE)

    edges = edge_map(Shown()).numpy()  # type: ignore[arg-type]
    assert edges.shape == (SIZE, SIZE)
    strong = np.unique(np.nonzero(edges)[1])
    assert strong.tolist() == [SIZE // 2 - 1, SIZE // 2]
    assert edges[:, SIZE // 2] == pytest.approx(4.0)


def test_the_edges_themselves_are_never_called_faithful(trained, planted):
    """Where edges do as well as random places would rarely do, the badge says that edges alone do it."""
    for chip in with_square(planted):
        images = {"rgb": planted.images[chip : chip + 1]}
        kind = int(planted.kind[chip])
        edges = edge_map(ask(trained, images, "square", kind)).numpy()
        badge = faithfulness(trained, images, "square", kind, edges)
        assert badge.verdict != "faithful"
        assert badge.insertion - badge.deletion == pytest.approx(badge.edge_gain, abs=1e-6)


def test_a_map_of_a_trained_model_passes_and_the_model_stays_as_it_was(trained, planted):
    before = {name: tensor.clone() for name, tensor in trained.state_dict().items()}
    for chip in with_square(planted):
        images = {"rgb": planted.images[chip : chip + 1]}
        kind = int(planted.kind[chip])
        values = attribute(trained, images, "square", kind, "corrected_gradient").values
        found = stability(trained, images, "square", kind, "corrected_gradient", values)
        assert found.randomised < 0.5
        assert found.noise > 0.5
        badge = faithfulness(trained, images, "square", kind, values)
        kept = judged(badge, found)
        assert (kept.verdict, kept.sentence) == (badge.verdict, badge.sentence)
        assert (kept.randomised, kept.noise) == (found.randomised, found.noise)
    assert not trained.training
    assert all(torch.equal(before[name], tensor) for name, tensor in trained.state_dict().items())


def test_a_failed_check_makes_what_was_faithful_weak_and_says_why(trained, planted):
    chip = with_square(planted)[0]
    images = {"rgb": planted.images[chip : chip + 1]}
    badge = faithfulness(trained, images, "square", int(planted.kind[chip]), planted.mask[chip].astype(float))
    assert badge.verdict == "faithful"
    shuffled = judged(badge, Stability(randomised=0.9, noise=0.9))
    assert shuffled.verdict == "weak"
    assert "shuffled weights" in shuffled.sentence
    shaken = judged(badge, Stability(randomised=0.1, noise=0.1))
    assert shaken.verdict == "weak"
    assert "Noise" in shaken.sentence
    hopeless = replace(badge, verdict="no better than chance")
    assert judged(hopeless, Stability(0.9, 0.1)).verdict == "no better than chance"


def test_the_same_question_gives_the_same_numbers(trained, planted):
    images = {"rgb": planted.images[:1]}
    values = attribute(trained, images, "square", 1, "gradient_attention").values
    one, other = (stability(trained, images, "square", 1, "gradient_attention", values) for _ in range(2))
    assert one == other


def test_rank_correlation_is_spearmans_with_ties():
    generator = np.random.default_rng(0)
    one, other = generator.integers(0, 5, (2, 8, 8)).astype(float)
    assert rank_correlation(one, other) == pytest.approx(spearmanr(one.ravel(), other.ravel()).statistic)
    assert rank_correlation(one, np.ones((8, 8))) == 0.0
