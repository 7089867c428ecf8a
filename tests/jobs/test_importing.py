"""Looking at a source and importing it, as real jobs: killed, resumed, cancelled, refused."""

import hashlib
import json
import os
import time
import uuid
import zipfile
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from spatialnet.datasets.catalogue import chip_table
from spatialnet.datasets.packed import PackedChips
from spatialnet.errors import ImportRefused, JobRefused, PathRefused
from spatialnet.importing.formats import IMPORTERS
from spatialnet.importing.importer import Remote
from spatialnet.importing.transfer.download import fetch
from spatialnet.importing.transfer.export import export_dataset
from spatialnet.jobs import importing
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
from tests.importing.image_trees import tiff
from tests.importing.transfer.test_download import HERE
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
def looked(here):
    def look(source, importer="", options=None, **more):
        job = request_scan(here, source, importer, options, **more)
        assert job.state == "done", job.text
        return read_prescan(here.settings, job.id)

    return look


@pytest.fixture
def delta(looked, tmp_path):
    """A stack whose import takes some seconds."""
    return looked(write_stack(tmp_path / "delta", side=512), "land_cover", STACK | {"stride": "4", "size": "24"})


def test_a_source_is_looked_at_and_nothing_of_it_is_imported(jobs, settings, until, pictures):
    asked = request_scan(jobs, pictures, confined=True)
    assert until(asked, lambda j: not j.live).state == "done"
    found = read_prescan(settings, asked.id)
    assert (found.importer.name, found.reason) == ("image_folder", "folders of images, one per class")
    assert (len(found.scan.listing), found.scan.refused, found.source) == (36, False, pictures)
    assert list(settings.datasets.iterdir()) == []
    job = jobs.store.get(found.id)
    assert (job.text, job.share) == ("Folders of images: 36 chips.", 1.0)
    with pytest.raises(ImportRefused, match="is gone"):
        read_prescan(settings, "scan-none")
    assert is_scanned(settings, found.id)
    assert not is_scanned(settings, "../runs")


def test_an_import_that_is_killed_goes_on_and_no_chip_is_twice_or_missing(jobs, here, settings, until, delta):
    plan = planned(delta, "delta")
    job = request_import(jobs, delta, plan)
    with pytest.raises(JobRefused, match="already under way"):
        request_import(jobs, delta, plan)
    chips = settings.datasets / ".delta.building" / "chips"
    until(job, lambda _: chips.is_dir() and sum(p.stat().st_size for p in chips.iterdir()) > 30_000_000)
    kill(jobs.store.get(job.id))
    assert until(job, lambda j: not j.live).state == "lost"
    assert not (settings.datasets / "delta").exists()
    written = {path.name: path.stat().st_ino for path in chips.glob("*.npy")}
    jobs.resume(job.id)
    done = until(job, lambda j: not j.live)
    assert (done.state, done.attempt) == ("done", 2)
    data = PackedChips.open(settings.datasets / "delta")
    assert {p.name: p.stat().st_ino for p in (data.folder / "chips").iterdir() if p.name in written} == written

    request_import(here, delta, planned(delta, "whole"))
    whole = PackedChips.open(settings.datasets / "whole")
    keys = chip_table(data)["key"].tolist()
    assert len(keys) == len(set(keys)) == len(delta.scan.listing)
    assert keys == chip_table(whole)["key"].tolist()
    for sensor in data.sensors:
        one, other = (d.folder / "chips" / f"{sensor.name}.npy" for d in (data, whole))
        assert one.read_bytes() == other.read_bytes()
    assert data.fingerprint == whole.fingerprint
    assert sorted(p.name for p in settings.datasets.iterdir() if not p.name.endswith(".lock")) == ["delta", "whole"]


def test_an_import_is_cancelled_and_leaves_no_data_set(jobs, settings, until, delta):
    job = request_import(jobs, delta, planned(delta, "delta"))
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


def test_what_cannot_be_imported_says_why(here, settings):
    (settings.inbox / "notes").mkdir()
    (settings.inbox / "notes" / "a.txt").write_text("hello")
    job = request_scan(here, settings.inbox / "notes")
    assert job.state == "failed"
    assert "looks like none of the known formats" in job.text
    folder = write_images(settings.inbox / "broken", classes=("a", "b"), each=2)
    for path in folder.rglob("*.png"):
        path.write_bytes(path.read_bytes()[:60])
    job = request_scan(here, folder, "image_folder", {"sensor": "rgb"})
    assert "It stopped with" not in job.text
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


