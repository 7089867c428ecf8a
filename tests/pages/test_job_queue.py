"""The queue on the train page: every state, every action, the log with its search, and notices of jobs that ended."""

from __future__ import annotations

import os
from pathlib import Path

import psutil
from streamlit.testing.v1 import AppTest

from spatialnet.jobs.services import services
from spatialnet.settings import Settings

REPOSITORY = Path(__file__).resolve().parents[2]


def shown(page: AppTest) -> str:
    return "\n".join([*(m.value for m in page.markdown), *(c.value for c in page.caption)])


def button(page: AppTest, key: str):
    return next(b for b in page.button if b.key == key)


def test_the_queue_shows_places_and_acts(app_on, settings: Settings, in_workspace) -> None:
    app = app_on(settings.workspace)
    store = services().jobs.store
    run = store.add("train", "Train: <b>one</b>", {"device": "cpu"}, "one")
    store.set_process(run.id, os.getpid(), psutil.Process().create_time())
    store.begin(run.id, os.getpid(), "cpu")
    store.report(run.id, 0.5, "Epoch 1", 300.0, {"rate": 50.0, "cpu": 0.5, "cores": 2.0, "memory": 2**30})
    wait = store.add("train", "Train: two", {"device": "cpu"}, "two")
    folder = services().settings.jobs / run.id
    folder.mkdir()
    (folder / "log.txt").write_text("Epoch 1\nnothing\n")
    try:
        app.run()
        page = app.switch_page(str(REPOSITORY / "pages" / "train.py")).run()
        assert not page.exception
        text = shown(page)
        assert "1st of 1 waiting, starts in about 5 min" in text
        assert "50 chips/s · CPU 50 % of 2 cores · memory 1.0 GiB" in text
        page = button(page, f"sooner.{wait.id}").click().run()
        assert store.get(wait.id).priority == 1
        assert button(page, f"sooner.{wait.id}").disabled
        page = button(page, f"log.{run.id}").click().run()
        page = next(t for t in page.text_input if t.key == f"find.{run.id}").input("EPOCH").run()
        assert page.code[-1].value == "Epoch 1"
        assert "1 line holds this text." in shown(page)
        store.request_pause(wait.id)
        store.end(wait.id, "paused", "Paused.")
        store.end(run.id, "done", "land use 0.9")
        page = page.run()
        assert not page.exception
        page = button(page, f"cancel.{wait.id}").click().run()
        assert store.get(wait.id).state == "cancelled"
    finally:
        for job in (run, wait):
            store.request_cancel(job.id)
            store.end(job.id, "cancelled")


def test_a_notice_tells_once_how_a_job_ended_that_was_seen(app_on, settings: Settings, in_workspace) -> None:
    app = app_on(settings.workspace)
    store = services().jobs.store
    job = store.add("train", "Train: <b>one</b>", {"device": "cpu"}, "one")
    page = app.run()
    assert not page.toast
    store.end(job.id, "failed", "It is no use.")
    page = app.run()
    (told,) = page.toast
    assert "failed" in told.value
    assert "It is no use" in told.value
    assert "\\<b\\>" in told.value
    assert not app.run().toast
