"""One of several processes that train together, as torchrun starts them: python member.py OUT."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import ClassVar

import torch
from torch import nn

from engine.training.loop import Run, RunConfig
from engine.training.material import Material
from engine.training.plan import Stage
from engine.training.team import Team, join
from engine.training.textures import procedural_pictures

STAGES = (Stage("video", 50, clips=1, frames=2, size=64, pointed=0.5, anew=0.5),)


Gradients = dict[str, torch.Tensor]


class Watched(Team):
    """Keeps the gradients before and after the members agreed on them, of the first step."""

    seen: ClassVar[list[Gradients]] = []

    def agree(self, net: nn.Module) -> None:
        self.seen.append(_gradients(net))
        super().agree(net)
        self.seen.append(_gradients(net))


def _gradients(net: nn.Module) -> Gradients:
    return {name: p.grad.clone() for name, p in net.named_parameters() if p.grad is not None}


def main(out: Path) -> None:
    torch.set_num_threads(1)
    team = join(torch.device("cpu"))
    pictures = procedural_pictures(6, torch.Generator().manual_seed(0))
    config = RunConfig(out, STAGES, seed=7, wardrobe=4)
    run = Run(config, Material(pictures), torch.device("cpu"), Watched(team.rank, team.size))
    # one would stop early: the other must not wait for it for ever
    run.train(until=time.monotonic() + (4 if team.rank else 60))
    own, agreed = Watched.seen[:2]
    state = {"net": run.net.state_dict(), "step": run.step, "own": own, "agreed": agreed}
    torch.save(state, out / f"member{team.rank}.pt")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
