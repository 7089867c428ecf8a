"""What this machine has and how busy it is: devices, memory, disk, and the figures of a job while it runs. No torch."""

from __future__ import annotations

import os
import re
import shutil
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import psutil

from spatialnet.errors import DeviceUnavailable, NotEnoughDisk

GIB = 2**30
LEAST_FREE = 256 * 2**20
"""Bytes that a job leaves free on the workspace's disk, so that the app and everyone's labels go on."""
_CGROUP = Path("/sys/fs/cgroup")
_DEVICE = re.compile(r"auto|cpu|cuda(:\d{1,3})?")


@dataclass(frozen=True)
class Device:
    """Something that a job can compute on.

    Attributes:
        name: `cpu` or `cuda:<index>`, as PyTorch calls it.
        title: what people read.
        total_gib: its memory.
        free_gib: how much of that nobody uses just now.
    """

    name: str
    title: str
    total_gib: float
    free_gib: float


def devices() -> list[Device]:
    """What jobs can compute on: GPUs that the driver shows and PyTorch can use, then the CPU."""
    total, free = memory()
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    here = Device("cpu", f"CPU, {cores} core{'s' * (cores > 1)}", total / GIB, free / GIB)
    found = []
    for index in range(len(_gpus())):
        with suppress(Exception):  # a GPU that vanished is simply not listed
            card, nvml = _gpus()[index], _nvml()
            name = nvml.nvmlDeviceGetName(card)
            told = name.decode() if isinstance(name, bytes) else str(name)
            room = nvml.nvmlDeviceGetMemoryInfo(card)
            found.append(Device(f"cuda:{index}", told, int(room.total) / GIB, int(room.free) / GIB))
    return [*found, here]


def candidates(wanted: str) -> list[str]:
    """The names of the devices that a job may take, the one it prefers first.

    Args:
        wanted: `auto` (any GPU, else the CPU), `cpu`, `cuda` (any GPU) or `cuda:<index>`.

    Raises:
        DeviceUnavailable: this machine has none that fits.
    """
    if wanted == "cpu":
        return ["cpu"]
    if not _DEVICE.fullmatch(wanted):
        raise DeviceUnavailable(f"{wanted[:64]!r} is no device. Use auto, cpu, cuda or cuda:<index>.")
    cards = [device.name for device in devices() if device.name != "cpu"]
    if wanted == "auto":
        return cards or ["cpu"]
    fitting = cards if wanted == "cuda" else [name for name in cards if name == wanted]
    if not fitting:
        raise DeviceUnavailable(
            f"This machine has no device {wanted} now; it has {', '.join([*cards, 'cpu'])}. Choose one of these, or auto."
        )
    return fitting


def memory() -> tuple[float, float]:
    """Bytes of memory that this process may use at all, and that are free; a container's limit counts."""
    seen = psutil.virtual_memory()
    total, free = float(seen.total), float(seen.available)
    with suppress(OSError, ValueError):
        limit = float((_CGROUP / "memory.max").read_text())  # "max" where there is no limit
        used = float((_CGROUP / "memory.current").read_text())
        with suppress(OSError, ValueError, IndexError):
            # Files that are kept in memory only as long as nobody needs the room.
            used -= float((_CGROUP / "memory.stat").read_text().split("inactive_file ")[1].split()[0])
        total, free = min(total, limit), min(free, max(limit - used, 0.0))
    return total, free


def free_disk(folder: Path) -> int:
    """Bytes that can still be written below a folder."""
    return shutil.disk_usage(folder).free


def check_disk(folder: Path, needed: float) -> None:
    """See whether what a job writes will fit.

    Args:
        folder: where it writes.
        needed: bytes, see `spatialnet.jobs.estimate.estimate_disk`.

    Raises:
        NotEnoughDisk: it will not.
    """
    free = free_disk(folder)
    if free < needed + LEAST_FREE:
        raise NotEnoughDisk(
            f"This writes about {needed / GIB:.2f} GiB, and {free / GIB:.2f} GiB are free on the workspace's disk, of which "
            f"{LEAST_FREE / GIB:.2f} GiB stay free. Free some space first."
        )


