"""What a report says of the ground that it was measured on."""

from __future__ import annotations

import numpy as np
import pytest

from spatialnet.datasets.packed import PackedChips
from spatialnet.evaluate.ground import ground, ground_sentence
from spatialnet.settings import Settings


@pytest.mark.parametrize(
    ("known", "wanted"),
    [
        ({"chips": 1385, "blocks": 10, "split_kind": "blocks", "leaks": 0}, "1,385 chips in 10 blocks of ground that training never saw"),
        ({"chips": 9, "blocks": 2, "split_kind": "regions", "leaks": 0}, "9 chips in 2 regions that training never saw"),
        ({"chips": 9, "blocks": 9, "split_kind": "random", "leaks": 0}, "9 chips, drawn at random"),
        ({"chips": 9, "blocks": 9, "split_kind": "official", "leaks": 0}, "9 chips, as the source splits them"),
        ({"chips": 9, "blocks": 3}, "9 chips in 3 groups that were kept together"),
    ],
)  # fmt: skip
def test_only_a_split_by_ground_is_called_one(known, wanted):
    assert ground_sentence(known) == wanted


def test_leaks_are_said_wherever_there_are_some():
    said = ground_sentence({"chips": 545, "blocks": 545, "split_kind": "random", "leaks": 4572})
    assert said.startswith("545 chips, drawn at random; 4,572 pairs of chips share ground")
    assert "never saw" not in said


def test_what_is_known_comes_from_the_data_set(finished: Settings):
    data = PackedChips.open(next(path for path in finished.datasets.iterdir() if path.is_dir()))
    known = ground(data)
    test = data.in_split("test")
    assert known == {
        "chips": len(test), "blocks": len(np.unique(data.blocks[test])), "split_kind": data.manifest["split"]["kind"],
        "leaks": sum(data.manifest["split"]["leaks"].values()),
    }  # fmt: skip
    assert known["split_kind"] == "blocks"
