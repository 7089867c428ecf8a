import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import rasterio
import tifffile
from PIL import Image
from rasterio.windows import Window

from spatialnet.errors import (
    BandsDoNotMatch,
    NothingToRead,
    PathRefused,
    SceneHasNoCRS,
    SceneTooLarge,
    SceneUnreadable,
)
from spatialnet.raster import (
    Raster,
    check_path,
    cog_writer,
    open_raster,
    read_scene,
    read_window,
    write_cog,
)
from spatialnet.sensors import SENSORS
from spatialnet.settings import REPOSITORY
from tests.conftest import TRANSFORM, UTM

LANDSAT = SENSORS["landsat7"]

VRT = """<VRTDataset rasterXSize="4" rasterYSize="4"><SRS>EPSG:32617</SRS>
<GeoTransform>0,1,0,0,0,-1</GeoTransform>
<VRTRasterBand dataType="Byte" band="1" subClass="VRTRawRasterBand"><SourceFilename>{source}</SourceFilename>
<ImageOffset>0</ImageOffset><PixelOffset>1</PixelOffset><LineOffset>4</LineOffset></VRTRasterBand></VRTDataset>"""

STRANGE_NAMES = [
    "{{7*7}}.tif",
    "<script>alert(1)<.tif",
    'it\'s "quoted".tif',
    "🌾 Feld.tif",
    "\u202eשדה\u202c.TIFF",
    "a b%20c.gtif",
]


def one_sentence(error: pytest.ExceptionInfo) -> str:
    """The message, after a check that a person can read it: no line break, no raw control sign, an end, a next step."""
    text = str(error.value)
    assert text.isprintable()
    assert text.endswith(".")
    assert len(text) < 400
    assert text.count(". ") >= 1
    return text


# Reading what is right


def test_a_scene_is_read_as_it_was_written(write_scene):
    pixels = np.random.default_rng(1).uniform(0, 255, (6, 20, 30)).astype(np.float32)
    raster = read_scene(write_scene("scene.tif", pixels), LANDSAT)
    assert np.array_equal(raster.pixels, pixels)
    assert raster.pixels.dtype == np.float32
    assert (raster.shape, raster.gsd_m) == ((20, 30), 30.0)
    assert raster.transform.almost_equals(TRANSFORM)
    assert raster.crs == UTM


def test_no_data_nan_and_infinite_values_become_nan(write_scene):
    pixels = np.full((6, 4, 5), 7, np.float32)
    pixels[0, 0, 0], pixels[1, 1, 1], pixels[2, 2, 2], pixels[3, 3, 3] = -99999, np.nan, np.inf, -np.inf
    found = read_scene(write_scene("scene.tif", pixels, nodata=-99999), LANDSAT).pixels
    assert np.argwhere(np.isnan(found)).tolist() == [[0, 0, 0], [1, 1, 1], [2, 2, 2], [3, 3, 3]]
    assert np.nanmin(found) == np.nanmax(found) == 7


def test_whole_numbers_are_read_as_float32(write_scene):
    pixels = np.full((6, 4, 5), 65535, np.uint16)
    pixels[:, 0] = 0
    found = read_scene(write_scene("scene.tif", pixels, nodata=0), LANDSAT).pixels
    assert np.isnan(found[:, 0]).all()
    assert (found[:, 1:] == 65535).all()


@pytest.mark.parametrize("name", STRANGE_NAMES)
def test_a_strange_name_is_only_a_name(write_scene, name):
    assert read_scene(write_scene(name), LANDSAT).shape == (40, 48)


def test_bounds_are_those_of_rasterio(write_scene):
    with rasterio.open(write_scene("scene.tif")) as source:
        window = Window(12, 8, 24, 16)
        wanted = rasterio.warp.transform_bounds(source.crs, "EPSG:4326", *source.window_bounds(window))
    grid = Raster(np.zeros((1, 40, 48), np.float32), TRANSFORM, UTM)
    assert grid.wgs84_bounds(8, 12, 16, 24) == pytest.approx(wanted, abs=1e-9)
    square = grid.wgs84_bounds(8, 12, 16)
    assert square == pytest.approx(grid.wgs84_bounds(8, 12, 16, 16))
    assert square[2] < wanted[2]


