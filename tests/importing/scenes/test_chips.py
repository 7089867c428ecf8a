"""Chips cut from small scenes are those of a loop over whole arrays, whatever the strips."""

from dataclasses import replace

import numpy as np
import pytest
import rasterio
from affine import Affine
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from spatialnet.errors import (
    BandsDoNotMatch,
    DataSetInvalid,
    ImportRefused,
    NothingToRead,
    RulesInvalid,
    SceneUnreadable,
)
from spatialnet.importing.listing import Listing, Origin
from spatialnet.importing.scenes import chips as scene_chips
from spatialnet.importing.scenes.chips import Chipping, StackFiles, scene_listing
from spatialnet.importing.scenes.derive import RULES_FOLDER, cover_shares, load_rules
from spatialnet.importing.scenes.land_cover import LandCoverFile
from spatialnet.raster import open_raster, read_window
from spatialnet.sensors import SENSORS
from spatialnet.tasks import Task
from tests.conftest import TRANSFORM

LANDSAT, RADAR, ELEVATION = (SENSORS[name] for name in ("landsat7", "sentinel1", "elevation"))
RULES = load_rules(RULES_FOLDER / "landscape.toml")
ORIGIN = Origin("Mine", "My own scene.", "CC0-1.0", "me", "scene.tif")


