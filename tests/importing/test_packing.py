"""Packing: what lands in a data-set folder is what the plan and the files said, and it lands whole or not at all."""

import json
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import rasterio
from rasterio.windows import Window

from spatialnet.datasets import chip_file
from spatialnet.datasets.catalogue import chip_table
from spatialnet.datasets.packed import SPLITS, PackedChips
from spatialnet.datasets.split_plans import SplitPlan
from spatialnet.datasets.versions import add_split, alone
from spatialnet.errors import ImportRefused, PathRefused
from spatialnet.importing import packing
from spatialnet.importing.import_plan import ImportPlan
from spatialnet.importing.listing import Listing, Note, Origin, Pixels
from spatialnet.importing.packing import build_dataset
from spatialnet.importing.prescan.scan import scan
from spatialnet.importing.samples.landscape import ORIGIN, generate_landscape, landscape_listing
from spatialnet.importing.target_plan import propose
from spatialnet.sensors import SENSORS, Sensor
from spatialnet.settings import REPOSITORY

TWO = Sensor("two", "optical", ("a", "b"), (500.0, 600.0), 10.0)
ONE = Sensor("one", "sar", ("c",), (0.0,), 10.0)
RANDOM = SplitPlan("random")
CHIPS = 24


@pytest.fixture(scope="module")
def ground(tmp_path_factory):
    """The pre-scan of a landscape of two sensors, 361 chips."""
    folder = tmp_path_factory.mktemp("ground")
    return scan(landscape_listing(folder, size=160, seed=1, sensors=("landsat7", "sentinel1")))


@pytest.fixture
def rows(tmp_path):
    """A pre-scan of chips that are rows of arrays: `rows(values, more=(...), missing=[3])`."""

    def make(values=None, more=None, missing=(), labels=None, name="rows"):
        if values is None:
            values = np.random.default_rng(0).integers(0, 60_000, (CHIPS, 2, 8, 8), dtype=np.uint16)
        zero, number = np.zeros(len(values), np.int64), np.arange(len(values), dtype=np.int64)
        pixels = []
        for sensor, array in ((TWO, values), (ONE, more)):
            if array is not None:
                path = tmp_path / f"{name}-{sensor.name}.npy"
                np.save(path, array)
                file = np.zeros((len(values), 1), np.int32)
                if sensor is ONE:
                    file[list(missing)] = -1
                pixels.append(Pixels(sensor, "npy", (path,), file, number, zero))
        table = pd.DataFrame({"key": [f"c{i:03d}" for i in number], "split": "", "group": ""})
        said = pd.DataFrame({"kind": ["ab"[i % 2] for i in number]} if labels is None else labels)
        target = propose("kind", "multiclass", "Kind", "kind", said)
        return scan(
            Listing("test", Origin("Rows", "d", "CC0-1.0", "me", "here"), table, said, tuple(pixels), (target,))
        )

    return make


def planned(scanned, name="d", **changes):
    listing = scanned.listing
    return replace(ImportPlan(name, listing.origin, listing.targets, RANDOM), **changes)


def build(folder, scanned, progress=lambda _share, _text: None, **changes):
    return build_dataset(folder / "d", scanned, planned(scanned, **changes), progress)


def files_of(folder):
    """Every array of a folder, as bytes."""
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in sorted(folder.rglob("*.npy"))}


def visible(folder):
    return sorted(entry.name for entry in folder.iterdir() if not entry.name.startswith("."))


class Stopped(Exception):
    """What a cancelled job raises out of `progress`."""


def stop_at(share):
    def progress(done, _text):
        if done >= share:
            raise Stopped

    return progress


# What is written


def test_chips_are_the_windows_of_their_scenes_bit_by_bit(tmp_path, ground):
    data = build(tmp_path, ground)
    table = chip_table(data)
    for sensor in data.sensors:
        images = data.images(sensor.name)
        with rasterio.open(data.scene_path("landscape", sensor.name)) as source:
            assert source.descriptions == sensor.bands
            for chip in range(0, len(table), 17):
                window = Window(table.loc[chip, "column"], table.loc[chip, "row"], 16, 16)
                assert np.array_equal(images.raw[chip], source.read(window=window))
    assert np.array_equal(data.images("landsat7")[40], data.images("landsat7").raw[40])