# Refusing what is wrong


def test_a_truncated_geotiff_is_one_sentence(write_scene):
    path = write_scene("cut.tif")
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(SceneUnreadable, match="cut short") as error:
        read_scene(path, LANDSAT)
    one_sentence(error)


@pytest.mark.parametrize("content", [b"", b"II*\0", b"not a raster", os.urandom(4096)])
def test_another_kind_of_file_is_one_sentence(tmp_path, content):
    path = tmp_path / "other.tif"
    path.write_bytes(content)
    with pytest.raises(SceneUnreadable, match="another kind") as error:
        read_scene(path, LANDSAT)
    one_sentence(error)


def test_damage_found_while_reading_a_window_is_one_sentence(write_scene):
    path = write_scene(
        "cut.tif", np.random.default_rng(0).uniform(size=(6, 64, 64)), tiled=True, blockxsize=16, blockysize=16
    )
    path.write_bytes(path.read_bytes()[:-40_000])
    with open_raster(path) as source, pytest.raises(SceneUnreadable, match="cut short"):
        read_window(source, Window(0, 0, 64, 64))


@pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
def test_no_crs_is_one_sentence(write_scene):
    path = write_scene("nowhere.tif", crs=None)
    with pytest.raises(SceneHasNoCRS, match=r"rio edit-info --crs") as error:
        read_scene(path, LANDSAT)
    one_sentence(error)


@pytest.mark.parametrize("bands", [1, 5, 7, 40])
def test_a_wrong_band_count_is_one_sentence(write_scene, bands):
    path = write_scene("bands.tif", np.ones((bands, 4, 4), np.uint8))
    with pytest.raises(BandsDoNotMatch, match=rf"has {bands} bands .*Landsat 7 ETM\+ has 6 \(B1, B2") as error:
        read_scene(path, LANDSAT)
    one_sentence(error)


def test_all_no_data_is_one_sentence(write_scene):
    for name, value in (("nodata.tif", -1), ("nan.tif", np.nan), ("inf.tif", np.inf)):
        path = write_scene(name, np.full((6, 4, 4), value, np.float32), nodata=-1)
        with pytest.raises(NothingToRead, match="only no-data") as error:
            read_scene(path, LANDSAT)
        one_sentence(error)


def test_a_virtual_raster_posing_as_a_geotiff_does_not_open(tmp_path):
    secret = tmp_path / "secret.txt"
    secret.write_text("0123456789abcdef")
    path = tmp_path / "scene.tif"
    path.write_text(VRT.format(source=secret))
    with pytest.raises(SceneUnreadable) as error:
        read_scene(path, SENSORS["elevation"])
    one_sentence(error)


@pytest.mark.parametrize(
    "text",
    [
        "http://127.0.0.1:1/x.tif", "https://example.org/x.tif", "s3://bucket/x.tif", Path("https://example.org/x.tif"), "file:///etc/hosts.tif",
        "/vsicurl/http://127.0.0.1:1/x.tif", "/vsizip/x.zip/x.tif", "/vsimem/x.tif", "/vsistdin/",
        VRT.format(source="/etc/passwd"), "  <VRTDataset/>", "a\0b.tif", "GTIFF_DIR:1:x.tif", "x" * 5000 + ".tif",
        "\ud800.tif",
    ],
)  # fmt: skip
def test_addresses_and_descriptions_are_refused(text):
    with pytest.raises(PathRefused) as error:
        check_path(text)
    one_sentence(error)


