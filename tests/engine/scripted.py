"""Scripts of prompts carried out on a tracker, and what came of them, for the tests of past frames."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from official import CPU
from torch import Tensor

from engine import nets
from engine.models import Model, Preset
from engine.pico import PicoConfig, build_pico
from engine.synthetic import SyntheticClip
from engine.track import Track
from engine.tracker import Tracker
from engine.types import Box, Frame, MaskSet, Point, Points, Prompt

FPS = 20
CLIP = SyntheticClip(64, 64)
PICTURES = [CLIP.frame(i)[0] for i in range(80)]
CLICK = Points(1, (Point(0.4, 0.5),))
MORE = Points(1, (Point(0.7, 0.6), Point(0.2, 0.2, positive=False)))
OTHER = Box(2, 0.1, 0.2, 0.6, 0.7)

Script = Mapping[int, Sequence[Prompt]]


def small_model() -> Model:
    """The smallest network that has every part, to which an object is always there."""
    torch.manual_seed(0)
    config = PicoConfig(
        image_size=32, stem=8, dims=(8, 8, 16, 16), depths=(0, 0, 0, 0), d_model=32, mem_dim=16
    )
    net = build_pico(replace(config, memory_feedforward=32))
    net.sam_mask_decoder.pred_obj_score_head.layers[-1].bias.data.fill_(5.0)
    nets.ready(net, CPU, torch.float32)
    return Model(
        net, Preset("tiny", "none", dense_prompts=True, fill_hole_area=0), 32, CPU, torch.float32, ""
    )


def frame(index: int) -> Frame:
    return Frame(index, PICTURES[index], captured_at=index / FPS)


@dataclass
class Run:
    """What a script did to a tracker."""

    tracker: Tracker
    results: list[MaskSet] = field(default_factory=list)
    tracks: list[dict[int, Track]] = field(default_factory=list)

    def on(self, script: Script, until: int) -> Run:
        for index in range(len(self.results), until):
            self.results.append(self.tracker.step(frame(index), script.get(index, ())))
            self.tracks.append(dict(self.tracker.tracks))
        return self

    def landed(self, prompt: Prompt, since: int) -> int:
        """The first frame that shows the effect of a prompt."""
        pending = [any(p is prompt for p in r.pending) for r in self.results[since:]]
        return since + pending.index(False)

    def refused(self, index: int) -> list[str]:
        return [error.code for _, error in self.results[index].rejected]


def tensors(track: Track) -> Iterator[Tensor]:
    yield from (track.answer.logits, track.answer.filled, track.answer.pointer, track.answer.score)
    yield from track.memory.tensors()


def assert_same(ours: Run, theirs: Run, since: int, objects: Sequence[int] = (1,)) -> None:
    """Masks, scores, states, answers and all that is remembered, from a frame on."""
    for index in range(since, len(ours.results)):
        for i in objects:
            a, b = ours.tracks[index][i], theirs.tracks[index][i]
            assert all(torch.equal(x, y) for x, y in zip(tensors(a), tensors(b), strict=True)), (index, i)
            assert [e.frame for e in a.memory.bank] == [e.frame for e in b.memory.bank]
            (x,) = [o for o in ours.results[index].objects if o.object_id == i]
            (y,) = [o for o in theirs.results[index].objects if o.object_id == i]
            assert np.array_equal(x.mask, y.mask)
            assert (x.score, x.box, x.state) == (y.score, y.box, y.state)


def run(model: Model, script: Script, until: int, history: float = 2.0, max_objects: int = 16) -> Run:
    return Run(Tracker(model, history=history, max_objects=max_objects)).on(script, until)
