"""What is known of one object between two steps."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from torch import Tensor

from engine.features import Decoded
from engine.history import Held
from engine.memory import Memory
from engine.story import Story


@dataclass(frozen=True, slots=True, eq=False)
class Track:
    """Immutable, so a snapshot is a reference.

    Attributes:
        answer: the decoder's newest answer, one lane.
        seen: the last frame the object was visible on.
        story: what was done to it.
    """

    memory: Memory
    answer: Decoded
    seen: int
    story: Story

    @property
    def held(self) -> Held:
        """What it remembers before the next frame."""
        return Held(self.memory, self.seen)

    def tensors(self) -> Iterator[Tensor]:
        """Every tensor held; one that is held twice comes twice."""
        yield from self.memory.tensors()
        yield from self.story.tensors()
        yield from self.answer.tensors()
