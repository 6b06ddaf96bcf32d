"""Processes that train one network together, as torchrun starts them."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from engine.training.team import join

MEMBER = Path(__file__).with_name("member.py")
Member = dict[str, Any]


@pytest.fixture(scope="module")
def members(tmp_path_factory: pytest.TempPathFactory) -> tuple[Member, Member]:
    out = tmp_path_factory.mktemp("team")
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    subprocess.run([*launch, str(MEMBER), str(out)], check=True, timeout=120, env=environment)
    first, second = (torch.load(out / f"member{rank}.pt") for rank in range(2))
    assert (out / "last.pt").is_file()
    assert len((out / "log.csv").read_text().splitlines()) == first["step"] + 1, "one of them writes the log"
    return first, second


def test_every_member_has_its_own_clips_and_the_mean_of_all_gradients(members: tuple[Member, Member]) -> None:
    first, second = members
    assert any(not torch.equal(value, second["own"][name]) for name, value in first["own"].items())
    for name, value in first["agreed"].items():
        assert torch.equal(value, second["agreed"][name]), name
        parts = [m["own"].get(name, torch.zeros_like(value)) for m in members]
        assert torch.allclose(value, (parts[0] + parts[1]) / 2, rtol=1e-4, atol=1e-7), name


def test_they_learn_one_network_and_stop_at_one_step(members: tuple[Member, Member]) -> None:
    first, second = members
    assert 0 < first["step"] == second["step"] < 50
    for name, value in first["net"].items():
        if "num_batches" not in name:
            assert torch.allclose(value, second["net"][name], rtol=1e-4, atol=1e-6), name


def test_a_process_on_its_own_leads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    team = join(torch.device("cpu"))
    assert (team.size, team.leads) == (1, True)
    assert team.all(True)
    assert not team.all(False)
