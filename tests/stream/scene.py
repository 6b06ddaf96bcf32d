"""The faked edges of the stream tests: a camera that films coloured squares, an engine that finds colours.

The engine is fake but its geometry is real: an object is what has the colour under the click, so that a mask
in the wrong place, of the wrong size or of another frame shows.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from fractions import Fraction

import av
import numpy as np
from aiortc import MediaStreamTrack
from aiortc.mediastreams import MediaStreamError
from numpy.typing import NDArray

from engine.masks import mask_box
from engine.types import (
    Box,
    EngineError,
    Frame,
    Keep,
    Mask,
    MaskSet,
    ObjectMask,
    ObjectState,
    Points,
    Prompt,
    Release,
    Remove,
    Reset,
)
from stream.outputs.output import Shown
from stream.picture import Picture

RED = (200, 40, 40)
GREEN = (40, 190, 60)
GREY = (128, 128, 128)


class Scene:
    """A red and a green square on grey; the red one moves right `speed` pixels a frame, round and round."""

    def __init__(self, width: int = 320, height: int = 240, speed: int = 2) -> None:
        self.width, self.height, self.speed = width, height, speed
        self.side = height // 4

    def red(self, index: int) -> tuple[int, int]:
        """Top left of the red square."""
        return (self.speed * index) % (self.width - self.side), self.height // 8

    def green(self, index: int) -> tuple[int, int]:
        return self.width // 2, self.height * 5 // 8

    def paint(self, index: int) -> NDArray[np.uint8]:
        """RGB uint8 [H, W, 3]."""
        rgb = np.empty((self.height, self.width, 3), np.uint8)
        rgb[:] = GREY
        for colour, (x, y) in ((RED, self.red(index)), (GREEN, self.green(index))):
            rgb[y : y + self.side, x : x + self.side] = colour
        return rgb


class Camera(MediaStreamTrack):
    """A track that films a scene at `fps`, on the 90 kHz clock."""

    kind = "video"

    def __init__(self, scene: Scene, fps: float = 30.0) -> None:
        super().__init__()
        self.scene, self.fps = scene, fps
        self.index = -1
        self._started: float | None = None

    async def recv(self) -> av.VideoFrame:
        if self.readyState != "live":
            raise MediaStreamError
        now = time.monotonic()
        self._started = now if self._started is None else self._started
        self.index += 1
        await asyncio.sleep(max(0.0, self._started + self.index / self.fps - now))
        frame = av.VideoFrame.from_ndarray(self.scene.paint(self.index), format="rgb24")
        frame.pts, frame.time_base = round(self.index * 90_000 / self.fps), Fraction(1, 90_000)
        return frame


class ColourEngine:
    """An async `step`: objects are the pixels whose chroma is that under their first click.

    Args:
        seconds: how long each step takes.
        gate: when given, each step waits until the gate is open.
        kept: frames that a prompt may speak of.
        late: steps until a prompt on a past frame shows.
    """

    def __init__(
        self,
        seconds: float = 0.0,
        gate: asyncio.Event | None = None,
        most: int = 4,
        kept: int = 60,
        late: int = 0,
    ) -> None:
        self.seconds, self.gate, self.most, self.kept, self.late = seconds, gate, most, kept, late
        self.colours: dict[int, tuple[int, int]] = {}
        self.past: dict[int, Frame] = {}
        self.held: int | None = None
        self.coming: list[tuple[int, Prompt]] = []
        self.frames: list[int] = []
        self.prompts: list[Prompt] = []
        self.running = 0
        self.most_running = 0

    async def __call__(self, frame: Frame, prompts: Sequence[Prompt]) -> MaskSet:
        return await self.step(frame, prompts)

    async def preview(self, prompts: Sequence[Prompt]) -> MaskSet:
        """The prompted objects on the frame seen, whatever is known of them."""
        (index,) = {getattr(prompt, "frame_index", None) for prompt in prompts}
        frame = self.past[max(self.past) if index is None else index]
        found = [
            _found(frame, prompt.object_id, _chroma_at(frame, prompt.points[0].x, prompt.points[0].y))
            for prompt in prompts
            if isinstance(prompt, Points)
        ]
        return MaskSet(frame.index, tuple(found))

    async def step(self, frame: Frame, prompts: Sequence[Prompt]) -> MaskSet:
        self.running += 1
        self.most_running = max(self.most_running, self.running)
        try:
            if self.gate is not None:
                await self.gate.wait()
            await asyncio.sleep(self.seconds)
            return self._step(frame, prompts)
        finally:
            self.running -= 1

    def _step(self, frame: Frame, prompts: Sequence[Prompt]) -> MaskSet:
        self.frames.append(frame.index)
        self.prompts.extend(prompts)
        self.past[frame.index] = frame
        while len(self.past) > self.kept:
            del self.past[min(index for index in self.past if index != self.held)]
        rejected, reanchored = [], []
        due = [prompt for at, prompt in self.coming if at <= frame.index]
        self.coming = [(at, prompt) for at, prompt in self.coming if at > frame.index]
        for prompt in [*due, *prompts]:
            try:
                seen = self._seen(frame, prompt)
                if seen is not frame and self.late and prompt not in due:
                    self.coming.append((frame.index + self.late, prompt))
                    continue
                self._apply(seen, prompt)
                if getattr(prompt, "frame_index", None) not in (None, seen.index):
                    reanchored.append(prompt)
            except EngineError as error:
                rejected.append((prompt, error))
        found = tuple(_found(frame, object_id, uv) for object_id, uv in sorted(self.colours.items()))
        pending = tuple(prompt for _, prompt in self.coming)
        timings = {"total": self.seconds}
        return MaskSet(frame.index, found, timings, tuple(rejected), pending, tuple(reanchored))

    def _seen(self, frame: Frame, prompt: Prompt) -> Frame:
        """The frame that the prompt was made on."""
        index = getattr(prompt, "frame_index", None)
        if index is None or index in self.past:
            return frame if index is None else self.past[index]
        if getattr(prompt, "reanchor", False):
            return frame
        raise EngineError("FRAME_EXPIRED", f"frame {index} is not kept")

    def _apply(self, frame: Frame, prompt: Prompt) -> None:
        match prompt:
            case Reset():
                self.colours.clear()
            case Keep():
                self.held = frame.index
            case Release():
                self.held = None
            case Remove(object_id=object_id):
                if self.colours.pop(object_id, None) is None:
                    raise EngineError("UNKNOWN_OBJECT", f"no object {object_id}")
            case Points(object_id=object_id, points=(first, *_)):
                self._add(object_id, _chroma_at(frame, first.x, first.y))
            case Box(object_id=object_id):
                x, y = (prompt.x0 + prompt.x1) / 2, (prompt.y0 + prompt.y1) / 2
                self._add(object_id, _chroma_at(frame, x, y))
            case Mask(object_id=object_id, mask=mask):
                rows, columns = np.nonzero(mask)
                height, width = mask.shape
                self._add(object_id, _chroma_at(frame, columns.mean() / width, rows.mean() / height))
            case _:
                raise EngineError("UNSUPPORTED", "this engine reads no words")

    def _add(self, object_id: int, chroma: tuple[int, int]) -> None:
        if object_id not in self.colours and len(self.colours) >= self.most:
            raise EngineError("TOO_MANY_OBJECTS", f"at most {self.most} objects")
        self.colours[object_id] = chroma


def chroma(frame: Frame) -> NDArray[np.int16]:
    """U and V of an I420 frame: int16 [2, H / 2, W / 2]."""
    flat = frame.image.reshape(-1)[frame.width * frame.height :]
    return flat.reshape(2, frame.height // 2, frame.width // 2).astype(np.int16)


def _chroma_at(frame: Frame, x: float, y: float) -> tuple[int, int]:
    planes = chroma(frame)
    row = min(int(y * planes.shape[1]), planes.shape[1] - 1)
    column = min(int(x * planes.shape[2]), planes.shape[2] - 1)
    return int(planes[0, row, column]), int(planes[1, row, column])


def _found(frame: Frame, object_id: int, uv: tuple[int, int]) -> ObjectMask:
    planes = chroma(frame)
    near = np.abs(planes - np.array(uv)[:, None, None]).max(axis=0) <= 14
    mask = near.repeat(2, axis=0).repeat(2, axis=1)
    state = ObjectState.TRACKING if mask.any() else ObjectState.OCCLUDED
    return ObjectMask(object_id, mask, 0.99 if mask.any() else 0.01, mask_box(mask), state)


class HandSource:
    """A source whose pictures come when the test says so."""

    name = "hand"

    def __init__(self, scene: Scene) -> None:
        self.scene = scene
        self.closed = False
        self._waiting: asyncio.Queue[Picture | Exception | None] = asyncio.Queue()

    def show(self, index: int, scene: Scene | None = None) -> None:
        """Frame `index` of the scene, as filmed at 30 fps."""
        video = av.VideoFrame.from_ndarray((scene or self.scene).paint(index), format="rgb24")
        self._waiting.put_nowait(Picture(video, time.monotonic(), index / 30))

    def end(self, error: Exception | None = None) -> None:
        self._waiting.put_nowait(error)

    async def frames(self) -> AsyncIterator[Picture]:
        while (item := await self._waiting.get()) is not None:
            if isinstance(item, Exception):
                raise item
            yield item

    async def close(self) -> None:
        self.closed = True


class Kept:
    """An output that keeps what it gets."""

    def __init__(self) -> None:
        self.shown: list[Shown] = []
        self.closed = False
        self._arrived = asyncio.Event()

    def put(self, shown: Shown) -> None:
        self.shown.append(shown)
        self._arrived.set()

    def close(self) -> None:
        self.closed = True

    async def until(self, count: int) -> Shown:
        """Wait for `count` frames in all; the newest."""
        while len(self.shown) < count:
            self._arrived.clear()
            await asyncio.wait_for(self._arrived.wait(), 20)
        return self.shown[count - 1]
