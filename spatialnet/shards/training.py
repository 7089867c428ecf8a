"""Many runs trained: each is one unit, and its run folder is its output, checkpoints and all."""

from __future__ import annotations

import fcntl
from collections.abc import Callable
from pathlib import Path

from spatialnet.datasets.packed import PackedChips
from spatialnet.shards.manifest import Unit
from spatialnet.train.run import train


def train_unit(unit: Unit, *, device: str, should_stop: Callable[[], bool]) -> bool:
    """Train the run of a unit, or go on with it.

    Returns:
        True when it is finished; False where it was stopped, or another process is at it.
    """
    run = Path(unit.item.files["run"])
    data = [
        PackedChips.open(Path(path)) for role, path in sorted(unit.item.files.items()) if role.startswith("dataset")
    ]
    with (run / ".training.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        summary = train(run, data[0] if len(data) == 1 else data, device=device, should_stop=should_stop)
    return bool(summary["state"] == "finished")
