import numpy as np
import pytest

from spatialnet.label.queues import build_queue

UNCERTAINTY = np.array([0.1, 0.9, 0.5, 0.9, 0.0, 0.3], np.float32)
DISAGREES = np.array([True, False, True, False, True, False])
ALL = np.arange(6)


def chips(queue) -> list[int]:
    return [item.chip for item in queue]


def test_the_least_sure_comes_first_and_says_why():
    queue = build_queue(UNCERTAINTY, DISAGREES, ALL, ())
    assert [UNCERTAINTY[chip] for chip in chips(queue)] == pytest.approx([0.9, 0.9, 0.5, 0.3, 0.1, 0.0])
    assert queue[2].why == "uncertain, margin 0.50"
    assert queue[5].why == "uncertain, margin 1.00"


def test_where_model_and_target_differ_the_surest_comes_first():
    queue = build_queue(UNCERTAINTY, DISAGREES, ALL, (), strategy="disagrees")
    assert chips(queue) == [4, 0, 2]
    assert queue[0].why == "model and target differ, margin 1.00"


def test_random_takes_every_chip_once_in_the_order_of_the_seed():
    first, again, other = (
        chips(build_queue(UNCERTAINTY, None, np.arange(6), (), strategy="random", seed=s)) for s in (1, 1, 2)
    )
    assert first == again != other
    assert sorted(first) == list(range(6))
    assert {item.why for item in build_queue(UNCERTAINTY, None, ALL, (), strategy="random")} == {"random"}


@pytest.mark.parametrize("strategy", ["uncertain", "disagrees", "random"])
def test_before_any_run_the_order_is_random(strategy):
    queue = build_queue(None, None, ALL, (), strategy=strategy)
    assert sorted(chips(queue)) == list(range(6))
    assert {item.why for item in queue} == {"random"}


@pytest.mark.parametrize("strategy", ["uncertain", "disagrees", "random"])
def test_answered_chips_and_others_than_candidates_are_not_asked_about(strategy):
    queue = build_queue(UNCERTAINTY, DISAGREES, np.array([0, 1, 2, 5]), {0, 5}, strategy=strategy)
    assert set(chips(queue)) <= {1, 2}
    assert chips(build_queue(UNCERTAINTY, DISAGREES, ALL, ALL.tolist(), strategy=strategy)) == []
    assert chips(build_queue(UNCERTAINTY, DISAGREES, np.array([], np.int64), (), strategy=strategy)) == []


@pytest.mark.parametrize("strategy", ["uncertain", "disagrees", "random"])
def test_a_queue_is_at_most_as_long_as_asked(strategy):
    assert len(build_queue(UNCERTAINTY, DISAGREES, ALL, (), strategy=strategy, length=2)) == 2


def test_without_targets_there_is_nothing_to_differ_from():
    assert chips(build_queue(UNCERTAINTY, None, ALL, (), strategy="disagrees"))[-1] == 4  # least sure first


def test_equal_uncertainty_is_drawn_by_the_seed_and_the_queue_is_plain_numbers():
    orders = {tuple(chips(build_queue(np.zeros(6, np.float32), None, ALL, (), seed=s))) for s in range(20)}
    assert len(orders) > 10
    assert all(type(chip) is int for order in orders for chip in order)
