import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import rasterio
from rasterio.windows import Window

from spatialnet.datasets.build import Chipping, Stack, build_dataset
from spatialnet.datasets.catalogue import chip_table
from spatialnet.datasets.derive import RULES_FOLDER, load_rules
from spatialnet.datasets.landscape import ORIGIN, generate_landscape
from spatialnet.datasets.packed import SPLITS, PackedChips
from spatialnet.datasets.splits import BlockPlan
from spatialnet.errors import BandsDoNotMatch, NothingToRead
from spatialnet.raster import Raster
from spatialnet.sensors import SENSORS
from spatialnet.settings import REPOSITORY

RULES = load_rules(RULES_FOLDER / "landscape.toml")
PLAN = BlockPlan(block_px=40, guard_px=4, trials=50)


@pytest.fixture(scope="module")
def ground():
    return generate_landscape(160, seed=1)


def stack_of(ground, change=lambda pixels: pixels) -> Stack:
    sensor = SENSORS["landsat7"]
    scene = ground.scenes[sensor]
    return Stack({sensor: Raster(change(scene.pixels.copy()), scene.transform, scene.crs)}, ground.land_cover)


def test_chips_are_the_windows_of_the_scene_bit_by_bit(landscape_stack):
    table = chip_table(landscape_stack)
    for sensor in landscape_stack.sensors:
        images = landscape_stack.images(sensor.name)
        with rasterio.open(landscape_stack.folder / "scenes" / f"{sensor.name}.tif") as source:
            assert source.descriptions == sensor.bands
            for chip in range(0, len(table), 7):
                window = Window(table.loc[chip, "column"], table.loc[chip, "row"], 16, 16)
                assert np.array_equal(images[chip], source.read(window=window))


def test_footprints_are_where_rasterio_says(landscape):
    table = chip_table(landscape)
    with rasterio.open(landscape.folder / "scenes" / "landsat7.tif") as source:
        scene, crs, shape = source.transform, source.crs, source.shape
        bounds = rasterio.warp.transform_bounds(crs, "EPSG:4326", *source.bounds)
        for chip in range(0, len(table), 13):
            row, column = int(table.loc[chip, "row"]), int(table.loc[chip, "column"])
            wanted = rasterio.warp.transform_bounds(
                crs, "EPSG:4326", *source.window_bounds(Window(column, row, 16, 16))
            )
            assert table.loc[chip, ["west", "south", "east", "north"]].tolist() == pytest.approx(wanted, abs=1e-9)
            x, y = scene @ (column + 8, row + 8)
            centre = rasterio.warp.transform(crs, "EPSG:4326", [x], [y])
            assert table.loc[chip, ["longitude", "latitude"]].tolist() == pytest.approx(np.ravel(centre), abs=1e-9)
    assert ((table["west"] < table["longitude"]) & (table["longitude"] < table["east"])).all()
    assert ((table["south"] < table["latitude"]) & (table["latitude"] < table["north"])).all()
    assert landscape.manifest["scene"]["bounds"] == pytest.approx(bounds, abs=1e-9)
    assert (landscape.manifest["scene"]["height"], landscape.manifest["scene"]["width"]) == shape


def test_the_bounds_of_a_scene_that_is_no_square(tmp_path, ground):
    sensor = SENSORS["landsat7"]
    scene = ground.scenes[sensor]
    wide = Stack({sensor: Raster(scene.pixels[:, :90], scene.transform, scene.crs)}, ground.land_cover[:90])
    data = build_dataset(tmp_path / "wide", wide, RULES, ORIGIN, plan=PLAN)
    with rasterio.open(data.folder / "scenes" / "landsat7.tif") as source:
        wanted = rasterio.warp.transform_bounds(source.crs, "EPSG:4326", *source.bounds)
    assert data.manifest["scene"]["bounds"] == pytest.approx(wanted, abs=1e-9)


