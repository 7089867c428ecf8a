"""Work for tests: takes memory by the part, waits to be stopped, or writes until the disk guard speaks."""

import time

import numpy as np

CHIPS = 64


def eat(jobs, job, report):
    """Take as much memory as a part of a step needs."""
    parts = report.cut(CHIPS)
    print(f"trying {parts} parts", flush=True)
    block = np.ones((CHIPS // parts) * 2**20 * job.spec.get("mib", 16), np.uint8)
    report(0.5, "Eating")
    return f"Ate {block.nbytes // 2**20} MiB."


def eat_at_once(jobs, job, report):
    """Cannot be cut into parts."""
    return str(np.ones(2**40, np.uint8).sum())


def wait(jobs, job, report):
    """Go on until someone says stop."""
    for _ in range(1200):
        report(0.1, "Waiting", rate=12.0)
        time.sleep(0.05)
    return "Nobody came."


def lose_the_gpu(jobs, job, report):
    """What PyTorch says when a GPU falls off the bus."""
    report.device = "cuda:0"
    raise RuntimeError("CUDA error: unspecified launch failure\nCompile with TORCH_USE_CUDA_DSA")