def test_a_path_outside_the_workspace_is_refused_also_through_a_link(write_scene, settings):
    outside = write_scene("outside.tif")
    inner = settings.datasets / "inner.tif"
    shutil.copy(outside, inner)
    assert check_path(inner, settings.workspace) == inner
    link, folder = settings.datasets / "link.tif", settings.datasets / "folder"
    link.symlink_to(outside)
    folder.symlink_to(outside.parent)
    dotted = settings.datasets / ".." / ".." / "outside.tif"
    for path in (outside, link, folder / "outside.tif", dotted):
        with pytest.raises(PathRefused, match="outside the workspace") as error:
            read_scene(path, LANDSAT, root=settings.workspace)
        one_sentence(error)


def test_a_name_that_starts_like_the_workspace_is_outside(write_scene, settings):
    near = write_scene(f"{settings.workspace.name}-2/outside.tif")
    with pytest.raises(PathRefused, match="outside the workspace"):
        check_path(near, settings.workspace)


def test_what_is_no_file_is_refused(tmp_path):
    (tmp_path / "folder.tif").mkdir()
    os.mkfifo(tmp_path / "pipe.tif")
    (tmp_path / "circle.tif").symlink_to(tmp_path / "circle.tif")
    (tmp_path / "photo.jpg").write_bytes(b"x")
    for name in ("folder.tif", "pipe.tif", "circle.tif", "photo.jpg", "missing.tif"):
        with pytest.raises(PathRefused) as error:
            check_path(tmp_path / name)
        assert name in one_sentence(error)


def test_a_link_to_another_suffix_is_refused(tmp_path):
    (tmp_path / "data.vrt").write_text(VRT.format(source="/etc/passwd"))
    (tmp_path / "scene.tif").symlink_to(tmp_path / "data.vrt")
    with pytest.raises(PathRefused, match="not a GeoTIFF"):
        check_path(tmp_path / "scene.tif")


def test_control_and_direction_signs_are_made_visible(tmp_path):
    path = tmp_path / "a\x1b[31m\n\u202egpj.tif"
    path.write_text("junk")
    with pytest.raises(SceneUnreadable) as error:
        read_scene(path, LANDSAT)
    assert r"a\x1b[31m\n\u202egpj.tif" in one_sentence(error)


def test_a_huge_header_is_refused_before_a_pixel_is_read(tmp_path):
    path = tmp_path / "huge.tif"
    profile = {"driver": "GTiff", "width": 20_000, "height": 20_000, "count": 6, "dtype": "float64"}
    with rasterio.open(path, "w", **profile, crs=UTM, transform=TRANSFORM, SPARSE_OK=True, BIGTIFF=True, tiled=True):
        pass
    assert path.stat().st_size < 1_000_000
    before = _peak_mib()
    with pytest.raises(SceneTooLarge, match=r"20000 x 20000 pixels; the limit is 250,000,000") as error:
        read_scene(path, LANDSAT)
    one_sentence(error)
    assert _peak_mib() - before < 50
    with open_raster(path, max_pixels=400_000_000) as source:
        assert source.shape == (20_000, 20_000)


def _peak_mib() -> float:
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) / 1024


# Writing


def write_classes(path: Path) -> np.ndarray:
    pixels = np.random.default_rng(0).integers(0, 200, (3, 700, 900)).astype(np.uint8)
    write_cog(
        path, pixels, TRANSFORM, UTM, nodata=255, descriptions=["class", "confidence", "p({{x}}) <b>"],
        scales=[1.0, 0.01, 0.01], tags={"run": "run-1"},
    )  # fmt: skip
    return pixels


def test_a_written_raster_says_everything_that_it_was_given(tmp_path):
    pixels = write_classes(tmp_path / "map.tif")
    with rasterio.open(tmp_path / "map.tif") as source:
        assert np.array_equal(source.read(), pixels)
        assert (source.crs, source.nodata) == (UTM, 255)
        assert source.transform.almost_equals(TRANSFORM)
        assert source.descriptions == ("class", "confidence", "p({{x}}) <b>")
        assert source.scales == (1.0, 0.01, 0.01)
        assert source.tags()["run"] == "run-1"
    assert [entry.name for entry in tmp_path.iterdir()] == ["map.tif"]


