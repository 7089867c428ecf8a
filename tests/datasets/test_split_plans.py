import itertools
import json

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spatialnet.datasets.leaks import components, find_leaks
from spatialnet.datasets.split_plans import SplitPlan, make_split, propose_split
from spatialnet.datasets.splits import GUARD, TEST, TRAIN, VALIDATION, BlockPlan, block_splits
from spatialnet.errors import DataSetInvalid, NothingToRead

USED = (TRAIN, VALIDATION, TEST)
NONE = pd.DataFrame({"a": np.zeros(0, np.int64), "b": np.zeros(0, np.int64), "kind": np.zeros(0, object)})
SEEDS = st.integers(0, 2**32 - 1)
few = settings(max_examples=25, deadline=None)


def ones(table) -> np.ndarray:
    return np.ones((len(table), 1), np.float32)


def chips_on_ground(random, count: int, latitude: float, west: float, extent: float, side_m: float) -> pd.DataFrame:
    """Chips anywhere in a square of `extent` metres; `side_m` on the ground. East of 180 degrees goes on counting."""
    wide = np.cos(np.radians(latitude))
    lat = latitude + random.uniform(0, extent, count) / 111_195
    lon = (west + random.uniform(0, extent, count) / 111_195 / wide + 180) % 360 - 180
    half = side_m / 2 / 111_195
    return pd.DataFrame({
        "longitude": lon, "latitude": lat, "west": lon - half / wide, "east": lon + half / wide,
        "south": lat - half, "north": lat + half,
    })  # fmt: skip


def smallest_gap_m(table, splits) -> float:
    """Fewest metres between the edges of two chips of different splits, the larger of both directions."""
    used = splits != GUARD
    t, s = table[used], splits[used]
    lon, lat = t["longitude"].to_numpy(), t["latitude"].to_numpy()
    east = np.abs((lon[:, None] - lon + 180) % 360 - 180) * np.cos(np.radians(np.maximum(lat[:, None], lat)))
    half = (t["north"] - t["south"]).to_numpy()[0] / 2
    gap = np.maximum(east, np.abs(lat[:, None] - lat)) - 2 * half
    return float(gap[s[:, None] != s].min()) * 111_195


def scene_table(rows, columns, size=16, pixel=10.0) -> pd.DataFrame:
    """Windows of one scene in a projected system near the equator."""
    x, y = 500_000 + columns * pixel, 4e5 - rows * pixel
    degrees = 1 / 111_195
    return pd.DataFrame({
        "row": rows, "column": columns, "height": size, "width": size, "crs": "EPSG:32631", "gsd_m": pixel,
        "a": pixel, "b": 0.0, "c": x, "d": 0.0, "e": -pixel, "f": y,
        "west": x * degrees, "east": (x + size * pixel) * degrees, "south": (y - size * pixel) * degrees, "north": y * degrees,
        "longitude": (x + size * pixel / 2) * degrees, "latitude": (y - size * pixel / 2) * degrees,
    })  # fmt: skip


# Blocks


@few
@given(
    SEEDS,
    st.sampled_from([0.0, 35.0, 68.0, -55.0]),
    st.sampled_from([10.0, 179.8]),
    st.sampled_from([0.0, 300.0, 900.0]),
)
def test_blocks_anywhere_on_the_globe_keep_their_guard_in_metres(seed, latitude, west, guard):
    random = np.random.default_rng(seed)
    table = chips_on_ground(random, 400, latitude, west, 60_000, 500)
    plan = SplitPlan("blocks", block_m=8000, guard_m=guard, seed=seed % 7, trials=300)
    splits, blocks = make_split(plan, table, random.random((400, 2)).astype(np.float32))
    assert set(splits.tolist()) >= set(USED)
    assert smallest_gap_m(table, splits) >= guard - 1e-6
    for block in np.unique(blocks):
        assert len(set(splits[(blocks == block) & (splits != GUARD)].tolist())) <= 1


def test_one_scene_is_split_on_its_own_pixel_grid():
    r, c = (v.ravel() for v in np.meshgrid(np.arange(8, 400, 8), np.arange(0, 500, 8), indexing="ij"))
    strata = np.random.default_rng(0).random((len(r), 3)).astype(np.float32)
    made = make_split(SplitPlan("blocks", block_m=640, guard_m=80, trials=300), scene_table(r, c), strata)
    wanted = block_splits(r, c, 16, strata, BlockPlan(64, 8, trials=300))
    assert np.array_equal(made[0], wanted[0])
    assert np.array_equal(made[1], wanted[1])


def test_a_division_by_blocks_leaks_no_ground():
    r, c = (v.ravel() for v in np.meshgrid(np.arange(0, 400, 8), np.arange(0, 500, 8), indexing="ij"))
    table = scene_table(r, c)
    for guard in (0, 80):
        splits, _ = make_split(SplitPlan("blocks", block_m=640, guard_m=guard, trials=100), table, ones(table))
        assert find_leaks(splits, table, NONE).empty


