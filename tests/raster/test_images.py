import numpy as np
import pytest
import rasterio
from PIL import Image

from spatialnet.errors import PathRefused, SceneTooLarge, SceneUnreadable
from spatialnet.raster import image_header, read_image
from tests.conftest import TRANSFORM, UTM


@pytest.fixture
def picture():
    return np.random.default_rng(0).integers(0, 256, (20, 30, 3), dtype=np.uint8)


def test_a_png_and_a_jpeg_without_a_place(tmp_path, picture):
    Image.fromarray(picture).save(tmp_path / "a.png")
    Image.fromarray(picture).save(tmp_path / "a.jpg", quality=95, subsampling=0)
    pixels, header = read_image(tmp_path / "a.png")
    assert np.array_equal(pixels, picture.transpose(2, 0, 1))
    assert (header.count, header.height, header.width, header.dtype) == (3, 20, 30, "uint8")
    assert header.crs is None
    assert header.transform is None
    lossy, _ = read_image(tmp_path / "a.jpg")
    with Image.open(tmp_path / "a.jpg") as other:
        assert np.abs(lossy.astype(int) - np.asarray(other).transpose(2, 0, 1)).max() <= 4


def test_a_geotiff_keeps_type_place_nodata_scale_and_names(tmp_path):
    values = np.arange(2 * 6 * 5, dtype=np.uint16).reshape(2, 6, 5)
    with rasterio.open(
        tmp_path / "s.tif", "w", driver="GTiff", count=2, height=6, width=5, dtype="uint16", crs=UTM, transform=TRANSFORM,
        nodata=7,
    ) as target:  # fmt: skip
        target.write(values)
        target.scales, target.offsets = (0.5, 0.25), (1.0, 2.0)
        target.set_band_description(1, "VV")
    pixels, header = read_image(tmp_path / "s.tif")
    assert pixels.dtype == np.uint16
    assert np.array_equal(pixels, values)
    assert header == image_header(tmp_path / "s.tif")
    assert (header.crs, header.transform, header.nodata) == (UTM, TRANSFORM, 7)
    assert (header.descriptions, header.scales, header.offsets) == (("VV", ""), (0.5, 0.25), (1.0, 2.0))


def test_a_palette_becomes_the_colours_it_stands_for(tmp_path, picture):
    indexed = Image.fromarray(picture).quantize(16)
    indexed.save(tmp_path / "p.png")
    pixels, header = read_image(tmp_path / "p.png")
    assert header.colours == "palette"
    assert header.count == 3
    assert np.array_equal(pixels.transpose(1, 2, 0), np.asarray(indexed.convert("RGB")))


def test_cmyk_becomes_rgb(tmp_path, picture):
    Image.new("CMYK", (8, 8), (255, 0, 0, 0)).save(tmp_path / "c.jpg")
    pixels, header = read_image(tmp_path / "c.jpg")
    assert (header.colours, header.count) == ("cmyk", 3)
    red, green, blue = pixels.mean(axis=(1, 2))
    assert red < 60
    assert min(green, blue) > 150


def test_a_transparent_pixel_is_not_a_value(tmp_path, picture):
    rgba = np.dstack([picture, np.full((20, 30), 255, np.uint8)])
    Image.fromarray(rgba).save(tmp_path / "opaque.png")
    assert read_image(tmp_path / "opaque.png")[0].dtype == np.uint8
    rgba[3, 4, 3] = 0
    Image.fromarray(rgba).save(tmp_path / "hole.png")
    pixels, header = read_image(tmp_path / "hole.png")
    assert (header.dtype, header.colours, header.count) == ("float32", "alpha", 3)
    assert np.argwhere(np.isnan(pixels)).tolist() == [[0, 3, 4], [1, 3, 4], [2, 3, 4]]


def test_the_fourth_band_of_a_geotiff_is_a_band(tmp_path):
    """GDAL calls it alpha when a tool says RGB; in our field it is the infrared band."""
    values = np.zeros((4, 3, 3), np.uint8)
    values[:3] = 9
    with rasterio.open(
        tmp_path / "n.tif", "w", driver="GTiff", count=4, height=3, width=3, dtype="uint8", transform=TRANSFORM
    ) as target:
        target.write(values)
    pixels, header = read_image(tmp_path / "n.tif")
    assert header.count == 4
    assert np.array_equal(pixels, values)


def test_what_is_no_image_is_refused_in_a_sentence(tmp_path):
    (tmp_path / "empty.png").write_bytes(b"")
    (tmp_path / "vrt.tif").write_text('<VRTDataset rasterXSize="4" rasterYSize="4"></VRTDataset>')
    Image.new("RGB", (64, 64)).save(tmp_path / "cut.jpg")
    (tmp_path / "cut.jpg").write_bytes((tmp_path / "cut.jpg").read_bytes()[:200])
    (tmp_path / "note.txt").write_text("no picture")
    for name in ("empty.png", "vrt.tif", "cut.jpg"):
        with pytest.raises(SceneUnreadable, match=name):
            read_image(tmp_path / name)
    with pytest.raises(PathRefused, match="not an image file"):
        read_image(tmp_path / "note.txt")
    Image.new("RGB", (64, 64)).save(tmp_path / "big.png")
    with pytest.raises(SceneTooLarge, match="64 x 64"):
        read_image(tmp_path / "big.png", max_pixels=1000)
