from __future__ import annotations

import threading
import time

import pytest

from spatialnet.predict.ahead import ahead


def test_all_items_come_in_order():
    assert list(ahead(range(50))) == list(range(50))
    assert list(ahead([])) == []


def test_making_and_taking_overlap():
    made = []

    def items():
        for number in range(4):
            made.append(number)
            yield number

    taken = ahead(items())
    assert next(taken) == 0
    end = time.monotonic() + 10
    while len(made) < 2 and time.monotonic() < end:
        time.sleep(0.001)
    assert made == [0, 1]  # nobody asked for the second yet
    assert list(taken) == [1, 2, 3]


def test_what_making_raises_is_raised_after_the_items_before_it():
    def items():
        yield 1
        raise ValueError("here")

    taken = ahead(items())
    assert next(taken) == 1
    with pytest.raises(ValueError, match="here"):
        next(taken)


def test_a_consumer_that_ends_early_ends_the_making():
    closed = threading.Event()

    def items():
        try:
            number = 0
            while True:
                yield number
                number += 1
        finally:
            closed.set()

    source = items()
    taken = ahead(source)
    assert next(taken) == 0
    taken.close()
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("ahead")]
    source.close()
    assert closed.is_set()
