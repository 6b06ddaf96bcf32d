"""Video files in and out: pictures at their own size and timestamps; sound passes untouched.

Knows no model. Memory does not grow with the length of the file.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from itertools import chain
from pathlib import Path
from types import TracebackType
from typing import Self, cast

import av
import numpy as np
from av.audio.stream import AudioStream
from av.packet import Packet
from av.video.frame import VideoFrame
from av.video.reformatter import ColorRange
from av.video.stream import VideoStream
from numpy.typing import NDArray

from engine.types import Frame
from signaling.command import CommandError
from stream.picture import Picture

# Sound that comes before the first picture waits in memory.
MAX_WAITING_BYTES = 64 << 20
# Browsers play H264 in MP4; WebM has no H264.
H264 = ("libx264", {"crf": "20", "preset": "veryfast"})
VP9 = ("libvpx-vp9", {"crf": "30", "b": "0", "deadline": "realtime", "cpu-used": "6"})


@dataclass(frozen=True, slots=True, eq=False)
class VideoPicture:
    """One decoded picture, upright: uint8 I420 [H * 3 / 2, W], or RGB [H, W, 3] when a side is odd.

    `pts` counts units of the reader's `time_base`.
    """

    image: NDArray[np.uint8]
    pts: int


class BadSize(CommandError):
    """A picture in the file has more pixels than are read, or a size that none can have."""


def bounded(max_pixels: int | None) -> dict[str, str]:
    """FFmpeg's options for a file that strangers made: no larger picture is looked at, let alone decoded."""
    return {} if max_pixels is None else {"max_pixels": str(max_pixels)}


class VideoReader:
    """The pictures of a file's first video stream and the packets of its sound, in file order.

    Args:
        max_pixels: of a picture as it is coded, which may be a few rows and columns more than is shown; None
            for whatever FFmpeg takes.

    Attributes:
        width, height: pixels of the upright picture.
        fps: average frame rate.
        frames: how many pictures to expect; 0 when the file does not say.

    Raises:
        CommandError: no such file, not a video, or nothing in it can be decoded. While it is read: a file
            that breaks off, and BadSize.
    """

    def __init__(self, path: Path, max_pixels: int | None = None) -> None:
        if not path.is_file():
            raise CommandError(f"{path}: no such file")
        try:
            self._container = av.open(str(path), options=bounded(max_pixels))
        except av.FFmpegError as error:
            raise CommandError(f"{path}: not a media file that can be read ({error.strerror})") from None
        if not self._container.streams.video:
            self._container.close()
            raise CommandError(f"{path}: has no video stream")
        self.path = path
        self.video = self._container.streams.video[0]
        self.video.thread_type = "AUTO"
        self.video.codec_context.options = bounded(max_pixels)
        self.audio = self._container.streams.audio
        self.time_base = self.video.time_base or Fraction(1, 90000)
        self.fps = self.video.average_rate or Fraction(30)
        self.frames = self.video.frames or self._frames_by_duration()
        self._stored_size: tuple[int, int] | None = None
        self._last_pts: int | None = None
        first, self._items = self._peek()
        self.width, self.height = first.width, first.height

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._container.close()

    def __iter__(self) -> Iterator[VideoPicture | Packet[AudioStream]]:
        return self._items

    def _frames_by_duration(self) -> int:
        return round(self.fps * self._container.duration / av.time_base) if self._container.duration else 0

    def _peek(self) -> tuple[Frame, Iterator[VideoPicture | Packet[AudioStream]]]:
        """Decode up to the first picture, which tells the upright size."""
        items = self._decode()
        seen: list[VideoPicture | Packet[AudioStream]] = []
        waiting = 0
        for item in items:
            seen.append(item)
            if isinstance(item, VideoPicture):
                return Frame(0, item.image), chain(seen, items)
            waiting += item.size
            if waiting > MAX_WAITING_BYTES:
                break
        self._container.close()
        raise CommandError(f"{self.path}: no picture in it can be decoded")

    def _decode(self) -> Iterator[VideoPicture | Packet[AudioStream]]:
        for packet in self._packets():
            if packet.stream is not self.video:
                if packet.dts is not None:
                    yield cast("Packet[AudioStream]", packet)
                continue
            try:
                frames = packet.decode()
            except av.InvalidDataError:
                continue  # a damaged packet costs its picture, not the rest of the film
            except av.ArgumentError:  # what FFmpeg says of a size
                raise BadSize(f"{self.path}: a picture in it is too large, or of no size at all") from None
            for frame in frames:
                yield self._picture(frame)

    def _packets(self) -> Iterator[Packet[VideoStream] | Packet[AudioStream]]:
        packets = self._container.demux(self.video, *self.audio)
        try:
            yield from cast("Iterator[Packet[VideoStream] | Packet[AudioStream]]", packets)
        except av.FFmpegError as error:
            raise CommandError(f"{self.path}: cannot be read to its end ({error.strerror})") from None

    def _picture(self, frame: VideoFrame) -> VideoPicture:
        if self._stored_size is None:
            self._stored_size = (frame.width, frame.height)
        width, height = self._stored_size
        if (frame.width, frame.height) != (width, height):  # the first picture sets the size of the film
            frame = frame.reformat(width=width, height=height)
        if width % 2 == 0 and height % 2 == 0:
            image = Picture(frame, captured_at=0.0).i420()
        else:
            rgb = frame.to_ndarray(format="rgb24")
            image = np.ascontiguousarray(np.rot90(rgb, round(frame.rotation / 90) % 4))
        return VideoPicture(image, self._next_pts(frame))

    def _next_pts(self, frame: VideoFrame) -> int:
        """The frame's own timestamp; one frame after the last where it is missing or runs backwards."""
        step = max(1, round(1 / (self.fps * self.time_base)))
        after = 0 if self._last_pts is None else self._last_pts + step
        rises = frame.pts is not None and (self._last_pts is None or frame.pts > self._last_pts)
        self._last_pts = frame.pts if rises and frame.pts is not None else after
        return self._last_pts


