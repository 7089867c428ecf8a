"""Captions of a finished run, end to end: learned, written, measured and shown."""

import shutil

import pandas as pd
import pytest

from spatialnet.database import open_database
from spatialnet.datasets.captions import captions_of, has_captions
from spatialnet.datasets.packed import PackedChips
from spatialnet.errors import (
    DataSetInvalid,
    DeviceUnavailable,
    JobRefused,
    NothingToRead,
    PredictionRefused,
    RunNotFound,
)
from spatialnet.jobs.captions import caption_run
from spatialnet.jobs.reporter import Reporter
from spatialnet.jobs.requests import request_captions
from spatialnet.model.caption import CaptionHead
from spatialnet.predict.captions import read_caption_report, read_captions
from spatialnet.runs import open_run
from spatialnet.settings import load_settings
from tests.jobs.conftest import HereJobs

SENTENCES = {0: "a lake of clear water", 1: "<b>many</b> green trees stand there", 2: "houses {{7*7}} along a road"}


@pytest.fixture
def captioned(finished, tmp_path, monkeypatch):
    """A finished run whose data set has two captions per chip, told from its land use; all are short."""
    for room in ("model.caption", "train.captions"):
        monkeypatch.setattr(f"spatialnet.{room}.LENGTH", 9)
    shutil.copytree(finished.workspace, tmp_path / "captioned")
    settings = load_settings(tmp_path / "captioned")
    data = PackedChips.open(settings.datasets / "landscape")
    land = data.targets("land_use")
    texts = [[SENTENCES.get(int(k), "an open field"), " "] if k >= 0 else None for k in land]
    pd.DataFrame({"name": "x", "captions": texts, "number": 1}).to_parquet(data.folder / "labels.parquet")
    return open_run(settings, "run-done"), data


def test_a_run_learns_captions_better_than_the_usual_one_and_keeps_its_other_files(captioned):
    run, data = captioned
    before = {path.name: path.read_bytes() for path in run.folder.glob("*") if path.is_file()}
    report = caption_run(run, data, epochs=5, device="cpu")
    assert report["run"]["rouge_l"] > report["majority"]["rouge_l"] + 0.05
    assert 0 < report["chips"] <= len(data.in_split("test"))
    texts = read_captions(run.folder / "captions.parquet")
    assert len(texts) == len(data)
    known = {" ".join(CaptionHead.load(run.folder / "caption.safetensors").words.words)}
    assert set(" ".join(texts).split()) <= set(" ".join(known).split())
    for name, content in before.items():
        assert (run.folder / name).read_bytes() == content, name


def test_the_same_seed_gives_the_same_captions(captioned):
    run, data = captioned
    first = caption_run(run, data, epochs=1, beams=1, device="cpu")
    texts = read_captions(run.folder / "captions.parquet")
    assert caption_run(run, data, epochs=1, beams=1, device="cpu") == first
    assert read_captions(run.folder / "captions.parquet") == texts


@pytest.mark.parametrize(
    ("change", "error", "said"),
    [
        (
            {"column": "none"},
            DataSetInvalid,
            "has no column 'none' of captions; its columns are name, captions, number",
        ),
        ({"column": "number"}, DataSetInvalid, "holds no text"),
        ({"epochs": 0}, PredictionRefused, "Give 1 to 1000 epochs"),
        ({"beams": 99}, PredictionRefused, "1 to 16 beams"),
    ],
)
def test_what_cannot_be_done_is_one_sentence(captioned, change, error, said):
    run, data = captioned
    with pytest.raises(error, match=said):
        caption_run(run, data, **change)
    assert not (run.folder / "caption.safetensors").exists()


def test_no_caption_in_training_is_one_sentence(captioned):
    run, data = captioned
    test = data.in_split("test")
    pd.DataFrame({"caption": ["a lake" if i in test else "" for i in range(len(data))]}).to_parquet(
        data.folder / "labels.parquet"
    )
    with pytest.raises(NothingToRead, match="No chip of the training split has a caption"):
        caption_run(run, data, device="cpu")


