import numpy as np
import pytest
from sklearn import metrics as peer

from spatialnet.errors import TargetsInvalid
from spatialnet.metrics import average_precision, caption_metrics, higher_is_better, metrics
from spatialnet.tasks import Task, count_bin

LAND = Task("land_use", "multiclass", ("a", "b", "c"))
PRESENCE = Task("presence", "multilabel", ("a", "b", "c"))
URBAN = Task("rural_urban", "binary", ("rural", "urban"))
CARS = Task("cars", "count", ("cars",))


def test_multiclass_leaves_unknown_targets_and_absent_classes_out():
    probabilities = np.eye(3)[[0, 0, 1, 2, 2]]
    targets = np.array([0, 1, 1, -100, 0])
    found = metrics(LAND, probabilities, targets)
    assert found["accuracy"] == pytest.approx(2 / 4)
    # class a: 1 hit of 2 said and 2 true; class b: 1 hit of 1 said and 2 true; class c never occurs
    assert found["macro_f1"] == pytest.approx((1 / 2 + 2 / 3) / 2)


def test_multilabel_average_precision_agrees_with_scikit_learn_also_with_ties():
    random = np.random.default_rng(0)
    scores = random.integers(0, 6, (200, 3)) / 5
    targets = (random.random((200, 3)) < 0.3).astype(np.float32)
    found = metrics(PRESENCE, scores, targets)
    assert found["mean_ap"] == pytest.approx(peer.average_precision_score(targets, scores, average="macro"))
    assert found["micro_f1"] == pytest.approx(peer.f1_score(targets, scores >= 0.5, average="micro"))


def test_multilabel_ignores_single_unknown_entries():
    scores = np.array([[0.9, 0.1, 0.0], [0.1, 0.8, 0.0], [0.99, 0.2, 0.0]])
    targets = np.array([[1, 0, np.nan], [0, 1, np.nan], [np.nan, 0, np.nan]])
    assert metrics(PRESENCE, scores, targets) == {"micro_f1": 1.0, "mean_ap": 1.0}


def test_binary_balanced_accuracy_weighs_both_classes_alike():
    yes = np.array([0.9, 0.2, 0.1, 0.3, 0.4, 0.6])
    targets = np.array([1.0, 1.0, 0.0, 0.0, 0.0, np.nan])
    found = metrics(URBAN, np.stack([1 - yes, yes], 1), targets)
    assert found["balanced_accuracy"] == pytest.approx((1 / 2 + 1) / 2)
    assert found["accuracy"] == pytest.approx(4 / 5)
    assert found["f1"] == pytest.approx(2 / 3)


def test_count_errors_are_in_counts():
    found = metrics(CARS, np.array([[2.0], [0.0], [7.0]]), np.array([[5.0], [0.0], [np.nan]]))
    # 2 and 5 lie in one bin, 1-10
    assert found == {"mae": pytest.approx(1.5), "rmse": pytest.approx(np.sqrt(4.5)), "binned_accuracy": 1.0}


def test_binned_accuracy_is_the_share_of_counts_in_the_right_range():
    said = np.array([[0.4], [0.6], [10.4], [10.6], [100.0], [101.0], [999.0], [5000.0], [3.0]])
    true = np.array([[0.0], [0.0], [1.0], [10.0], [11.0], [1000.0], [1001.0], [1001.0], [np.nan]])
    # right: 0.4 as 0, 10.4 as 1-10, 100 as 11-100, 101 as 101-1000, 5000 as >1000
    assert metrics(CARS, said, true)["binned_accuracy"] == pytest.approx(5 / 8)


@pytest.mark.parametrize("count", [0, 0.5, 0.51, 1, 10, 10.5, 11, 100, 100.5, 100.6, 1000, 1000.5, 1001, 1e9])
def test_the_range_of_a_count_is_that_of_the_rounded_count(count):
    inside = {"0": (0, 0), "1-10": (1, 10), "11-100": (11, 100), "101-1000": (101, 1000), ">1000": (1001, 1e12)}
    low, high = inside[count_bin(count)]
    assert low <= np.round(count) <= high
    alike = np.array([[float(np.round(count))]])
    assert metrics(CARS, np.array([[float(count)]]), alike)["binned_accuracy"] == 1.0


@pytest.mark.parametrize("task", [LAND, PRESENCE, URBAN, CARS], ids=lambda task: task.kind)
def test_nothing_known_gives_no_metric(task):
    targets = {"multiclass": np.full(4, -100), "binary": np.full(4, np.nan)}.get(task.kind)
    if targets is None:
        targets = np.full((4, len(task.classes)), np.nan)
    assert metrics(task, np.full((4, len(task.classes)), 0.5), targets) == {}


def test_wrong_shapes_are_refused():
    with pytest.raises(TargetsInvalid, match="presence"):
        metrics(PRESENCE, np.zeros((4, 3)), np.zeros(4))


def test_random_order_has_the_base_rate_as_average_precision():
    random = np.random.default_rng(1)
    positive = random.random(20_000) < 0.3
    assert average_precision(random.random(20_000), positive) == pytest.approx(0.3, abs=0.02)


def test_only_errors_are_better_when_lower():
    assert higher_is_better("macro_f1")
    assert not higher_is_better("mae")


def test_captions_like_a_reference_score_full_and_unknown_ones_are_left_out():
    said = ["There are many Green trees.", "A plane is on the runway", "nobody knows"]
    known = [["a few trees", "there are many green trees."], ["a plane is on the runway"], []]
    assert caption_metrics(said, known) == {"bleu": pytest.approx(100.0), "rouge_l": pytest.approx(1.0)}
    assert caption_metrics(["x"], [[]]) == {}
    assert caption_metrics([], []) == {}


def test_caption_metrics_have_known_answers():
    # BLEU: 6 words against 6; 5 of 6 words, 3 of 5 pairs, 1 of 4 triples and, smoothed, 1/2 of 3 quadruples; ROUGE-L: 5 of 6
    found = caption_metrics(["the cat sat on a mat"], [["the cat is on a mat"]])
    assert found["bleu"] == pytest.approx(100 * (5 / 6 * 3 / 5 * 1 / 4 * 0.5 / 3) ** 0.25)
    assert found["rouge_l"] == pytest.approx(5 / 6)
