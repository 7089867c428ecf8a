"""`ablate`: what it starts, what it prints, and what it refuses."""

import json

import numpy as np
import pytest

from spatialnet.cli import main
from spatialnet.evaluate.ablation import compare_arms
from spatialnet.jobs.ablation import list_ablations, open_ablation
from spatialnet.jobs.launch import Jobs
from spatialnet.jobs.services import services
from spatialnet.tasks import Task
from tests.cli.test_cli import workspace  # noqa: F401 (a fixture)
from tests.data_sets import pictures_only


def write_ablation(settings, name: str = "ablation-1", *, done: bool = True) -> None:
    """A measured ablation as the job leaves it: one clear gain, and one part that does nothing."""
    task = Task("land_use", "multiclass", ("forest", "water"), "Land use")
    noise = np.random.default_rng(0).normal(0, 0.01, (3, 401))
    base = [0.9 + row for row in noise]
    arms = {"no-augmentation": [0.7 + row for row in noise], "no-spatial": [row + 0.9 for row in noise[::-1]]}
    info = {
        "title": "What each part is worth on Pictures", "dataset": "pictures", "dataset_title": "Pictures", "created_at": 1.0,
        "fingerprint": "f00d", "seeds": 3, "tasks": [task.to_dict()], "notes": ["A note for <b>{{7*7}}</b>."], "done": done,
        "arms": [{"name": n, "part": n.removeprefix("no-").capitalize(), "instead": "none"} for n in arms],
        "runs": [{"folder": "a", "arm": "base", "seed": 0, "seconds": 1.0}, {"folder": "b", "arm": "x", "seed": 0}],
        "chips": 10, "blocks": 10, "split_kind": "blocks", "leaks": 0,
        "results": {
            "base": {"land_use": {"metric": "macro_f1", "values": [0.9, 0.91, 0.89], "mean": 0.9}},
            "arms": {n: compare_arms([task], {"land_use": base}, {"land_use": v}, 10) for n, v in arms.items()},
        },
    }  # fmt: skip
    folder = settings.ablations / name
    folder.mkdir()
    (folder / "ablation.json").write_text(json.dumps(info))


def test_an_ablation_is_started_on_the_only_data_set(workspace, monkeypatch, capsys):  # noqa: F811
    pictures_only(workspace.datasets / "pictures")
    monkeypatch.setattr(Jobs, "_start", lambda _, job: job)  # what the job does is tested where it is
    assert main(["ablate", "--seeds", "2", "--arms", "augmentation,pretrained", "--no-controls", "--no-wait"]) == 0
    said = capsys.readouterr()
    (ablation,) = list_ablations(services().settings)
    assert f"ablation {ablation.name}, job ablation-" in said.out
    assert "Note: The base recipe starts from random weights" in said.err
    assert [arm["name"] for arm in ablation.info["arms"]] == ["no-augmentation"]
    assert [run["seed"] for run in ablation.info["runs"]] == [0, 0, 1, 1]
    assert main(["ablate", "--seeds", "2", "--arms", "augmentation", "--no-controls", "--no-wait"]) == 1
    assert "already under way" in capsys.readouterr().err
    assert main(["ablate", "--list"]) == 0
    assert "0 of 4 runs" in capsys.readouterr().out


@pytest.mark.parametrize("extra", [[], ["--markdown"]])
def test_the_table_says_what_each_part_is_worth(workspace, capsys, extra):  # noqa: F811
    write_ablation(workspace)
    assert main(["ablate", "--show", "newest", *extra]) == 0
    text = capsys.readouterr().out
    better, same = (next(line for line in text.splitlines() if start in line) for start in ("Augmentation", "Spatial"))
    assert "+0.200" in better
    assert better.rstrip(" |").endswith("better")
    assert same.rstrip(" |").endswith("no difference")
    assert "10 chips in 10 blocks of ground that training never saw. 3 of 3 seeds" in text
    assert text.startswith("| Part | Against |") == bool(extra)
    if not extra:
        assert "Augmentation against none: better on Land use (+0.200" in text


def test_an_unfinished_ablation_says_how_far_it_is(workspace, capsys):  # noqa: F811
    write_ablation(workspace, done=False)
    assert main(["ablate", "--show", "ablation-1"]) == 0
    assert "1 of 2 runs are done." in capsys.readouterr().out
    assert open_ablation(workspace, "ablation-1").done is False


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--arms", "luck"], "There is no question 'luck'"),
        (["--seeds", "0"], "0 seeds were asked for"),
        (["--recipe", "none.toml"], "none.toml cannot be read"),
        (["--dataset", "none"], "none"),
        (["--show", "newest"], "There is no ablation yet"),
        (["--show", "../x"], "not a valid name"),
    ],
)
def test_what_cannot_be_done_is_one_sentence(workspace, capsys, arguments, sentence):  # noqa: F811
    pictures_only(workspace.datasets / "pictures")
    assert main(["ablate", *arguments]) == 1
    said = capsys.readouterr().err
    assert sentence in said
    assert "Traceback" not in said
    assert list_ablations(workspace) == []