def test_a_page_reaches_only_the_source_folders(here, settings, tmp_path, pictures):
    outside = write_images(tmp_path / "outside")
    (settings.inbox / "link").symlink_to(outside)
    for path in (outside, settings.inbox / "link", settings.inbox, settings.inbox / ".." / "runs"):
        with pytest.raises(PathRefused, match="lies outside"):
            request_scan(here, path, "image_folder", confined=True)
    with pytest.raises(ImportRefused, match="There is nothing"):
        request_scan(here, settings.inbox / "none", confined=True)
    (pictures / "Forest" / "inner.png").symlink_to(outside / "Forest" / "Forest_0.png")
    job = request_scan(here, pictures, confined=True)
    assert job.state == "failed" or not any(
        "outside" in str(path.resolve())
        for pixels in read_prescan(settings, job.id).scan.listing.pixels
        for path in pixels.files
    )


def test_an_export_comes_back_as_it_was(here, settings, in_workspace, tmp_path):
    path = export_dataset(in_workspace, tmp_path / "landscape.zip")
    with pytest.raises(ImportRefused, match="There is a data set landscape already"):
        request_restore(here, path)
    job = request_restore(here, path, "again")
    assert job.state == "done", job.text
    again = PackedChips.open(settings.datasets / "again")
    assert again.fingerprint == in_workspace.fingerprint
    assert np.array_equal(again.splits, in_workspace.splits)


def say(engine, **fields) -> None:
    event = {"uuid": str(uuid.uuid4()), "person": "Ann", "kind": "label", "dataset": "pictures"} | fields
    LabelStore(engine).append([LabelEvent(**event)])


def test_peoples_labels_are_never_spoilt(here, settings, engine, pictures, looked):
    first = looked(pictures)
    request_import(here, first, planned(first, "pictures"))
    request_import(here, first, planned(first, "pictures"))
    assert PackedChips.open(settings.datasets / "pictures").manifest["version"] == 2
    say(engine, chip=0, task="land_use", value=1)
    plan = planned(first, "pictures")
    other = plan.targets[0].classes[:2]
    changed = type(plan.targets[0])(
        **{**plan.targets[0].__dict__, "classes": other, "colours": (),
           "mapping": {v: n for v, n in plan.targets[0].mapping.items() if n in other}}
    )  # fmt: skip
    with pytest.raises(ImportRefused, match="People have labelled 'Land use'"):
        request_import(here, first, type(plan)(**{**plan.__dict__, "targets": (changed,)}))
    done = request_import(here, first, plan)
    assert done.state == "done"
    assert PackedChips.open(settings.datasets / "pictures").manifest["version"] == 3
    (pictures / "Forest" / "Forest_0.png").unlink()
    fewer = looked(pictures)
    with pytest.raises(ImportRefused, match=r"people have labelled them\. Choose another name"):
        request_import(here, fewer, planned(fewer, "pictures"))


def test_chips_that_runs_were_trained_on_are_not_replaced_by_others(here, settings, pictures, looked):
    first = looked(pictures)
    request_import(here, first, planned(first, "pictures"))
    create_run(settings, {"dataset": "pictures", "title": "t", "tasks": []}, "")
    (pictures / "Forest" / "Forest_0.png").unlink()
    fewer = looked(pictures)
    with pytest.raises(ImportRefused, match="runs were trained on them"):
        request_import(here, fewer, planned(fewer, "pictures"))


def test_old_looks_are_removed_and_those_in_use_are_not(settings):
    now = time.time()
    for name, days in (("scan-old", KEEP_DAYS + 1), ("scan-used", KEEP_DAYS + 1), ("scan-new", 1)):
        (settings.imports / name).mkdir()
        (settings.imports / name / "prescan.json").write_text(json.dumps({}))
        os.utime(settings.imports / name, (now - days * 86_400,) * 2)
    remove_old_scans(settings, {"scan-used"})
    assert sorted(path.name for path in settings.imports.iterdir()) == ["scan-new", "scan-used"]


