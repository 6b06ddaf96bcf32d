"""The engine's rows, from a race between two contenders of known speed and memory."""

from __future__ import annotations

from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import torch

from engine.contest.contenders import Masks, Picture
from engine.contest.race import race
from engine.models import Model

MODEL = cast(Model, SimpleNamespace(net=SimpleNamespace(num_maskmem=3), device=torch.device("cpu")))


class Paced:
    """Takes turns with the others in a common diary, holds 1 KiB more for each frame it has seen."""

    def __init__(self, name: str, diary: list[tuple[str, int]], masks: Sequence[Masks], shrink: int) -> None:
        self.name = name
        self._diary = diary
        self._masks = np.stack(masks)
        self._masks[:, :shrink] = False
        self._frames = 0

    def step(self, index: int) -> Masks:
        self._diary.append((self.name, index))
        self._frames += 1
        return self._masks

    def nbytes(self) -> int:
        return 1024 * self._frames


def entrants(diary: list[tuple[str, int]], shrink: int) -> list[Any]:
    def one(model: Model, pictures: Sequence[Picture], masks: Sequence[Masks]) -> Paced:
        return Paced("one", diary, masks, 0)

    def two(model: Model, pictures: Sequence[Picture], masks: Sequence[Masks]) -> Paced:
        return Paced("two", diary, masks, shrink)

    return [one, two]


def test_all_meet_every_frame_in_turns_that_rotate() -> None:
    diary: list[tuple[str, int]] = []
    race(MODEL, entrants(diary, 0), 2, frames=4, seconds=60, size=(96, 64))
    assert [index for _, index in diary] == [i for i in range(8) for _ in range(2)]
    assert [name for name, _ in diary][:4] == ["one", "two", "two", "one"]


def test_rows_tell_memory_growth_and_agreement() -> None:
    one, two = race(MODEL, entrants([], 32), 4, frames=5, seconds=60, size=(96, 64))
    assert (one.contender, one.frames, one.growth_kib, one.agreement) == ("one", 5, 1.0, 1.0)
    assert one.held_mib == 9 / 1024
    assert 0.3 < two.agreement < 0.9


def test_there_are_no_rows_when_the_memory_does_not_fill_in_time() -> None:
    assert race(MODEL, entrants([], 0), 1, frames=50, seconds=0.0, size=(96, 64)) == []
