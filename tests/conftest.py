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


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Two processes share the tests; of those that keep time, one room's run one after the other."""
    for item in items:
        room = item.path.relative_to(Path(__file__).parent).parts[0]
        item.add_marker(pytest.mark.xdist_group(str(item.path) if room == "engine" else room))
