"""What the registry may touch: runs that jobs use, and data sets as they were."""

from __future__ import annotations

import pytest

from spatialnet.jobs.registry import data_state, runs_in_use
from spatialnet.runs import create_run

FACTS = {"title": "a run", "dataset": "landscape", "tasks": []}


@pytest.fixture
def make(settings):
    return lambda **facts: create_run(settings, FACTS | facts, "")


def test_a_run_is_in_use_while_a_job_trains_it_or_goes_on_from_it(jobs, make):
    parent, other = make(), make()
    run = make(parent=parent.name)
    assert runs_in_use(jobs) == frozenset()
    job = jobs.store.add("train", "Train", {"run": run.name, "recipe": "x"}, "key")
    assert runs_in_use(jobs) == {run.name, parent.name}
    assert other.name not in runs_in_use(jobs)
    jobs.store.end(job.id, "done", "")
    assert runs_in_use(jobs) == frozenset()


def test_a_run_is_in_use_while_it_is_paused_and_wherever_a_job_names_it(jobs, make):
    run, named = make(), make()
    job = jobs.store.add("train", "Train", {"run": run.name}, "first")
    jobs.store.request_pause(job.id)
    jobs.store.end(job.id, "paused", "")
    jobs.store.add("ablation", "Compare", {"arms": [{"start": named.name}]}, "second")
    assert jobs.store.get(job.id).state == "paused"
    assert runs_in_use(jobs) == {run.name, named.name}


def test_a_job_whose_process_is_gone_uses_nothing(jobs, make):
    run = make()
    job = jobs.store.add("train", "Train", {"run": run.name}, "key")
    jobs.store.set_process(job.id, 2**22 - 1, 1.0)
    assert runs_in_use(jobs) == frozenset()
    assert jobs.store.get(job.id).state == "lost"


def test_a_data_set_is_as_trained_changed_or_not_here(settings, in_workspace, make):
    print_of = in_workspace.fingerprint
    assert data_state(settings, make(fingerprint=print_of), "landscape") == "as trained"
    assert data_state(settings, make(fingerprint="another"), "landscape") == "changed"
    assert data_state(settings, make(dataset="plains", fingerprint="f"), "plains") == "not here"


def test_each_data_set_of_a_joint_run_is_judged_by_itself(settings, in_workspace, make):
    prints = {"plains": "f", "landscape": in_workspace.fingerprint}
    run = make(dataset="plains", datasets=list(prints), fingerprint="f", fingerprints=prints)
    assert [data_state(settings, run, name) for name in prints] == ["not here", "as trained"]
