import numpy as np
import pytest

from spatialnet.datasets.packed import PackedChips
from spatialnet.evaluate.baselines import band_statistics, linear_scores, majority_scores
from spatialnet.tasks import Task

LAND_USE = Task("land_use", "multiclass", ("forest", "water", "built"))
PRESENCE = Task("presence", "multilabel", ("road", "house"))
URBAN = Task("urban", "binary", ("rural", "urban"))
CARS = Task("cars", "count", ("cars", "vans"))

NAN = float("nan")


@pytest.mark.parametrize(
    ("task", "targets", "answer"),
    [
        (LAND_USE, [1, 1, 2, -100, -100, -100], [0, 1, 0]),
        (URBAN, [1, 1, 0, NAN], [0, 1]),
        (URBAN, [1, 0, 0, NAN, NAN], [1, 0]),
        (PRESENCE, [[1, 0], [1, NAN], [0, 1], [NAN, 1]], [2 / 3, 2 / 3]),
        (CARS, [[1, 0], [9, 0], [2, NAN]], [2, 0]),
    ],
)
def test_the_majority_answer(task, targets, answer):
    assert majority_scores(task, np.array(targets, float), 4) == pytest.approx(np.tile(answer, (4, 1)))


@pytest.mark.parametrize(
    ("task", "targets", "answer"),
    [
        (LAND_USE, [-100, -100], [1, 0, 0]),
        (URBAN, [NAN, NAN], [1, 0]),
        (PRESENCE, [[1, NAN], [1, NAN]], [1, 0]),
        (CARS, [[NAN, NAN]], [0, 0]),
    ],
)
def test_the_majority_answer_where_nothing_is_known(task, targets, answer):
    assert majority_scores(task, np.array(targets, float), 2).tolist() == [answer] * 2


def test_band_statistics_are_means_and_deviations_of_valid_pixels(tmp_path):
    pixels = np.zeros((3, 2, 2, 2), np.float32)
    pixels[0] = [[[1, 2], [3, 4]], [[5, 5], [5, 5]]]
    pixels[1, 0] = [[1, np.nan], [3, np.nan]]
    pixels[2, 1] = np.nan
    (tmp_path / "chips").mkdir()
    np.save(tmp_path / "chips" / "s.npy", pixels)
    sensor = {"name": "s", "kind": "sar", "bands": ["a", "b"], "wavelengths_nm": [0, 0], "gsd_m": 1}
    statistics = {"s": {"mean": [7.0, 8.0], "std": [0.7, 0.8]}}
    data = PackedChips(
        tmp_path,
        {"name": "d", "chips": 3, "sensors": [sensor], "statistics": statistics, "storage": {"s": {"nodata": None}}},
    )
    found = band_statistics(data, np.array([2, 0, 1]))
    assert found[1] == pytest.approx([2.5, 5, np.std([1, 2, 3, 4]), 0])
    assert found[2] == pytest.approx([2, 0, 1, 0])
    assert found[0] == pytest.approx([0, 8, 0, 0.8])  # a band without a pixel: the training mean and deviation


@pytest.fixture
def separable():
    """Two features; the first tells everything."""
    random = np.random.default_rng(0)
    x = random.normal(size=(300, 2)).astype(np.float32)
    return x, x[:, 0] > 0


@pytest.mark.parametrize("balanced", [True, False])
def test_a_linear_model_learns_what_is_linear(separable, balanced):
    x, yes = separable
    train, test = slice(0, 200), slice(200, 300)
    classes = np.where(x[:, 0] > 0.5, 2, np.where(x[:, 0] > -0.5, 1, 0)).astype(float)
    classes[:20] = -100
    scores = linear_scores(LAND_USE, x[train], classes[train], x[test], balanced=balanced)
    assert (scores.argmax(axis=1) == classes[test]).mean() > 0.9
    assert scores.sum(axis=1) == pytest.approx(1, abs=1e-5)
    binary = yes.astype(float)
    binary[:20] = np.nan
    scores = linear_scores(URBAN, x[train], binary[train], x[test], balanced=balanced)
    assert ((scores[:, 1] > 0.5) == yes[test]).mean() > 0.95
    assert scores.sum(axis=1) == pytest.approx(1, abs=1e-5)
    both = np.stack([binary, 1 - binary], axis=1)
    scores = linear_scores(PRESENCE, x[train], both[train], x[test], balanced=balanced)
    assert ((scores > 0.5) == np.stack([yes, ~yes], axis=1)[test]).mean() > 0.95
    counts = np.stack([np.round(5 * np.exp(x[:, 0])), np.full(300, np.nan)], axis=1)
    scores = linear_scores(CARS, x[train], counts[train], x[test], balanced=balanced)
    assert np.corrcoef(scores[:, 0], counts[test, 0])[0, 1] > 0.9
    assert scores.min() >= 0
    assert (scores[:, 1] == 0).all()


def test_a_class_that_never_occurs_gets_no_score(separable):
    x, yes = separable
    scores = linear_scores(LAND_USE, x, np.where(yes, 2, 0).astype(float), x, balanced=False)
    assert (scores[:, 1] == 0).all()
    one = linear_scores(LAND_USE, x, np.full(300, 1.0), x, balanced=False)
    assert (one == [0, 1, 0]).all()
    never = linear_scores(PRESENCE, x, np.stack([yes, np.zeros(300)], 1).astype(float), x, balanced=False)
    assert (never[:, 1] == 0).all()
    unknown = linear_scores(URBAN, x, np.full(300, np.nan), x, balanced=False)
    assert (unknown == [1, 0]).all()
    assert (linear_scores(LAND_USE, x, np.full(300, -100.0), x, balanced=True) == 0).all()


def test_balance_raises_the_rare_class():
    random = np.random.default_rng(0)
    yes = np.arange(400) % 20 == 0
    x = (random.normal(size=(400, 1)) + yes[:, None]).astype(np.float32)
    plain, balanced = (linear_scores(URBAN, x, yes.astype(float), x, balanced=b)[:, 1] for b in (False, True))
    assert balanced.mean() > 3 * plain.mean()
