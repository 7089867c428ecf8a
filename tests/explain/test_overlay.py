"""Colours have known values; a warped chip lies where rasterio's transform says."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from affine import Affine
from PIL import Image
from rasterio.warp import transform as transform_points

from spatialnet.errors import ExplanationFailed, NotEnoughDisk, SceneHasNoCRS
from spatialnet.explain.methods import METHODS
from spatialnet.explain.overlay import colour, limit, warp, write_png


def test_signed_scale_is_symmetric_and_zero_is_transparent():
    values = np.array([[-2.0, 0.0], [1.0, 2.0]])
    rgba, legend = colour(values, signed=True, percentile=100)
    assert (legend.low, legend.high) == (-2.0, 2.0)
    assert tuple(rgba[0, 0]) == (0x00, 0x72, 0xB2, 255)
    assert tuple(rgba[1, 1]) == (0xD5, 0x5E, 0x00, 255)
    assert tuple(rgba[0, 1]) == (255, 255, 255, 0)
    assert 0 < rgba[1, 0, 3] < 255


def test_unsigned_scale_starts_at_zero():
    rgba, legend = colour(np.array([[0.0, 4.0]]), signed=False, percentile=100)
    assert (legend.low, legend.high) == (0.0, 4.0)
    assert rgba[0, 0, 3] == 0
    assert tuple(rgba[0, 1]) == (0x80, 0x00, 0x26, 255)


def test_a_percentile_keeps_one_outlier_from_washing_out_the_rest():
    values = np.ones(1000)
    values[0] = 1e6
    assert limit(values, 99) == 1.0
    assert limit(np.zeros(4)) == 1.0
    assert limit(np.array([0.0] * 999 + [3.0]), 99) == 3.0


def test_given_end_clips_and_nan_is_transparent():
    rgba, legend = colour(np.array([[9.0, np.nan]]), signed=True, end=3.0)
    assert legend.high == 3.0
    assert tuple(rgba[0, 0]) == (0xD5, 0x5E, 0x00, 255)
    assert tuple(rgba[0, 1]) == (0, 0, 0, 0)


def test_colour_refuses_a_batch():
    with pytest.raises(ExplanationFailed, match="one map"):
        colour(np.zeros((2, 3, 3)), signed=True)


@pytest.mark.parametrize(
    "affine",
    [
        Affine.translation(640_000, 226_000) @ Affine.scale(28.5, -28.5),
        Affine.translation(640_000, 226_000) @ Affine.rotation(30) @ Affine.scale(28.5, -28.5),
    ],
    ids=["north up in a state plane", "turned by 30 degrees"],
)
def test_corners_and_pixels_lie_where_rasterio_says(affine):
    size = 16
    rgba = np.zeros((size, size, 4), np.uint8)
    rgba[..., 3] = 255
    rgba[..., 0] = np.arange(size * size).reshape(size, size)  # each pixel carries its own number
    warped, ((south, west), (north, east)) = warp(rgba, affine, "EPSG:32119", side=320)

    corners = [affine @ point for point in ((0, 0), (size, 0), (size, size), (0, size))]
    longitude, latitude = transform_points("EPSG:32119", "EPSG:4326", *zip(*corners, strict=True))
    pixel = (east - west) / size
    assert west == pytest.approx(min(longitude), abs=0.1 * pixel)
    assert east == pytest.approx(max(longitude), abs=0.1 * pixel)
    assert south == pytest.approx(min(latitude), abs=0.1 * pixel)
    assert north == pytest.approx(max(latitude), abs=0.1 * pixel)

    # The browser stretches the picture evenly between the corners in web-mercator metres.
    centres = [affine @ (column + 0.5, row + 0.5) for row in range(size) for column in range(size)]
    x, y = (np.array(axis) for axis in transform_points("EPSG:32119", "EPSG:3857", *zip(*centres, strict=True)))
    (left, right), (bottom, top) = transform_points("EPSG:4326", "EPSG:3857", [west, east], [south, north])
    rows = ((top - y) / (top - bottom) * warped.shape[0]).astype(int)
    columns = ((x - left) / (right - left) * warped.shape[1]).astype(int)
    assert (warped[rows, columns, 0] == np.arange(size * size)).all()
    assert (warped[rows, columns, 3] == 255).all()
    assert (warped[..., 3] == 0).any()  # outside the turned chip nothing is painted

    # Sub-pixel: the middle of each painted number is within a quarter of a chip pixel of its true centre.
    for number in (17, 100, 238):
        painted = np.argwhere((warped[..., 0] == number) & (warped[..., 3] == 255)).mean(0) + 0.5
        true = np.array([(top - y[number]) / (top - bottom), (x[number] - left) / (right - left)]) * warped.shape[:2]
        assert np.abs(painted - true).max() < 0.25 * max(warped.shape) / size


def test_a_chip_without_a_crs_has_no_place():
    for crs in ("", "EPSG:0", "nonsense"):
        with pytest.raises(SceneHasNoCRS, match="no place on a map"):
            warp(np.zeros((2, 2, 4), np.uint8), Affine.identity(), crs)


def test_png_is_written_whole_or_not_at_all(tmp_path):
    picture = np.zeros((2, 3, 4), np.uint8)
    picture[0, 0] = (1, 2, 3, 4)
    write_png(tmp_path / "new" / "why.png", picture)
    assert (np.asarray(Image.open(tmp_path / "new" / "why.png")) == picture).all()
    assert [p.name for p in (tmp_path / "new").iterdir()] == ["why.png"]
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(NotEnoughDisk):
        write_png(tmp_path / "file" / "why.png", picture)


def test_pages_can_read_methods_and_overlay_without_torch():
    code = (
        "import sys, spatialnet.explain.methods, spatialnet.explain.overlay;"
        "sys.exit(int(bool({'torch', 'timm', 'captum'} & set(sys.modules))))"
    )
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


def test_every_method_says_what_it_is():
    assert set(METHODS) == {
        "corrected_gradient", "integrated_gradients", "attention_rollout", "gradient_attention", "occlusion", "gradient_shap",
        "query_attention",
    }  # fmt: skip
    assert all(name == method.name and method.title and method.help for name, method in METHODS.items())
    assert "same for every class" in METHODS["attention_rollout"].help
    assert not METHODS["attention_rollout"].class_specific