@pytest.fixture
def stack(write_scene):
    """A place with three sensors (the radar's pixels are twice as large) and land cover of its own grid."""
    random = np.random.default_rng(1)

    def make(place="north", size=60, transform=TRANSFORM, **profile):
        cover = np.kron(random.integers(1, 7, (1, size // 5, size // 5)), np.ones((1, 5, 5), int)).astype(np.uint8)
        pixels = random.uniform(0, 90, (6, size, size)).astype(np.float32)
        scenes = {
            LANDSAT: (write_scene(f"{place}/a.tif", pixels, transform=transform, **profile),),
            RADAR: (
                write_scene(
                    f"{place}/b.tif",
                    random.normal(size=(2, size // 2, size // 2)).astype(np.float32),
                    transform=transform @ Affine.scale(2),
                    **profile,
                ),
            ),
        }
        path = write_scene(f"{place}/cover.tif", cover, transform=transform, nodata=0, **profile)
        return StackFiles(place, scenes, LandCoverFile(path), land_cover=path)

    return make


def listed(*stacks, chipping=None, rules=RULES, **more):
    return scene_listing("land_cover", ORIGIN, stacks, rules, chipping or Chipping(16, 8), **more)


def read(path, row, column, size):
    with open_raster(path) as source:
        return read_window(source, rasterio.windows.Window(column, row, size, size))


def change(stack, sensor, alter):
    with rasterio.open(stack.scenes[sensor][0], "r+") as source:
        pixels = source.read()
        alter(pixels)
        source.write(pixels)


def test_chips_go_row_by_row_and_have_their_place(stack):
    found = listed(stack())
    assert found.chips["key"].tolist()[:3] == ["north/2-2", "north/2-10", "north/2-18"]
    assert found.chips["key"].is_unique
    assert len(found) == 36
    fine, coarse = found.pixels
    assert (fine.size, coarse.size) == (16, 8)
    assert np.array_equal(fine.row, 2 * coarse.row)
    assert np.array_equal(fine.column, 2 * coarse.column)
    order = fine.row * 1000 + fine.column
    assert (np.diff(order) > 0).all()
    assert (set(found.chips["group"]), set(found.chips["place"])) == ({""}, {"north"})
    x, y = TRANSFORM @ (2 + 8, 2 + 8)
    centre = rasterio.warp.transform("EPSG:32617", "EPSG:4326", [x], [y])
    assert found.chips.loc[0, ["longitude", "latitude"]].tolist() == pytest.approx(np.ravel(centre), abs=1e-9)
    assert found.stride == 8
    assert found.places[0].scenes["landsat7"] == fine.files
    assert found.places[0].land_cover.name == "cover.tif"


def test_targets_are_those_of_the_whole_array(stack):
    made = stack()
    found = listed(made)
    with rasterio.open(made.land_cover) as source:
        cover = source.read(1).astype(np.int32)
    shares = cover_shares(cover, found.pixels[0].row, found.pixels[0].column, 16, list(RULES.names))
    for name, wanted in RULES.derive(shares).items():
        assert np.array_equal(found.ready[name].hard, wanted.hard, equal_nan=True)
        assert np.array_equal(found.ready[name].soft, wanted.soft, equal_nan=True)
    assert [plan.task() for plan in found.targets] == list(RULES.tasks)
    assert found.targets[0].derived == "the land-cover class with the largest share of the chip"
    assert found.labels["known_share"].tolist() == [1.0] * len(found)


@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(budget=st.integers(100, 5000), size=st.sampled_from([4, 10, 16]), half=st.booleans())
def test_strips_of_any_height_give_the_same_listing(stack, monkeypatch, budget, size, half):
    made = stack()
    cut = Chipping(size, size // 2 if half else size)
    whole = listed(made, chipping=cut)
    with monkeypatch.context() as patch:
        patch.setattr(scene_chips, "BLOCK_PIXELS", budget)
        parts = listed(made, chipping=cut)
    assert parts.chips.equals(whole.chips)
    for name, ready in whole.ready.items():
        assert np.array_equal(parts.ready[name].hard, ready.hard, equal_nan=True)
    for a, b in zip(parts.pixels, whole.pixels, strict=True):
        assert np.array_equal(a.row, b.row)
        assert np.array_equal(a.column, b.column)
        assert np.array_equal(a.file, b.file)


@settings(max_examples=10, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(angle=st.floats(-180, 180))
def test_a_turned_scene_keeps_windows_and_targets_and_its_chips_turn_with_it(stack, angle):
    turned = TRANSFORM @ Affine.rotation(angle)
    made = stack(transform=turned)
    found = listed(made)
    middles = [turned @ (c + 8, r + 8) for r, c in zip(found.pixels[0].row, found.pixels[0].column, strict=True)]
    wanted = rasterio.warp.transform("EPSG:32617", "EPSG:4326", *zip(*middles, strict=True))
    assert found.chips["longitude"].tolist() == pytest.approx(wanted[0], abs=1e-9)
    assert found.chips["latitude"].tolist() == pytest.approx(wanted[1], abs=1e-9)
    with rasterio.open(made.land_cover) as source:
        cover = source.read(1).astype(np.int32)
    shares = cover_shares(cover, found.pixels[0].row, found.pixels[0].column, 16, list(RULES.names))
    assert np.array_equal(found.ready["land_use"].hard, RULES.derive(shares)["land_use"].hard)
    assert found.pixels[1].present.all()


def test_chips_without_pixels_are_left_out_and_a_missing_sensor_is_not(stack):
    made = stack()

    def frame(pixels):
        pixels[2, :20] = np.nan  # one band is enough

    def hole(pixels):
        pixels[:, :, :10] = np.nan

    change(made, LANDSAT, frame)
    change(made, RADAR, hole)
    found = listed(made)
    fine, coarse = found.pixels
    assert fine.row.min() >= 19
    assert fine.present.all()
    assert np.array_equal(coarse.present, fine.column >= 20)
    assert (coarse.file[~coarse.present] == -1).all()
    for chip in np.flatnonzero(coarse.present):
        window = read(coarse.files[0], coarse.row[chip], coarse.column[chip], 8)
        assert np.isfinite(window).all()


def test_a_sensor_that_covers_less_ground_is_missing_beyond_it(stack, write_scene):
    made = stack()
    part = write_scene("part.tif", np.ones((1, 20, 30), np.float32), transform=TRANSFORM @ Affine.scale(2))
    found = listed(replace(made, scenes={**made.scenes, ELEVATION: (part,)}))
    elevation, fine = found.pixels[2], found.pixels[0]
    assert np.array_equal(elevation.present, fine.row + 16 <= 40)
    assert (elevation.row[elevation.present] + elevation.size <= 20).all()


def test_several_places_may_lack_a_sensor_and_use_another_crs(stack):
    north, south = stack(), stack("south", size=40, crs="EPSG:32618")
    bare = replace(south, scenes={LANDSAT: south.scenes[LANDSAT]})
    found = listed(north, bare)
    assert found.chips["place"].value_counts().to_dict() == {"north": 36, "south": 16}
    fine, coarse = found.pixels
    assert fine.file[:, 0].tolist() == [0] * 36 + [1] * 16
    assert coarse.present.tolist() == [True] * 36 + [False] * 16
    assert len(coarse.files) == 1
    # Only the sensor with larger pixels: its chips cover the same ground.
    coarse_only = replace(south, scenes={RADAR: south.scenes[RADAR]})
    found = listed(north, coarse_only)
    assert found.pixels[1].size == 8
    assert not found.pixels[0].present[36:].any()
    assert found.pixels[1].present[36:].all()
    assert (found.chips["place"] == "south").sum() == 16


def test_counts_are_sums_in_the_chip_and_unknown_where_no_raster_is(stack, write_scene):
    buildings = Task("buildings", "count", ("buildings",))
    marks = (np.random.default_rng(0).random((1, 60, 60)) < 0.05).astype(np.uint8)
    north = replace(stack(), counts={buildings: (write_scene("marks.tif", marks),)})
    found = listed(north, stack("south"))
    fine = found.pixels[0]
    wanted = [marks[0, r : r + 16, c : c + 16].sum() for r, c in zip(fine.row[:36], fine.column[:36], strict=True)]
    counted = found.ready["buildings"].hard
    assert counted[:36, 0].tolist() == wanted
    assert np.isnan(counted[36:]).all()
    wrong = replace(stack(), counts={buildings: (write_scene("marks.tif", marks[:, :50]),)})
    with pytest.raises(BandsDoNotMatch, match=r"raster of counts has 60 x 50 pixels"):
        listed(wrong)


def test_what_the_land_cover_does_not_say_is_noted(stack):
    made = stack()
    with rasterio.open(made.land_cover, "r+") as source:
        codes = source.read()
        codes[:, :20], codes[:, 20:26] = 0, 99
        source.write(codes)
    found = listed(made)
    texts = [note.text for note in found.notes]
    assert any("do not name the land-cover codes 99 (15.8% of the ground)" in text for text in texts)
    assert any("12 of 36 chips lie where no class is known" in text for text in texts)
    assert (found.ready["land_use"].hard[:12] == -100).all()


def test_rules_of_another_land_cover_are_one_sentence(stack):
    with pytest.raises(RulesInvalid, match=r"'cover.tif' holds the codes 1, 2, .*name none of them"):
        listed(stack(), rules=load_rules(RULES_FOLDER / "worldcover.toml"))


def test_land_cover_of_another_place_is_one_sentence(stack, write_scene):
    far = write_scene("far.tif", np.ones((1, 9, 9), np.uint8), transform=Affine.translation(9e5, 0) @ TRANSFORM)
    with pytest.raises(NothingToRead, match=r"'far.tif' holds no class on the ground.*same place"):
        listed(replace(stack(), cover=LandCoverFile(far)))


def test_scenes_without_a_usable_chip_are_one_sentence(stack):
    made = stack()

    def empty(pixels):
        pixels[:, ::3] = np.nan

    change(made, LANDSAT, empty)
    with pytest.raises(NothingToRead, match=r"No square of 16 pixels has 95% valid pixels .*no-data value"):
        listed(made)
    found = listed(made, stack("south"))
    assert [note.names for note in found.notes if "enough valid pixels" in note.text] == [("north",)]
    with pytest.raises(NothingToRead, match=r"60 x 60 pixels; a chip needs 64 x 64"):
        listed(stack("third"), chipping=Chipping(64, 64))


def test_pixels_that_make_no_whole_chip_are_one_sentence(stack, write_scene):
    made = stack()
    odd = write_scene("odd.tif", np.ones((1, 40, 40), np.float32), transform=TRANSFORM @ Affine.scale(1.5))
    with pytest.raises(BandsDoNotMatch, match=r"pixels of 30 from .* pixels of 45 from .*resample one of the files"):
        listed(replace(made, scenes={LANDSAT: made.scenes[LANDSAT], ELEVATION: (odd,)}))
    with pytest.raises(BandsDoNotMatch, match="resample one of the files"):
        listed(made, chipping=Chipping(16, 5))  # five pixels of one are two and a half of the other


def test_one_sensor_with_two_pixel_sizes_is_one_sentence(stack, write_scene):
    coarse = stack("south", transform=TRANSFORM @ Affine.scale(2))
    with pytest.raises(BandsDoNotMatch, match=r"pixels of 30 m at 'north' and of 60 m at 'south'"):
        listed(stack(), coarse)


def test_places_need_names_of_their_own(stack):
    made = stack()
    with pytest.raises(ImportRefused, match="Two places are called 'north'"):
        listed(made, made)
    with pytest.raises(ImportRefused, match="cannot be the name of a place"):
        listed(replace(made, place="../up"))
    with pytest.raises(ImportRefused, match="No scene was named"):
        listed(replace(made, scenes={}))
    with pytest.raises(ImportRefused, match=r"Landsat 7 ETM\+ has other files or bands at one place"):
        listed(made, replace(stack("south"), bands={"landsat7": (1, 2, 3, 4, 5, 6)}))


@pytest.mark.parametrize("chipping", [(1, 1, 0.9), (16, 17, 0.9), (16, 0, 0.9), (16, 8, 0.0), (16, 8, 1.1)])
def test_chips_that_cannot_be_cut_are_one_sentence(chipping):
    with pytest.raises(DataSetInvalid, match=r"Use a "):
        Chipping(*chipping)


@pytest.mark.parametrize("content", [b"", b"<VRTDataset rasterXSize='9' rasterYSize='9'></VRTDataset>", b"II*\0 cut"])
def test_files_that_are_no_scene_are_one_sentence(stack, tmp_path, content):
    made = stack()
    path = tmp_path / "wrong.tif"
    path.write_bytes(content)
    with pytest.raises(SceneUnreadable, match=r"'wrong.tif' cannot be read as a GeoTIFF"):
        listed(replace(made, scenes={LANDSAT: (path,)}))
    with pytest.raises(SceneUnreadable, match=r"'wrong.tif' cannot be read as a GeoTIFF"):
        listed(replace(made, cover=LandCoverFile(path)))


def test_a_listing_is_read_again_as_it_was_saved(stack, tmp_path):
    found = listed(stack(), stack("south"))
    (tmp_path / "saved").mkdir()
    found.save(tmp_path / "saved")
    again = Listing.load(tmp_path / "saved")
    assert again.chips.equals(found.chips)
    assert again.labels.equals(found.labels)
    assert again.targets == found.targets
    assert again.places == found.places
    assert again.rules == found.rules
    assert np.array_equal(again.pixels[1].file, found.pixels[1].file)


def test_progress_goes_from_place_to_place(stack):
    told = []
    listed(stack(), stack("south"), progress=lambda share, text: told.append((share, text)))
    assert [share for share, _ in told] == sorted(share for share, _ in told)
    assert {text for _, text in told} == {"Looking at the ground of north", "Looking at the ground of south"}
