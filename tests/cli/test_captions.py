"""The command `caption`, with a real job."""

import json

import pandas as pd

from spatialnet.cli import main
from spatialnet.datasets.catalogue import open_dataset
from spatialnet.jobs.launch import Jobs
from spatialnet.jobs.services import services
from tests.cli.test_cli import full, refused  # noqa: F401 (a fixture)


def describe(settings) -> None:
    data = open_dataset(settings, "landscape")
    texts = ["a lake of clear water" if use == 0 else "an open field" for use in data.targets("land_use")]
    pd.DataFrame({"caption": texts}).to_parquet(data.folder / "labels.parquet")


def test_captions_are_learnt_by_a_job_that_the_command_follows(full, capsys):  # noqa: F811
    describe(full)
    assert main(["caption", "--epochs", "1", "--beams", "1", "--device", "cpu"]) == 0
    lines = capsys.readouterr().out.splitlines()
    report = json.loads((full.runs / "run-done" / "captions.json").read_text())
    assert lines[0] == (
        f"run run-done: BLEU {report['run']['bleu']:.1f}, ROUGE-L {report['run']['rouge_l']:.3f}, n = {report['chips']}"
    )
    assert lines[1].startswith("always the most frequent caption: BLEU ")
    job = services().jobs.store.all()[0]
    assert (job.kind, job.state, job.device) == ("caption", "done", "cpu")


def test_a_command_that_does_not_wait_names_the_job(full, capsys, monkeypatch):  # noqa: F811
    monkeypatch.setattr(Jobs, "_start", lambda _self, job: job)
    assert main(["caption"]) == 1
    refused(capsys, "has no column '' of captions")
    describe(full)
    assert main(["caption", "--no-wait"]) == 0
    assert capsys.readouterr().out.strip() == services().jobs.store.live()[0].id
