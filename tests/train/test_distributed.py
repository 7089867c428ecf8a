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
from spatialnet.settings import REPOSITORY
from spatialnet.train.distributed import Processes, joined
from spatialnet.train.run import train

STILL = Recipe(
    preset="nano", head_epochs=1, epochs=2, batch_size=7, precision="float32", patch=4, flips=False, brightness=0.0, noise=0.0,
    speckle=0.0, sensor_dropout=0.0, drop_path=0.0, weighting="uncertainty", compile="off",
)  # fmt: skip


def torchrun(run, data, script=""):
    work = [script, str(run), str(data.folder)]
    if not script:
        work = ["-m", "spatialnet.train", str(run), "--data", str(data.folder), "--device", "cpu"]
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", *work]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(REPOSITORY)}
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


TOGETHER = """
import sys
from pathlib import Path
import torch.distributed as dist
from spatialnet.datasets.packed import PackedChips
from spatialnet.errors import OutOfMemory
from spatialnet.train.loop import Training
from spatialnet.train.run import train

dist.init_process_group("gloo")
rank, runs, data = dist.get_rank(), Path(sys.argv[1]), PackedChips.open(Path(sys.argv[2]))

def attempt(name, **options):
    try:
        found = train(runs / name, data, device="cpu", **options)["state"]
    except Exception as error:
        found = f"{type(error).__name__}: {error}"
    sys.stdout.write(f"{rank} {name}: {found}\\n")  # in one piece, however the processes take turns
    sys.stdout.flush()
    dist.barrier()

attempt("whole")
asked = iter(range(100))
attempt("parts", should_stop=lambda: rank == 1 and next(asked) >= 3)  # the one that writes nothing is told
attempt("parts")

if rank == 0:  # nobody else writes or measures
    import spatialnet.train.run as run
    kept, run.save_model = run.save_model, lambda path, *_given, **_more: path.with_name("no").joinpath("way").write_bytes(b"")
attempt("unsaved")
if rank == 0:
    run.save_model = kept
    def measure(self):
        raise MemoryError
    Training.validate = measure
attempt("unmeasured")
dist.destroy_process_group()
"""


def test_two_processes_stop_go_on_and_fail_together(make_data, make_run, tmp_path):
    data = make_data()
    runs = [
        make_run(replace(STILL, epochs=3, flips=True), name) for name in ("whole", "parts", "unsaved", "unmeasured")
    ]
    (tmp_path / "together.py").write_text(TOGETHER)
    done = torchrun(runs[0].parent, data, script=str(tmp_path / "together.py"))
    assert done.returncode == 0, done.stderr[-2000:]
    said = sorted(line for line in done.stdout.splitlines() if line.startswith(("0 ", "1 ")))
    first, second = load_file(runs[0] / "model.safetensors"), load_file(runs[1] / "model.safetensors")
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert ends(runs[0])[-1]["losses"] == ends(runs[1])[-1]["losses"]
    assert "going on at step" in (runs[1] / "log.txt").read_text()
    other = "SpatialNetError: Another process of this training stopped; its message says why."
    assert [line for line in said if line[0] == "1"] == sorted([
        "1 whole: finished", "1 parts: stopped", "1 parts: finished", f"1 unsaved: {other}", f"1 unmeasured: {other}"
    ])  # fmt: skip
    main = "\n".join(line for line in said if line[0] == "0")
    assert "0 unsaved: FileNotFoundError" in main
    assert "0 unmeasured: OutOfMemory: Memory ran out: run unmeasured stopped" in main
    assert not (runs[2] / "model.safetensors").exists()
    assert (runs[2] / "checkpoint.safetensors").exists()  # of the epoch before; the run can go on


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
