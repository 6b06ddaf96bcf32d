"""The training run: resumable at any step, seeded, logged as CSV."""

from __future__ import annotations

import copy
import csv
import os
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from sam2.modeling.sam2_base import SAM2Base
from torch import nn

from engine.pico import PicoConfig, build_pico, resize
from engine.training.looking import look
from engine.training.material import Material
from engine.training.outlining import outline
from engine.training.plan import Stage, learning_rate, stage_at
from engine.training.redrawing import redraw
from engine.training.regressing import regress
from engine.training.scenes import Clips, SceneConfig, make_clips
from engine.training.sprites import Wardrobe
from engine.training.stock import Stock, varied
from engine.training.team import Team
from engine.training.unroll import Lesson, Outcome, unroll

# What has a lesson of its own, by what its names in the network begin with.
LESSONS: dict[str, Callable[[SAM2Base, Clips, torch.Generator], Outcome]] = {
    "redrawer": redraw,
    "look": look,
    "regressor": regress,
    "outliner": outline,
}
LOG = ("step", "stage", "seconds", "lr", "mask", "iou", "score", "first_iou", "tracked_iou", "grad")


@dataclass(frozen=True, slots=True)
class RunConfig:
    """One training run.

    `seed` fixes weights, scenes and prompts; `out` gets last.pt and log.csv; `amp` computes in bfloat16;
    `wardrobe` is the number of groups of sprites in stock.
    """

    out: Path
    stages: tuple[Stage, ...]
    seed: int = 0
    peak_lr: float = 6e-4
    cooldown: float = 0.2
    weight_decay: float = 0.05
    ema: float = 0.998
    save_every: float = 300.0
    amp: bool = False
    wardrobe: int = 256


