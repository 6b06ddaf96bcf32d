"""How far what goes into convolutions of a weights file reaches, so that they can be computed in eight bits.

Objects are followed through made clips, and what the parts of the network are given is kept now and then.
Only parts that are mostly convolutions are rounded; in the others there is nothing to gain.
"""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from engine import weights
from engine.compiled.graph import Graph
from engine.models import MODELS, made_of
from engine.pico import build_pico
from engine.training import heldout
from engine.training.material import Material
from engine.types import EngineError

ROUNDED = ("encoder", "look", "outliner")
CLIPS, EVERY, SEED = 8, 7, 70_001  # made clips that are followed; of so many calls of one shape one is kept


class _Kept:
    """A graph, and some of what it is given."""

    def __init__(self, graph: Graph) -> None:
        self._graph, self._count = graph, 0
        self.calls: list[list[Tensor]] = []

    def __call__(self, *inputs: Tensor) -> list[Tensor]:
        if len(inputs[0]) == 1:
            self._count += 1
            if self._count % EVERY == 0:
                self.calls.append([x.clone() for x in inputs])
        return self._graph(*inputs)

    def measured(self) -> dict[str, tuple[float, float]]:
        return self._graph.measured(self.calls)


def calibrate(path: Path, material: Material, clips: int = CLIPS) -> int:
    """Write the ranges into a weights file of pico; returns the number of convolutions.

    Args:
        material: what made clips are made of.

    Raises:
        EngineError: MISSING_WEIGHTS, BAD_WEIGHTS; NOT_COMPILED where OpenVINO is not there.
    """
    net = build_pico()
    weights.load(net, path)
    model = made_of(net, MODELS["pico"], torch.device("cpu"), torch.float32, "to be calibrated")
    parts = model.compiled
    if parts is None:
        raise EngineError("NOT_COMPILED", "expected OpenVINO for a CPU: eight bits are computed by it alone")
    kept: dict[str, _Kept] = {}
    for name in ROUNDED:
        graph = parts.graphs[name]
        assert isinstance(graph, Graph)
        kept[name] = _Kept(graph)
        parts.graphs[name] = kept[name]
    for index, clip in enumerate(heldout.clips(material, clips, SEED)):
        heldout.follow(model, clip, "click" if index % 2 else "box")
    ranges = {name: graph.measured() for name, graph in kept.items()}
    weights.write_ranges(path, ranges)
    return sum(map(len, ranges.values()))