class Meter:
    """Measures the process tree of a job between one look and the next.

    Args:
        device: `cpu`, `cuda:<index>`, or None for work that needs no device.
    """

    def __init__(self, device: str | None = None) -> None:
        self.device = device
        self._process = psutil.Process()
        self._before: tuple[float, float] | None = None

    def read(self) -> dict[str, float]:
        """What is used now.

        Returns:
            `cpu`: share of all cores, 0..1, since the last look; `cores`; `memory`: bytes that the job's processes hold;
            `free_memory` and `all_memory`: bytes of the machine; on a GPU also `gpu`: share of the time in which it was
            busy, 0..1, `gpu_memory` and `all_gpu_memory`: bytes.
        """
        now, spent, held = time.monotonic(), 0.0, 0.0
        for process in [self._process, *self._process.children(recursive=True)]:
            with suppress(psutil.Error):
                times = process.cpu_times()
                spent += times.user + times.system
                held += process.memory_info().rss
        cores = os.cpu_count() or 1
        total, free = memory()
        figures = {"cores": float(cores), "memory": held, "free_memory": free, "all_memory": total}
        if self._before is not None and now > self._before[0]:
            used = (spent - self._before[1]) / (now - self._before[0]) / cores
            figures["cpu"] = min(max(used, 0.0), 1.0)
        self._before = (now, spent)
        return figures | self._gpu()

    def _gpu(self) -> dict[str, float]:
        if self.device is None or not self.device.startswith("cuda"):
            return {}
        try:
            card, nvml = _gpus()[int(self.device.partition(":")[2] or 0)], _nvml()
            room = nvml.nvmlDeviceGetMemoryInfo(card)
            busy = nvml.nvmlDeviceGetUtilizationRates(card).gpu / 100
            return {"gpu": busy, "gpu_memory": float(room.used), "all_gpu_memory": float(room.total)}
        except Exception:  # what the driver cannot tell is left out; the work itself notices a GPU that is gone
            return {}


def said(figures: Mapping[str, float]) -> str:
    """Figures in one line, for people; empty where nothing was measured."""
    parts = []
    if "rate" in figures:
        parts.append(f"{figures['rate']:,.0f} chips/s")
    if "cpu" in figures:
        parts.append(f"CPU {100 * figures['cpu']:.0f} % of {figures['cores']:.0f} cores")
    if "memory" in figures:
        parts.append(f"memory {figures['memory'] / GIB:.1f} GiB")
    if "gpu" in figures:
        held, total = figures["gpu_memory"] / GIB, figures["all_gpu_memory"] / GIB
        parts.append(f"GPU {100 * figures['gpu']:.0f} %, {held:.1f} of {total:.0f} GiB")
    return " · ".join(parts)


@cache
def _nvml() -> Any:
    """The driver's own library, or None where there is no driver."""
    try:
        import pynvml

        pynvml.nvmlInit()
    except Exception:  # the package or the driver is not there
        return None
    return pynvml


@cache
def _gpus() -> list[Any]:
    """Handles of the GPUs that PyTorch would see, in its order (`CUDA_DEVICE_ORDER` is set to the driver's for jobs)."""
    nvml = _nvml()
    if nvml is None or not _torch_knows_cuda():
        return []
    asked = os.environ.get("CUDA_VISIBLE_DEVICES")
    try:
        if asked is None:
            return [nvml.nvmlDeviceGetHandleByIndex(index) for index in range(nvml.nvmlDeviceGetCount())]
        found = []
        for part in (text.strip() for text in asked.split(",")):
            if not part or part == "-1":
                break  # as CUDA does: what stands behind an entry that is none does not count
            by_uuid = part.startswith(("GPU-", "MIG-"))
            find = nvml.nvmlDeviceGetHandleByUUID if by_uuid else nvml.nvmlDeviceGetHandleByIndex
            found.append(find(part if by_uuid else int(part)))
        return found
    except Exception:
        return []


def _torch_knows_cuda() -> bool:
    """Whether the installed PyTorch was built for CUDA, read from its files: importing it takes seconds."""
    spec = find_spec("torch")
    if spec is None or not spec.submodule_search_locations:
        return False
    try:
        text = (Path(next(iter(spec.submodule_search_locations))) / "version.py").read_text(encoding="utf-8")
    except OSError:
        return False
    return re.search(r"^cuda\b[^=]*= *['\"]", text, re.MULTILINE) is not None