class Run:
    """The state of a run: network, averaged network, optimiser, step.

    What is drawn at a step depends on the seed, the step and the member of the `team` alone.
    """

    def __init__(
        self, config: RunConfig, material: Material, device: torch.device, team: Team | None = None
    ) -> None:
        self.config, self.material, self.device = config, material.to(device), device
        self.team = team or Team()
        torch.manual_seed(config.seed)
        self.generator = torch.Generator()
        seed = config.seed * self.team.size + self.team.rank
        self.stock = Stock(config.out / "clips" / str(self.team.rank))
        self.wardrobe = Wardrobe(self.material.pictures, seed, config.wardrobe, self.material.cutouts)
        self.pico = PicoConfig()
        self.net = build_pico(self.pico)
        prime(self.net)
        self.net.to(device, memory_format=torch.channels_last).train()
        self.average = copy.deepcopy(self.net).eval().requires_grad_(False)
        self.optimiser = torch.optim.AdamW(_groups(self.net, config.weight_decay), lr=0.0, betas=(0.9, 0.98))
        self.step = 0

    @property
    def total(self) -> int:
        return sum(stage.steps for stage in self.config.stages)

    def resume(self, path: Path) -> None:
        state = torch.load(path, map_location=self.device, weights_only=True)
        self.net.load_state_dict(state["net"])
        self.average.load_state_dict(state["average"])
        self.optimiser.load_state_dict(state["optimiser"])
        self.step = state["step"]

    def start_from(self, weights: Path) -> None:
        """Begin with a weights file as `export` writes it; the optimiser starts fresh."""
        loaded = load_file(weights)
        state = {name: v.float() if v.is_floating_point() else v for name, v in loaded.items()}
        self.net.load_state_dict(state)
        self.average.load_state_dict(state)

    def save(self, path: Path) -> None:
        if not self.team.leads:
            return
        state = {
            "net": self.net.state_dict(),
            "average": self.average.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "step": self.step,
            "pico": asdict(self.pico),
        }
        partial = path.with_suffix(".part")
        torch.save(state, partial)
        partial.replace(path)

    def train(self, until: float | None = None) -> None:
        """Run to the end of the stages, or until `time.monotonic()` reaches `until`; saves on the way."""
        self.config.out.mkdir(parents=True, exist_ok=True)
        last, saved = self.config.out / "last.pt", time.monotonic()
        if self.step == 0:
            self.stock.clear()
        with _Log(self.config.out / "log.csv" if self.team.leads else Path(os.devnull)) as log:
            while self.step < self.total and self.team.all(until is None or time.monotonic() < until):
                log.write(self.advance())
                if time.monotonic() - saved > self.config.save_every:
                    self.save(last)
                    saved = time.monotonic()
        self.save(last)

    def advance(self) -> dict[str, Any]:
        """One optimiser step; returns a row for the log."""
        began = time.monotonic()
        stage, done = stage_at(self.config.stages, self.step)
        rate = learning_rate(self.step, self.total, self.config.peak_lr, cooldown=self.config.cooldown)
        for group in self.optimiser.param_groups:
            group["lr"] = rate
        outcome = self._teach(stage, done)
        self.optimiser.zero_grad(set_to_none=True)
        outcome.losses.total.backward()  # type: ignore[no-untyped-call]
        self.team.agree(self.net)
        norm = nn.utils.clip_grad_norm_(self.net.parameters(), 1.0)
        if torch.isfinite(norm):
            self.optimiser.step()
        self._average()
        self.step += 1
        return _row(self.step, stage.name, time.monotonic() - began, rate, outcome, float(norm))

    def _teach(self, stage: Stage, done: int) -> Outcome:
        resize(self.net, stage.size)
        self._choose(stage)
        with torch.no_grad():
            clips = self._clips(stage, done)
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.config.amp):
            if stage.part:
                return LESSONS[stage.part](self.net, clips, self.generator)
            lesson = draw_lesson(stage, done / stage.steps, self.generator)
            return unroll(self.net, clips, lesson, self.generator)

    def _clips(self, stage: Stage, done: int) -> Clips:
        """Those of a step, after `done` others of its stage: made for it, or for another one before."""
        if stage.repeats == 1:
            return self._made(stage, self.step)
        number = done % -(-stage.steps // stage.repeats)
        step = self.step - done + number
        clips = self.stock.take(f"{stage.name}-{step}", lambda: self._made(stage, step))
        self._draw(self.step)
        return varied(clips, self.generator)

    def _made(self, stage: Stage, step: int) -> Clips:
        """Clips as they are made at a step."""
        self._draw(step)
        slow, fast = stage.pace
        scene = SceneConfig(
            size=stage.size,
            frames=stage.frames,
            leave=stage.leave,
            speed=stage.speed,
            pace=slow * (fast / slow) ** float(torch.rand((), generator=self.generator)),
            reels=stage.reels,
        )
        self.wardrobe.at(step)
        return make_clips(self.material, self.wardrobe, stage.clips, scene, self.generator)

    def _draw(self, step: int) -> None:
        """Begin to draw what belongs to a step."""
        self.generator.manual_seed((self.config.seed * 10_000_019 + step) * self.team.size + self.team.rank)

    def _choose(self, stage: Stage) -> None:
        """Who learns, and whose norms measure what they see."""
        for name, parameter in self.net.named_parameters():
            parameter.requires_grad_(part_of(name) == stage.part)
        for name, module in self.net.named_modules():
            if isinstance(module, nn.BatchNorm2d):
                module.train(part_of(name) == stage.part and not stage.freeze)

    @torch.no_grad()
    def _average(self) -> None:
        decay = min(self.config.ema, (self.step + 1) / (self.step + 10))
        ours, theirs = self.average.state_dict(), self.net.state_dict()
        for name, value in ours.items():
            if value.is_floating_point():
                value.lerp_(theirs[name], 1 - decay)
            else:
                value.copy_(theirs[name])


def part_of(name: str) -> str:
    """Which part with a lesson of its own a name in the network is of, none for all others."""
    part, _, _ = name.partition(".")
    return part if part in LESSONS else ""


def draw_lesson(stage: Stage, progress: float, g: torch.Generator) -> Lesson:
    """How the next batch is prompted."""
    draws = torch.rand(5, generator=g).tolist()
    click, box, _ = stage.first
    first = "click" if draws[0] < click else "box" if draws[0] < click + box else "mask"
    more = 1 + int(draws[1] * 3 / stage.clicks) if draws[1] < stage.clicks else 0
    correct = 1 + int(draws[3] * (stage.frames - 1)) if draws[2] < stage.correct else None
    low, high = stage.balance
    balance = low + (high - low) * progress
    return Lesson(first, more, correct, stage.pointed, stage.anew, balance, draws[4] < stage.told)


def prime(net: SAM2Base) -> None:
    """Starting values that make clicks and places heard from the first step (docs/pico.md)."""
    decoder = net.sam_mask_decoder
    with torch.no_grad():
        for attention in [layer.cross_attn_token_to_image for layer in decoder.transformer.layers] + [
            decoder.transformer.final_attn_token_to_image
        ]:
            attention.q_proj.weight.mul_(2.0)
            attention.k_proj.weight.copy_(attention.q_proj.weight)
        for layer in net.memory_attention.layers:
            for projection in (layer.cross_attn_image.q_proj, layer.cross_attn_image.k_proj):
                projection.bias.fill_(0.6)  # rotated by RoPE: most alike at the same place
        for mlp in decoder.output_hypernetworks_mlps:
            mlp.layers[-1].weight.mul_(0.3)
        decoder.pred_obj_score_head.layers[-1].bias.fill_(3.0)


def _groups(net: nn.Module, decay: float) -> list[dict[str, Any]]:
    matrices = [p for p in net.parameters() if p.requires_grad and p.ndim > 1]
    vectors = [p for p in net.parameters() if p.requires_grad and p.ndim <= 1]
    return [{"params": matrices, "weight_decay": decay}, {"params": vectors, "weight_decay": 0.0}]


def _row(step: int, stage: str, seconds: float, rate: float, outcome: Outcome, norm: float) -> dict[str, Any]:
    losses = outcome.losses
    numbers = (seconds, rate, *(float(x.detach()) for x in (losses.mask, losses.iou, losses.score)))
    numbers += (outcome.first_iou, outcome.tracked_iou, norm)
    return dict(zip(LOG, (step, stage, *(round(float(n), 6) for n in numbers)), strict=True))


class _Log:
    """A CSV that survives interruption: appended to, flushed row by row."""

    def __init__(self, path: Path) -> None:
        fresh = not path.exists()
        self._file = path.open("a", newline="")
        self._writer = csv.DictWriter(self._file, LOG)
        if fresh:
            self._writer.writeheader()

    def __enter__(self) -> _Log:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def write(self, row: dict[str, Any]) -> None:
        self._writer.writerow(row)
        self._file.flush()
