import tracemalloc

import numpy as np
import pytest
import rasterio
from affine import Affine
from rasterio.windows import Window

from spatialnet.datasets.catalogue import chip_table
from spatialnet.datasets.class_raster import NO_CLASS, class_bands
from spatialnet.datasets.split_plans import SplitPlan
from spatialnet.errors import (
    BandsDoNotMatch,
    CheckpointDoesNotFit,
    NothingToRead,
    PathRefused,
    PredictionRefused,
    SceneHasNoCRS,
    SceneUnreadable,
)
from spatialnet.importing.import_plan import ImportPlan
from spatialnet.importing.packing import build_dataset
from spatialnet.importing.prescan.scan import scan
from spatialnet.importing.samples.landscape import ORIGIN, generate_landscape
from spatialnet.importing.scenes.chips import Chipping, StackFiles, scene_listing
from spatialnet.importing.scenes.derive import RULES_FOLDER, load_rules
from spatialnet.importing.scenes.land_cover import LandCoverFile
from spatialnet.predict import stack as stack_module
from spatialnet.predict.chips import predict_chips
from spatialnet.predict.scene import predict_scene
from spatialnet.predict.windows import SceneWindows, blend_weights
from spatialnet.sensors import SENSORS
from tests.conftest import TRANSFORM, UTM


def read(path) -> np.ndarray:
    with rasterio.open(path) as source:
        return source.read()


@pytest.fixture
def slope(write_scene):
    """A scene of one band whose values grow from 0 to 1 from west to east and a little from north to south."""

    def make(height=40, width=56, name="slope.tif", **profile):
        rows, columns = np.mgrid[:height, :width]
        values = (0.8 * columns / width + 0.2 * rows / height).astype(np.float32)[None]
        return write_scene(name, values, **profile)

    return make


# Windows


@pytest.mark.parametrize(
    ("size", "stride", "origin"), [(8, 8, (0, 0)), (8, 4, (3, 1)), (8, 3, (7, 12)), (16, 5, (2, 2))]
)
def test_windows_cover_every_pixel_and_stay_inside(size, stride, origin):
    windows = SceneWindows.covering(43, 57, size, stride, origin)
    covered = np.zeros((43, 57), int)
    for row in windows.rows:
        for column in windows.columns:
            assert 0 <= row <= 43 - size
            assert 0 <= column <= 57 - size
            covered[row : row + size, column : column + size] += 1
    assert covered.min() >= 1
    assert {row % stride for row in windows.rows} <= {origin[0] % stride, 0, (43 - size) % stride}
    assert set(range(origin[0] % stride, 43 - size + 1, stride)) <= set(windows.rows)


def test_weights_are_most_in_the_middle_and_never_nothing():
    weights = blend_weights(8)
    assert weights.max() == weights[3, 3] == weights[4, 4] == 1
    assert weights.min() == weights[0, 0] > 0
    assert np.array_equal(weights, weights.T)
    assert np.array_equal(weights, weights[::-1, ::-1])


# Answers


@pytest.fixture
def ground_in_chips(tmp_path, write_scene):
    """A data set of a landscape of 160 pixels in chips side by side; `change(sensor, pixels, transform)` alters scenes."""

    def make(
        change=lambda _sensor, pixels, transform: (pixels, transform), order=("landsat7", "sentinel1", "elevation")
    ):
        ground = generate_landscape(160, seed=1)
        by_name = {sensor.name: (sensor, raster) for sensor, raster in ground.scenes.items()}
        scenes = {}
        for name in order:
            sensor, raster = by_name[name]
            pixels, transform = change(name, raster.pixels, raster.transform)
            path = write_scene(f"{name}.tif", pixels, transform=transform, nodata=float("nan"))
            scenes[sensor] = (path,)
        cover = write_scene("cover.tif", ground.land_cover[None].astype(np.uint8))
        stack = StackFiles("here", scenes, LandCoverFile(cover))
        listing = scene_listing("test", ORIGIN, [stack], load_rules(RULES_FOLDER / "landscape.toml"), Chipping(16, 16))
        plan = ImportPlan("d", ORIGIN, listing.targets, SplitPlan("random"))
        return build_dataset(tmp_path / "d", scan(listing), plan)

    return make


def scenes_of(data):
    (place,) = data.places
    return {name: data.scene_path(place["name"], name) for name in place["sensors"]}


def assert_map_says_what_chips_say(data, model, files) -> None:
    scores = predict_chips(model, data, batch=100)
    table = chip_table(data)
    transform = Affine(*data.places[0]["transform"])
    with rasterio.open(next(iter(files.values()))) as source:
        finest = source.transform
    for name, task in model.tasks.items():
        if task.kind != "multiclass":
            continue
        bands, _ = class_bands(task, scores[name])
        found = read(files[name]).astype(int)
        for chip, place in table.iterrows():
            column, row = (round(v) for v in ~finest @ (transform @ (place["column"], place["row"])))
            square = found[:, row : row + 16, column : column + 16]
            assert (square == square[:, :1, :1]).all()
            assert np.abs(square[:, 0, 0][1:] - bands[chip][1:].astype(int)).max() <= 1
        assert len(np.unique(found[1])) > 3


