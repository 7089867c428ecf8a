import os
import subprocess
import sys
import threading
import time

import psutil
import pytest
import sqlalchemy as sa

from spatialnet.database import jobs as table
from spatialnet.database import open_database
from spatialnet.errors import DatabaseUnavailable, JobRefused, NotEnoughDisk
from spatialnet.jobs import store as store_module
from spatialnet.jobs.store import JobStore
from spatialnet.settings import REPOSITORY

ME = psutil.Process()


def running(store, key="k"):
    job = store.add("train", "Train: first", {"run": "run-1"}, key)
    store.set_process(job.id, os.getpid(), ME.create_time())
    assert store.begin(job.id, os.getpid())
    return store.get(job.id)


def test_a_job_from_waiting_to_done(store):
    job = store.add("train", "Train: {{7*7}} <b>", {"run": "run-1", "n": [1, None]}, "k")
    assert (job.state, job.live, job.share, job.text, job.attempt) == ("queued", True, 0, "Waiting for the device", 1)
    assert job.spec == {"run": "run-1", "n": [1, None]}
    store.set_process(job.id, os.getpid(), ME.create_time())
    assert store.begin(job.id, os.getpid())
    assert not store.report(job.id, 0.5, "Epoch 1 of 2", 12.0)
    job = store.get(job.id)
    assert (job.state, job.share, job.text, job.progress["seconds_left"]) == ("running", 0.5, "Epoch 1 of 2", 12.0)
    assert store.end(job.id, "done", "macro f1 0.5")
    job = store.get(job.id)
    assert (job.state, job.live, job.text) == ("done", False, "macro f1 0.5")
    assert job.created_at <= job.started_at <= job.ended_at


def test_jobs_are_listed_newest_first_and_the_queue_oldest_first(store):
    made = [store.add(kind, kind, {}, str(i)).id for i, kind in enumerate(["sample", "train", "train"])]
    assert [job.id for job in store.all()] == made[::-1]
    assert [job.id for job in store.all(kind="train", limit=1)] == [made[2]]
    store.end(made[1], "failed")
    assert [job.id for job in store.live()] == [made[0], made[2]]


def test_the_same_job_is_not_taken_twice_while_it_is_live(store):
    job = store.add("train", "Train: first", {}, "same")
    with pytest.raises(JobRefused, match="already under way: Train: first"):
        store.add("train", "Train: first", {}, "same")
    store.end(job.id, "done")
    assert store.add("train", "Train: first", {}, "same").id != job.id


def test_many_who_ask_at_once_get_one_job(settings, engine):
    """Each through a connection of its own, as two tabs and the command line would."""
    got, refused, barrier = [], [], threading.Barrier(8)

    def ask() -> None:
        own = open_database(settings.database_url)
        barrier.wait()
        try:
            got.append(JobStore(own).add("train", "Train", {}, "same").id)
        except JobRefused:
            refused.append(1)
        own.dispose()

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (len(got), len(refused)) == (1, 7)