def test_targets_are_those_of_the_listing(tmp_path, ground):
    data = build(tmp_path, ground)
    assert [task.name for task in data.tasks] == ["land_use", "presence", "rural_urban", "buildings"]
    for name, ready in ground.listing.ready.items():
        assert np.array_equal(data.targets(name), ready.hard, equal_nan=True)
        soft = data.soft_targets(name)
        assert (soft is None) == (ready.soft is None)
        assert soft is None or np.array_equal(soft, ready.soft, equal_nan=True)
    assert data.manifest["derived"] is True
    assert data.manifest["targets"]["land_use"]["sentence"].startswith("the land-cover class with the largest share")


def test_footprints_are_where_rasterio_says(tmp_path, ground):
    data = build(tmp_path, ground)
    table = chip_table(data)
    with rasterio.open(data.scene_path("landscape", "landsat7")) as source:
        for chip in range(0, len(table), 37):
            window = Window(table.loc[chip, "column"], table.loc[chip, "row"], 16, 16)
            wanted = rasterio.warp.transform_bounds(source.crs, "EPSG:4326", *source.window_bounds(window))
            assert table.loc[chip, ["west", "south", "east", "north"]].tolist() == pytest.approx(wanted, abs=1e-6)
            assert table.loc[chip, list("abcdef")].tolist() == pytest.approx(list(source.window_transform(window))[:6])
        assert data.places[0]["bounds"] == pytest.approx(
            rasterio.warp.transform_bounds(source.crs, "EPSG:4326", *source.bounds), abs=1e-9
        )
    lines = table[["west", "south", "east", "north"]]
    assert data.bounds == pytest.approx(
        (lines["west"].min(), lines["south"].min(), lines["east"].max(), lines["north"].max())
    )
    assert data.gsd_m == pytest.approx(30)


