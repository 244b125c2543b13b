"""Several processes that train one network, each on its share of every batch; started by ``torchrun``.

Gradients are averaged once per step, after all of its passes; what is random is drawn alike everywhere.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, distributed, nn

from bitmixer.errors import TrainingError


@dataclass(frozen=True, slots=True, kw_only=True)
class Ranks:
    """This process among all that train together.

    Attributes:
        rank: Number of this process, from 0.
        count: Number of processes.
        device: Where this process computes.
    """

    rank: int
    count: int
    device: torch.device

    @property
    def is_first(self) -> bool:
        """Whether this process writes files and reports."""
        return self.rank == 0

    def share(self, batch: Tensor) -> Tensor:
        """Return this process's part of a batch."""
        return batch[self.rank :: self.count]

    def average_gradients(self, network: nn.Module) -> None:
        """Average the gradients of all processes."""
        self.average([p.grad for p in network.parameters() if p.grad is not None])

    def average_statistics(self, network: nn.Module) -> None:
        """Average the running statistics of all processes."""
        self.average([buffer for buffer in network.buffers() if buffer.is_floating_point()])

    def average(self, tensors: list[Tensor]) -> None:
        """Average tensors in place over all processes, in one message."""
        if self.count == 1 or not tensors:
            return
        flat = torch.cat([tensor.flatten() for tensor in tensors]).to(self.device)
        distributed.all_reduce(flat)
        means = torch.split(flat / self.count, [tensor.numel() for tensor in tensors])
        for tensor, mean in zip(tensors, means, strict=True):
            tensor.copy_(mean.view_as(tensor))


ALONE = Ranks(rank=0, count=1, device=torch.device("cpu"))
"""The one process of a training on the CPU."""


@contextmanager
def joined(device: str) -> Iterator[Ranks]:
    """Yield this process's place: alone, or among those that ``torchrun`` started.

    Args:
        device: ``cpu``, ``cuda`` or another of torch's.

    Raises:
        TrainingError: This torch cannot compute there.
    """
    _require(device)
    count = int(os.environ.get("WORLD_SIZE", "1"))
    if count == 1:
        yield Ranks(rank=0, count=1, device=torch.device(device))
        return
    distributed.init_process_group("nccl" if device.startswith("cuda") else "gloo")
    try:
        local = torch.device(device, int(os.environ["LOCAL_RANK"])) if device == "cuda" else torch.device(device)
        yield Ranks(rank=distributed.get_rank(), count=count, device=local)
    finally:
        distributed.destroy_process_group()


def _require(device: str) -> None:
    try:
        torch.zeros(1, device=device)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        accelerators = ("cuda", "mps", "xpu")
        known = [name for name in accelerators if getattr(torch, name).is_available()]
        reason = next(iter(str(error).splitlines()), "")
        raise TrainingError(f"device {device!r}: {reason}; here are: {', '.join(['cpu', *known])}") from None