def test_another_library_reads_the_same_pixels(tmp_path):
    pixels = write_classes(tmp_path / "map.tif")
    with Image.open(tmp_path / "map.tif") as picture:
        assert np.array_equal(np.asarray(picture), pixels.transpose(1, 2, 0))


def test_a_colour_table_is_kept(tmp_path):
    cover = np.array([[[1, 2], [2, 255]]], np.uint8)
    write_cog(tmp_path / "c.tif", cover, TRANSFORM, UTM, nodata=255, colours={1: (1, 2, 3, 255), 2: (9, 8, 7, 255)})
    with rasterio.open(tmp_path / "c.tif") as source:
        assert source.colormap(1)[2] == (9, 8, 7, 255)
    with Image.open(tmp_path / "c.tif") as picture:
        assert picture.convert("RGB").getpixel((1, 0)) == (9, 8, 7)


def test_a_written_raster_is_cloud_optimised(tmp_path):
    write_classes(tmp_path / "map.tif")
    end = (tmp_path / "map.tif").stat().st_size
    with tifffile.TiffFile(tmp_path / "map.tif") as opened:
        levels = list(opened.pages)
        assert [level.shape for level in levels] == [(700, 900, 3), (350, 450, 3)]
        assert all(level.is_tiled for level in levels)
        first_data = [min(level.dataoffsets) for level in levels]
        assert max(level.offset for level in levels) < min(first_data)  # every directory before any pixel
        assert first_data == sorted(first_data, reverse=True)  # the smallest overview first, the full size last
        blocks = [block for level in levels for block in zip(level.dataoffsets, level.databytecounts, strict=True)]
    assert all(size > 0 and offset + size <= end for offset, size in blocks)


def test_a_raster_written_window_by_window_is_the_same(tmp_path, write_scene):
    pixels = np.random.default_rng(0).integers(0, 200, (2, 40, 48)).astype(np.uint8)
    with open_raster(write_scene("like.tif")) as like:
        options = {"count": 2, "dtype": "uint8", "nodata": 255, "descriptions": ["a", "b"], "scales": [1.0, 0.01]}
        with cog_writer(tmp_path / "map.tif", like, **options) as target:
            for row in range(0, 40, 7):
                rows = pixels[:, row : row + 7]
                target.write(rows, window=Window(0, row, 48, rows.shape[1]))
            assert not (tmp_path / "map.tif").exists()
    with rasterio.open(tmp_path / "map.tif") as source:
        assert np.array_equal(source.read(), pixels)
        assert (source.crs, source.nodata, source.descriptions) == (UTM, 255, ("a", "b"))
        assert source.scales == (1.0, 0.01)
        assert source.transform.almost_equals(TRANSFORM)
        assert source.tags(ns="IMAGE_STRUCTURE")["LAYOUT"] == "COG"
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["like.tif", "map.tif"]


def test_a_writer_that_fails_leaves_the_old_file(tmp_path, write_scene):
    (tmp_path / "map.tif").write_text("old")
    options = {"count": 1, "dtype": "uint8", "nodata": 255, "descriptions": ["a"]}
    with (
        open_raster(write_scene("like.tif")) as like,
        pytest.raises(SceneTooLarge),
        cog_writer(tmp_path / "map.tif", like, **options),
    ):
        raise SceneTooLarge("from within")
    assert (tmp_path / "map.tif").read_text() == "old"
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["like.tif", "map.tif"]


def test_a_folder_that_is_not_there_is_one_sentence(tmp_path):
    with pytest.raises(SceneUnreadable, match="could not be written"):
        write_cog(tmp_path / "none" / "x.tif", np.zeros((1, 4, 4), np.uint8), TRANSFORM, UTM, nodata=None)


