"""Masked pictures as H264 in a container of FFmpeg's: a file, or somebody's media server. Blocking."""

from __future__ import annotations

from typing import BinaryIO, cast

import av
import numpy as np
from av.video.stream import VideoStream
from numpy.typing import NDArray

from stream.encoders import FRAME_RATE, TIME_BASE, X264

# Each second is a fragment of its own, however few pictures it has: what was written so far plays, whatever
# happens next. `frag_duration` is in microseconds.
FRAGMENTED = {
    "movflags": "frag_keyframe+empty_moov+default_base_moof",
    "frag_duration": "1000000",
    "flush_packets": "1",
}
KEY_FRAMES = FRAME_RATE


class Film:
    """Pictures of one size, encoded once more for keeping: quality by content, not by anybody's network.

    Args:
        target: an open binary file, or a URL.
        form: FFmpeg's name of the container.
        options: of the container.
        seconds: without progress on a URL, after which it is given up.

    Raises (all methods):
        av.FFmpegError, OSError: it cannot be written.
    """

    def __init__(
        self,
        target: BinaryIO | str,
        form: str,
        options: dict[str, str],
        size: tuple[int, int],
        seconds: float = 10.0,
    ) -> None:
        self.size = size
        self._container = av.open(target, "w", format=form, options=options, timeout=seconds)
        self._stream = self._add_stream(size)

    def write(self, image: NDArray[np.uint8], ticks: int) -> None:
        """Add one I420 picture of the film's size at `ticks` of 1/90000 s, later than the one before."""
        video = av.VideoFrame.from_ndarray(image, format="yuv420p")
        video.pts, video.time_base = ticks, TIME_BASE
        self._container.mux(self._stream.encode(video))

    def close(self) -> None:
        """Write what is left and close; the film is whole after it."""
        try:
            self._container.mux(self._stream.encode(None))
        finally:
            self._container.close()

    def abandon(self) -> None:
        """Close without writing anything more that can be helped."""
        try:
            self._container.close()
        except (av.FFmpegError, OSError):
            pass  # the reason to abandon it

    def _add_stream(self, size: tuple[int, int]) -> VideoStream:
        options = {"preset": "veryfast", "tune": "zerolatency", "crf": "23", "sc_threshold": "0"}
        stream = cast(VideoStream, self._container.add_stream(X264, FRAME_RATE, options))
        context = stream.codec_context
        context.width, context.height = size
        context.pix_fmt, context.time_base, context.gop_size = "yuv420p", TIME_BASE, KEY_FRAMES
        return stream
