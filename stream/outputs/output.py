"""What leaves a session for each processed frame, and what an output is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from engine.types import Frame, MaskSet
from stream.wire import Message


@dataclass(frozen=True, slots=True, eq=False)
class Shown:
    """One frame, done.

    Attributes:
        frame: the picture that went to the engine.
        masks: every object on that very frame.
        image: I420 uint8 like `frame.image`, masks drawn.
        result: the `result` message; None for a slate, which is shown while the source has no picture. Then
            `frame` is the slate under a time of its own and `masks` are those of the last picture.
        state: the `state` message if something in it changed with this frame, else None.
    """

    frame: Frame
    masks: MaskSet
    image: NDArray[np.uint8]
    result: Message | None
    state: Message | None


class Output(Protocol):
    """Something that takes a session's frames. It never blocks and never fails the session: what it cannot
    take in time it drops and counts."""

    def put(self, shown: Shown) -> None: ...

    def close(self) -> None:
        """The session has ended; safe to call twice."""
        ...
