"""Ray for real: a cluster of this machine with two workers, one of which is lost while it works."""

from __future__ import annotations

import fcntl
import os
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from spatialnet.errors import ClusterUnavailable, PredictionRefused, SpatialNetError
from spatialnet.jobs.ray_engine import check_address, run_on_ray
from spatialnet.jobs.requests import request_training
from spatialnet.recipe import Recipe
from spatialnet.runs import open_run
from spatialnet.shards.manifest import Manifest, read_manifest
from spatialnet.shards.request import scenes_manifest
from spatialnet.shards.run import finish, run_shard
from tests.jobs.conftest import HereJobs

ray = pytest.importorskip("ray")

TOKEN = "0123456789abcdef0123456789abcdef"
NODE = (
    "--node-ip-address=127.0.0.1",
    "--num-gpus=0",
    "--object-store-memory=80000000",
    "--disable-usage-stats",
    "--block",
)


GUARD = """
import subprocess, sys, psutil
node = subprocess.Popen(sys.argv[1:], stdin=subprocess.DEVNULL)
sys.stdin.read()
family = [*psutil.Process().children(recursive=True)]
for member in family:
    try:
        member.kill()
    except psutil.NoSuchProcess:
        pass
psutil.wait_procs(family, 10)
"""
"""Starts a node, and ends it with all its processes when the test's process closes the pipe or dies, however it dies."""


class Cluster:
    """A head that does no work, and two workers. Only processes that were started here are ever ended."""

    def __init__(self, folder: Path) -> None:
        (folder / "token").write_text(TOKEN)
        # Dead machines are noticed within two seconds, not fifteen.
        self.environment = {
            **os.environ, "RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN_PATH": str(folder / "token"), "OMP_NUM_THREADS": "1",
            "RAY_health_check_period_ms": "500", "RAY_health_check_failure_threshold": "3",
            "RAY_health_check_initial_delay_ms": "0", "RAY_enable_metrics_collection": "0",
        }  # fmt: skip
        self.port, self._folder = free_port(), folder
        self.address = f"127.0.0.1:{self.port}"
        self.nodes: list[subprocess.Popen[bytes]] = []

    def begin(self) -> None:
        self.start(
            "--head",
            f"--port={self.port}",
            "--num-cpus=0",
            "--include-dashboard=false",
            f"--temp-dir={self._folder / 'r'}",
        )
        self.wait_for(self._listens)
        for number in (1, 2):
            self.start(f"--address={self.address}", "--num-cpus=1")
            # Of two that start at once on one machine, Ray may give both the same socket.
            self.wait_for(lambda number=number: len(list(self._folder.glob("r/session_2*/sockets/raylet*"))) > number)
        self.wait_for_workers()

    def start(self, *arguments: str) -> None:
        """One machine."""
        number = len(self.nodes)
        command = [
            sys.executable, "-c", GUARD, str(Path(sys.executable).with_name("ray")), "start", *arguments, *NODE,
        ]  # fmt: skip
        with self.log(number).open("wb") as log:
            node = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=log, stderr=log, env=self.environment, start_new_session=True
            )
        self.nodes.append(node)

    def log(self, number: int) -> Path:
        return self._folder / f"node-{number}.txt"

    def wait_for(self, is_so: Callable[[], bool]) -> None:
        end = time.monotonic() + 60
        while not is_so():
            assert time.monotonic() < end, "\n".join(self.log(n).read_text()[-500:] for n in range(len(self.nodes)))
            time.sleep(0.1)

    def wait_for_workers(self) -> None:
        self.wait_for(lambda: all("Ray runtime started" in self.log(n).read_text() for n in range(len(self.nodes))))

    def kill(self, node: int) -> None:
        """A machine is lost: all of its processes at once."""
        process = self.nodes[node]
        assert process.stdin is not None
        process.stdin.close()
        process.wait(20)

    def end(self) -> None:
        for process in self.nodes:
            if process.stdin is not None and not process.stdin.closed:
                process.stdin.close()
        for process in self.nodes:
            process.wait(20)

    def _listens(self) -> bool:
        with suppress(OSError):
            socket.create_connection(("127.0.0.1", self.port), 1).close()
            return True
        return False


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.fixture(scope="module")
def cluster(tmp_path_factory) -> Iterator[Cluster]:
    # Ray's sockets have names of at most 107 letters, so its folder cannot lie deep.
    folder = Path(tmp_path_factory.getbasetemp().parent / f"ray-{os.getpid()}")
    folder.mkdir()
    found = Cluster(folder)
    before = {key: os.environ.get(key) for key in ("RAY_AUTH_MODE", "RAY_AUTH_TOKEN_PATH")}
    os.environ |= {key: found.environment[key] for key in before}
    try:
        found.begin()
        yield found
    finally:
        for key, value in before.items():
            os.environ.pop(key) if value is None else os.environ.update({key: value})
        found.end()
        shutil.rmtree(folder, ignore_errors=True)