def test_the_manifest_is_plain_json_and_agrees_with_the_arrays(tmp_path, rows):
    scanned = rows()
    data = build(tmp_path, scanned)
    text = (data.folder / "dataset.json").read_text()
    manifest = json.loads(text, parse_constant=lambda word: pytest.fail(f"{word} is no JSON"))
    assert manifest == data.manifest
    assert abs(manifest["created_at"] - time.time()) < 60
    assert (manifest["format"], manifest["version"], manifest["importer"], manifest["stride"]) == (2, 1, "test", 0)
    assert (manifest["places"], manifest["bounds"], manifest["derived"]) == ([], None, False)
    assert manifest["storage"]["two"]["dtype"] == "uint16"
    assert manifest["sizes"] == {"two": 8}
    assert manifest["gsd_m"] == 10  # the sensor's nominal one
    assert manifest["targets"]["kind"]["sentence"] == "as the source says (kind)"
    assert manifest["split"] == manifest["splits"][0]
    assert manifest["split"]["counts"] == {s: int((data.splits == i).sum()) for i, s in enumerate(SPLITS)}
    assert sum(manifest["split"]["counts"].values()) == len(data) == CHIPS
    assert data.targets("kind").tolist() == [0, 1] * (CHIPS // 2)
    assert pd.read_parquet(data.folder / "labels.parquet").equals(scanned.listing.labels)
    assert chip_table(data)["key"].tolist() == scanned.listing.chips["key"].tolist()
    assert not list(data.folder.rglob("*.done"))
    assert not (data.folder / "build.json").exists()


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int16", "int32", "float32"])
def test_chips_keep_the_type_of_their_file_bit_by_bit(tmp_path, rows, dtype):
    values = np.random.default_rng(1).integers(0, 250, (CHIPS, 2, 8, 8)).astype(dtype)
    if dtype == "float32":
        values *= np.float32(1 / 3)
        values[2, 0, 1, 1], values[3, 1, 2, 2] = np.nan, np.inf
    data = build(tmp_path, rows(values))
    stored = data.images("two").raw
    assert stored.dtype == np.dtype(dtype)
    assert stored.tobytes() == values.tobytes()


def test_a_sensor_that_some_chips_lack_is_noted_and_does_not_count(tmp_path, rows):
    more = np.random.default_rng(2).normal(5, 1, (CHIPS, 1, 4, 4)).astype(np.float32)
    missing = [0, 7, 23]
    scanned = rows(more=more, missing=missing)
    data = build(tmp_path, scanned)
    assert np.flatnonzero(~data.present("one")).tolist() == missing
    assert not (data.folder / "present" / "two.npy").exists()
    assert data.present("two").all()
    assert np.isnan(data.images("one")[np.array(missing)]).all()
    there = np.setdiff1d(np.arange(CHIPS), missing)
    assert np.array_equal(data.images("one")[there], more[there])
    train = np.setdiff1d(data.in_split("train"), missing)
    mean, std = data.statistics("one")
    assert mean == pytest.approx(more[train].mean(), rel=1e-5)
    assert std == pytest.approx(more[train].std(), rel=1e-5)
    assert data.manifest["statistics"]["one"]["sampled_chips"] == len(train)
    assert data.manifest["sizes"] == {"two": 8, "one": 4}


def test_of_equal_chips_only_the_first_is_kept_if_the_plan_says_so(tmp_path, rows):
    values = np.random.default_rng(0).integers(0, 60_000, (CHIPS, 2, 8, 8), dtype=np.uint16)
    values[5] = values[2]
    values[9] = values[2]
    scanned = rows(values)
    data = build(tmp_path, scanned, drop_duplicates=True)
    kept = np.delete(np.arange(CHIPS), [5, 9])
    assert np.array_equal(data.images("two").raw, values[kept])
    assert chip_table(data)["key"].tolist() == [f"c{i:03d}" for i in kept]
    assert len(data.targets("kind")) == CHIPS - 2
    assert len(build(tmp_path, scanned)) == CHIPS


def test_a_plan_may_leave_out_tasks_and_scenes(tmp_path, ground):
    data = build(tmp_path, ground, targets=ground.listing.targets[:1], keep_scenes=False)
    assert [task.name for task in data.tasks] == ["land_use"]
    assert sorted(p.name for p in (data.folder / "targets").iterdir()) == ["land_use.npy"]
    assert data.places == ()
    assert data.has_ground
    assert not list(data.folder.rglob("*.tif"))


def test_the_fingerprint_changes_with_targets_and_split_and_not_with_a_split_that_is_not_used(tmp_path, rows):
    scanned = rows()
    first = build(tmp_path, scanned)
    assert build(tmp_path, scanned).fingerprint == first.fingerprint
    other = replace(scanned.listing.targets[0], classes=("b", "a"))
    seen = {
        first.fingerprint,
        build(tmp_path, scanned, targets=(other,)).fingerprint,
        build(tmp_path, scanned, split=replace(RANDOM, seed=5)).fingerprint,
        build(tmp_path, rows(name="more")).fingerprint,
    }
    assert len(seen) == 3  # the last holds the same pixels in another file
    data = build(tmp_path, scanned)
    added = add_split(data, SplitPlan("random", name="second", seed=9))
    assert added.fingerprint == data.fingerprint
    assert add_split(data, SplitPlan("random", name="third", seed=10), use=True).fingerprint != data.fingerprint


# Whole or not at all


def test_a_new_build_takes_the_place_of_the_old_one_and_counts_up(tmp_path, rows):
    first = build(tmp_path / "all", rows())
    (first.folder / "left-over").write_text("old")
    second = build(
        tmp_path / "all", rows(np.random.default_rng(8).integers(0, 250, (CHIPS, 2, 8, 8), np.uint8), name="b")
    )
    assert second.fingerprint != first.fingerprint
    assert (first.manifest["version"], second.manifest["version"]) == (1, 2)
    assert not (second.folder / "left-over").exists()
    assert build(tmp_path / "all", rows()).manifest["version"] == 3
    assert visible(tmp_path / "all") == ["d"]
    assert not [e.name for e in (tmp_path / "all").iterdir() if "building" in e.name or "partial" in e.name]


@pytest.mark.parametrize("share", [0.0, 0.3, 0.76, 0.9, 0.97])
def test_what_stops_in_the_middle_leaves_the_old_data_set(tmp_path, ground, rows, share, monkeypatch):
    monkeypatch.setattr(packing.time, "monotonic", iter(range(10**6)).__next__)  # tells of every chip
    first = build(tmp_path / "all", rows())
    with pytest.raises(Stopped):
        build(tmp_path / "all", ground, stop_at(share))
    assert PackedChips.open(tmp_path / "all" / "d").fingerprint == first.fingerprint
    assert visible(tmp_path / "all") == ["d"]
    build(tmp_path / "all", rows())  # another build starts anew and leaves nothing of the stopped one
    assert not [e.name for e in (tmp_path / "all").iterdir() if "building" in e.name]


@pytest.mark.parametrize("share", [0.05, 0.2, 0.5, 0.74, 0.8, 0.97])
def test_a_stopped_build_goes_on_and_ends_with_the_same_bytes(tmp_path, ground, share, monkeypatch):
    monkeypatch.setattr(packing.time, "monotonic", iter(range(10**6)).__next__)
    monkeypatch.setattr(chip_file, "COMMIT_BYTES", 10 * 6 * 16 * 16 * 4)
    whole = build(tmp_path / "whole", ground)
    with pytest.raises(Stopped):
        build(tmp_path / "twice", ground, stop_at(share))
    assert visible(tmp_path / "twice") == []
    begun, asked = [], packing.stored_chips

    def noted(pixels, storage, start):
        begun.append(start)
        return asked(pixels, storage, start)

    monkeypatch.setattr(packing, "stored_chips", noted)
    data = build(tmp_path / "twice", ground)
    assert begun[0] > 0  # did not begin anew
    assert begun[0] == len(ground.listing) or share < 0.5
    assert files_of(data.folder) == files_of(whole.folder)
    assert data.fingerprint == whole.fingerprint
    assert sorted(p.name for p in tmp_path.joinpath("twice").iterdir()) == [".d.lock", "d"]


@pytest.mark.parametrize("change", ["plan", "file", "chips", "storage"])
def test_another_plan_or_changed_files_start_anew(tmp_path, rows, change, monkeypatch):
    scanned = rows()
    with pytest.raises(Stopped):
        build(tmp_path / "all", scanned, stop_at(0.76))
    plan = planned(scanned)
    if change == "plan":
        plan = replace(plan, split=replace(RANDOM, seed=3))
    elif change == "file":
        path = scanned.listing.pixels[0].files[0]
        values = np.load(path)
        np.save(path, values + 1)
        os.utime(path, ns=(1, 1))
    elif change == "storage":
        storage = replace(scanned.storage["two"], nodata=0.0)
        scanned = replace(scanned, storage={"two": storage})
    else:
        kept = np.arange(CHIPS)[::-1].copy()
        scanned = replace(scanned, listing=scanned.listing.of(kept))
    begun, asked = [], packing.stored_chips
    monkeypatch.setattr(packing, "stored_chips", lambda p, s, start: begun.append(start) or asked(p, s, start))
    data = build_dataset(tmp_path / "all" / "d", scanned, plan)
    assert begun == [0]
    order = scanned.listing.pixels[0].row
    assert np.array_equal(data.images("two").raw, np.load(scanned.listing.pixels[0].files[0])[order])


def test_a_file_that_is_gone_since_the_pre_scan_is_one_sentence(tmp_path, rows):
    scanned = rows()
    scanned.listing.pixels[0].files[0].unlink()
    with pytest.raises(ImportRefused, match=r"rows-two\.npy' is gone since the pre-scan\. Put it back, or scan again"):
        build(tmp_path / "all", scanned)
    assert visible(tmp_path / "all") == []


BUILD = """
import sys
from pathlib import Path
from spatialnet.errors import NotEnoughDisk
from spatialnet.importing.samples.landscape import prepare_landscape

def say(share, text):
    print(text, flush=True)
    if "Writing scenes" in text and "wait" in sys.argv:
        sys.stdin.read()

try:
    prepare_landscape(Path(sys.argv[1]), say, size=192, sensors=("landsat7",))
except NotEnoughDisk as error:
    print(error)
"""


def test_a_killed_build_leaves_the_old_data_set(tmp_path, rows):
    first = build(tmp_path / "all", rows())
    command = [sys.executable, "-c", BUILD, str(tmp_path / "all" / "d"), "wait"]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=REPOSITORY)
    while "Writing scenes" not in process.stdout.readline():
        assert process.poll() is None
    with pytest.raises(ImportRefused, match="being built already"):
        build(tmp_path / "all", rows())
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    process.stdin.close()
    process.stdout.close()
    assert PackedChips.open(tmp_path / "all" / "d").fingerprint == first.fingerprint
    build(tmp_path / "all", rows())  # its lock went with it
    assert sorted(e.name for e in (tmp_path / "all").iterdir()) == [".d.lock", "d"]


