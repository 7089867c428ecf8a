"""Looking at a source and importing it, as real jobs: killed, resumed, cancelled, refused."""

import json
import os
import time
import uuid
import zipfile
from pathlib import Path

import numpy as np
import pytest

from spatialnet.datasets.catalogue import chip_table
from spatialnet.datasets.packed import PackedChips
from spatialnet.errors import ImportRefused, JobRefused, PathRefused
from spatialnet.importing.export import export_dataset
from spatialnet.jobs.importing import (
    KEEP_DAYS,
    is_scanned,
    planned,
    read_prescan,
    remove_old_scans,
    request_import,
    request_restore,
    request_scan,
)
from spatialnet.label import LabelEvent, LabelStore
from spatialnet.runs import create_run
from tests.jobs.conftest import kill
from tests.sources import write_images, write_stack

STACK = {
    "scenes": "sentinel2_10=sentinel2.tif, sentinel1=sentinel1.tif", "land_cover": "land_cover.tif", "rules": "worldcover",
    "size": "32", "stride": "16",
}  # fmt: skip


@pytest.fixture
def pictures(settings) -> Path:
    return write_images(settings.inbox / "pictures")


@pytest.fixture
def looked(jobs, until):
    def look(source, importer="", options=None, **more):
        job = until(request_scan(jobs, source, importer, options, **more), lambda j: not j.live)
        assert job.state == "done", job.text
        return read_prescan(jobs.settings, job.id)

    return look


def test_a_source_is_looked_at_and_nothing_of_it_is_imported(jobs, settings, pictures, looked):
    found = looked(pictures, confined=True)
    assert (found.importer.name, found.reason) == ("image_folder", "folders of images, one per class")
    assert (len(found.scan.listing), found.scan.refused, found.source) == (36, False, pictures)
    assert list(settings.datasets.iterdir()) == []
    job = jobs.store.get(found.id)
    assert (job.text, job.share) == ("Folders of images: 36 chips.", 1.0)
    with pytest.raises(ImportRefused, match="is gone"):
        read_prescan(settings, "scan-none")
    assert is_scanned(settings, found.id)
    assert not is_scanned(settings, "../runs")


def test_an_import_that_is_killed_goes_on_and_no_chip_is_twice_or_missing(
    jobs, settings, until, looked, tmp_path, monkeypatch
):
    source = write_stack(tmp_path / "delta", side=1024)
    found = looked(source, "land_cover", STACK | {"stride": "8"})
    plan = planned(found, "delta")
    job = request_import(jobs, found, plan)
    with pytest.raises(JobRefused, match="already under way"):
        request_import(jobs, found, plan)
    chips = settings.datasets / ".delta.building" / "chips"
    until(job, lambda _: chips.is_dir() and sum(p.stat().st_size for p in chips.iterdir()) > 80_000_000)
    kill(jobs.store.get(job.id))
    assert until(job, lambda j: not j.live).state == "lost"
    assert not (settings.datasets / "delta").exists()
    written = {path.name: path.stat().st_ino for path in chips.glob("*.npy")}
    jobs.resume(job.id)
    done = until(job, lambda j: not j.live)
    assert (done.state, done.attempt) == ("done", 2)
    data = PackedChips.open(settings.datasets / "delta")
    assert {p.name: p.stat().st_ino for p in (data.folder / "chips").iterdir() if p.name in written} == written

    until(request_import(jobs, found, planned(found, "whole")), lambda j: not j.live)
    whole = PackedChips.open(settings.datasets / "whole")
    keys = chip_table(data)["key"].tolist()
    assert len(keys) == len(set(keys)) == len(found.scan.listing)
    assert keys == chip_table(whole)["key"].tolist()
    for sensor in data.sensors:
        one, other = (d.folder / "chips" / f"{sensor.name}.npy" for d in (data, whole))
        assert one.read_bytes() == other.read_bytes()
    assert data.fingerprint == whole.fingerprint
    assert sorted(p.name for p in settings.datasets.iterdir() if not p.name.endswith(".lock")) == ["delta", "whole"]


def test_an_import_is_cancelled_and_leaves_no_data_set(jobs, settings, until, looked, tmp_path):
    found = looked(write_stack(tmp_path / "delta", side=1024), "land_cover", STACK | {"stride": "8"})
    job = request_import(jobs, found, planned(found, "delta"))
    until(job, lambda j: j.state == "running" and j.share > 0.02)
    jobs.cancel(job.id)
    assert until(job, lambda j: not j.live, seconds=15).state == "cancelled"
    assert not (settings.datasets / "delta").exists()


def test_an_archive_is_unpacked_by_the_job_and_once(settings, pictures, looked):
    archive = settings.inbox / "pictures.zip"
    with zipfile.ZipFile(archive, "w") as target:
        for path in pictures.rglob("*.png"):
            target.write(path, path.relative_to(pictures.parent))
    found = looked(archive, confined=True)
    assert (found.importer.name, len(found.scan.listing), found.source) == ("image_folder", 36, archive)
    (unpacked,) = (settings.imports / "unpacked").iterdir()
    made = unpacked.stat().st_ino
    assert len(looked(archive, size=16).scan.listing) == 36
    assert [folder.stat().st_ino for folder in (settings.imports / "unpacked").iterdir()] == [made]
    assert sorted(path.name for path in settings.inbox.iterdir()) == ["pictures", "pictures.zip"]


