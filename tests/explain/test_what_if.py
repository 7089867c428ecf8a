"""The what-if probe: what is changed, what is left, and that heads notice when the evidence is gone."""

from __future__ import annotations

import numpy as np
import pytest

from spatialnet.errors import ExplanationFailed
from spatialnet.explain.what_if import answers, changed
from tests.explain.conftest import PATCH, SIZE, plant


def chip(bands: int = 3, side: int = 16) -> np.ndarray:
    return np.random.default_rng(0).normal(5, 1, (bands, side, side)).astype(np.float32)


def test_only_the_chosen_places_change():
    before = chip()
    after = changed({"rgb": before}, [0, 9], 8, "mean")["rgb"]
    gone = np.zeros((16, 16), bool)
    gone[0:2, 0:2] = gone[2:4, 2:4] = True
    assert np.isnan(after[:, gone]).all()
    assert np.array_equal(after[:, ~gone], before[:, ~gone])
    assert np.isfinite(before).all()


def test_blur_fills_from_the_surroundings_and_never_from_what_is_removed():
    before = np.full((1, 16, 16), 3.0, np.float32)
    before[0, 4:8, 4:8] = 1000.0
    cells = [row * 8 + column for row in (2, 3) for column in (2, 3)]
    after = changed({"rgb": before}, cells, 8, "blur")["rgb"]
    assert after == pytest.approx(3.0)
    assert np.isnan(changed({"rgb": before}, range(64), 8, "blur")["rgb"]).all()  # nothing is left to fill from


def test_a_neighbour_lends_its_pixels():
    before, other = chip(), chip() + 100
    after = changed({"rgb": before}, [63], 8, "neighbour", neighbour={"rgb": other})["rgb"]
    assert np.array_equal(after[:, 14:, 14:], other[:, 14:, 14:])
    assert np.array_equal(after[:, :14], before[:, :14])


def test_bands_and_sensors_are_left_out():
    images = {"rgb": chip(), "sar": chip(2)}
    after = changed(images, [], 8, bands=[("rgb", 1)], sensors=["sar"])
    assert list(after) == ["rgb"]
    assert np.isnan(after["rgb"][1]).all()
    assert np.array_equal(after["rgb"][[0, 2]], images["rgb"][[0, 2]])


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"cells": [64]}, "outside the chip"),
        ({"cells": [], "fill": "magic"}, "no fill 'magic'"),
        ({"cells": [], "sensors": ["rgb"]}, "Every sensor was taken away"),
        ({"cells": [], "bands": [("rgb", 3)]}, "has 3 bands; band 4"),
    ],
)
def test_what_cannot_be_is_a_sentence(options, words):
    with pytest.raises(ExplanationFailed, match=words):
        changed({"rgb": chip()}, side=8, **options)


def test_removing_the_square_changes_the_answer_and_removing_noise_does_not(trained):
    chips = plant(12, 5)
    side = SIZE // PATCH
    for number in np.flatnonzero(chips.kind.numpy() > 0):
        pixels, mask = chips.images[number].numpy(), chips.mask[number]
        rows, columns = np.nonzero(mask)
        square = {int(r) // PATCH * side + int(c) // PATCH for r, c in zip(rows, columns, strict=True)}
        elsewhere = [cell for cell in range(side * side) if cell not in square][: len(square)]
        kind = int(chips.kind[number])
        whole = answers(trained, {"rgb": pixels})["square"][kind]
        hidden = answers(trained, changed({"rgb": pixels}, sorted(square), side, "mean"))["square"][kind]
        other = answers(trained, changed({"rgb": pixels}, elsewhere, side, "mean"))["square"][kind]
        assert whole > 0.9
        assert other > 0.9
        assert hidden < 0.3