@pytest.mark.parametrize("size", ["300k", "1m", "3500k"])
def test_a_full_disk_is_one_sentence_and_leaves_the_old_data_set(tmp_path, size):
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", disk], capture_output=True)
    if mounted.returncode:
        pytest.skip("only root may mount a small disk")
    try:
        (disk / "d").mkdir()
        (disk / "d" / "dataset.json").write_text("old")
        command = [sys.executable, "-c", BUILD, str(disk / "d")]
        done = subprocess.run(command, capture_output=True, text=True, cwd=REPOSITORY)
        assert done.stdout.splitlines()[-1].startswith("The disk is full: "), done.stderr
        assert (disk / "d" / "dataset.json").read_text() == "old"
        assert visible(disk) == ["d"]
        subprocess.run(["mount", "-o", "remount,size=60m", disk], check=True)
        done = subprocess.run(command, capture_output=True, text=True, cwd=REPOSITORY)  # with room it goes on
        assert done.returncode == 0, done.stderr
        assert len(PackedChips.open(disk / "d")) == 529
    finally:
        subprocess.run(["umount", disk], check=True)


def _hold(folder, ready, go):
    with alone(folder):
        ready.set()
        go.wait(30)


def test_two_builds_of_one_data_set_at_once_are_refused(tmp_path, rows):
    context = multiprocessing.get_context("spawn")
    ready, go = context.Event(), context.Event()
    other = context.Process(target=_hold, args=(tmp_path / "d", ready, go))
    other.start()
    try:
        assert ready.wait(60)
        with pytest.raises(ImportRefused, match="Data set d is being built already"):
            build(tmp_path, rows())
        assert "d" not in visible(tmp_path)
    finally:
        go.set()
        other.join()
    assert len(build(tmp_path, rows())) == CHIPS


