"""The last seconds of one stream: each frame's image features, and what every object remembered before it.

With them a prompt can be carried out on the picture that a person saw, and its object followed again from
there without another look at the pictures. Bounded in time and in number. One frame that a person goes on
looking at is kept longer, with a way from it to the others that is thinned out as it grows. Knows no network,
no prompt and no id: an object goes by the serial number of its story.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

from torch import Tensor

from engine.features import Features
from engine.memory import Memory
from engine.types import EngineError, Frame

SECONDS = 2.0
RATE = 30  # frames kept for a second, however many there are in it
# Frames kept however old they are: where a step takes a second, what was clicked is two frames and two
# seconds old when its step begins, and must not be refused for the slowness of the engine.
LEAST = 12
TIMES = 2048  # frames whose age is known, kept or not
HOLD_SECONDS = 60.0  # a frame that is held is let go at this age
WAY = 30  # frames at most that are kept between it and the others


@dataclass(frozen=True, slots=True, eq=False)
class Held:
    """What one object remembered before a frame, and the last frame it had been seen on."""

    memory: Memory
    seen: int

    def lasting(self) -> Held:
        """What is left of it however late."""
        return Held(self.memory.lasting(), self.seen)


@dataclass(frozen=True, slots=True, eq=False)
class Moment:
    """One frame that was processed. `before` is by serial number and is corrected when the past is."""

    index: int
    captured_at: float
    height: int
    width: int
    features: Features
    before: dict[int, Held]

    def tensors(self) -> Iterator[Tensor]:
        yield from self.features.tensors()
        for held in self.before.values():
            yield from held.memory.tensors()


class History:
    """Moments, oldest first.

    Args:
        seconds: how far back it reaches, in no more than RATE frames for each, and no fewer than the last
            LEAST if that many are allowed; 0 keeps nothing.
    """

    def __init__(self, seconds: float = SECONDS) -> None:
        self.seconds = seconds
        self._most = round(seconds * RATE)
        self._moments: list[Moment] = []
        self._held: Moment | None = None
        self._way: list[Moment] = []
        self._stride = 1
        self._times: deque[tuple[int, float]] = deque(maxlen=TIMES)
        self._newest = -1

    @property
    def oldest(self) -> int:
        """The oldest frame that is kept with all after it; one beyond the newest when none is."""
        return self._moments[0].index if self._moments else self._newest + 1

    @property
    def reach(self) -> int:
        """The oldest frame that can be gone back to: the one that is held, or `oldest`."""
        return min(self.oldest, self._held.index) if self._held else self.oldest

    def tensors(self) -> Iterator[Tensor]:
        for moment in (*self._way, *self._open):
            yield from moment.tensors()

    def keep(self, frame: Frame, features: Features, before: dict[int, Held], needed: int) -> None:
        """Add the newest frame and let go of what is too old, but not of frames from `needed` on.

        Args:
            before: what each object remembered before the frame, by serial number.
        """
        self._newest = frame.index
        self._times.append((frame.index, frame.captured_at))
        if self.seconds > 0:
            size = frame.height, frame.width
            self._moments.append(Moment(frame.index, frame.captured_at, *size, _own(features), before))
        since = frame.captured_at - self.seconds
        surplus = len(self._moments) - self._most
        recent = len(self._moments) - min(LEAST, self._most)
        first = next(
            i
            for i, m in enumerate([*self._moments, None])
            if m is None or i >= recent or (i >= surplus and m.captured_at >= since) or m.index >= needed
        )
        leaving, self._moments = self._moments[:first], self._moments[first:]
        if self._held is not None and frame.captured_at - self._held.captured_at > HOLD_SECONDS:
            self.release()
        self._lengthen(leaving, needed)

    def hold(self, frame: int) -> None:
        """Let go of this frame, which is kept, only on `release` or at HOLD_SECONDS of age; and of the one
        that was held."""
        moment = self.find(frame)
        if moment is not None and moment is not self._held:
            self.release()
            self._held = moment

    def release(self) -> None:
        """Treat the frame that is held as any other."""
        if self._held is not None and self._held.index < self.oldest:
            self._way.insert(0, _passed(self._held))
        self._held, self._stride = None, 1

    def _lengthen(self, leaving: list[Moment], needed: int) -> None:
        """Keep what objects are being followed over, and some of the frames since the one that is held."""
        way = [*self._way, *map(_passed, leaving)]
        self._way = [m for m in way if m.index >= needed or self._on_the_way(m)]
        while leaving and len(self._way) > WAY:
            self._stride *= 2
            self._way = [m for m in self._way if self._on_the_way(m)]

    def _on_the_way(self, moment: Moment) -> bool:
        since = moment.index - self._held.index if self._held else 0
        return since > 0 and since % self._stride == 0

    @property
    def newest(self) -> Moment | None:
        return self._moments[-1] if self._moments else None

    def find(self, frame: int) -> Moment | None:
        """The moment of a frame that a prompt may speak of, if it is kept."""
        if self._held is not None and self._held.index == frame:
            return self._held
        return _exactly(self._moments, frame)

    def at(self, frame: int) -> Moment | None:
        """The moment of a frame that an object may be on its way over, if it is kept."""
        return self.find(frame) or _exactly(self._way, frame)

    def next(self, frame: int) -> Moment | None:
        """The first moment after a frame that is kept."""
        return _since(self._way, frame + 1) or _since(self._moments, frame + 1)

    def expired(self, frame: int) -> EngineError:
        """Why nothing can be done on a frame that is not kept."""
        newest = self.newest
        if newest is None:
            return EngineError("FRAME_EXPIRED", f"frame {frame} is not kept: no past frames are")
        known, seen_at = next((time for time in self._times if time[0] >= frame), self._times[-1])
        age, kept = newest.captured_at - seen_at, newest.captured_at - self._moments[0].captured_at
        return EngineError(
            "FRAME_EXPIRED",
            f"frame {frame} is {'' if known == frame else 'more than '}{age:.1f} s and "
            f"{newest.index - frame} frames old; kept are the last {kept:.1f} s, from frame {self.oldest} on",
        )

    def rewrite(self, serial: int, since: int, past: Mapping[int, Held]) -> None:
        """From frame `since` on one object remembered this and nothing else."""
        for moment in self._open:
            if moment.index >= since:
                moment.before.pop(serial, None)
                if moment.index in past:
                    moment.before[serial] = past[moment.index]

    def forget_objects(self) -> None:
        """Keep the features alone."""
        for moment in self._open:
            moment.before.clear()

    @property
    def _open(self) -> list[Moment]:
        """What prompts may speak of; the frame that is held comes twice while it is not old."""
        return [*([self._held] if self._held else []), *self._moments]


def _since(moments: list[Moment], frame: int) -> Moment | None:
    """The first of them from a frame on."""
    place = bisect_left(moments, frame, key=lambda m: m.index)
    return moments[place] if place < len(moments) else None


def _exactly(moments: list[Moment], frame: int) -> Moment | None:
    found = _since(moments, frame)
    return found if found is not None and found.index == frame else None


def _passed(moment: Moment) -> Moment:
    """To be followed over, not to be prompted on."""
    return replace(moment, before={})


def _own(features: Features) -> Features:
    """Without the rest of the batch that they were a part of."""
    high = tuple(_alone(level) for level in features.high)
    seen = (None if part is None else _alone(part) for part in features.seen)
    return Features(_alone(features.top), high, *seen)


def _alone(part: Tensor) -> Tensor:
    return part if part.untyped_storage().nbytes() == part.nbytes else part.clone()