def test_chips_without_a_place_are_used_by_none():
    table = chips_on_ground(np.random.default_rng(0), 300, 40, 0, 60_000, 300)
    table.loc[::10, ["longitude", "latitude", "west", "south", "east", "north"]] = np.nan
    splits, blocks = make_split(SplitPlan("blocks", block_m=8000, trials=50), table, ones(table))
    assert (splits[::10] == GUARD).all()
    assert len(np.unique(blocks[::10])) == 30
    assert not set(blocks[::10]) & set(np.delete(blocks, np.s_[::10]))


def test_equal_pictures_on_different_ground_are_used_by_one_split_only():
    random = np.random.default_rng(3)
    table = chips_on_ground(random, 400, 40, 0, 60_000, 300)
    pairs = pd.DataFrame({"a": np.arange(0, 100), "b": np.arange(100, 200), "kind": "near"})
    plan = SplitPlan("blocks", block_m=8000, trials=50)
    assert len(find_leaks(make_split(plan, table, ones(table))[0], table, pairs)) > 10
    splits, _ = make_split(plan, table, ones(table), pairs)
    assert find_leaks(splits, table, pairs).empty
    assert (splits == TEST).sum() == (make_split(plan, table, ones(table))[0] == TEST).sum()


# Groups and random


@few
@given(SEEDS, st.sampled_from(["random", "groups"]))
def test_groups_and_duplicates_are_never_parted_and_shares_are_near(seed, kind):
    random = np.random.default_rng(seed)
    count = 600
    table = pd.DataFrame({"group": [f"g{i}" if i < 80 else "" for i in random.integers(0, 160, count)]})
    a, b = random.integers(0, count, (2, 30))
    pairs = pd.DataFrame({"a": a, "b": b, "kind": "exact"})
    strata = np.eye(4, dtype=np.float32)[random.choice(4, count, p=[0.6, 0.3, 0.07, 0.03])]
    plan = SplitPlan(kind, seed=seed % 5)
    splits, blocks = make_split(plan, table, strata, pairs)
    assert set(splits.tolist()) == set(USED)
    for values in (
        table["group"].where(table["group"] != "", table.index.astype(str)),
        components(count, a, b),
        blocks,
    ):
        assert pd.Series(splits).groupby(np.asarray(values)).nunique().max() == 1
    for split, share in zip(USED, plan.fractions, strict=True):
        assert (splits == split).mean() == pytest.approx(share, abs=0.04)
        assert np.allclose(strata[splits == split].mean(axis=0), strata.mean(axis=0), atol=0.05)
    again = make_split(plan, table, strata, pairs)
    assert np.array_equal(splits, again[0])
    assert np.array_equal(blocks, again[1])


def test_another_seed_gives_another_division():
    table = pd.DataFrame({"group": [""] * 200})
    first, other = (make_split(SplitPlan("random", seed=s), table, ones(table))[0] for s in (0, 1))
    assert not np.array_equal(first, other)


def test_a_picture_that_every_group_has_does_not_tie_all_groups_together():
    table = pd.DataFrame({"group": [f"g{i % 20}" for i in range(400)]})
    pairs = pd.DataFrame({"a": np.zeros(19, np.int64), "b": np.arange(1, 20), "kind": "exact"})
    splits, _ = make_split(SplitPlan("groups"), table, ones(table), pairs)
    used = splits != GUARD
    assert set(splits[used].tolist()) == set(USED)
    assert pd.Series(splits[used]).groupby(table["group"][used].to_numpy()).nunique().max() == 1
    assert find_leaks(splits, table.assign(west=np.nan, south=np.nan, east=np.nan, north=np.nan), pairs).empty


def test_a_split_needs_three_groups():
    table = pd.DataFrame({"group": ["a", "b"] * 20, "place": ["x"] * 40})
    with pytest.raises(NothingToRead, match=r"2 values of `group`; three are needed .* another column"):
        make_split(SplitPlan("groups"), table, ones(table))
    with pytest.raises(DataSetInvalid, match="no column 'owner'"):
        make_split(SplitPlan("groups", column="owner"), table, ones(table))
    with pytest.raises(NothingToRead, match="2 groups of chips that depend"):
        make_split(SplitPlan("random"), table, ones(table))


# Regions


def test_regions_stay_whole():
    random = np.random.default_rng(0)
    table = pd.DataFrame({"region": random.choice(["Austria", "Portugal", "Finland", "Kosovo", ""], 300)})
    splits, blocks = make_split(SplitPlan("regions"), table, ones(table))
    assert (splits[table["region"] == ""] == GUARD).all()
    named = (table["region"] != "").to_numpy()
    assert pd.Series(splits[named]).groupby(table["region"][named].to_numpy()).nunique().max() == 1
    assert pd.Series(table["region"][named].to_numpy()).groupby(blocks[named]).nunique().max() == 1


