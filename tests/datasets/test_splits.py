import numpy as np
import pytest

from spatialnet.datasets.splits import GUARD, TEST, TRAIN, VALIDATION, BlockPlan, block_splits, split_counts
from spatialnet.errors import NothingToRead


def grid(height: int, width: int, size: int, stride: int) -> tuple[np.ndarray, np.ndarray]:
    r, c = np.meshgrid(range(0, height - size + 1, stride), range(0, width - size + 1, stride), indexing="ij")
    return r.ravel().astype(np.int64), c.ravel().astype(np.int64)


def smallest_gap(rows, columns, size, splits) -> int:
    """Fewest pixels between the edges of two chips of different splits; negative where they overlap."""
    used = splits != GUARD
    r, c, s = rows[used], columns[used], splits[used]
    gaps = np.maximum(np.abs(r[:, None] - r), np.abs(c[:, None] - c)) - size
    return int(gaps[s[:, None] != s].min())


@pytest.mark.parametrize("seed", range(12))
def test_chips_of_different_splits_are_a_guard_apart_wherever_they_lie(seed):
    """Random sizes, random positions, and ground with holes, so that some blocks hold no chip's centre."""
    random = np.random.default_rng(seed)
    size, guard = int(random.integers(4, 40)), int(random.integers(0, 20))
    block = size + guard + int(random.integers(20, 40))
    rows, columns = random.integers(0, 420, (2, 1500))
    hole_r, hole_c = random.integers(0, 420, (2, 6))
    far = [
        (np.abs(rows + size / 2 - r) > 50) | (np.abs(columns + size / 2 - c) > 50)
        for r, c in zip(hole_r, hole_c, strict=True)
    ]
    rows, columns = rows[np.all(far, axis=0)], columns[np.all(far, axis=0)]
    plan = BlockPlan(block_px=block, guard_px=guard, seed=seed, trials=150)
    strata = random.random((len(rows), 3)).astype(np.float32)
    splits, _ = block_splits(rows, columns, size, strata, plan)
    assert set(splits.tolist()) >= {TRAIN, VALIDATION, TEST}
    assert smallest_gap(rows, columns, size, splits) >= guard


def test_chips_larger_than_a_block_are_a_guard_apart():
    rows, columns = grid(600, 600, 40, 20)
    plan = BlockPlan(block_px=16, guard_px=4, trials=400)
    strata = np.ones((len(rows), 1), np.float32)
    with pytest.raises(NothingToRead, match="larger blocks"):
        block_splits(rows, columns, 40, strata, plan)
    wider = BlockPlan(block_px=100, guard_px=30, trials=400)
    splits, _ = block_splits(rows, columns, 40, strata, wider)
    assert smallest_gap(rows, columns, 40, splits) >= 30


def test_two_splits_do_not_meet_in_a_block_that_holds_no_chip():
    """From the block on its left and from the one above it, chips reach over the same corner of an empty block."""
    left, above = (108, 78), (78, 108)  # 40 pixels wide: they overlap, and each keeps clear of the other's block
    inside_left, inside_above = (130, 20), (20, 130)
    others = [(r, c) for r in (20, 330, 430) for c in (330, 430)] + [(330, 20), (430, 130)]
    rows, columns = (np.array(v, np.int64) for v in zip(left, above, inside_left, inside_above, *others, strict=True))
    strata, differ = np.ones((len(rows), 1), np.float32), 0
    for seed in range(60):
        try:
            splits, blocks = block_splits(rows, columns, 40, strata, BlockPlan(100, 8, seed=seed, trials=0))
        except NothingToRead:
            continue  # so few blocks that a split may be left without one
        assert (blocks[0], blocks[1]) == (blocks[2], blocks[3])
        apart = splits[2] != splits[3]
        differ += apart
        assert (splits[:2] == (GUARD if apart else splits[2])).all()
        assert smallest_gap(rows, columns, 40, splits) >= 8
    assert differ > 5


@pytest.fixture
def scene():
    rows, columns = grid(400, 500, 16, 8)
    rare = ((rows < 60) & (columns < 60)) | ((rows > 330) & (columns > 430)) | ((rows > 330) & (columns < 50))
    return rows, columns, np.stack([rare, ~rare], axis=1).astype(np.float32)


def test_every_split_has_chips_and_they_are_alike(scene):
    rows, columns, strata = scene
    splits, _ = block_splits(rows, columns, 16, strata, BlockPlan())
    counts = split_counts(splits)
    assert sum(counts.values()) == len(rows)
    used = len(rows) - counts["guard"]
    assert used / len(rows) > 0.6
    for split, share in ((TRAIN, 0.6), (VALIDATION, 0.15), (TEST, 0.25)):
        members = splits == split
        assert members.sum() / used == pytest.approx(share, abs=0.1)
        assert strata[members, 0].mean() > 0  # the rare class is in each


def test_the_search_makes_splits_more_alike(scene):
    rows, columns, strata = scene

    def unlike(trials: int) -> float:
        splits, _ = block_splits(rows, columns, 16, strata, BlockPlan(trials=trials))
        shares = [strata[splits == split, 0].mean() for split in (TRAIN, VALIDATION, TEST)]
        return float(np.ptp(shares))

    assert unlike(3000) < unlike(0)


def test_the_same_seed_gives_the_same_splits(scene):
    rows, columns, strata = scene
    first, second, other = (
        block_splits(rows, columns, 16, strata, BlockPlan(seed=s, trials=300))[0] for s in (3, 3, 4)
    )
    assert np.array_equal(first, second)
    assert not np.array_equal(first, other)


def test_blocks_are_squares_of_ground(scene):
    rows, columns, strata = scene
    _, blocks = block_splits(rows, columns, 16, strata, BlockPlan(trials=0))
    place = {}
    for row, column, block in zip(rows, columns, blocks, strict=True):
        square = ((row + 8) // 64, (column + 8) // 64)
        assert place.setdefault(int(block), square) == square
    assert len(set(place.values())) == len(place)


def test_a_chip_within_half_the_guard_of_another_split_is_guard():
    rows, columns = grid(256, 256, 16, 4)
    splits, blocks = block_splits(rows, columns, 16, np.ones((len(rows), 1), np.float32), BlockPlan(trials=200))
    split_of = {int(b): set(splits[(blocks == b) & (splits != GUARD)].tolist()) for b in np.unique(blocks)}
    assert all(len(found) <= 1 for found in split_of.values())
    inside = ((rows % 64) >= 4) & ((rows % 64) + 16 + 4 <= 64) & ((columns % 64) >= 4) & ((columns % 64) + 20 <= 64)
    assert inside.any()
    assert (splits[inside] != GUARD).all()


def test_too_little_ground_is_one_sentence():
    rows, columns = grid(64, 64, 16, 8)
    with pytest.raises(NothingToRead, match=r"three are needed .* Use a larger scene"):
        block_splits(rows, columns, 16, np.ones((len(rows), 1), np.float32), BlockPlan())