def test_table_arrays_and_maps_agree(landscape):
    table = chip_table(landscape)
    assert table["chip"].tolist() == list(range(len(landscape)))
    assert table["split"].tolist() == [SPLITS[s] for s in landscape.splits]
    assert table["block"].tolist() == landscape.blocks.tolist()
    with rasterio.open(landscape.folder / "scenes" / "landsat7.tif") as source:
        middles = [source.transform @ (c + 8, r + 8) for r, c in zip(table["row"], table["column"], strict=True)]
    with rasterio.open(landscape.folder / "maps" / "splits.tif") as source:
        assert [v[0] for v in source.sample(middles)] == landscape.splits.tolist()
    with rasterio.open(landscape.folder / "maps" / "target-land_use.tif") as source:
        targets = landscape.targets("land_use")
        assert [v[0] for v in source.sample(middles)] == np.where(targets < 0, 255, targets).tolist()
        assert source.descriptions[:3] == ("class", "confidence", "p(water)")


def test_the_land_cover_is_kept_with_its_colours(landscape):
    with rasterio.open(landscape.folder / "scenes" / "land_cover.tif") as source:
        assert np.array_equal(source.read(1), generate_landscape(192).land_cover)
        for code, colour in RULES.colours.items():
            assert "#" + bytes(source.colormap(1)[code][:3]).hex() == colour


def test_codes_that_no_rule_names_are_unknown_on_the_map(tmp_path, ground):
    cover = ground.land_cover.copy()
    cover[:8, :8], cover[8:16, :8], cover[16:24, :8] = 300, 42, -1
    stack = Stack(stack_of(ground).scenes, cover)
    data = build_dataset(tmp_path / "codes", stack, RULES, ORIGIN, plan=PLAN)
    with rasterio.open(data.folder / "scenes" / "land_cover.tif") as source:
        found = source.read(1)
    assert (found[:24, :8] == 255).all()
    assert (found[:24, 8:] == cover[:24, 8:]).all()


def test_a_frame_of_missing_pixels_gives_no_chips_there(tmp_path, ground):
    def framed(pixels):
        pixels[:, :24] = np.nan
        pixels[2, :, -30:] = np.nan  # one band is enough
        return pixels

    data = build_dataset(tmp_path / "framed", stack_of(ground, framed), RULES, ORIGIN, plan=PLAN)
    table = chip_table(data)
    assert 0 < len(table) < 19 * 19
    missing = np.isnan(data.images("landsat7")).any(axis=1).mean(axis=(1, 2))
    assert missing.max() <= 0.05
    assert table["row"].min() == 24
    assert table["column"].max() + 16 <= 130
    assert np.isfinite(data.statistics("landsat7")[0]).all()


def test_a_few_missing_pixels_stay_missing_in_the_chip(tmp_path, ground):
    def spotted(pixels):
        pixels[:, 40, 40] = np.nan
        return pixels

    data = build_dataset(tmp_path / "spotted", stack_of(ground, spotted), RULES, ORIGIN, plan=PLAN)
    holes = np.isnan(data.images("landsat7")).any(axis=(1, 2, 3))
    assert holes.sum() == 4  # overlapping by half, four chips hold each pixel
    assert np.isfinite(data.statistics("landsat7")[0]).all()


def test_ground_without_a_usable_chip_is_one_sentence(tmp_path, ground):
    def empty(pixels):
        pixels[:, ::3] = np.nan
        return pixels

    with pytest.raises(NothingToRead, match=r"No square of 16 pixels has 95% valid pixels .*no-data value"):
        build_dataset(tmp_path / "empty", stack_of(ground, empty), RULES, ORIGIN, plan=PLAN)
    with pytest.raises(NothingToRead, match=r"160 x 160 pixels; a chip needs 200 x 200"):
        build_dataset(tmp_path / "empty", stack_of(ground), RULES, ORIGIN, chipping=Chipping(size=200), plan=PLAN)
    assert list(tmp_path.iterdir()) == []


def test_scenes_of_two_grids_are_one_sentence(tmp_path, ground):
    landsat, radar = SENSORS["landsat7"], SENSORS["sentinel1"]
    scene, other = ground.scenes[landsat], ground.scenes[radar]
    moved = Raster(other.pixels, other.transform @ other.transform.translation(1, 0), other.crs)
    smaller = Raster(other.pixels[:, :-1], other.transform, other.crs)
    for wrong in (moved, smaller):
        with pytest.raises(BandsDoNotMatch, match="share one pixel grid"):
            build_dataset(tmp_path / "two", Stack({landsat: scene, radar: wrong}, ground.land_cover), RULES, ORIGIN)
    assert list(tmp_path.iterdir()) == []