def halved(pixels):
    bands, height, width = pixels.shape
    return pixels.reshape(bands, height // 2, 2, width // 2, 2).mean(axis=(2, 4)).astype(np.float32)


def test_a_coarser_second_sensor_is_seen_by_the_map_as_by_the_chips(tmp_path, make_model, ground_in_chips):
    def coarse_radar(name, pixels, transform):
        return (halved(pixels), transform @ Affine.scale(2)) if name == "sentinel1" else (pixels, transform)

    data = ground_in_chips(coarse_radar)
    assert data.manifest["sizes"] == {"landsat7": 16, "sentinel1": 8, "elevation": 16}
    model = make_model(data)
    files = predict_scene(model, scenes_of(data), tmp_path, stride=16, batch=7)
    assert_map_says_what_chips_say(data, model, files)


def test_a_coarser_first_sensor_counts_its_chips_in_its_own_pixels(tmp_path, make_model, ground_in_chips):
    def coarse_optical(name, pixels, transform):
        return (halved(pixels), transform @ Affine.scale(2)) if name == "landsat7" else (pixels, transform)

    data = ground_in_chips(coarse_optical)
    assert (data.chip_size, data.manifest["sizes"]["elevation"]) == (8, 16)
    model = make_model(data)
    files = predict_scene(model, scenes_of(data), tmp_path, size=16, stride=16, batch=7)
    assert_map_says_what_chips_say(data, model, files)


def test_a_sensor_that_sees_a_part_of_the_ground_only_is_absent_elsewhere(tmp_path, make_model, ground_in_chips):
    """And it may reach beyond: what lies outside of the finest scene is not read."""

    def shifted(name, pixels, transform):
        if name != "sentinel1":
            return pixels, transform
        return pixels[:, 32:112, 64:], transform @ Affine.translation(
            64 - 80, 32
        )  # its ground begins 80 pixels further west

    data = ground_in_chips(shifted)
    present = data.present("sentinel1")
    assert 0 < present.sum() < len(data)
    model = make_model(data)
    files = predict_scene(model, scenes_of(data), tmp_path, stride=16, batch=7)
    assert_map_says_what_chips_say(data, model, files)


def test_without_overlap_every_pixel_is_its_chips_prediction(tmp_path, make_model, ground_in_chips):
    """The scene on disk, predicted in windows, against the data set's chips, predicted in another order and batch."""
    data = ground_in_chips()
    model = make_model(data)
    files = predict_scene(model, scenes_of(data), tmp_path, stride=16, batch=7)
    scores = predict_chips(model, data, batch=100)
    table = chip_table(data)
    assert len(table) == 100
    for name, task in model.tasks.items():
        bands, names = class_bands(task, scores[name])
        found = read(files[name]).astype(int)
        with rasterio.open(files[name]) as source:
            assert source.descriptions == tuple(names)
        for chip, place in table.iterrows():
            square = found[:, place["row"] : place["row"] + 16, place["column"] : place["column"] + 16]
            assert (square == square[:, :1, :1]).all()
            assert np.abs(square[:, 0, 0][1:] - bands[chip][1:].astype(int)).max() <= 1  # percent, after rounding
            two = np.sort(scores[name][chip])[-2:]
            assert square[0, 0, 0] == bands[chip][0] or two[1] - two[0] < 1e-4 or task.kind == "multilabel"
        assert len(np.unique(found[1])) > 3


def test_a_runs_map_is_aligned_with_the_chips_of_its_data_set(tmp_path, hand_made, landscape, monkeypatch):
    made = []

    def noted(*arguments):
        made.append(original(*arguments))
        return made[-1]

    original = SceneWindows.covering
    monkeypatch.setattr(SceneWindows, "covering", noted)
    model, table = hand_made(landscape.sensors), chip_table(landscape)
    model.chip_size = 16
    path, first = landscape.scene_path("landscape", "landsat7"), table.iloc[0]
    predict_scene(model, {"landsat7": path}, tmp_path, stride=8, origin=(int(first["row"]), int(first["column"])))
    assert set(table["row"]) <= set(made[0].rows)
    assert set(table["column"]) <= set(made[0].columns)


@pytest.mark.parametrize(("stride", "origin"), [(4, (0, 0)), (3, (2, 1)), (8, (0, 0)), (8, (5, 3)), (1, (0, 0))])
def test_overlaps_are_the_weighted_mean_of_their_windows(tmp_path, hand_made, one_band, slope, stride, origin):
    model = hand_made((one_band,))
    path = slope()
    files = predict_scene(model, {"elevation": path}, tmp_path, stride=stride, origin=origin, batch=5)
    values = read(path)[0].astype(np.float64)
    total, weight = np.zeros_like(values), np.zeros_like(values)
    windows = SceneWindows.covering(40, 56, 8, stride, origin)
    for row in windows.rows:
        for column in windows.columns:
            square = np.s_[row : row + 8, column : column + 8]
            total[square] += blend_weights(8) * values[square].mean()
            weight[square] += blend_weights(8)
    wanted = total / weight
    assert read(files["cars"])[0] == pytest.approx(10 * wanted, abs=1e-3)
    land_use = read(files["land_use"]).astype(int)
    assert np.abs(land_use[2] - 100 * wanted).max() <= 0.51
    assert np.abs(land_use[3] - 100 * (1 - wanted)).max() <= 0.51
    clear = np.abs(wanted - 0.5) > 1e-4
    assert np.array_equal(land_use[0][clear], (wanted < 0.5).astype(int)[clear])
    assert np.abs(land_use[1] - 100 * np.maximum(wanted, 1 - wanted)).max() <= 0.51
    urban = read(files["urban"]).astype(int)
    assert np.array_equal(urban[0][clear], (wanted > 0.5).astype(int)[clear])
    presence = read(files["presence"]).astype(int)
    assert (presence[4] == 25).all()


def test_a_model_that_always_says_the_same_says_it_everywhere(tmp_path, hand_made, one_band, slope):
    model = hand_made((one_band,), lambda means: np.full_like(means, 0.3))
    files = predict_scene(model, {"elevation": slope(41, 53)}, tmp_path, stride=3)
    assert read(files["cars"]) == pytest.approx(3, abs=1e-5)
    assert [np.unique(band).tolist() for band in read(files["land_use"])] == [[1], [70], [30], [70]]


# What stays as it was


def test_the_maps_lie_on_the_scenes_own_grid(tmp_path, hand_made, one_band, slope):
    path = slope(crs="EPSG:32119", transform=TRANSFORM @ TRANSFORM.rotation(12))
    for file in predict_scene(hand_made((one_band,)), {"elevation": path}, tmp_path).values():
        with rasterio.open(file) as found, rasterio.open(path) as source:
            assert (found.shape, found.crs) == (source.shape, source.crs)
            assert found.transform.almost_equals(source.transform)
            assert found.tags(ns="IMAGE_STRUCTURE")["LAYOUT"] == "COG"


def test_no_data_stays_no_data(tmp_path, hand_made, one_band, write_scene):
    values = np.full((1, 40, 48), 0.4, np.float32)
    values[0, :10], values[0, 20, 20], values[0, 30:, 40:] = -1, np.nan, -1
    files = predict_scene(hand_made((one_band,)), {"elevation": write_scene("s.tif", values, nodata=-1)}, tmp_path)
    missing = ~(values[0] >= 0)
    with rasterio.open(files["land_use"]) as source:
        assert source.nodata == NO_CLASS
        assert np.array_equal((source.read() == NO_CLASS).all(axis=0), missing)
        assert np.array_equal(source.read_masks(1) == 0, missing)
    assert np.array_equal(np.isnan(read(files["cars"])[0]), missing)


def test_windows_without_any_data_are_not_asked(tmp_path, hand_made, one_band, write_scene):
    values = np.full((1, 8, 64), np.nan, np.float32)
    values[0, :, 20] = 0.5
    model = hand_made((one_band,))
    predict_scene(model, {"elevation": write_scene("s.tif", values)}, tmp_path, stride=8)
    assert [count for count, _ in model.seen] == [1]


def test_a_sensor_without_data_in_a_window_is_absent_there(tmp_path, hand_made, write_scene):
    radar = np.full((2, 16, 32), 0.5, np.float32)
    radar[:, :, :16] = np.nan
    paths = {
        "sentinel1": write_scene("r.tif", radar),
        "elevation": write_scene("e.tif", np.full((1, 16, 32), 0.5, np.float32)),
    }
    model = hand_made((SENSORS["elevation"], SENSORS["sentinel1"]))
    files = predict_scene(model, paths, tmp_path, stride=8)
    for _, present in model.seen:
        assert present["sentinel1"].tolist() == [False, False, True, True]
        assert present["elevation"].tolist() == [True] * 4
    assert (read(files["land_use"])[0] != NO_CLASS).all()  # one sensor is enough


def test_every_row_is_read_once_and_never_more_than_a_window_of_rows(tmp_path, hand_made, slope, monkeypatch):
    asked: dict[str, list[Window]] = {}

    def counted(source, window):
        asked.setdefault(source.name, []).append(window)
        return original(source, window)

    original = stack_module.read_window
    monkeypatch.setattr(stack_module, "read_window", counted)
    model = hand_made((SENSORS["elevation"], SENSORS["sentinel1"]))
    pair = slope(50, 60), slope(50, 60, "two.tif")
    with rasterio.open(pair[0]) as source:
        both = np.repeat(source.read(), 2, axis=0)
    with rasterio.open(
        pair[1], "w", driver="GTiff", count=2, height=50, width=60, dtype="float32", crs=UTM, transform=TRANSFORM
    ) as out:
        out.write(both)
    predict_scene(model, {"elevation": pair[0], "sentinel1": pair[1]}, tmp_path, stride=3, origin=(1, 1))
    assert len(asked) == 2
    for windows in asked.values():
        rows = [row for window in windows for row in range(int(window.row_off), int(window.row_off + window.height))]
        assert rows == list(range(50))
        assert max(window.height for window in windows) <= 8


def test_memory_does_not_grow_with_the_height_of_the_scene(tmp_path, hand_made, one_band, slope):
    def peak(height: int) -> int:
        path = slope(height, 24, f"{height}.tif")
        model = hand_made((one_band,))
        tracemalloc.start()
        predict_scene(model, {"elevation": path}, tmp_path)
        most = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return most

    peak(32)  # what is loaded once
    assert peak(512) < 1.5 * peak(64)


# What is refused


@pytest.mark.parametrize("stride", [0, -3, 9, 1000])
def test_a_stride_that_does_not_fit_is_refused(tmp_path, hand_made, one_band, slope, stride):
    with pytest.raises(PredictionRefused, match="Choose 1 to 8"):
        predict_scene(hand_made((one_band,)), {"elevation": slope()}, tmp_path / "out", stride=stride)


def test_scenes_that_do_not_fit_are_refused_before_anything_is_written(
    tmp_path, hand_made, one_band, slope, write_scene, settings
):
    model = hand_made((one_band, SENSORS["sentinel1"]))
    good, radar = slope(), np.zeros((2, 40, 56), np.float32)
    out = tmp_path / "out"
    out.mkdir()

    def placed(name, change):
        return write_scene(f"{name}.tif", radar, transform=TRANSFORM @ change)

    refused = [
        ({"naip": good}, CheckpointDoesNotFit),
        ({"elevation": slope(7, 56, "small.tif")}, NothingToRead),
        ({"elevation": write_scene("two.tif", radar)}, BandsDoNotMatch),
        ({"elevation": good, "sentinel1": placed("half", Affine.translation(0.5, 0))}, BandsDoNotMatch),
        ({"elevation": good, "sentinel1": placed("coarse", Affine.scale(1.5))}, BandsDoNotMatch),
        ({"elevation": good, "sentinel1": placed("flat", Affine.scale(2, 1))}, BandsDoNotMatch),
        ({"elevation": good, "sentinel1": placed("turned", Affine.rotation(90))}, BandsDoNotMatch),
        ({"elevation": good, "sentinel1": placed("east", Affine.translation(56, 0))}, BandsDoNotMatch),
        ({"elevation": good, "sentinel1": placed("north", Affine.translation(0, -40))}, BandsDoNotMatch),
        ({"elevation": good, "sentinel1": write_scene("crs.tif", radar, crs="EPSG:32618")}, BandsDoNotMatch),
        (
            {"elevation": good, "sentinel1": write_scene("far.tif", radar, transform=TRANSFORM.scale(30))},
            BandsDoNotMatch,
        ),
        ({"elevation": tmp_path / "none.tif"}, PathRefused),
    ]
    for scenes, error in refused:
        with pytest.raises(error):
            predict_scene(model, scenes, out)
    with pytest.raises(PathRefused, match="outside the workspace"):
        predict_scene(model, {"elevation": good}, out, root=settings.workspace)
    assert list(out.iterdir()) == []


@pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
def test_a_scene_without_a_place_is_refused(tmp_path, hand_made, one_band, slope):
    with pytest.raises(SceneHasNoCRS):
        predict_scene(hand_made((one_band,)), {"elevation": slope(crs=None)}, tmp_path)


def test_a_scene_that_is_cut_short_is_one_sentence_and_leaves_the_old_maps(tmp_path, hand_made, one_band, slope):
    path = slope(400, 400, tiled=True, blockxsize=16, blockysize=16)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    out = tmp_path / "out"
    out.mkdir()
    (out / "land_use.tif").write_text("old")
    model = hand_made((one_band,))
    with pytest.raises(SceneUnreadable, match=r"'slope\.tif' cannot be read .* cut short"):
        predict_scene(model, {"elevation": path}, out)
    assert model.seen  # it had begun
    assert [entry.name for entry in out.iterdir()] == ["land_use.tif"]
    assert (out / "land_use.tif").read_text() == "old"
