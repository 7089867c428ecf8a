"""Where a training runs, in what precision, and what it says when the machine lets it down."""

from __future__ import annotations

import errno
import os
import resource
from collections.abc import Iterator
from contextlib import contextmanager

import torch

from spatialnet.errors import DeviceUnavailable, NotEnoughDisk, OutOfMemory, RecipeInvalid

_NO_MEMORY = ("DefaultCPUAllocator", "not enough memory", "out of memory", "can't allocate memory")
_NO_DEVICE = ("CUDA error", "CUDA driver", "NCCL error", "device-side assert", "cuDNN error")


def resolve_device(name: str) -> torch.device:
    """The device called `name`; `auto` is CUDA where there is one, else the CPU.

    Under a launcher of several processes `auto` and `cuda` are the GPU of this process (LOCAL_RANK).

    Raises:
        RecipeInvalid: there is no such device here.
    """
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    if name == "cuda" and "LOCAL_RANK" in os.environ:
        name = f"cuda:{os.environ['LOCAL_RANK']}"
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise RecipeInvalid(f"{name[:64]!r} is not a device. Use auto, cpu, cuda or cuda:<index>.") from error
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise RecipeInvalid(
            f"This machine has {torch.cuda.device_count()} CUDA devices; {name} was asked for. Use auto."
        )
    return device


def autocast_dtype(precision: str, device: torch.device) -> torch.dtype:
    """What matrix products are computed in: `auto` is bfloat16 where the device has instructions for it."""
    if precision == "auto":
        if device.type == "cuda":
            return torch.bfloat16 if torch.cuda.is_bf16_supported(including_emulation=False) else torch.float32
        features = torch.cpu.get_capabilities() if hasattr(torch.cpu, "get_capabilities") else {}
        return torch.bfloat16 if features.get("avx512_bf16") else torch.float32
    return torch.bfloat16 if precision == "bfloat16" else torch.float32


def peak_memory_gib(device: torch.device) -> float:
    """Most memory used so far: of the GPU by this process; on the CPU the process's own. In GiB."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 2**30
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


@contextmanager
def faults_said(run: str) -> Iterator[None]:
    """Turn what the machine does to a training into sentences.

    Args:
        run: what the sentences call it.

    Raises:
        NotEnoughDisk: the disk is full.
        OutOfMemory: memory of the GPU or the machine ran out.
        DeviceUnavailable: a GPU stopped answering.
    """
    try:
        yield
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise
        raise NotEnoughDisk(f"The disk is full: run {run} stopped. Free some space and start it again.") from error
    except MemoryError as error:
        raise _out_of_memory(run) from error
    except RuntimeError as error:
        text = str(error)
        if isinstance(error, torch.OutOfMemoryError) or any(word in text for word in _NO_MEMORY):
            raise _out_of_memory(run) from error
        if any(word in text for word in _NO_DEVICE):
            raise DeviceUnavailable(
                f"The GPU stopped answering ({text.splitlines()[0][:120]}): run {run} stopped, its last checkpoint is "
                "kept. Start it again when the GPU is back, or on another device."
            ) from error
        raise


def _out_of_memory(run: str) -> OutOfMemory:
    return OutOfMemory(
        f"Memory ran out: run {run} stopped, its last checkpoint is kept. Start it again with more parts per step "
        "(accumulate), a smaller batch_size, or checkpointing."
    )
