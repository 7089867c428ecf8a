import io

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from spatialnet.importing.prescan.duplicates import content_hash, difference_hashes, find_duplicates, small_picture


def picture(seed: int, size: int = 64) -> np.ndarray:
    coarse = np.random.default_rng(seed).uniform(20, 220, (8, 8)).astype(np.float32)
    return np.asarray(Image.fromarray(coarse).resize((size, size))).astype(np.uint8)


def recompressed(pixels: np.ndarray, quality: int) -> np.ndarray:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "JPEG", quality=quality)
    return np.asarray(Image.open(file))


def found(pictures: list[np.ndarray], **options):
    hashes = np.array([content_hash(p) for p in pictures], np.uint64)
    small = np.stack([small_picture(p.astype(np.float32)) for p in pictures])
    table, more = find_duplicates(hashes, np.rint(small).clip(0, 255).astype(np.uint8), **options)
    return {(r.a, r.b, r.kind) for r in table.itertuples()}, more


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10_000), st.sampled_from([30, 60, 90]), st.integers(-12, 12))
def test_a_picture_compressed_anew_or_a_little_brighter_is_found_and_others_are_not(seed, quality, brighter):
    one, other = picture(seed), picture(seed + 20_000)
    changed = (one.astype(int) + brighter).clip(0, 255).astype(np.uint8)
    pairs, more = found([one, other, recompressed(one, quality), changed if brighter else one])
    assert pairs - {(2, 3, "near")} == {(0, 2, "near"), (0, 3, "near" if brighter else "exact")}
    assert (2, 3, "near") in pairs or not brighter
    assert not more


def test_a_picture_upside_down_or_much_brighter_is_another_picture():
    one = (picture(1) // 2).astype(np.uint8)
    assert found([one, one[::-1].copy(), one[:, ::-1].copy(), 255 - one, one + 60])[0] == set()


def test_open_sea_is_not_the_same_picture_everywhere():
    random = np.random.default_rng(0)
    sea = [(40 + random.normal(0, 1.5, (64, 64))).astype(np.uint8) for _ in range(6)]
    assert found(sea)[0] == set()
    assert found([sea[0], sea[1], sea[0].copy()])[0] == {(0, 2, "exact")}


def test_many_copies_are_each_paired_with_the_first():
    pairs, _ = found([picture(1), picture(2), picture(1), picture(1)])
    assert pairs == {(0, 2, "exact"), (0, 3, "exact")}


def test_pixels_type_and_shape_all_count():
    pixels = picture(0)
    assert content_hash(pixels) == content_hash(pixels.copy())
    assert len({content_hash(p) for p in (pixels, pixels.T, pixels.reshape(32, 128), pixels.astype(np.uint16))}) == 4
    changed = pixels.copy()
    changed[5, 5] ^= 1
    assert content_hash(changed) != content_hash(pixels)


def test_every_pair_of_near_pictures_is_found_once_and_a_cut_is_said():
    near = [(picture(3).astype(int) + i).astype(np.uint8) for i in range(12)]
    pairs, more = found(near)
    assert pairs == {(i, j, "near") for i in range(12) for j in range(i + 1, 12)}
    assert not more
    pairs, more = found(near, most=10)
    assert (len(pairs), more) == (10, True)


@pytest.mark.parametrize("shape", [(1, 1), (5, 7), (16, 16), (17, 250)])
def test_pictures_of_any_size_become_small_ones_with_the_same_mean(shape):
    grey = np.random.default_rng(0).uniform(0, 255, shape).astype(np.float32)
    small = small_picture(grey)
    assert small.shape == (16, 16)
    if shape == (16, 16):
        assert np.allclose(small, grey)
    assert grey.min() - 1e-3 <= small.min() <= small.max() <= grey.max() + 1e-3


def test_hashes_say_where_it_gets_brighter():
    ramp = np.tile(np.arange(0, 240, 15, dtype=np.uint8), (16, 1))
    flat = np.full((16, 16), 9, np.uint8)
    up, down, level = difference_hashes(np.stack([ramp, ramp[:, ::-1], flat]))
    assert (int(up), int(down), int(level)) == (2**64 - 1, 0, 0)
