import time

import numpy as np
import pandas as pd
import pytest
from rasterio.warp import transform

from spatialnet.web.footprints import DOT, PLACE, Footprints
from spatialnet.web.grid import HALF, Grid

COLUMNS = ("a", "b", "c", "d", "e", "f", "west", "south", "east", "north")


def table(rows: list[dict], crs: str = "EPSG:3857") -> pd.DataFrame:
    return pd.DataFrame([{"crs": crs, **dict.fromkeys(COLUMNS, np.nan), **row} for row in rows])


def square(x: float, y: float, pixel: float) -> dict:
    """A chip whose first pixel's outer corner is at x, y."""
    return {"a": pixel, "b": 0.0, "c": x, "d": 0.0, "e": -pixel, "f": y}


def colours(count: int) -> np.ndarray:
    return np.array([[i % 250 + 1, i // 250 % 250, 7, 255] for i in range(count)], np.uint8)


def on_tile(grid: Grid, column: float, row: float, wide: float, size: int = 4) -> dict:
    x, y = grid.transform @ (column, row)
    return square(x, y, wide * grid.pixel / size)


@pytest.mark.parametrize("wide", [3, 9, 20, 60])
@pytest.mark.parametrize("turn", [0.0, 0.5])
def test_chips_of_any_size_lie_where_their_transform_says(wide, turn):
    grid = Grid(8, 3, 5)
    chip = on_tile(grid, 100, 50, wide)
    if turn:
        a = chip["a"]
        chip |= {"a": a * np.cos(turn), "b": a * np.sin(turn), "d": a * np.sin(turn), "e": -a * np.cos(turn)}
    # A second chip that is not shown: a place of one small chip would be magnified.
    shades = colours(2) * np.array([[1], [0]], np.uint8)
    painted = Footprints.of(table([chip, on_tile(grid, 200, 200, wide)]), 4).paint(grid, shades, covering=True)
    rows, columns = np.nonzero(painted[..., 3])
    assert len(rows) == pytest.approx(wide**2, rel=0.12)
    middle = (
        np.array([100, 50])
        + (np.array([1, 1]) if not turn else np.array([np.cos(turn) + np.sin(turn), np.cos(turn) - np.sin(turn)]))
        * wide
        / 2
    )
    assert columns.mean() + 0.5 == pytest.approx(middle[0], abs=0.6)
    assert rows.mean() + 0.5 == pytest.approx(middle[1], abs=0.6)


@pytest.mark.parametrize("wide", [1.0, 2.3, 5.7, 21.3, 40.0])
def test_cells_that_stand_side_by_side_leave_no_gap(wide):
    grid, count = Grid(8, 3, 5), int(300 / wide)
    chips = [on_tile(grid, -5 + i * wide, -5 + j * wide, wide) for i in range(count) for j in range(count)]
    painted = Footprints.of(table(chips), 4).paint(grid, colours(len(chips)), covering=True)
    assert (painted[..., 3] == 255).all()


def test_overlapping_windows_paint_only_their_central_square():
    grid = Grid(8, 3, 5)
    chips = [on_tile(grid, 64 + 32 * i, 64, 64, size=16) for i in range(3)]
    prints = Footprints.of(table(chips), 16).middle(16, 8)
    painted = prints.paint(grid, colours(3), covering=True)
    assert painted[96, [70, 81, 111, 113, 143, 145, 175, 177], 0].tolist() == [0, 1, 1, 2, 2, 3, 3, 0]
    assert painted[[78, 111, 113], 90, 0].tolist() == [0, 1, 0]


@pytest.mark.parametrize("wide", [0.01, 1.5, 3, 5.9])
def test_a_chip_too_small_to_see_is_a_round_dot_in_its_place(wide):
    grid = Grid(8, 3, 5)
    prints = Footprints.of(table([on_tile(grid, 20 - wide / 2, 30 - wide / 2, wide)]), 4)
    seen = prints.paint(grid, colours(1), covering=False)[..., 3] > 0
    rows, columns = np.nonzero(seen)
    assert (np.ptp(rows) + 1, np.ptp(columns) + 1) == (DOT, DOT)
    assert (rows.mean() + 0.5, columns.mean() + 0.5) == (pytest.approx(30, abs=0.6), pytest.approx(20, abs=0.6))
    assert not seen[rows.min(), columns.min()]  # its corners are cut
    assert seen[rows.min(), columns.min() + 2]


def test_where_dots_meet_the_later_chip_shows_on_both_sides_of_a_border():
    left, right = Grid(8, 3, 5), Grid(8, 4, 5)
    prints = Footprints.of(table([on_tile(left, c, 20, 0.01) for c in (257.5, 254.5, 255.8)]), 4)
    halves = [prints.paint(grid, colours(3), covering=False)[..., 0] for grid in (left, right)]
    row = np.concatenate(halves, axis=1)[20, 245:270].tolist()
    assert [value for i, value in enumerate(row) if not i or value != row[i - 1]] == [0, 2, 3, 1, 0]


def test_a_place_too_small_to_see_is_magnified_as_a_whole_and_the_others_are_not():
    grid = Grid(8, 3, 5)
    far = [on_tile(grid, 60 + i % 2, 80 + i // 2, 1) for i in range(4)]
    near = [on_tile(grid, 150 + 20 * i, 150, 20) for i in range(3)]
    places = table([*far, *near]).assign(place=["far"] * 4 + ["near"] * 3)
    painted = Footprints.of(places, 4).paint(grid, colours(7), covering=True)[..., 0]
    spot = painted[81 - PLACE : 81 + PLACE, 61 - PLACE : 61 + PLACE]
    rows, columns = np.nonzero(spot)
    assert (np.ptp(rows) + 1, np.ptp(columns) + 1) == (PLACE, PLACE)
    half = PLACE // 2
    corners = [spot[PLACE - half // 2, PLACE - half // 2], spot[PLACE - half // 2, PLACE + half // 2],
               spot[PLACE + half // 2, PLACE - half // 2], spot[PLACE + half // 2, PLACE + half // 2]]  # fmt: skip
    assert corners == [1, 2, 3, 4]
    assert painted[160, [149, 151, 169, 171, 209, 211]].tolist() == [0, 5, 5, 6, 7, 0]


def test_a_dot_is_cut_at_the_border_of_its_tile():
    left, right = Grid(8, 3, 5), Grid(8, 4, 5)
    prints = Footprints.of(table([on_tile(left, 255.9, 20, 0.01)]), 4)
    assert prints.paint(left, colours(1), covering=False)[..., 3].any()
    assert prints.paint(right, colours(1), covering=False)[..., 3].any()


def test_chips_of_two_zones_and_chips_with_bounds_only_lie_on_the_same_ground():
    x, y = transform("EPSG:4326", "EPSG:32617", [-78.0], [36.0])
    far_x, far_y = transform("EPSG:4326", "EPSG:32618", [-78.0], [36.0])
    rows = [
        square(x[0], y[0], 10),
        square(far_x[0], far_y[0], 10),
        {"west": -78.0, "east": -77.99, "south": 35.99, "north": 36.0},
    ]
    places = table(rows)
    places["crs"] = ["EPSG:32617", "EPSG:32618", ""]
    prints = Footprints.of(places, 64)
    assert np.ptp(prints.corner, axis=0) == pytest.approx([0, 0], abs=0.01)


def test_chips_without_a_place_are_left_out():
    prints = Footprints.of(table([{}, square(0, 0, 10), {"a": 1.0}]), 4)
    assert prints.chips.tolist() == [1]
    assert len(Footprints.of(table([{}, {}]), 4)) == 0
    nonsense = table([square(0, 0, 10)], crs="no such system")
    assert len(Footprints.of(nonsense, 4)) == 0


def test_a_chip_on_the_180th_meridian_does_not_reach_around_the_world():
    prints = Footprints.of(table([square(750_000, 1_000_000, 100)], crs="EPSG:32660"), 2000)
    assert np.abs(prints.across[:, 0]).max() < HALF / 20


@pytest.mark.parametrize("covering", [True, False])
def test_100_000_chips_are_a_tile_within_50_ms(covering):
    count = 100_000
    at = np.arange(count)
    wide = pd.DataFrame({"crs": "EPSG:32617", "c": 500_000 + at % 317 * 80.0, "f": 4_000_000 - at // 317 * 80.0})
    wide = wide.assign(a=10.0, b=0.0, d=0.0, e=-10.0, west=np.nan, south=np.nan, east=np.nan, north=np.nan)
    prints, shades = Footprints.of(wide, 16).middle(16, 8), colours(count)
    for zoom in (2, 4, 8, 10, 12, 14):
        x, y = prints.corner[count // 2]
        side = 2 * HALF / 2**zoom
        grid = Grid(zoom, int((x + HALF) // side), int((HALF - y) // side))
        seconds = []
        for _ in range(3):
            start = time.process_time()
            assert prints.paint(grid, shades, covering=covering)[..., 3].any()
            seconds.append(time.process_time() - start)
        assert min(seconds) < 0.05, zoom
