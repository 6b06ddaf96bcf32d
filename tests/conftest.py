"""What tests of every room share."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch
from checkpoint import Checkpoint

from engine import tiny

# OpenMP's threads spin while they wait: on a machine with as many busy processes as cores, two of them are
# several times slower than one. Set for the processes that tests start, too.
os.environ.setdefault("OMP_NUM_THREADS", "1")
torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))


@pytest.fixture(scope="session")
def tiny_checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Checkpoint:
    """The network of `engine.tiny`, as files."""
    return Checkpoint(*tiny.write(tmp_path_factory.mktemp("tiny")))


ROOMS = ("web", "signaling", "stream")  # whose tests keep time; the longest first


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Two processes share the tests; of those that keep time, one room's run one after the other.

    All others can go wherever there is time left, file by file, and so come last.
    """
    tests = Path(__file__).parent

    def room(item: pytest.Item) -> str:
        return item.path.relative_to(tests).parts[0]

    for item in items:
        item.add_marker(pytest.mark.xdist_group(room(item) if room(item) in ROOMS else str(item.path)))
    items.sort(key=lambda item: ROOMS.index(room(item)) if room(item) in ROOMS else len(ROOMS))
