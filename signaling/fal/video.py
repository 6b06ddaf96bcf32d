"""A whole video through the tracker: the pictures and results of `livemask track`, as fast as the engine
goes.

Memory does not grow with the length: pictures, masks and texts go to disk as they come.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import av

from engine.types import Frame, MaskSet, Prompt
from signaling.command import CommandError
from signaling.fal.errors import FalError, invalid
from signaling.fal.marks import Marks, beyond_the_end
from signaling.fal.settings import FalSettings
from signaling.fal.sink import Segmented, Sink, Wanted
from signaling.fal.work import Lane, Task
from signaling.videofile import BadSize, VideoPicture, VideoReader, bounded

LOG_SECONDS = 2.0
CODED_SHARE = 2  # codecs fill up to whole blocks, which makes small pictures much larger
NO_MASKS = "No masks generated: nothing was found where the prompts point"


def segment_video(task: Task, source: Path, marks: Marks, wanted: Wanted) -> Segmented:
    """Follow the marked objects through a video.

    Raises:
        FalError: 422, the video or a prompt cannot be used, or nothing was found.
        Cancelled: the request was stopped.
    """
    made = Segmented()
    with ExitStack() as stack:
        reader = stack.enter_context(opened(source, task))
        prompts = marks.by_frame(reader.width, reader.height)
        lane = task.open_lane()
        stack.callback(lane.close)
        sink = stack.enter_context(Sink.opened(task, reader, wanted, made))
        progress = _Progress(task, reader.frames)
        for picture, masks in _followed(task, lane, sink.pictures(reader), reader, prompts):
            sink.write(picture, masks)
            progress.update()
        made.frames = progress.done
    missing = [(loc, index) for loc, index in marks.frames if index >= made.frames]
    if missing:
        raise beyond_the_end(*missing[0], made.frames)
    if not made.seen:
        raise invalid(("prompts",), NO_MASKS, "no_media_generated")
    return made


@contextmanager
def opened(source: Path, task: Task) -> Iterator[VideoReader]:
    """The video, if it is within the limits; what is found out while it is read counts as well.

    Raises:
        FalError: 422 `unsupported_video_format`, `video_duration_too_long` or `video_too_large`.
    """
    coded = CODED_SHARE * task.settings.video_pixels
    try:
        _check_limits(task.settings, source, coded)
        reader = VideoReader(source, coded)
    except (CommandError, av.FFmpegError) as error:
        raise _unreadable(task.settings, source, error) from error
    with reader:
        try:
            yield reader
        except CommandError as error:  # not FFmpeg's own: that is of the video which is written meanwhile
            raise _unreadable(task.settings, source, error) from error


def _unreadable(settings: FalSettings, source: Path, error: Exception) -> FalError:
    if isinstance(error, BadSize):
        return _too_large(settings, "pictures that are too large, or of no size")
    text = f"The video cannot be read ({str(error).replace(str(source), 'it')})"
    return invalid(("video_url",), text, "unsupported_video_format")


def _check_limits(settings: FalSettings, source: Path, coded: int) -> None:
    """What the file says of itself, before anything is decoded."""
    with av.open(str(source), options=bounded(coded)) as container:
        video = next(iter(container.streams.video), None)
        if video is not None and video.width * video.height > settings.video_pixels:
            raise _too_large(settings, f"{video.width}x{video.height} pixels")
        if container.duration and container.duration / av.time_base > settings.video_seconds:
            text = f"The video is longer than {settings.video_seconds:g} seconds"
            raise invalid(
                ("video_url",),
                text,
                "video_duration_too_long",
                ctx={"max_duration": settings.video_seconds},
            )


def _too_large(settings: FalSettings, what: str) -> FalError:
    text = f"The video has {what}, at most {settings.video_pixels} pixels are read"
    return invalid(("video_url",), text, "video_too_large", ctx={"max_pixels": settings.video_pixels})


def _followed(
    task: Task,
    lane: Lane,
    pictures: Iterator[VideoPicture],
    reader: VideoReader,
    prompts: Mapping[int, tuple[Prompt, ...]],
) -> Iterator[tuple[VideoPicture, MaskSet]]:
    """Every picture with its masks. The next is decoded and encoded while objects are followed on it."""
    first = min(prompts)
    longest = task.settings.video_seconds / reader.time_base
    start = None
    waiting: tuple[VideoPicture, Any] | None = None
    for index, picture in enumerate(pictures):
        task.check()
        start = picture.pts if start is None else start
        if picture.pts - start > longest:
            text = f"The video is longer than {task.settings.video_seconds:g} seconds"
            raise invalid(("video_url",), text, "video_duration_too_long")
        if index < first:
            yield picture, MaskSet(index, ())
            continue
        frame = Frame(index, picture.image, pts=float(picture.pts * reader.time_base))
        lane.prepare(frame)
        done = _answered(waiting)
        waiting = (picture, lane.submit(frame, prompts.get(index, ()), live=False))
        if done is not None:
            yield done
    done = _answered(waiting)
    if done is not None:
        yield done


def _answered(waiting: tuple[VideoPicture, Any] | None) -> tuple[VideoPicture, MaskSet] | None:
    if waiting is None:
        return None
    picture, future = waiting
    masks: MaskSet = future.result()
    if masks.rejected:
        raise invalid(("prompts",), "; ".join(str(error) for _, error in masks.rejected))
    return picture, masks


class _Progress:
    """Counts frames and says now and then how far it is."""

    def __init__(self, task: Task, expected: int) -> None:
        self._task, self._expected = task, expected
        self.done = 0
        self._began = self._said = time.monotonic()

    def update(self) -> None:
        self.done += 1
        now = time.monotonic()
        if now - self._said >= LOG_SECONDS:
            self._said = now
            of = f" of {self._expected}" if self._expected else ""
            self._task.log(f"{self.done}{of} frames, {self.done / (now - self._began):.1f} per second")