class VideoWriter:
    """A video file with the size, timestamps and sound of the one it is made from.

    Written under a name of its own and renamed by `finish`, so that no half-written file is left behind.

    Raises:
        CommandError: the container cannot be written, or cannot hold the source's sound.
    """

    def __init__(self, path: Path, source: VideoReader) -> None:
        self._path, self._partial = path, path.with_name(f".{path.stem}.partial{path.suffix}")
        self._time_base = source.time_base
        codec, options = VP9 if path.suffix.lower() == ".webm" else H264
        movflags = {"movflags": "+faststart"} if path.suffix.lower() in (".mp4", ".mov", ".m4v") else {}
        try:
            self._container = av.open(str(self._partial), "w", options=movflags)
        except (av.FFmpegError, ValueError, OSError) as error:
            raise CommandError(f"{path}: cannot be written ({error})") from None
        try:
            self._video = cast(VideoStream, self._container.add_stream(codec, source.fps, options))
            self._set_up_video(source)
            self._audio = {
                track.index: self._container.add_stream_from_template(track) for track in source.audio
            }
            self._container.start_encoding()
        except (av.FFmpegError, ValueError) as error:
            self.discard()
            sound = ", ".join(track.codec_context.name for track in source.audio) or "no sound"
            raise CommandError(
                f"{path}: cannot hold {codec} video with {sound} ({error}); .mkv holds anything"
            ) from None

    def _set_up_video(self, source: VideoReader) -> None:
        context = self._video.codec_context
        context.width, context.height = source.width, source.height
        planar = source.width % 2 == 0 and source.height % 2 == 0
        context.pix_fmt = "yuv420p" if planar else "yuv444p"  # 4:2:0 has no odd sizes
        context.time_base = self._time_base
        if planar:  # the samples stay as they were, so what they mean stays too
            origin = source.video.codec_context
            context.colorspace, context.color_range = origin.colorspace, ColorRange.MPEG
            context.color_primaries, context.color_trc = origin.color_primaries, origin.color_trc

    def write(self, image: NDArray[np.uint8], pts: int) -> None:
        """Encode one picture (I420 or RGB, as `VideoPicture.image`) under its source timestamp."""
        frame = VideoFrame.from_ndarray(image, format="yuv420p" if image.ndim == 2 else "rgb24")
        frame.pts, frame.time_base = pts, self._time_base
        self._container.mux(self._video.encode(frame))

    def copy(self, packet: Packet[AudioStream]) -> None:
        """Pass one packet of the source's sound on, undecoded."""
        packet.stream = self._audio[packet.stream.index]
        self._container.mux(packet)

    def finish(self) -> None:
        """Flush the encoder, close the file and give it its name."""
        self._container.mux(self._video.encode(None))
        self._container.close()
        self._partial.replace(self._path)

    def discard(self) -> None:
        """Close and remove what was written so far."""
        self._container.close()
        self._partial.unlink(missing_ok=True)