def test_many_who_resume_at_once_get_one_attempt(settings, store):
    job = store.add("train", "Train", {}, "k")
    store.end(job.id, "lost")
    results, barrier = [], threading.Barrier(8)

    def resume() -> None:
        own = open_database(settings.database_url)
        barrier.wait()
        try:
            results.append(JobStore(own).requeue(job.id, "k").attempt)
        except JobRefused:
            results.append(None)
        own.dispose()

    threads = [threading.Thread(target=resume) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(results, key=str) == [2] + [None] * 7
    assert store.get(job.id).attempt == 2


def test_a_job_whose_process_is_gone_is_lost(store):
    process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    job = store.add("train", "Train", {}, "k")
    store.set_process(job.id, process.pid, psutil.Process(process.pid).create_time())
    assert store.reconcile() == []
    process.kill()
    process.stdin.close()
    end = time.monotonic() + 5
    while not store.reconcile():  # the dead process is a zombie now, for nobody has waited for it
        assert time.monotonic() < end
    process.wait()
    job = store.get(job.id)
    assert job.state == "lost"
    assert "Resume it" in job.text
    assert store.reconcile() == []


def test_a_process_number_that_another_process_has_now_is_not_the_job(store):
    job = store.add("train", "Train", {}, "k")
    store.set_process(job.id, os.getpid(), ME.create_time() - 60)
    assert [gone.id for gone in store.reconcile()] == [job.id]
    assert store.get(job.id).state == "lost"


def test_a_live_process_is_left_alone(store):
    job = running(store)
    assert store.reconcile() == []
    assert store.get(job.id).state == "running"


def test_a_job_whose_process_never_reported_is_lost_after_a_while(store, engine):
    job = store.add("train", "Train", {}, "k")
    assert store.reconcile() == []
    with engine.begin() as connection:
        connection.execute(table.update().values(created_at=time.time() - store_module.START_SECONDS - 1))
    assert [gone.id for gone in store.reconcile()] == [job.id]


def test_a_dead_job_that_was_to_be_cancelled_is_cancelled(store):
    job = store.add("train", "Train", {}, "k")
    store.set_process(job.id, os.getpid(), 1.0)
    store.request_cancel(job.id)
    store.reconcile()
    assert store.get(job.id).state == "cancelled"


def test_a_job_that_ends_well_while_it_is_looked_at_stays_done(store, monkeypatch):
    """Its process writes `done` and is gone, after the table was read and before the process was looked for."""
    job = running(store)

    def ends_meanwhile(_job) -> bool:
        store.end(job.id, "done", "fine")
        return False

    monkeypatch.setattr(store_module, "is_alive", ends_meanwhile)
    assert store.reconcile() == []
    assert (store.get(job.id).state, store.get(job.id).text) == ("done", "fine")


def test_a_job_that_begins_anew_while_it_is_looked_at_is_not_lost(store, monkeypatch):
    job = running(store)

    def begins_anew(_job) -> bool:
        store.end(job.id, "failed")
        store.requeue(job.id, "k")
        return False

    monkeypatch.setattr(store_module, "is_alive", begins_anew)
    assert store.reconcile() == []
    assert (store.get(job.id).state, store.get(job.id).attempt) == ("queued", 2)


def test_a_job_taken_for_lost_may_still_turn_out_done(store):
    job = running(store)
    store.end(job.id, "lost")
    assert not store.end(job.id, "failed")
    assert store.end(job.id, "done", "after all", attempt=1)
    assert store.get(job.id).state == "done"


def test_what_was_noted_first_stands(store):
    job = running(store)
    assert store.end(job.id, "done", "fine")
    assert not store.end(job.id, "failed", "no")
    assert not store.request_cancel(job.id).cancel_requested
    store.report(job.id, 0.1, "late")
    assert (store.get(job.id).state, store.get(job.id).text, store.get(job.id).progress) == ("done", "fine", None)


def test_only_one_process_begins_a_job(store):
    job = store.add("train", "Train", {}, "k")
    store.set_process(job.id, os.getpid(), ME.create_time())
    assert not store.begin(job.id, os.getpid() + 1)
    assert store.begin(job.id, os.getpid())
    assert not store.begin(job.id, os.getpid())


def test_a_stopped_job_waits_again_as_its_next_attempt(store):
    job = running(store)
    with pytest.raises(JobRefused, match="is running; only a stopped job"):
        store.requeue(job.id, "k")
    store.request_cancel(job.id)
    store.end(job.id, "cancelled", "Cancelled.")
    again = store.requeue(job.id, "k")
    assert (again.state, again.attempt, again.pid, again.message, again.cancel_requested) == (
        "queued",
        2,
        None,
        None,
        False,
    )
    store.end(job.id, "done")
    with pytest.raises(JobRefused, match="is done"):
        store.requeue(job.id, "k")


def test_a_stopped_job_does_not_wait_again_beside_its_double(store):
    job = store.add("train", "Train", {}, "k")
    store.end(job.id, "lost")
    store.add("train", "Train", {}, "k")
    with pytest.raises(JobRefused, match="already under way"):
        store.requeue(job.id, "k")


def test_a_request_to_cancel_reaches_the_work(store):
    job = running(store)
    assert not store.report(job.id, 0.1, "")
    store.request_cancel(job.id)
    assert store.report(job.id, 0.2, "")


@pytest.mark.parametrize(("share", "kept"), [(-1, 0), (0.5, 0.5), (7, 1)])
def test_progress_stays_between_nothing_and_all(store, share, kept):
    job = running(store)
    store.report(job.id, share, "")
    assert store.get(job.id).share == kept


@pytest.mark.parametrize("name", ["none", "", "'; DROP TABLE jobs; --", "x" * 1000])
def test_a_job_that_is_not_there_is_one_sentence(store, name):
    for ask in (store.get, store.request_cancel, lambda n: store.requeue(n, "k")):
        with pytest.raises(JobRefused, match="There is no job"):
            ask(name)
    assert store.all() == []


def test_a_locked_or_full_database_is_one_sentence(settings, store, engine):
    job = store.add("train", "Train", {}, "k")
    impatient = sa.create_engine(settings.database_url, connect_args={"timeout": 0.05})
    with engine.connect() as holder:
        holder.exec_driver_sql("BEGIN IMMEDIATE")
        with pytest.raises(DatabaseUnavailable, match="busy or away"):
            JobStore(impatient).report(job.id, 0.5, "")
        holder.rollback()
    impatient.dispose()
    full = sa.create_engine(settings.database_url)
    with full.connect() as connection:
        pages = connection.exec_driver_sql("PRAGMA page_count").scalar()

    @sa.event.listens_for(full, "connect")
    def _limit(connection, _record) -> None:
        connection.execute(f"PRAGMA max_page_count={pages}")

    full.dispose()
    with pytest.raises(NotEnoughDisk, match="list of jobs was not changed"):
        JobStore(full).report(job.id, 0.5, "x" * 1_000_000)
    full.dispose()
    assert store.get(job.id).progress is None


def test_reading_the_queue_needs_no_torch():
    code = "import sys, spatialnet.jobs.services, spatialnet.jobs.worker; sys.exit('torch' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=REPOSITORY)
