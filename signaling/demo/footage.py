"""What the demo's camera films: the built-in clip, whose masks are known, or any video file."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import av
import numpy as np
from numpy.typing import NDArray

from engine.synthetic import SyntheticClip
from signaling.command import CommandError
from signaling.videofile import VideoPicture, VideoReader
from stream.picture import Picture

Masks = Mapping[int, NDArray[np.bool_]]
Message = dict[str, Any]


class Footage(Protocol):
    """Pictures of one size at a steady rate, and what to click on the first of them."""

    name: str
    width: int
    height: int
    fps: float

    def __len__(self) -> int: ...

    def picture(self, index: int) -> NDArray[np.uint8]:
        """Picture `index` as I420 [H * 3 / 2, W]."""
        ...

    def truth(self, index: int) -> Masks | None:
        """The exact masks by object id; None where nobody knows them."""
        ...

    def prompts(self) -> Sequence[Message]:
        """Prompt messages (docs/protocol.md section 5), one per object, on picture 0."""
        ...

    def moments(self) -> Sequence[int]:
        """The pictures worth a look."""
        ...


class BuiltIn:
    """The synthetic clip, painted beforehand so that the time of painting it is nobody's."""

    name = "the built-in clip"

    def __init__(self, seconds: float | None = None, size: tuple[int, int] = (640, 480)) -> None:
        self._clip = SyntheticClip(*size) if seconds is None else SyntheticClip(*size, seconds=seconds)
        self.width, self.height, self.fps = self._clip.width, self._clip.height, self._clip.fps
        self._pictures: list[NDArray[np.uint8]] = []
        self._masks: list[dict[int, NDArray[np.uint8]]] = []
        for index in range(len(self._clip)):
            rgb, masks = self._clip.frame(index)
            self._pictures.append(Picture(av.VideoFrame.from_ndarray(rgb, format="rgb24"), 0.0).i420())
            self._masks.append({i: np.packbits(mask) for i, mask in masks.items()})

    def __len__(self) -> int:
        return len(self._clip)

    def picture(self, index: int) -> NDArray[np.uint8]:
        return self._pictures[index]

    def truth(self, index: int) -> Masks:
        count = self.width * self.height
        shape = (self.height, self.width)
        return {
            i: np.unpackbits(packed, count=count).astype(np.bool_).reshape(shape)
            for i, packed in self._masks[index].items()
        }

    def prompts(self) -> Sequence[Message]:
        return [
            {"object_id": i, "prompts": [{"x": x * self.width, "y": y * self.height, "label": 1}]}
            for i, (_, x, y) in self._clip.clicks().items()
        ]

    def moments(self) -> Sequence[int]:
        """Soon after the click, 1 before 2, 3 behind the post, 4 away, 4 back, 4 before 2."""
        return _within([round(s * self.fps) for s in (0.5, 3.6, 6.4, 8.6, 10.4, 12.0)], len(self))


class VideoFile:
    """A file played at its average rate; read as it is needed, from the front.

    Args:
        seconds: how much of it; None for all.
        boxes, points: what to follow, one object each, in pixels of the upright picture.

    Raises:
        CommandError: it cannot be read, has odd sides, or nothing to follow was named.
    """

    def __init__(
        self,
        path: Path,
        seconds: float | None,
        boxes: Sequence[Sequence[float]],
        points: Sequence[Sequence[float]],
    ) -> None:
        self._path = path
        with VideoReader(path) as reader:
            self.width, self.height, self.fps = reader.width, reader.height, float(reader.fps)
            count = reader.frames
        if self.width % 2 or self.height % 2:
            raise CommandError(f"{path}: expected even sides, got {self.width}x{self.height}")
        self.name = path.name
        self._count = count if seconds is None else min(count, max(1, round(seconds * self.fps)))
        self._marks = [*_boxes(boxes, self.width, self.height), *_points(points, self.width, self.height)]
        if not self._marks:
            raise CommandError("say what to follow: --box X0,Y0,X1,Y1 or --point X,Y, in pixels")
        self._pictures = self._read()
        self._next, self._current = 0, np.empty(0, np.uint8)

    def __len__(self) -> int:
        return self._count

    def picture(self, index: int) -> NDArray[np.uint8]:
        if index < self._next - 1:
            self._pictures, self._next = self._read(), 0
        while self._next <= index:
            self._current = next(self._pictures, self._current)  # a file shorter than it says stands still
            self._next += 1
        return self._current

    def truth(self, index: int) -> None:
        return None

    def prompts(self) -> Sequence[Message]:
        return [{"object_id": i, **mark} for i, mark in enumerate(self._marks, 1)]

    def moments(self) -> Sequence[int]:
        return _within(
            [round(self._count * share) for share in (0.05, 0.24, 0.43, 0.62, 0.81, 0.97)], len(self)
        )

    def _read(self) -> Iterator[NDArray[np.uint8]]:
        with VideoReader(self._path) as reader:
            for item in reader:
                if isinstance(item, VideoPicture):
                    yield item.image


def _boxes(boxes: Sequence[Sequence[float]], width: int, height: int) -> Iterator[Message]:
    for x0, y0, x1, y1 in boxes:
        if not (0 <= x0 < x1 <= width and 0 <= y0 < y1 <= height):
            raise CommandError(f"--box {x0:g},{y0:g},{x1:g},{y1:g}: not a box within {width}x{height}")
        yield {"box_prompts": [{"x_min": x0, "y_min": y0, "x_max": x1, "y_max": y1}]}


def _points(points: Sequence[Sequence[float]], width: int, height: int) -> Iterator[Message]:
    for x, y in points:
        if not (0 <= x <= width and 0 <= y <= height):
            raise CommandError(f"--point {x:g},{y:g}: outside the picture, which has {width}x{height} pixels")
        yield {"prompts": [{"x": x, "y": y, "label": 1}]}


def _within(indices: Sequence[int], count: int) -> Sequence[int]:
    """The indices that there are, or the last one."""
    return [index for index in indices if index < count] or [count - 1]
