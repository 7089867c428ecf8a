"""Runs as zip files, over HTTP."""

from __future__ import annotations

import io
import json
import zipfile

import pytest

from spatialnet.web import addresses

FILES = {
    "run.json": json.dumps({"title": "A run", "dataset": "hills", "tasks": [], "created_at": 0.0}),
    "report.json": json.dumps({"tasks": {}}),
    "model.safetensors": "weights " * 500_000,
}


@pytest.fixture
def run(settings):
    folder = settings.runs / "run-1"
    folder.mkdir()
    for name, text in FILES.items():
        (folder / name).write_text(text)
    return folder


def test_a_run_comes_as_one_zip_that_is_not_kept(client, run):
    answer = client.get(addresses.run_export("run-1"))
    assert (answer.status_code, answer.headers["content-type"]) == (200, "application/zip")
    assert answer.headers["content-disposition"] == 'attachment; filename="run-1.zip"'
    assert answer.headers["cache-control"] == "no-store"
    with zipfile.ZipFile(io.BytesIO(answer.content)) as archive:
        assert archive.testzip() is None
        assert {name: archive.read(name).decode() for name in FILES} == FILES
    assert {path.name for path in run.iterdir()} == set(FILES)


def test_a_run_that_is_not_done_is_a_sentence(client, run):
    (run / "report.json").unlink()
    answer = client.get(addresses.run_export("run-1"))
    assert answer.status_code >= 400
    assert "is not done. Export it when it has metrics." in answer.text


@pytest.mark.parametrize("name", ["none", "..%2f..%2fetc", "RUN-1", "a" * 70])
def test_a_run_that_is_not_there_is_a_sentence(client, run, name):
    answer = client.get(f"/api/runs/{name}.zip")
    assert answer.status_code == 404
    assert "zip" not in answer.headers["content-type"]