# Downloads


@pytest.fixture
def published(host, monkeypatch, tmp_path):
    """EuroSAT on a host of this machine: an archive in its layout and one of its lists. `publish(md5=...)` says otherwise."""
    base = tmp_path / "ds" / "tif"
    for name in ("AnnualCrop", "Forest", "HerbaceousVegetation", "Highway", "Industrial", "Pasture", "PermanentCrop",
                 "Residential", "River", "SeaLake"):  # fmt: skip
        for number in (1, 2, 3):
            tiff(base / name / f"{name}_{number}.tif", 13, size=64)
    with zipfile.ZipFile(tmp_path / "all.zip", "w") as archive:
        for path in sorted(base.rglob("*.tif")):
            archive.write(path, path.relative_to(tmp_path))
    body, lines = (tmp_path / "all.zip").read_bytes(), b"Forest_1.jpg\nRiver_1.jpg\n"
    host.others = {"/all.zip": body, "/eurosat-train.txt": lines}

    def publish(md5=None, url=None):
        sums = {name: hashlib.md5(content).hexdigest() for name, content in host.others.items()}  # noqa: S324
        files = tuple(
            Remote(url or host.url(n[1:]), n[1:], md5 or s, size=len(host.others[n])) for n, s in sums.items()
        )
        monkeypatch.setitem(IMPORTERS, "eurosat", replace(IMPORTERS["eurosat"], downloads=files))

    monkeypatch.setattr(importing, "fetch", partial(fetch, manners=HERE))
    publish()
    return publish


def test_a_known_data_set_is_fetched_unpacked_and_looked_at(here, settings, host, published):
    job = request_scan(here, None, "eurosat", confined=True)
    assert (job.state, job.text) == ("done", "EuroSAT: 30 chips.")
    found = read_prescan(settings, job.id)
    assert found.source == settings.inbox / "eurosat"
    assert (found.scan.listing.chips["split"] == "train").sum() == 2
    assert sorted(path.name for path in found.source.iterdir()) == ["all", "all.zip", "eurosat-train.txt"]
    host.asked.clear()
    again = request_scan(here, None, "eurosat", {"split": "random"}, confined=True)
    assert (again.state, host.asked) == ("done", [])  # nothing is fetched or unpacked twice


def test_a_cancelled_download_goes_on_where_it_was(here, settings, host, published, monkeypatch):
    def cancelled(remote, folder, progress, should_stop):
        def told(share, text):
            (live,) = here.store.live()
            here.store.request_cancel(live.id)
            progress(share, text)

        return fetch(remote, folder, told, should_stop, manners=HERE)

    with monkeypatch.context() as once:
        once.setattr(importing, "fetch", cancelled)
        job = request_scan(here, None, "eurosat", confined=True)
    assert job.state == "cancelled"
    folder = settings.inbox / "eurosat"
    held = (folder / "all.zip.part").stat().st_size
    assert 0 < held < len(host.others["/all.zip"])
    assert not list(settings.imports.glob("scan-*"))
    done = here.resume(job.id)
    assert (done.state, done.text, done.attempt) == ("done", "EuroSAT: 30 chips.", 2)
    assert [wanted for path, wanted in host.asked if path == "/all.zip"] == [None, f"bytes={held}-"]


def test_a_download_that_is_another_file_or_offline_is_one_sentence(here, settings, host, published):
    published(md5="0" * 32)
    job = request_scan(here, None, "eurosat", confined=True)
    assert job.state == "failed"
    assert "served another all.zip than expected" in job.text
    assert list((settings.inbox / "eurosat").iterdir()) == []
    published(url="http://127.0.0.1:9/all.zip")
    job = request_scan(here, None, "eurosat", confined=True)
    assert job.state == "failed"
    assert "127.0.0.1 cannot be reached" in job.text
    assert "give its path" in job.text
    with pytest.raises(ImportRefused, match="cannot be fetched from here"):
        request_scan(here, None, "image_folder", confined=True)


def test_people_fetch_over_https_from_public_hosts_only(here, host, published, monkeypatch):
    monkeypatch.setattr(importing, "fetch", fetch)
    job = request_scan(here, None, "eurosat", confined=True)
    assert "is no https address" in job.text
    assert host.asked == []
