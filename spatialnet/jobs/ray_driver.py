"""The process that speaks with Ray: one request as JSON on standard input, events as JSON lines on standard output.

Ray carries the functions below to its machines; what they import must be installed there, and this repository must lie
under the same path. Anyone who may use a cluster may run code on it: keep its token secret.
"""

from __future__ import annotations

import json
import os
import sys
import threading
import time
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

from spatialnet.errors import ClusterUnavailable

ATTEMPTS = 4
"""How often a shard or a training is started whose process or machine is lost."""

_PLACE_SECONDS = 60.0
"""How long to wait for a machine that computes."""


def main() -> int:
    """Connect, do the work, tell.

    Returns:
        0 done, 1 failed; the last line says why.
    """
    request = json.loads(sys.stdin.readline())
    threading.Thread(target=_end_with_the_job, daemon=True).start()
    ray: Any = import_module("ray")

    _tell(ready=True)
    try:
        ray.init(address=request["address"], log_to_driver=False, logging_level="error")
    except Exception as error:  # Ray raises a dozen kinds; the job says one sentence
        _tell(error=f"{type(error).__name__}: {error}"[:500])
        return 1
    _tell(connected=True)
    try:
        done = _shards(request) if request["work"] == "shards" else _train(request)
    except Exception as error:
        cause = getattr(error, "cause", None) or error
        _tell(error=str(cause)[:500] or type(cause).__name__)
        return 1
    _tell(done=True, **done)
    return 0


def _end_with_the_job() -> None:
    """End when the other end of the pipe closes, also where the job was killed and could say nothing."""
    sys.stdin.read()
    os._exit(1)


def _tell(**event: Any) -> None:
    print(json.dumps(event), flush=True)


def _shards(request: Mapping[str, Any]) -> dict[str, Any]:
    ray: Any = import_module("ray")

    from spatialnet.shards.manifest import read_manifest

    manifest = read_manifest(Path(request["folder"]))
    _await_places()
    gpus, slots = _slots(ray.cluster_resources())
    shards = max(1, min(len(manifest.units), 4 * slots))
    # More shards than places, so that a lost machine costs little and no place is idle for long.
    task = ray.remote(num_cpus=1, num_gpus=gpus, max_retries=ATTEMPTS)(do_shard)
    waiting = [task.remote(request["folder"], number, shards) for number in range(1, shards + 1)]
    while waiting:
        ready, waiting = ray.wait(waiting, num_returns=1, timeout=_PLACE_SECONDS)
        if not ready:
            _await_places()
        ray.get(ready)
    return {}


def _await_places() -> None:
    """Wait until some machine of the cluster has processors to give.

    Raises:
        ClusterUnavailable: none has, for a minute: what is done stays done.
    """
    ray: Any = import_module("ray")

    end = time.monotonic() + _PLACE_SECONDS
    while not ray.cluster_resources().get("CPU"):
        if time.monotonic() > end:
            raise ClusterUnavailable(
                "The Ray cluster has no machine left that computes. Start one with `ray start --address=...`; the same "
                "command goes on from what is done."
            )
        time.sleep(0.5)


def _machines() -> int:
    """How many machines of the cluster have processors to give."""
    ray: Any = import_module("ray")
    return max(1, sum(1 for node in ray.nodes() if node["Alive"] and node["Resources"].get("CPU")))


def _slots(resources: Mapping[str, float]) -> tuple[int, int]:
    """GPUs that each task takes, and how many tasks run at once."""
    gpus = int(resources.get("GPU", 0))
    return (1, gpus) if gpus else (0, max(1, int(resources.get("CPU", 1))))


def do_shard(folder: str, number: int, shards: int) -> None:
    """One shard, on a machine of the cluster."""
    from spatialnet.shards.manifest import read_manifest
    from spatialnet.shards.run import run_shard

    run_shard(read_manifest(Path(folder)), number, shards)


def _train(request: Mapping[str, Any]) -> dict[str, Any]:
    ray: Any = import_module("ray")

    for attempt in range(1, ATTEMPTS + 1):
        _await_places()
        gpus, slots = _slots(ray.cluster_resources())
        workers = request["workers"] or (slots if gpus else _machines())
        actor = ray.remote(num_cpus=1, num_gpus=gpus, scheduling_strategy="SPREAD")(Trainer)
        trainers = [actor.remote() for _ in range(workers)]
        try:
            place = ray.get(trainers[0].place.remote())
            waiting = [
                trainer.train.remote(rank, workers, place, request["run"], request["data"], request["weights"])
                for rank, trainer in enumerate(trainers)
            ]
            first, rest = waiting[0], list(waiting)
            while rest:  # the first that fails ends all: the others wait for it for ever
                ready, rest = ray.wait(rest, num_returns=1)
                ray.get(ready)
            return {"summary": ray.get(first)}
        except ray.exceptions.RayActorError:
            if attempt == ATTEMPTS:
                raise
        finally:
            for trainer in trainers:
                ray.kill(trainer)
    return {}


class Trainer:
    """One process of a training, on a machine of the cluster."""

    def place(self) -> str:
        """Where the processes meet: an address of this machine with a free port."""
        import socket

        ray: Any = import_module("ray")
        address = ray.util.get_node_ip_address()
        with socket.socket() as probe:
            probe.bind(("", 0))
            return f"tcp://{address}:{probe.getsockname()[1]}"

    def train(
        self, rank: int, workers: int, place: str, run: str, data: list[str], weights: str | None
    ) -> dict[str, Any]:
        """Train as one of several; only the first writes."""
        import torch
        import torch.distributed

        from spatialnet.datasets.packed import PackedChips
        from spatialnet.train.run import train

        backend = "nccl" if torch.cuda.is_available() else "gloo"
        if workers > 1:
            torch.distributed.init_process_group(backend, init_method=place, rank=rank, world_size=workers)
        try:
            chips = [PackedChips.open(Path(path)) for path in data]
            folder = Path(weights) if weights else None
            return train(Path(run), chips[0] if len(chips) == 1 else chips, weights_folder=folder)
        finally:
            if workers > 1:
                torch.distributed.destroy_process_group()


if __name__ == "__main__":
    sys.exit(main())
