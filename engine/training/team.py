"""Processes that learn one network together: each has its own clips, and gradients are averaged.

Started by torchrun (`torchrun --nproc-per-node 2 --no-python livemask train ...`); one process alone is a
team of one. Everything that differs between members is drawn from `rank`, so nothing else has to be kept.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass

import torch
import torch.distributed as dist
from torch import Tensor, nn


@dataclass(frozen=True, slots=True)
class Team:
    rank: int = 0
    size: int = 1

    @property
    def leads(self) -> bool:
        """Whether this process writes what the team has made."""
        return self.rank == 0

    def all(self, willing: bool) -> bool:
        """Whether every member is."""
        if self.size == 1:
            return willing
        votes = torch.tensor(float(willing), device="cuda" if dist.get_backend() == "nccl" else "cpu")
        dist.all_reduce(votes, dist.ReduceOp.MIN)
        return bool(votes)

    @torch.no_grad()
    def agree(self, net: nn.Module) -> None:
        """Average over the members the gradients of `net`, and what its norms have measured."""
        if self.size == 1:
            return
        learnt = [p for p in net.parameters() if p.requires_grad]
        for parameter in learnt:
            if parameter.grad is None:  # another member may have used it
                parameter.grad = torch.zeros_like(parameter)
        measured = (b for b in net.buffers() if b.is_floating_point())
        self._average([*(p.grad for p in learnt if p.grad is not None), *measured])

    def _average(self, tensors: Iterable[Tensor]) -> None:
        shared = list(tensors)
        flat = torch.cat([t.flatten() for t in shared])
        dist.all_reduce(flat)
        flat /= self.size
        parts = torch.split(flat, [t.numel() for t in shared])
        for tensor, part in zip(shared, parts, strict=True):
            tensor.copy_(part.view_as(tensor))


def join(device: torch.device) -> Team:
    """The team that torchrun started this process for; a team of one without."""
    if "WORLD_SIZE" not in os.environ:
        return Team()
    if not dist.is_initialized():
        if device.type == "cuda":
            torch.cuda.set_device(device)
        dist.init_process_group("nccl" if device.type == "cuda" else "gloo")
    return Team(dist.get_rank(), dist.get_world_size())