def test_what_cannot_be_imported_says_why(jobs, settings, until, tmp_path):
    (settings.inbox / "notes").mkdir()
    (settings.inbox / "notes" / "a.txt").write_text("hello")
    job = until(request_scan(jobs, settings.inbox / "notes"), lambda j: not j.live)
    assert job.state == "failed"
    assert "looks like none of the known formats" in job.text
    folder = write_images(settings.inbox / "broken", classes=("a", "b"), each=2)
    for path in folder.rglob("*.png"):
        path.write_bytes(path.read_bytes()[:60])
    job = until(request_scan(jobs, folder, "image_folder", {"sensor": "rgb"}), lambda j: not j.live)
    assert "Traceback" not in jobs.log(job.id)
    assert job.text


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"land_cover": "../secret.tif"}, "leads out of the source"),
        ({"scenes": "landsat7=/etc/passwd"}, "leads out of the source"),
        ({"scenes": "naip=a.tif+b/../../c.tif"}, "leads out of the source"),
        ({"scenes": "naip=https://example.org/a.tif"}, "leads out of the source"),
        ({"rules": "~/x.toml"}, "leads out of the source"),
    ],
)
def test_answers_from_a_page_do_not_lead_out_of_the_source(jobs, pictures, options, said):
    with pytest.raises(PathRefused, match=said):
        request_scan(jobs, pictures, "land_cover", options, confined=True)
    assert jobs.store.all() == []


def test_a_page_reaches_only_the_source_folders(jobs, settings, until, tmp_path, pictures):
    outside = write_images(tmp_path / "outside")
    (settings.inbox / "link").symlink_to(outside)
    for path in (outside, settings.inbox / "link", settings.inbox, settings.inbox / ".." / "runs"):
        with pytest.raises(PathRefused, match="lies outside"):
            request_scan(jobs, path, "image_folder", confined=True)
    with pytest.raises(ImportRefused, match="There is nothing"):
        request_scan(jobs, settings.inbox / "none", confined=True)
    (pictures / "Forest" / "inner.png").symlink_to(outside / "Forest" / "Forest_0.png")
    job = until(request_scan(jobs, pictures, confined=True), lambda j: not j.live)
    assert job.state == "failed" or not any(
        "outside" in str(path.resolve())
        for pixels in read_prescan(settings, job.id).scan.listing.pixels
        for path in pixels.files
    )


def test_an_export_comes_back_as_it_was(jobs, settings, until, in_workspace, tmp_path):
    path = export_dataset(in_workspace, tmp_path / "landscape.zip")
    with pytest.raises(ImportRefused, match="There is a data set landscape already"):
        request_restore(jobs, path)
    job = until(request_restore(jobs, path, "again"), lambda j: not j.live)
    assert job.state == "done", job.text
    again = PackedChips.open(settings.datasets / "again")
    assert again.fingerprint == in_workspace.fingerprint
    assert np.array_equal(again.splits, in_workspace.splits)


def say(engine, **fields) -> None:
    event = {"uuid": str(uuid.uuid4()), "person": "Ann", "kind": "label", "dataset": "pictures"} | fields
    LabelStore(engine).append([LabelEvent(**event)])


def test_peoples_labels_are_never_spoilt(jobs, settings, engine, until, pictures, looked):
    first = looked(pictures)
    until(request_import(jobs, first, planned(first, "pictures")), lambda j: not j.live)
    until(request_import(jobs, first, planned(first, "pictures")), lambda j: not j.live)
    assert PackedChips.open(settings.datasets / "pictures").manifest["version"] == 2
    say(engine, chip=0, task="land_use", value=1)
    plan = planned(first, "pictures")
    other = plan.targets[0].classes[:2]
    changed = type(plan.targets[0])(
        **{**plan.targets[0].__dict__, "classes": other, "colours": (),
           "mapping": {v: n for v, n in plan.targets[0].mapping.items() if n in other}}
    )  # fmt: skip
    with pytest.raises(ImportRefused, match="People have labelled 'Land use'"):
        request_import(jobs, first, type(plan)(**{**plan.__dict__, "targets": (changed,)}))
    done = until(request_import(jobs, first, plan), lambda j: not j.live)
    assert done.state == "done"
    assert PackedChips.open(settings.datasets / "pictures").manifest["version"] == 3
    (pictures / "Forest" / "Forest_0.png").unlink()
    fewer = looked(pictures)
    with pytest.raises(ImportRefused, match=r"people have labelled them\. Choose another name"):
        request_import(jobs, fewer, planned(fewer, "pictures"))


def test_chips_that_runs_were_trained_on_are_not_replaced_by_others(jobs, settings, until, pictures, looked):
    first = looked(pictures)
    until(request_import(jobs, first, planned(first, "pictures")), lambda j: not j.live)
    create_run(settings, {"dataset": "pictures", "title": "t", "tasks": []}, "")
    (pictures / "Forest" / "Forest_0.png").unlink()
    fewer = looked(pictures)
    with pytest.raises(ImportRefused, match="runs were trained on them"):
        request_import(jobs, fewer, planned(fewer, "pictures"))


def test_old_looks_are_removed_and_those_in_use_are_not(settings):
    now = time.time()
    for name, days in (("scan-old", KEEP_DAYS + 1), ("scan-used", KEEP_DAYS + 1), ("scan-new", 1)):
        (settings.imports / name).mkdir()
        (settings.imports / name / "prescan.json").write_text(json.dumps({}))
        os.utime(settings.imports / name, (now - days * 86_400,) * 2)
    remove_old_scans(settings, {"scan-used"})
    assert sorted(path.name for path in settings.imports.iterdir()) == ["scan-new", "scan-used"]