def test_bands_of_longitude_lie_one_after_another_with_a_guard_between():
    table = chips_on_ground(np.random.default_rng(1), 2000, 45, 5, 200_000, 600)
    splits, blocks = make_split(SplitPlan("regions", guard_m=2000), table, ones(table))
    bands = [table[splits == split] for split in USED]
    metre = 1 / 111_195 / np.cos(np.radians(45))
    for left, right in itertools.pairwise(bands):
        assert right["west"].min() - left["east"].max() > 1900 * metre
    assert [len(band) / 2000 for band in bands] == pytest.approx([0.6, 0.15, 0.25], abs=0.02)
    assert len(np.unique(blocks)) > 100


# Official


def test_the_official_split_is_left_as_it_is():
    table = pd.DataFrame({"split": ["train", "validation", "test", ""] * 10, "group": [""] * 40})
    pairs = pd.DataFrame({"a": [0], "b": [2], "kind": ["exact"]})
    splits, blocks = make_split(SplitPlan("official"), table, ones(table), pairs)
    assert splits.tolist() == [TRAIN, VALIDATION, TEST, GUARD] * 10
    assert blocks[0] == blocks[2] != blocks[1]


@pytest.mark.parametrize("other", ["test", "validation"])
def test_a_missing_part_is_taken_from_train_by_group(other):
    table = pd.DataFrame({
        "split": ["train"] * 300 + [other] * 60, "group": [f"g{i // 5}" for i in range(300)] + [""] * 60,
    })  # fmt: skip
    splits, _ = make_split(SplitPlan("official"), table, ones(table))
    assert (splits[300:] == TEST).all()
    assert set(splits[:300].tolist()) == {TRAIN, VALIDATION}
    assert (splits[:300] == VALIDATION).mean() == pytest.approx(0.2, abs=0.03)
    assert pd.Series(splits[:300]).groupby(table["group"][:300]).nunique().max() == 1


def test_an_official_split_without_test_and_validation_is_one_sentence():
    table = pd.DataFrame({"split": ["train"] * 5 + [""]})
    with pytest.raises(NothingToRead, match=r"these parts: train; .* Choose another split"):
        make_split(SplitPlan("official"), table, ones(table))


# Plans


@pytest.mark.parametrize("kind", ["official", "blocks", "groups", "regions", "random"])
def test_a_plan_survives_json_and_has_a_sentence(kind):
    plan = SplitPlan(kind, "mine", 500, 80, "longitude" if kind == "regions" else "", (0.7, 0.1, 0.2), 4, 10, "because")
    assert SplitPlan.from_dict(json.loads(json.dumps(plan.to_dict()))) == plan
    assert plan.sentence().endswith(".")
    assert "  " not in plan.sentence()


@pytest.mark.parametrize("change", [
    {"kind": "magic"}, {"name": "A b"}, {"fractions": [0.5, 0.5, 0.5]}, {"fractions": [1, 0, 0]}, {"fractions": "x"},
    {"kind": "blocks", "block_m": 0}, {"block_m": float("nan")}, {"guard_m": -1}, {"kind": None},
])  # fmt: skip
def test_a_plan_that_cannot_be_is_one_sentence(change):
    with pytest.raises(DataSetInvalid):
        SplitPlan.from_dict({"kind": "random", "block_m": 10} | change)


def test_no_ground_for_blocks_and_blocks_smaller_than_chips_are_one_sentence():
    table = pd.DataFrame({"group": [""] * 20})
    with pytest.raises(NothingToRead, match="Split by groups or at random"):
        make_split(SplitPlan("blocks", block_m=100), table, ones(table))
    placed = chips_on_ground(np.random.default_rng(0), 50, 40, 0, 60_000, 5000)
    with pytest.raises(NothingToRead, match="Use larger blocks"):
        make_split(SplitPlan("blocks", block_m=50), placed, ones(placed))


def test_the_most_honest_plan_that_chips_allow_is_proposed():
    random = np.random.default_rng(0)
    placed = chips_on_ground(random, 400, 40, 0, 60_000, 300)
    official = placed.assign(split=["train", "test"] * 200)
    assert propose_split(official).kind == "official"
    blocks = propose_split(placed)
    assert (blocks.kind, blocks.block_m >= 4 * 300, blocks.guard_m) == ("blocks", True, pytest.approx(150, rel=0.01))
    make_split(blocks, placed, ones(placed))
    one_spot = placed.assign(longitude=1.0, west=0.999, east=1.001, latitude=2.0, south=1.999, north=2.001)
    groups = propose_split(one_spot.assign(group=[f"g{i % 9}" for i in range(400)]))
    assert (groups.kind, groups.column) == ("groups", "group")
    assert propose_split(one_spot).kind == "random"
    alone = propose_split(pd.DataFrame({"group": [""] * 30}))
    assert alone.kind == "random"
    assert "too good" in alone.reason
