"""Pictures encoded ahead: on a CPU, a thread that encodes what waits while objects are followed on another.

To encode a picture takes about as long as to follow an object on it, and needs to know of no object; so with
two cores the one can be done beside the other. Whoever needs a picture that has not been begun encodes it
itself: nobody waits for what nobody does.
"""

from __future__ import annotations

import time
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING

from engine import threads
from engine.features import Features
from engine.types import Frame

if TYPE_CHECKING:
    from engine.models import Model

ENOUGH = 4  # cores


@dataclass(frozen=True, slots=True, eq=False)
class Seen:
    """The features of one picture, and the seconds it took to read it and to encode it."""

    features: Features
    read: float
    encode: float


def see(model: Model, frame: Frame) -> Seen:
    """Encode one picture.

    Raises:
        EngineError: BAD_FRAME, as `engine.pixels`.
    """
    began = time.perf_counter()
    with model.working():
        image = model.pixels.read(frame)
        read = time.perf_counter()
        features = model.stages.encode(image)[0]
    return Seen(features, read - began, time.perf_counter() - read)


class Sight:
    """A picture that has been asked for ahead."""

    def __init__(self, model: Model, frame: Frame, future: Future[Seen]) -> None:
        self.frame = frame
        self._model, self._future = model, future

    def take(self) -> Seen:
        """What there is to see, waited for if it is under way.

        Raises:
            EngineError: as `see`.
        """
        return see(self._model, self.frame) if self._future.cancel() else self._future.result()

    def drop(self) -> None:
        """It is not needed any more."""
        self._future.cancel()


class Ahead:
    """The thread, and what waits for it.

    Attributes:
        roomy: there are cores enough for it beside the codecs. Else it takes one from them and whoever else
            is there, which is good only for work that nobody watches.
    """

    def __init__(self, model: Model) -> None:
        self.roomy = threads.cores() >= ENOUGH
        self._model = model
        self._pool = ThreadPoolExecutor(1, "encoder")
        self._pool.submit(threads.share)  # now, and not with the first picture

    def begin(self, frame: Frame) -> Sight:
        return Sight(self._model, frame, self._pool.submit(see, self._model, frame))

    def stop(self) -> None:
        self._pool.shutdown(wait=True, cancel_futures=True)


def look_ahead(model: Model) -> Ahead | None:
    """None where a second thread is no help: a GPU does one thing after the other, as does a single core."""
    return Ahead(model) if model.device.type == "cpu" and threads.cores() > 1 else None