# What is refused


@pytest.mark.parametrize("name", ["", "..", "a/b", "/etc", ".hidden", "a\0b", "x" * 300])
def test_a_name_that_is_none_is_refused_before_anything_is_written(tmp_path, rows, name):
    scanned = rows()
    with pytest.raises(PathRefused):
        build_dataset(tmp_path / "all" / "d", scanned, planned(scanned, name))
    assert not (tmp_path / "all").exists()


def test_a_refused_pre_scan_and_plans_that_do_not_fit_are_one_sentence(tmp_path, rows):
    scanned = rows()
    refused = replace(scanned, notes=(Note("note", "Good."), Note("refuse", "No file can be read.")))
    with pytest.raises(ImportRefused, match=r"Nothing was imported\. No file can be read\."):
        build(tmp_path / "all", refused)
    assert not (tmp_path / "all").exists()
    target = scanned.listing.targets[0]
    with pytest.raises(ImportRefused, match="needs label column 'colour'; the source has kind"):
        build(tmp_path / "all", scanned, targets=(replace(target, columns=("colour",)),))
    with pytest.raises(ImportRefused, match="Task kind names no label column"):
        build(tmp_path / "all", scanned, targets=(replace(target, columns=()),))
    assert visible(tmp_path / "all") == []


def test_a_title_with_markup_stays_what_it_is(tmp_path, rows):
    scanned = rows()
    data = build(tmp_path, scanned, origin=replace(scanned.listing.origin, title="{{7*7}} <b>"))
    assert data.title == "{{7*7}} <b>"
    assert data.name == "d"


def test_the_landscape_is_the_one_that_was_generated(tmp_path, ground):
    data = build(tmp_path, ground, origin=ORIGIN)
    wanted = generate_landscape(160, seed=1)
    table = chip_table(data)
    row, column = int(table.loc[50, "row"]), int(table.loc[50, "column"])
    for sensor in (SENSORS["landsat7"], SENSORS["sentinel1"]):
        cut = wanted.scenes[sensor].pixels[:, row : row + 16, column : column + 16]
        assert np.array_equal(data.images(sensor.name)[50], cut)
