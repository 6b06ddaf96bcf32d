"""What is written of a video while it is followed: the masked video, box pictures, one record per frame."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import av
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from engine.masks import mask_box, mask_to_fal_rle
from engine.palette import colour_of
from engine.types import Frame, MaskSet
from signaling.command import CommandError
from signaling.fal.errors import FalError
from signaling.fal.framezip import FrameZip
from signaling.fal.work import Task
from signaling.track import draw
from signaling.videofile import VideoPicture, VideoReader, VideoWriter

ZIP_QUALITY = 85
LINE_WIDTH = 3


@dataclass(frozen=True, slots=True)
class Wanted:
    """What to make of a video. `mode` is a render mode, None for no video; `suffix` is .mp4 or .webm."""

    mode: str | None
    suffix: str = ".mp4"
    boxes_zip: bool = False
    rle: bool = False


@dataclass(slots=True)
class Segmented:
    """What was made. `records` holds one JSON line per frame, `record_bytes` is how much."""

    frames: int = 0
    seen: bool = False
    video: Path | None = None
    boxes_zip: Path | None = None
    records: Path | None = None
    record_bytes: int = 0


class Sink:
    """Writes one frame after the other into everything that was asked for."""

    def __init__(self, task: Task, reader: VideoReader, wanted: Wanted, made: Segmented) -> None:
        self._task, self._reader, self._wanted, self._made = task, reader, wanted, made
        self.writer: VideoWriter | None = None
        self._zip: FrameZip | None = None
        self._records: Any = None

    @classmethod
    @contextmanager
    def opened(cls, task: Task, reader: VideoReader, wanted: Wanted, made: Segmented) -> Iterator[Sink]:
        sink = cls(task, reader, wanted, made)
        with ExitStack() as stack:
            if wanted.mode is not None:
                made.video = task.folder / f"output{wanted.suffix}"
                sink.writer = _writer(task, made.video, reader)
                stack.push(sink._end_video)
            if wanted.boxes_zip:
                made.boxes_zip = task.folder / "boundingbox_frames.zip"
                sink._zip = stack.enter_context(FrameZip(made.boxes_zip))
            if wanted.rle:
                made.records = task.folder / "records.jsonl"
                sink._records = stack.enter_context(made.records.open("w"))
            yield sink

    def pictures(self, reader: VideoReader) -> Iterator[VideoPicture]:
        """The pictures of the source; its sound goes on to the video that is written."""
        for item in reader:
            if isinstance(item, VideoPicture):
                yield item
            elif self.writer is not None and reader.audio:
                self.writer.copy(item)

    def write(self, picture: VideoPicture, masks: MaskSet) -> None:
        self._made.seen = self._made.seen or any(found.box is not None for found in masks.objects)
        if self.writer is not None and self._wanted.mode is not None:
            self.writer.write(draw(picture, masks, self._wanted.mode), picture.pts)
        if self._zip is not None:
            name = f"frame_{masks.frame_index:06d}.jpg"
            self._zip.write(name, boxes_drawn(Frame(masks.frame_index, picture.image), masks))
        if self._records is not None:
            line = json.dumps(record(masks)) + "\n"
            self._records.write(line)
            self._made.record_bytes += len(line)

    def _end_video(self, kind: type[BaseException] | None, *_: object) -> None:
        assert self.writer is not None
        if kind is None:
            self.writer.finish()
        else:
            self.writer.discard()


def _writer(task: Task, path: Path, reader: VideoReader) -> VideoWriter:
    """The video to write; without the sound when its kind of file cannot hold it (WebM holds no AAC)."""
    try:
        return VideoWriter(path, reader)
    except CommandError as error:
        if not reader.audio:
            raise FalError(500, "The video cannot be written", "internal_server_error") from error
        task.log(f"The sound is left out: {path.suffix} cannot hold it")
        reader.audio = ()
        return _writer(task, path, reader)


def record(masks: MaskSet) -> dict[str, Any]:
    """One frame of the run-length result: all objects in one mask, its box and its best score."""
    shown = [found for found in masks.objects if found.box is not None]
    if not shown:
        return {"rle": "", "box": [], "score": max((found.score for found in masks.objects), default=0.0)}
    merged: NDArray[np.bool_] = np.logical_or.reduce([found.mask for found in shown])
    box = mask_box(merged) or ()
    return {
        "rle": mask_to_fal_rle(merged),
        "box": [round(side, 6) for side in box],
        "score": round(max(found.score for found in shown), 4),
    }


def boxes_drawn(frame: Frame, masks: MaskSet) -> bytes:
    """The picture as JPEG with the box of every object that is seen, in the object's colour."""
    picture = Image.fromarray(rgb(frame))
    pen = ImageDraw.Draw(picture)
    for found in masks.objects:
        if found.box is not None:
            cx, cy, w, h = found.box
            left, top = (cx - w / 2) * frame.width, (cy - h / 2) * frame.height
            corners = (left, top, left + w * frame.width - 1, top + h * frame.height - 1)
            pen.rectangle(corners, outline=colour_of(found.object_id), width=LINE_WIDTH)
    data = BytesIO()
    picture.save(data, "JPEG", quality=ZIP_QUALITY)
    return data.getvalue()


def rgb(frame: Frame) -> NDArray[np.uint8]:
    """The picture as RGB [H, W, 3]."""
    if not frame.planar:
        return frame.image
    picture = av.VideoFrame.from_ndarray(frame.image, format="yuv420p")
    return picture.to_ndarray(format="rgb24").astype(np.uint8, copy=False)
