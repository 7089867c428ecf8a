"""Several processes as one training: each takes its share of a step's chips, gradients are summed.

Plain `torch.distributed`, so that torchrun, a batch system or any other launcher starts it. Every process holds the whole
state; the first one writes files and validates.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

import torch
import torch.distributed as dist
from torch import Tensor, nn

BUCKET_BYTES = 25 << 20
"""Gradients travel in pieces of about this size, one under way while the next is packed."""


class Processes:
    """The processes of a training; one alone where there is no process group.

    Attributes:
        rank: number of this process.
        count: how many there are.
    """

    def __init__(self, device: torch.device) -> None:
        together = dist.is_available() and dist.is_initialized()
        self.device = device
        self.rank, self.count = (dist.get_rank(), dist.get_world_size()) if together else (0, 1)

    @property
    def main(self) -> bool:
        """Whether this one writes and validates."""
        return self.rank == 0

    def deal(self, rows: Tensor) -> Tensor:
        """This process's share of a step's chips; may be empty."""
        return rows[self.rank :: self.count]

    def sum_(self, tensor: Tensor) -> None:
        """Sum a tensor over all processes, in place."""
        if self.count > 1:
            dist.all_reduce(tensor)

    def summed(self, values: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Tensors of one shape by name, the same names in all processes, summed over them."""
        if self.count == 1 or not values:
            return dict(values)
        names = sorted(values)
        row = torch.stack([values[name] for name in names])
        dist.all_reduce(row)
        return dict(zip(names, row, strict=True))

    @torch.no_grad()
    def sum_gradients(self, parameters: Sequence[nn.Parameter]) -> None:
        """Sum the gradients over all processes, in place."""
        if self.count == 1:
            return
        gradients = [p.grad for p in parameters if p.grad is not None]
        waiting = []
        for bucket in _buckets(gradients):
            flat = torch.cat([gradient.flatten() for gradient in bucket])
            waiting.append((bucket, flat, dist.all_reduce(flat, async_op=True)))
        for bucket, flat, work in waiting:
            if work is not None:
                work.wait()
            parts = torch.split(flat, [gradient.numel() for gradient in bucket])
            torch._foreach_copy_(bucket, [p.view_as(g) for p, g in zip(parts, bucket, strict=True)])

    def largest(self, value: int) -> int:
        """The largest of all processes' values."""
        if self.count == 1:
            return value
        tensor = torch.tensor([value], device=self.device)
        dist.all_reduce(tensor, dist.ReduceOp.MAX)
        return int(tensor)

    def wait(self) -> None:
        """Until all processes are here."""
        if self.count > 1:
            dist.barrier()


@contextmanager
def joined(device: torch.device) -> Iterator[Processes]:
    """The processes that a launcher started (RANK and WORLD_SIZE are set), or this one alone.

    Args:
        device: of this process; decides how they talk: NCCL on CUDA, gloo on the CPU.
    """
    own = "RANK" in os.environ and int(os.environ.get("WORLD_SIZE", "1")) > 1 and not dist.is_initialized()
    if own:
        if device.type == "cuda":
            torch.cuda.set_device(device)
        dist.init_process_group("nccl" if device.type == "cuda" else "gloo")
    try:
        yield Processes(device)
    finally:
        if own:
            dist.destroy_process_group()


def _buckets(tensors: Sequence[Tensor]) -> Iterator[list[Tensor]]:
    bucket: list[Tensor] = []
    size = 0
    for tensor in tensors:
        if bucket and (size >= BUCKET_BYTES or tensor.dtype != bucket[0].dtype):
            yield bucket
            bucket, size = [], 0
        bucket.append(tensor)
        size += tensor.numel() * tensor.element_size()
    if bucket:
        yield bucket
