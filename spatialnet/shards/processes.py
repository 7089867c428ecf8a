"""The shards of a manifest as processes of this machine."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress

from spatialnet.errors import PredictionRefused
from spatialnet.settings import REPOSITORY
from spatialnet.shards.manifest import Manifest

ATTEMPTS = 3
"""How often a shard is started whose process was killed."""

_POLL_SECONDS = 0.1


def run_processes(
    manifest: Manifest,
    processes: int,
    *,
    progress: Callable[[float], None] = lambda _share: None,
    should_stop: Callable[[], bool] = lambda: False,
    threads: int | None = None,
    device: str = "auto",
) -> bool:
    """Do all units in several processes at once; one that is killed is started again and goes on.

    Args:
        manifest: published work.
        processes: how many.
        progress: called with a share in 0..1.
        should_stop: asked often; once it says True the processes are ended and the call returns.
        threads: processor threads of each; default this machine's cores shared out.
        device: as `run_shard` takes it.

    Returns:
        True when every unit is done; False where it was stopped before.

    Raises:
        PredictionRefused: what a process said when it gave up.
    """
    if not 1 <= processes <= 256:
        raise PredictionRefused(f"{processes} processes cannot be. Choose 1 to 256.")
    each = threads or max(1, len(os.sched_getaffinity(0)) // processes)
    running = [_Shard(manifest, number, processes, each, device) for number in range(1, processes + 1)]
    try:
        while sum(shard.going() for shard in running):  # a sum: each is asked, not only until the first says yes
            progress(manifest.done() / max(1, len(manifest.units)))
            if should_stop():
                return False
            time.sleep(_POLL_SECONDS)
    finally:
        for shard in running:
            shard.end()
    progress(1.0)
    return True


class _Shard:
    """A process for one shard."""

    def __init__(self, manifest: Manifest, number: int, shards: int, threads: int, device: str) -> None:
        self._command = [
            sys.executable, "-m", "spatialnet.shards", str(manifest.folder), "--shard", f"{number}/{shards}", "--device", device,
        ]  # fmt: skip
        self._threads, self._attempt = threads, 0
        self._start()

    def _start(self) -> None:
        self._attempt += 1
        self._said = tempfile.TemporaryFile()  # noqa: SIM115 - closed in `end`
        environment = {
            **os.environ, "OMP_NUM_THREADS": str(self._threads), "MKL_NUM_THREADS": str(self._threads), "OMP_WAIT_POLICY": "PASSIVE",
        }  # fmt: skip
        self._process = subprocess.Popen(
            self._command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=self._said, cwd=REPOSITORY, env=environment
        )  # fmt: skip

    def going(self) -> bool:
        """Whether the shard is still at work; starts it again where its process was killed."""
        status = self._process.poll()
        if status is None:
            return True
        if status == 0:
            return False
        self._said.seek(0)
        said = self._said.read().decode("utf-8", "replace").strip()
        if status < 0 and self._attempt < ATTEMPTS:
            self._said.close()
            self._start()
            return True
        last = said.splitlines()[-1] if said else f"it was killed by signal {-status}"
        raise PredictionRefused(
            f"A process of this work gave up: {last[:300]} The same command goes on from what is done."
        )

    def end(self) -> None:
        """End the process where it still runs."""
        with suppress(ProcessLookupError):
            self._process.terminate()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._said.close()
