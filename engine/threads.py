"""How many threads torch computes with, beside everybody else who wants the processor.

How they wait for each other is set in `engine/__init__.py`, for it has to be before torch is loaded.
"""

from __future__ import annotations

import os

import torch


def share() -> int:
    """Leave half of the cores to codecs and sockets, unless OMP_NUM_THREADS says how many torch may have.

    One thread more than there are free cores costs more than it brings: each part waits for the last of them.
    For the calling thread and those that begin later.

    Returns:
        threads that torch computes with now.
    """
    if "OMP_NUM_THREADS" not in os.environ:
        use(max(1, cores() // 2))
    return torch.get_num_threads()


def use(count: int) -> int:
    """Let torch compute with so many, for the calling thread and those that begin later.

    Returns:
        how many it computed with before.
    """
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    return before


def cores() -> int:
    """Cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
