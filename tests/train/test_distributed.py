import json
import os
import subprocess
import sys
from dataclasses import replace

import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from spatialnet.recipe import Recipe
from spatialnet.train.distributed import Processes, joined
from spatialnet.train.run import train

STILL = Recipe(
    preset="nano", head_epochs=1, epochs=2, batch_size=7, precision="float32", patch=4, flips=False, brightness=0.0, noise=0.0,
    speckle=0.0, sensor_dropout=0.0, drop_path=0.0, weighting="uncertainty", compile="off",
)  # fmt: skip


def torchrun(run, data, *more):
    command = [
        sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m", "spatialnet.train",
        str(run), "--data", str(data.folder), "--device", "cpu", *more,
    ]  # fmt: skip
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=180)


def ends(run):
    lines = [json.loads(line) for line in (run / "history.jsonl").read_text().splitlines()]
    return [line for line in lines if "validation" in line]


@pytest.mark.parametrize("weighting", ["uncertainty", "pcgrad"])
def test_two_processes_are_one_training(make_data, make_run, weighting):
    data = make_data()
    recipe = replace(STILL, weighting=weighting)
    alone, together = make_run(recipe, "alone"), make_run(recipe, "together")
    train(alone, data, device="cpu")
    done = torchrun(together, data)
    assert done.returncode == 0, done.stderr[-2000:]
    first, second = load_file(alone / "model.safetensors"), load_file(together / "model.safetensors")
    for name in first:
        torch.testing.assert_close(first[name], second[name], rtol=1e-3, atol=2e-4, msg=name)
    for one, two in zip(ends(alone), ends(together), strict=True):
        assert one["losses"] == pytest.approx(two["losses"], rel=1e-4)
    assert (together / "log.txt").read_text().count("finished") == 1


def test_an_error_of_the_first_process_ends_all(make_data, make_run):
    data = make_data()
    run = make_run(replace(STILL, tasks=("roads",)))
    done = torchrun(run, data)
    assert done.returncode != 0
    assert "'roads'" in done.stderr


def test_one_process_alone_changes_nothing():
    with joined(torch.device("cpu")) as processes:
        assert (processes.rank, processes.count, processes.main) == (0, 1, True)
    alone = Processes(torch.device("cpu"))
    weight = nn.Parameter(torch.ones(3))
    weight.grad = torch.arange(3.0)
    alone.sum_gradients([weight])
    assert weight.grad.tolist() == [0.0, 1.0, 2.0]
    assert alone.deal(torch.arange(4)).tolist() == [0, 1, 2, 3]
    assert alone.largest(2) == 2
