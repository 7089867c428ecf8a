import pytest

from spatialnet.web.grid import HALF, Grid


def test_a_tile_is_256_pixels_of_the_mercator_square():
    assert Grid(0, 0, 0).bounds == (-HALF, -HALF, HALF, HALF)
    quarter = Grid(1, 1, 1)
    assert quarter.bounds == pytest.approx((0, -HALF, HALF, 0))
    assert quarter.pixel == pytest.approx(HALF / 256)
    assert quarter.transform @ (256, 256) == pytest.approx((HALF, -HALF))


def test_tiles_that_only_touch_do_not_meet():
    tile = Grid(1, 0, 0)
    assert tile.meets((-10, 10, 10, 20))
    assert not tile.meets((0, 10, 10, 20))
    assert not tile.meets((-20, -20, -10, 0))
