"""A data set from a person's own files is the one that the same rasters give in memory."""

from pathlib import Path

import numpy as np
import pytest

from spatialnet.datasets.build import Chipping, Origin
from spatialnet.datasets.derive import RULES_FOLDER
from spatialnet.datasets.landscape import prepare_landscape
from spatialnet.datasets.own_scenes import build_from_files
from spatialnet.datasets.splits import BlockPlan
from spatialnet.errors import BandsDoNotMatch, DataSetInvalid, RulesInvalid

ORIGIN = Origin("Mine", "My own scene.", "CC0-1.0", "me", "scene.tif")
RULES = RULES_FOLDER / "landscape.toml"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory):
    return prepare_landscape(tmp_path_factory.mktemp("made") / "landscape", size=256, sensors=("landsat7", "sentinel1"))


def test_files_give_the_same_chips_targets_and_splits(made, tmp_path: Path) -> None:
    scenes = {name: made.folder / "scenes" / f"{name}.tif" for name in ("landsat7", "sentinel1")}
    own = build_from_files(tmp_path / "own", scenes, made.folder / "scenes" / "land_cover.tif", RULES, ORIGIN)
    for name in scenes:
        assert np.array_equal(own.images(name), made.images(name))
    for task in own.tasks:
        assert np.array_equal(own.targets(task.name), made.targets(task.name), equal_nan=True)
    assert np.array_equal(own.splits, made.splits)
    assert [sensor.name for sensor in own.sensors] == ["landsat7", "sentinel1"]
    assert own.manifest["synthetic"] is False


@pytest.mark.parametrize(
    ("sensor", "rules", "error", "said"),
    [
        ("landsat9", RULES, BandsDoNotMatch, "There is no sensor 'landsat9'"),
        ("rgb", RULES, BandsDoNotMatch, r"has 6 bands \(B1, B2, B3, B4, B5, B7\); RGB has 3"),
        ("landsat7", RULES_FOLDER / "none.toml", RulesInvalid, "none.toml cannot be used"),
    ],
)
def test_what_does_not_fit_is_said_and_nothing_is_left(made, tmp_path: Path, sensor, rules, error, said) -> None:
    folder = made.folder / "scenes"
    with pytest.raises(error, match=said):
        build_from_files(tmp_path / "own", {sensor: folder / "landsat7.tif"}, folder / "land_cover.tif", rules, ORIGIN)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("size", "stride"), [(1, 1), (16, 0), (16, 17), (16, -1)])
def test_chips_that_cannot_be_cut_are_refused(size: int, stride: int) -> None:
    with pytest.raises(DataSetInvalid, match="cannot be cut"):
        Chipping(size, stride)


def test_blocks_that_cannot_be_made_are_refused() -> None:
    with pytest.raises(DataSetInvalid, match="cannot be made"):
        BlockPlan(block_px=0)
