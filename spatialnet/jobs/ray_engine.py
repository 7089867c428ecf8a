"""Jobs on a Ray cluster: the same shards and the same training, started on its machines.

Ray is spoken to by a process of its own (`spatialnet.jobs.ray_driver`): whatever a cluster does or fails to do, a job can
tell it, wait no longer than it wants to, and stop it. When that process ends, Ray ends its tasks. Results travel through
the shared folder only, so progress is read there too.
"""

from __future__ import annotations

import importlib.util
import json
import queue
import re
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from spatialnet.errors import ClusterUnavailable
from spatialnet.settings import REPOSITORY
from spatialnet.shards.manifest import Manifest

CONNECT_SECONDS = 15.0
"""How long a cluster may take to answer."""

_IMPORT_SECONDS, _PORT_SECONDS, _POLL_SECONDS = 60.0, 5.0, 0.2


def run_on_ray(
    manifest: Manifest,
    address: str,
    *,
    progress: Callable[[float], None] = lambda _share: None,
    should_stop: Callable[[], bool] = lambda: False,
) -> bool:
    """Do all units of a manifest on a cluster. A shard whose machine is lost goes on elsewhere.

    Args:
        manifest: published work, in a folder that every machine of the cluster sees under this path.
        address: as `ray.init` takes it: `auto`, `host:6379` or `ray://host:10001`.
        progress: called with a share in 0..1.
        should_stop: asked often; once it says True the tasks are ended and the call returns.

    Returns:
        True when every unit is done; False where it was stopped before.

    Raises:
        ClusterUnavailable: Ray is not installed, or no cluster answers at this address.
        SpatialNetError: what a shard said when it gave up.
    """
    request = {"work": "shards", "folder": str(manifest.folder)}
    with _driver(address, request) as events:
        for _ in _until_done(events, should_stop):
            progress(manifest.done() / max(1, len(manifest.units)))
        stopped = should_stop()
    return not stopped


def train_on_ray(
    run: Path,
    data: Sequence[Path],
    address: str,
    *,
    workers: int | None = None,
    weights_folder: Path | None = None,
    heartbeat: Callable[[dict[str, Any]], None] | None = None,
    should_stop: Callable[[], bool] = lambda: False,
) -> dict[str, Any]:
    """Train a run in several processes of a cluster, by plain `torch.distributed`; a lost one costs the last checkpoint's age.

    Args:
        run: the run's folder, which every machine sees under this path.
        data: the folders of its data sets, likewise.
        address: as for `run_on_ray`.
        workers: processes; each has one GPU where the cluster has GPUs. Default: one per GPU, else one per machine that
            has processors to give.
        weights_folder: where `file:` weights lie.
        heartbeat: called with each line of the history.
        should_stop: asked often; once it says True the processes are ended. The last checkpoint stays.

    Returns:
        As `spatialnet.train.run.train`; `{"state": "stopped"}` where it was stopped.

    Raises:
        ClusterUnavailable: Ray is not installed, or no cluster answers at this address.
        SpatialNetError: what the training said when it gave up.
    """
    request = {
        "work": "train", "run": str(run), "data": [str(path) for path in data], "workers": workers,
        "weights": str(weights_folder) if weights_folder else None,
    }  # fmt: skip
    history, told = run / "history.jsonl", 0
    summary: dict[str, Any] = {"state": "stopped"}
    with _driver(address, request) as events:
        for event in _until_done(events, should_stop):
            summary = event.get("summary", summary)
            lines = history.read_text(encoding="utf-8").splitlines() if heartbeat and history.exists() else []
            if heartbeat and len(lines) != told and lines:
                told = len(lines)
                try:
                    heartbeat(json.loads(lines[-1]))
                except ValueError:  # a line that is half written
                    continue
    return summary


def check_address(address: str) -> None:
    """Refuse an address that cannot be one, or at which nothing listens.

    Raises:
        ClusterUnavailable: Ray is not installed, or nothing listens there.
    """
    if importlib.util.find_spec("ray") is None:
        raise ClusterUnavailable(
            "Ray is not installed here. Run `pip install -r requirements-ray.txt`, or unset SPATIALNET_RAY."
        )
    if address == "auto":
        return
    found = re.fullmatch(r"(?:ray://)?(\[[0-9A-Fa-f:]+\]|[\w.-]+):(\d{1,5})", address)
    if not found or int(found[2]) > 65535:
        raise ClusterUnavailable(
            f"{address[:80]!r} is no address of a Ray cluster. Set SPATIALNET_RAY to host:6379, ray://host:10001 or auto."
        )
    try:
        socket.create_connection((found[1].strip("[]"), int(found[2])), timeout=_PORT_SECONDS).close()
    except OSError as error:
        raise _no_answer(address) from error


def _no_answer(address: str) -> ClusterUnavailable:
    return ClusterUnavailable(
        f"No Ray cluster answers at {address[:80]!r}. Check that it runs (`ray start --head`), and SPATIALNET_RAY; "
        "both sides need the same RAY_AUTH_MODE and token."
    )


Events = Callable[[float], Mapping[str, Any] | None]
"""Waits so many seconds for the driver's next word; None where there was none."""


@contextmanager
def _driver(address: str, request: Mapping[str, Any]) -> Iterator[Events]:
    check_address(address)
    process = subprocess.Popen(
        [sys.executable, "-m", "spatialnet.jobs.ray_driver"],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=None, text=True, cwd=REPOSITORY, start_new_session=True,
    )  # fmt: skip
    said: queue.Queue[Mapping[str, Any]] = queue.Queue()
    assert process.stdin is not None  # noqa: S101 - tells the type checker that these are pipes
    assert process.stdout is not None  # noqa: S101
    reader = threading.Thread(target=_listen, args=(process.stdout, said), daemon=True)
    reader.start()
    try:
        process.stdin.write(json.dumps({"address": address, **request}) + "\n")
        process.stdin.flush()
        _expect(said, "ready", _IMPORT_SECONDS, address)
        _expect(said, "connected", CONNECT_SECONDS, address)

        def next_event(seconds: float) -> Mapping[str, Any] | None:
            try:
                event = said.get(timeout=seconds)
            except queue.Empty:
                return None
            if "error" in event or event.get("ended"):
                raise ClusterUnavailable(
                    str(event.get("error", "The Ray cluster was lost. The same command goes on from what is done."))
                )
            return event

        yield next_event
    finally:
        process.terminate()
        try:
            process.wait(5)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        reader.join(5)
        process.stdin.close()
        process.stdout.close()


def _expect(said: queue.Queue[Mapping[str, Any]], word: str, seconds: float, address: str) -> None:
    end = time.monotonic() + seconds
    while True:
        try:
            event = said.get(timeout=max(0.0, end - time.monotonic()))
        except queue.Empty:
            raise _no_answer(address) from None
        if word in event:
            return
        if "error" in event or event.get("ended"):
            raise _no_answer(address)


def _listen(stream: IO[str], said: queue.Queue[Mapping[str, Any]]) -> None:
    for line in stream:
        try:
            event = json.loads(line)
        except ValueError:  # Ray prints what its tasks print
            continue
        if isinstance(event, dict):
            said.put(event)
    said.put({"ended": True})


def _until_done(events: Events, should_stop: Callable[[], bool]) -> Iterator[Mapping[str, Any]]:
    while not should_stop():
        event = events(_POLL_SECONDS) or {}
        yield event
        if event.get("done"):
            return