FILL = """
import resource, sys
from pathlib import Path
import numpy as np
from spatialnet.errors import NotEnoughDisk
from affine import Affine
from rasterio.crs import CRS
from rasterio.windows import Window
from spatialnet.raster import cog_writer, open_raster, write_cog

how, path, like = sys.argv[1], Path(sys.argv[2]), sys.argv[3]
pixels = np.random.default_rng(0).integers(0, 200, (3, 1000, 1000)).astype(np.uint8)

def write():
    if how == "whole":
        return write_cog(path, pixels, Affine(30, 0, 5e5, 0, -30, 4e6), CRS.from_epsg(32617), nodata=255)
    options = {"count": 3, "dtype": "uint8", "nodata": 255, "descriptions": ["a", "b", "c"]}
    with open_raster(like) as source, cog_writer(path, source, **options) as target:
        for row in range(0, 1000, 100):
            target.write(pixels[:, row : row + 100], window=Window(0, row, 1000, 100))

for limit in sys.argv[4:]:
    resource.setrlimit(resource.RLIMIT_FSIZE, (int(limit), -1))
    try:
        write()
    except NotEnoughDisk as error:
        print(error)
    else:
        print("written")
    print(path.stat().st_size, len(list(path.parent.iterdir())))
"""

FULL = "The disk is full: map.tif was not written. Free some space and try again."


@pytest.fixture
def fill(write_scene, tmp_path):
    """Writes `map.tif` with each of the limits on a file's size in turn; what was said, and what is there."""
    like = write_scene("like.tif", np.zeros((1, 1000, 1000), np.uint8))

    def run(how: str, path: Path, *limits: int) -> list[str]:
        command = [sys.executable, "-c", FILL, how, str(path), str(like), *map(str, limits)]
        done = subprocess.run(command, capture_output=True, text=True, cwd=REPOSITORY)
        assert done.returncode == 0, done.stderr
        return done.stdout.splitlines()

    return run


@pytest.mark.parametrize("how", ["whole", "windows"])
def test_a_file_that_may_not_grow_further_leaves_the_old_one(tmp_path, fill, how):
    path = tmp_path / "out" / "map.tif"
    path.parent.mkdir()
    path.write_text("old")
    *failed, written, left = fill(how, path, 1, 200_000, 900_000, 2_000_000, -1)
    assert failed == [FULL, "3 1"] * 4
    assert written == "written"  # as soon as there is room
    assert left == f"{path.stat().st_size} 1"


@pytest.mark.parametrize("how", ["whole", "windows"])
@pytest.mark.parametrize("size", ["300k", "3500k", "20m"])
def test_a_full_disk_leaves_the_old_file(tmp_path, fill, how, size):
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", folder], capture_output=True)
    if mounted.returncode:
        pytest.skip("only root may mount a small disk; the test above does the same with a limit")
    try:
        (folder / "map.tif").write_text("old")
        said = fill(how, folder / "map.tif", -1)
        assert said[0] == "written" if size == "20m" else said == [FULL, "3 1"]
    finally:
        subprocess.run(["umount", folder], check=True)


def test_gdal_has_no_network_and_no_virtual_rasters(tmp_path):
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        listener.settimeout(0.2)
        port = listener.getsockname()[1]
        (tmp_path / "far.tif").write_text(VRT.format(source=f"/vsicurl/http://127.0.0.1:{port}/x"))
        code = (
            "import sys, spatialnet.raster, rasterio\n"
            "for name in sys.argv[1:]:\n"
            "    try:\n"
            "        rasterio.open(name).read()\n"
            "    except rasterio.errors.RasterioIOError:\n"
            "        continue\n"
            "    sys.exit(f'{name} was opened')\n"
        )
        addresses = [f"http://127.0.0.1:{port}/x.tif", f"/vsicurl/http://127.0.0.1:{port}/x.tif"]
        names = [*addresses, str(tmp_path / "far.tif"), VRT.format(source=f"/vsicurl/{addresses[0]}")]
        subprocess.run([sys.executable, "-c", code, *names], check=True, cwd=REPOSITORY)
        with pytest.raises(TimeoutError):
            listener.accept()
