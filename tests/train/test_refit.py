import time

import numpy as np
import torch

from spatialnet.model import SpatialNetViT
from spatialnet.sensors import SENSORS
from spatialnet.tasks import Task
from spatialnet.train.refit import refit_heads

TASKS = (
    Task("land_use", "multiclass", tuple(f"c{i}" for i in range(5))),
    Task("presence", "multilabel", ("a", "b", "c")),
    Task("rural_urban", "binary", ("rural", "urban")),
    Task("cars", "count", ("cars",)),
)


def problem(chips=400, dim=128, seed=0):
    generator = np.random.default_rng(seed)
    features = generator.normal(2, 3, (chips, dim)).astype(np.float32)
    normed = (features - features.mean(1, keepdims=True)) / features.std(1, keepdims=True)
    truth = generator.normal(size=(dim, 10)).astype(np.float32)
    scores = normed @ truth
    targets = {
        "land_use": scores[:, :5].argmax(1),
        "presence": (scores[:, 5:8] > 0).astype(np.float32),
        "rural_urban": (scores[:, 8] > 0).astype(np.float32),
        "cars": np.expm1(np.abs(scores[:, 9:] / 10)).astype(np.float32),
    }
    targets["land_use"][:20] = -100
    targets["presence"][5:30, 1] = np.nan
    targets["rural_urban"][:50] = np.nan
    return features, targets


def model():
    torch.manual_seed(0)
    return SpatialNetViT([SENSORS["rgb"]], TASKS, "nano", chip_size=16, gsd_m=1.0)


def test_the_heads_find_what_the_features_say():
    features, targets = problem()
    fitted = model()
    with torch.no_grad():  # a norm of its own must not stand in the way
        fitted.heads["land_use"].norm.weight.uniform_(0.5, 2.0)
        fitted.heads["land_use"].norm.bias.normal_()
    losses = refit_heads(fitted, features, targets, decay=0.1)
    assert set(losses) == set(targets)
    with torch.no_grad():
        answers = {name: head(torch.from_numpy(features)) for name, head in fitted.heads.items()}
    land = answers["land_use"].argmax(1).numpy()
    known = targets["land_use"] >= 0
    assert (land[known] == targets["land_use"][known]).mean() > 0.97
    yes = answers["rural_urban"].numpy() > 0
    assert (yes == targets["rural_urban"])[50:].mean() > 0.97
    expected = torch.nn.functional.cross_entropy(
        answers["land_use"][known], torch.from_numpy(targets["land_use"][known])
    )
    assert abs(losses["land_use"] - float(expected)) < 1e-3


def test_it_is_the_known_logistic_regression():
    from sklearn.linear_model import LogisticRegression

    features, targets = problem(300, 128)
    fitted = model()
    refit_heads(fitted, features, {"rural_urban": targets["rural_urban"]}, rounds=500, tolerance=1e-9)
    normed = torch.nn.functional.layer_norm(torch.from_numpy(features), (128,)).numpy()
    rows = (normed - normed.mean(0)) / normed.std(0)
    known = ~np.isnan(targets["rural_urban"])
    wanted = LogisticRegression(C=1.0, max_iter=5000, tol=1e-8).fit(rows[known], targets["rural_urban"][known])
    with torch.no_grad():
        found = fitted.heads["rural_urban"](torch.from_numpy(features)).numpy()
    np.testing.assert_allclose(found, wanted.decision_function(rows), atol=0.05)


def test_weights_count_and_what_is_unknown_keeps_its_head():
    features, targets = problem()
    flipped = targets["rural_urban"].copy()
    flipped[:200] = 1 - flipped[:200]
    weights = {"rural_urban": np.r_[np.zeros(200), np.ones(200)].astype(np.float32)}
    first, second = model(), model()
    refit_heads(first, features, {"rural_urban": flipped}, weights)
    refit_heads(second, features[200:], {"rural_urban": targets["rural_urban"][200:]})
    with torch.no_grad():
        answers = [m.heads["rural_urban"](torch.from_numpy(features)).numpy() > 0 for m in (first, second)]
    assert (answers[0] == answers[1]).mean() > 0.95
    untouched = model().heads["land_use"].fc.weight.clone()
    fitted = model()
    assert refit_heads(fitted, features, {"land_use": np.full(400, -100)}) == {}
    assert torch.equal(fitted.heads["land_use"].fc.weight, untouched)


def test_nine_thousand_chips_take_little_time():
    generator = np.random.default_rng(0)
    tasks = (
        Task("land_use", "multiclass", tuple(f"c{i}" for i in range(30))),
        Task("objects", "multilabel", tuple(f"o{i}" for i in range(15))),
        TASKS[2],
    )
    big = SpatialNetViT([SENSORS["rgb"]], tasks, "small", chip_size=16, gsd_m=1.0)
    use = generator.integers(0, 30, 9000)
    features = (generator.normal(size=(30, 384))[use] + 2 * generator.normal(size=(9000, 384))).astype(np.float32)
    targets = {
        "land_use": use, "objects": (generator.random((30, 15)) < 0.3)[use].astype(np.float32), "rural_urban": (use % 2).astype(np.float32),
    }  # fmt: skip
    began = time.process_time()
    refit_heads(big, features, targets)
    spent = time.process_time() - began
    with torch.no_grad():
        assert (big.heads["land_use"](torch.from_numpy(features)).argmax(1).numpy() == use).mean() > 0.95
    assert spent < 8, f"{spent:.1f} CPU seconds"