def bytes_of(found):
    return {item: {role: path.read_bytes() for role, path in files.items()} for item, files in found.items()}


def prepared(folder, finished, landscape, kind="predict", **options) -> Manifest:
    scene = landscape.scene_path(landscape.places[0]["name"], "landsat7")
    names = ("a", "b")
    run = open_run(finished, "run-done")
    manifest = scenes_manifest(folder, kind, run, {name: {"landsat7": scene} for name in names}, **options)
    manifest.publish()
    return manifest


def test_a_worker_that_is_lost_costs_nothing(cluster, tmp_path, finished, landscape):
    here = prepared(tmp_path / "here", finished, landscape, stride=4)
    there = prepared(tmp_path / "there", finished, landscape, stride=4)
    lost: list[int] = []

    def lose_one(_share: float) -> None:
        if not lost and there.done() >= 2:
            lost.append(there.done())
            cluster.kill(1)

    assert run_on_ray(there, cluster.address, progress=lose_one)
    cluster.start(f"--address={cluster.address}", "--num-cpus=1")  # for the tests that follow, while this one goes on
    assert lost
    assert lost[0] < len(there.units)
    run_shard(here, 1, 1)
    assert bytes_of(finish(there)) == bytes_of(finish(here))


def test_a_job_trains_on_two_workers_and_holds_no_device_here(cluster, settings, engine, in_workspace):
    cluster.wait_for_workers()
    jobs = HereJobs(replace(settings, ray=cluster.address), engine)
    recipe = Recipe(name="two workers", preset="nano", patch=8, epochs=2, batch_size=64)
    with (settings.locks / "cpu.lock").open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)  # another job computes here all the time
        job = request_training(jobs, in_workspace, recipe, label_version=0, device="ray")
    assert job.state == "done", jobs.log(job.id)
    assert job.device is None
    run = open_run(settings, str(job.spec["run"]))
    assert [line["epoch"] for line in run.history() if "validation" in line] == [1, 2]
    assert run.report["training"]["state"] == "finished"
    assert (run.folder / "predictions.parquet").exists()


def test_a_cluster_embeds_until_it_is_stopped_and_work_that_fails_beside_it_is_told(
    cluster, tmp_path, finished, landscape
):
    broken = prepared(tmp_path / "broken", finished, landscape)
    path = broken.state / "manifest.json"
    path.write_text(path.read_text().replace("landsat7.tif", "none.tif"))
    embedded = prepared(tmp_path / "out", finished, landscape, kind="embed", stride=4)

    def fail() -> None:
        with pytest.raises(SpatialNetError, match=r"There is no file 'none\.tif'"):
            run_on_ray(read_manifest(broken.folder), cluster.address)

    with ThreadPoolExecutor(1) as beside:
        failed = beside.submit(fail)
        assert not run_on_ray(embedded, cluster.address, should_stop=lambda: embedded.done() > 0)
        failed.result()
    assert 0 < embedded.done() < len(embedded.units)
    with pytest.raises(PredictionRefused, match="still to be done"):
        finish(embedded)
    run_shard(embedded, 1, 1)  # goes on from what the cluster did
    assert all(len(np.load(files["features"])) for files in finish(embedded).values())


# A cluster that is not there


def test_an_address_at_which_nothing_listens_is_one_sentence_at_once(tmp_path, finished, landscape):
    manifest = prepared(tmp_path / "out", finished, landscape)
    start = time.monotonic()
    with pytest.raises(ClusterUnavailable, match=r"No Ray cluster answers at '127\.0\.0\.1:\d+'\. Check that it runs"):
        run_on_ray(manifest, f"127.0.0.1:{free_port()}")
    assert time.monotonic() - start < 5


def test_something_that_listens_and_never_answers_is_given_up(tmp_path, finished, landscape, monkeypatch):
    monkeypatch.setattr("spatialnet.jobs.ray_engine.CONNECT_SECONDS", 3.0)
    manifest = prepared(tmp_path / "out", finished, landscape)
    with socket.create_server(("127.0.0.1", 0)) as deaf:
        start = time.monotonic()
        with pytest.raises(ClusterUnavailable, match="No Ray cluster answers"):
            run_on_ray(manifest, f"127.0.0.1:{deaf.getsockname()[1]}")
    assert time.monotonic() - start < 40  # most of it Python's own start
    assert not [t for t in threading.enumerate() if t.name.startswith("Thread-") and not t.daemon]


@pytest.mark.parametrize(
    "address", ["", "here", "host:", "host:99999", "http://host:1", "a b:1", "host:1; rm -rf /", "x" * 500]
)
def test_an_address_that_cannot_be_one_is_refused(address):
    with pytest.raises(ClusterUnavailable, match="is no address of a Ray cluster"):
        check_address(address)


def test_ray_that_is_not_installed_is_one_sentence(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda _name: None)
    with pytest.raises(ClusterUnavailable, match=r"pip install -r requirements-ray\.txt"):
        check_address("auto")
