import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spatialnet.datasets.leaks import KINDS, components, find_leaks, leak_counts, shared_ground
from spatialnet.datasets.packed import SPLITS

NONE = pd.DataFrame({"a": np.zeros(0, np.int64), "b": np.zeros(0, np.int64), "kind": np.zeros(0, object)})


def boxes(bounds) -> pd.DataFrame:
    return pd.DataFrame(np.asarray(bounds, np.float64).reshape(-1, 4), columns=["west", "south", "east", "north"])


def on_grid(columns, rows, crs="EPSG:32617", pixel=10.0, size=16, degrees=1e-4) -> pd.DataFrame:
    """Chips in a projected system; their degrees are a little too large, as of a turned footprint."""
    c, r = np.asarray(columns, np.float64), np.asarray(rows, np.float64)
    slack = 0.05 * size
    table = boxes(np.column_stack([c - slack, -r - size - slack, c + size + slack, -r + slack]) * degrees)
    return table.assign(
        crs=crs, a=pixel, b=0.0, c=500_000 + c * pixel, d=0.0, e=-pixel, f=4e6 - r * pixel, height=size, width=size
    )


def pairs(leaks, kind=None) -> set[tuple[int, int]]:
    part = leaks if kind is None else leaks[leaks["kind"] == kind]
    return set(zip(part["a"].tolist(), part["b"].tolist(), strict=True))


def brute_force(bounds, splits) -> set[tuple[int, int]]:
    """Every pair looked at by itself; what hangs over the antimeridian also one turn further west."""
    found = set()
    for a in range(len(bounds)):
        for b in range(a + 1, len(bounds)):
            if splits[a] == splits[b] or 3 in (splits[a], splits[b]):
                continue
            for turn in (-360, 0, 360):
                w, s, e, n = bounds[b] + [turn, 0, turn, 0]
                common = [min(bounds[a][2], e) - max(bounds[a][0], w), min(bounds[a][3], n) - max(bounds[a][1], s)]
                side = [min(bounds[a][2] - bounds[a][0], e - w), min(bounds[a][3] - bounds[a][1], n - s)]
                if all(c > 0.06 * d for c, d in zip(common, side, strict=True)):
                    found.add((a, b))
    return found


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32 - 1), st.sampled_from([0.0, 178.5, -179.9]), st.booleans())
def test_pairs_are_those_that_a_look_at_every_pair_finds(seed, west, sizes_differ):
    random = np.random.default_rng(seed)
    count = int(random.integers(2, 60))
    side = random.choice([0.05, 0.3, 1.7], (count, 1)) if sizes_differ else np.full((count, 1), 0.2)
    corner = random.uniform([west, -1], [west + 3, 2], (count, 2))
    corner[:, 0] = (corner[:, 0] + 180) % 360 - 180
    bounds = np.column_stack([corner, corner + side])
    splits = random.integers(0, 4, count).astype(np.int8)
    leaks = find_leaks(splits, boxes(bounds), NONE)
    assert pairs(leaks) == brute_force(bounds, splits)
    assert len(leaks) == len(pairs(leaks)) == leak_counts(leaks)["shared ground"]


def test_chips_that_touch_do_not_share_ground_and_a_pixel_is_enough():
    table = on_grid([0, 16, 31], [0, 0, 0])
    assert pairs(find_leaks(np.array([0, 2, 0], np.int8), table, NONE)) == {(1, 2)}
    assert pairs(find_leaks(np.array([0, 2, 0], np.int8), table[["west", "south", "east", "north"]], NONE)) == {
        (0, 1), (1, 2),
    }  # fmt: skip


def test_chips_of_two_systems_are_compared_in_degrees():
    table = on_grid([0, 12], [0, 0])
    table["crs"] = ["EPSG:32617", "EPSG:32618"]
    table["c"] = [500_000.0, 0.0]
    assert pairs(find_leaks(np.array([0, 1], np.int8), table, NONE)) == {(0, 1)}


def test_chips_without_ground_and_guard_chips_leak_nothing():
    table = boxes([[0, 0, 1, 1], [0, 0, 1, 1], [np.nan] * 4, [0.5, 0.5, 1.5, 1.5]])
    leaks = find_leaks(np.array([0, 3, 2, 0], np.int8), table, NONE)
    assert leaks.empty
    assert list(leaks.columns) == ["a", "b", "split_a", "split_b", "kind"]
    assert leak_counts(leaks) == dict.fromkeys(KINDS, 0)


def test_shared_ground_of_all_chips_whatever_their_split():
    table = on_grid([0, 8, 16, 100], [0, 0, 0, 0])
    found = {(int(i), int(j)) for a, b in shared_ground(table) for i, j in zip(a, b, strict=True)}
    assert found == {(0, 1), (1, 2)}


def test_duplicates_count_across_splits_also_through_a_third_chip():
    """0 = 1 and 1 = 2 pixel by pixel, 1 is used by none: 0 and 2 are still the same picture."""
    duplicates = pd.DataFrame({"a": [0, 1, 3, 3], "b": [1, 2, 4, 5], "kind": ["exact", "exact", "near", "near"]})
    splits = np.array([0, 3, 2, 0, 1, 0], np.int8)
    leaks = find_leaks(splits, boxes(np.full((6, 4), np.nan)), duplicates)
    assert pairs(leaks, "exact duplicate") == {(0, 2)}
    assert pairs(leaks, "near duplicate") == {(3, 4)}
    for row in leaks.itertuples():
        assert (row.split_a, row.split_b) == (SPLITS[splits[row.a]], SPLITS[splits[row.b]])


def test_all_pairs_are_counted_where_only_some_are_listed():
    table = boxes(np.tile([0.0, 0.0, 1.0, 1.0], (60, 1)))
    leaks = find_leaks((np.arange(60) % 2).astype(np.int8), table, NONE, cap=50)
    assert len(leaks) == 50
    assert leak_counts(leaks)["shared ground"] == 30 * 30


@pytest.mark.parametrize("seed", range(5))
def test_components_are_what_hangs_together(seed):
    random = np.random.default_rng(seed)
    a, b = random.integers(0, 50, (2, 35))
    root = components(50, a, b)
    wanted = np.arange(50)
    for _ in range(50):
        for i, j in zip(a, b, strict=True):
            wanted[i] = wanted[j] = min(wanted[i], wanted[j])
    assert np.array_equal(root, wanted)