def test_what_goes_wrong_in_the_middle_leaves_the_old_data_set(tmp_path, ground):
    first = build_dataset(tmp_path / "d", stack_of(ground), RULES, ORIGIN, plan=PLAN)

    def stop(share: float, _text: str) -> None:
        if share >= 0.7:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        build_dataset(tmp_path / "d", stack_of(ground, lambda p: p + 1), RULES, ORIGIN, plan=PLAN, progress=stop)
    assert PackedChips.open(tmp_path / "d").fingerprint == first.fingerprint
    assert [entry.name for entry in tmp_path.iterdir()] == ["d"]


def test_a_new_build_takes_the_place_of_the_old(tmp_path, ground):
    first = build_dataset(tmp_path / "d", stack_of(ground), RULES, ORIGIN, plan=PLAN)
    (first.folder / "left-over").write_text("old")
    second = build_dataset(tmp_path / "d", stack_of(ground, lambda p: p + 1), RULES, ORIGIN, plan=PLAN)
    assert second.fingerprint != first.fingerprint
    assert not (second.folder / "left-over").exists()
    assert [entry.name for entry in tmp_path.iterdir()] == ["d"]


BUILD = """
import sys
from pathlib import Path
from spatialnet.datasets.landscape import prepare_landscape
from spatialnet.errors import NotEnoughDisk

def say(share, text):
    print(text, flush=True)
    if share > 0.7 and "wait" in sys.argv:
        sys.stdin.read()

try:
    prepare_landscape(Path(sys.argv[1]), say, size=192, sensors=("landsat7",))
except NotEnoughDisk as error:
    print(error)
"""


def test_a_killed_build_leaves_the_old_data_set_and_the_next_one_cleans_up(tmp_path, ground):
    first = build_dataset(tmp_path / "d", stack_of(ground), RULES, ORIGIN, plan=PLAN)
    command = [sys.executable, "-c", BUILD, str(tmp_path / "d"), "wait"]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=REPOSITORY)
    while "Writing scenes" not in process.stdout.readline():
        assert process.poll() is None
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    process.stdin.close()
    process.stdout.close()
    assert PackedChips.open(tmp_path / "d").fingerprint == first.fingerprint
    assert len(list(tmp_path.iterdir())) == 2
    build_dataset(tmp_path / "d", stack_of(ground), RULES, ORIGIN, plan=PLAN)
    assert [entry.name for entry in tmp_path.iterdir()] == ["d"]


@pytest.mark.parametrize("size", ["100k", "1m", "2500k", "3500k"])
def test_a_full_disk_is_one_sentence_and_leaves_the_old_data_set(tmp_path, size):
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", disk], capture_output=True)
    if mounted.returncode:
        pytest.skip("only root may mount a small disk")
    try:
        (disk / "d").mkdir()
        (disk / "d" / "dataset.json").write_text("old")
        done = subprocess.run(
            [sys.executable, "-c", BUILD, str(disk / "d")], capture_output=True, text=True, cwd=REPOSITORY
        )
        assert done.stdout.splitlines()[-1].startswith("The disk is full: "), done.stderr
        assert (disk / "d" / "dataset.json").read_text() == "old"
        assert [entry.name for entry in disk.iterdir()] == ["d"]
    finally:
        subprocess.run(["umount", disk], check=True)


def test_a_manifest_is_plain_json_with_the_time_of_making(tmp_path, ground):
    data = build_dataset(tmp_path / "d", stack_of(ground), RULES, ORIGIN, plan=PLAN)
    manifest = json.loads((data.folder / "dataset.json").read_text())
    assert manifest == data.manifest
    assert abs(manifest["created_at"] - time.time()) < 60
    assert manifest["split"]["block_px"] == 40
    assert sum(manifest["split"]["counts"].values()) == len(data)