def test_captions_are_read_from_lists_texts_and_several_columns(captioned):
    _, data = captioned
    assert all(len(row) <= 1 for row in captions_of(data))  # the blank ones are none
    columns = {
        "caption_1": ["one\n two"] * len(data),
        "caption_2": [None, "b"] * (len(data) // 2) + [None] * (len(data) % 2),
    }
    pd.DataFrame(columns).to_parquet(data.folder / "labels.parquet")
    assert captions_of(data)[:2] == [["one two"], ["one two", "b"]]
    assert captions_of(data, "caption_2")[:2] == [[], ["b"]]
    assert captions_of(data, "cap*")[:2] == captions_of(data)[:2]
    (data.folder / "labels.parquet").write_bytes(b"PAR1")
    with pytest.raises(DataSetInvalid, match=r"cannot be read at labels\.parquet"):
        captions_of(data)


def test_a_job_learns_captions_and_says_how_good_they_are(captioned, monkeypatch):
    run, data = captioned
    settings = load_settings(data.folder.parent.parent)
    engine = open_database(settings.database_url)
    jobs = HereJobs(settings, engine)
    job = request_captions(jobs, run, data, epochs=1, beams=1)
    assert (job.state, job.device) == ("done", "cpu"), jobs.log(job.id)
    measured = read_caption_report(run.folder)
    said = f"BLEU {measured['run']['bleu']:.1f} (always the most frequent caption {measured['majority']['bleu']:.1f}), ROUGE-L "
    assert job.text.startswith(said)
    for name in ("caption.safetensors", "captions.json"):
        (run.folder / name).unlink()

    told = Reporter.__call__

    def stop(self, share, text, *more):  # as someone who presses Pause while the first chips are looked at
        jobs.store.request_pause(self._job.id)
        self.stop_requested = True
        told(self, share, text, *more)

    with monkeypatch.context() as patched:
        patched.setattr(Reporter, "__call__", stop)
        paused = request_captions(jobs, run, data, epochs=1, beams=2)
    assert paused.state == "paused"
    assert not (run.folder / "caption.safetensors").exists()
    assert jobs.resume(paused.id).state == "done"
    assert read_caption_report(run.folder)["epochs"] == 1
    engine.dispose()


def test_captions_that_cannot_be_learnt_are_not_begun(captioned, monkeypatch):
    run, data = captioned
    settings = load_settings(data.folder.parent.parent)
    engine = open_database(settings.database_url)
    jobs = HereJobs(settings, engine)
    monkeypatch.setattr(jobs, "_start", lambda job: job)
    for change, error, said in (
        ({"column": "none"}, DataSetInvalid, "has no column 'none' of captions"),
        ({"epochs": 0}, PredictionRefused, "Give 1 to 1000 epochs"),
        ({"device": "cuda:77"}, DeviceUnavailable, "has no device cuda:77"),
    ):
        with pytest.raises(error, match=said):
            request_captions(jobs, run, data, **change)
    with pytest.raises(PredictionRefused, match="was not trained on elsewhere, only on landscape"):
        request_captions(jobs, run, PackedChips(data.folder, data.manifest | {"name": "elsewhere"}))
    assert jobs.store.all() == []
    request_captions(jobs, run, data)
    with pytest.raises(JobRefused, match="already under way"):
        request_captions(jobs, run, data)
    shutil.copytree(run.folder, settings.runs / "run-twin")
    request_captions(jobs, open_run(settings, "run-twin"), data)  # of another run
    engine.dispose()


def test_which_data_sets_have_captions(captioned):
    _, data = captioned
    assert has_captions(data)
    pd.DataFrame({"name": ["x"]}).to_parquet(data.folder / "labels.parquet")
    assert not has_captions(data)
    (data.folder / "labels.parquet").write_bytes(b"PAR1")
    assert not has_captions(data)
    (data.folder / "labels.parquet").unlink()
    assert not has_captions(data)


def test_damaged_captions_are_one_sentence_and_missing_ones_none(tmp_path):
    assert read_caption_report(tmp_path) is None
    (tmp_path / "captions.json").write_text("{")
    assert read_caption_report(tmp_path) is None
    assert read_captions(tmp_path / "captions.parquet") == []
    (tmp_path / "captions.parquet").write_bytes(b"PAR1 and no more")
    with pytest.raises(RunNotFound, match="cannot be read"):
        read_captions(tmp_path / "captions.parquet")
