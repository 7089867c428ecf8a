"""An ablation as a real job on tiny data: trained, stopped, resumed, compared."""

import json
import shutil

import numpy as np
import pytest

from spatialnet.datasets.packed import PackedChips
from spatialnet.errors import AblationNotFound, DataSetInvalid, JobRefused, RecipeInvalid
from spatialnet.evaluate.arms import plan_arms
from spatialnet.jobs import ablating
from spatialnet.jobs.ablating import run_ablation
from spatialnet.jobs.ablation import (
    estimate_ablation,
    job_of,
    list_ablations,
    open_ablation,
    plan_for,
    request_ablation,
)
from spatialnet.recipe import Recipe
from spatialnet.runs import list_runs
from tests.data_sets import pictures_only

RECIPE = Recipe(name="base", preset="nano", patch=8, epochs=2, batch_size=32, warmup=0.0)


@pytest.fixture
def small(settings) -> PackedChips:
    return pictures_only(settings.datasets / "pictures")


def test_an_ablation_is_trained_measured_and_compared(here, small):
    plan = plan_for(small, RECIPE, ("augmentation", "pretrained", "multi-task"))
    job = request_ablation(here, small, plan, seeds=2)
    assert job.state == "done", here.log(job.id)
    assert job.text.startswith("Compared: ")
    ablation = open_ablation(here.settings, job.spec["run"])
    assert ablation.done
    assert ablation.done_runs == len(ablation.info["runs"]) == 4
    assert len(ablation.info["notes"]) == 2  # one task, and no pretrained weights
    base, arms = ablation.results["base"], ablation.results["arms"]
    assert arms.keys() == {"no-augmentation", "control-bands", "control-features"}
    assert len(base["land_use"]["values"]) == 2
    for name, tasks in arms.items():
        found = tasks["land_use"]
        assert found["seeds"] == 2
        assert len(found["arm"]["values"]) == (1 if name.startswith("control") else 2)
        assert found["worth"]["value"] == pytest.approx(base["land_use"]["mean"] - found["arm"]["mean"])
        assert found["worth"]["low"] <= found["worth"]["value"] <= found["worth"]["high"]
        assert found["worth"]["verdict"] in ("better", "worse", "no difference")
    assert list_runs(here.settings) == []  # its runs are its own
    assert [a.name for a in list_ablations(here.settings, "pictures")] == [ablation.name]
    assert list_ablations(here.settings, "other") == []
    assert job_of(here, ablation).id == job.id
    assert not list(ablation.folder.rglob("model.safetensors"))
    assert len(list(ablation.folder.rglob("measured.json"))) == 4


def test_runs_that_are_done_are_kept_when_the_job_goes_on(here, small, monkeypatch):
    plan = plan_for(small, RECIPE, ("augmentation",), controls=False)
    real, trained = ablating.train, []

    def only_one(run, *arguments, **more):
        trained.append(run.name)
        if len(trained) == 2:
            raise DataSetInvalid("The power went out.")
        return real(run, *arguments, **more)

    monkeypatch.setattr(ablating, "train", only_one)
    job = request_ablation(here, small, plan, seeds=1, keep_models=True)
    assert (job.state, job.text) == ("failed", "The power went out.")
    half = open_ablation(here.settings, job.spec["run"])
    assert (half.done, half.done_runs, half.results["arms"]) == (False, 1, {})
    before = (half.folder / "runs" / trained[0] / "measured.json").stat().st_mtime_ns
    done = here.resume(job.id)
    assert done.state == "done", here.log(job.id)
    assert trained == ["00-base-seed0", "01-no-augmentation-seed0", "01-no-augmentation-seed0"]
    assert (half.folder / "runs" / trained[0] / "measured.json").stat().st_mtime_ns == before
    assert len(list(half.folder.rglob("model.safetensors"))) == 2
    with pytest.raises(JobRefused, match="only a stopped job"):
        here.resume(job.id)


def test_a_cancelled_ablation_keeps_its_checkpoint_and_goes_on(jobs, until, small):
    """A real process, stopped in the middle of a run."""
    plan = plan_for(small, Recipe(preset="nano", patch=8, epochs=3000, batch_size=8), ("augmentation",), controls=False)
    job = request_ablation(jobs, small, plan, seeds=1)
    with pytest.raises(JobRefused, match="already under way"):
        request_ablation(jobs, small, plan, seeds=1)
    assert len(list_ablations(jobs.settings)) == 1  # the refused one left nothing behind
    running = until(job, lambda j: j.state == "running" and ", epoch " in j.text)
    assert running.text.startswith("Run 1 of 2: base, seed 0, epoch ")
    assert running.progress["seconds_left"] > 0
    assert 0 < running.share < 0.5
    jobs.cancel(job.id)
    assert until(job, lambda j: not j.live).state == "cancelled"
    folder = open_ablation(jobs.settings, job.spec["run"]).folder
    assert (folder / "runs" / "00-base-seed0" / "checkpoint.safetensors").exists()


def test_a_data_set_that_was_built_anew_is_not_compared_on(here, small):
    plan = plan_for(small, RECIPE, ("augmentation",), controls=False)
    job = request_ablation(here, small, plan, seeds=1)
    manifest = json.loads((small.folder / "dataset.json").read_text()) | {"fingerprint": "beef"}
    (small.folder / "dataset.json").write_text(json.dumps(manifest))
    with pytest.raises(DataSetInvalid, match="was built anew since this ablation began"):
        run_ablation(here, job, lambda *_: None)


def test_what_cannot_be_asked_is_one_sentence_and_leaves_nothing(here, small):
    plan = plan_for(small, RECIPE, ("augmentation",))
    with pytest.raises(RecipeInvalid, match=r"0 seeds were asked for; 1 to 20"):
        request_ablation(here, small, plan, seeds=0)
    assert list_ablations(here.settings) == []
    with pytest.raises(AblationNotFound, match="Choose a listed one"):
        open_ablation(here.settings, "none")


def test_a_damaged_ablation_is_left_out_of_the_list(settings):
    (settings.ablations / "broken").mkdir()
    (settings.ablations / "broken" / "ablation.json").write_text("{")
    (settings.ablations / "other").mkdir()
    (settings.ablations / "other" / "ablation.json").write_text("{}")
    assert list_ablations(settings) == []
    with pytest.raises(AblationNotFound, match="does not say what was compared"):
        open_ablation(settings, "other")


def test_without_a_measured_run_there_is_no_estimate(landscape):
    plan = plan_arms(RECIPE, ["a"], ["s"], ("augmentation",))
    assert estimate_ablation(plan, 3, landscape, []) is None


def test_a_random_backbone_gives_the_same_features_each_time(small, settings):
    from spatialnet.jobs.frozen_features import frozen_features

    first, again = (frozen_features(small, RECIPE, settings.weights) for _ in range(2))
    assert first.shape == (len(small), 128)
    assert np.array_equal(first, again)
    assert first.std(0).max() > 0
    shutil.rmtree(settings.weights)  # not needed where the weights are none
