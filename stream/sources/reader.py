"""One attempt to read a network stream: FFmpeg in a thread of its own, pictures handed to the event loop.

FFmpeg blocks, so nothing here is awaited: whoever loses patience lets go of the reader, and its thread ends
by itself within FFmpeg's own time limits.
"""

from __future__ import annotations

import asyncio
import functools
import logging
import threading
import time
from dataclasses import dataclass

import av
from av.codec.hwaccel import HWAccel
from av.container import InputContainer
from av.video.stream import VideoStream

from stream.latest import Latest, LatestClosed
from stream.picture import CUDA, SOFTWARE, Picture
from stream.sources.address import Address, SourceError

# 4:2:0 and 4:2:2, of 8 bits and of more (libavutil/hwcontext_cuda.c).
DOWNLOADED = frozenset({"nv12", "p010le", "p012le", "p016le", "nv16", "p210le", "p216le"})

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Limits:
    """What is asked of a network source. Seconds, pixels, frames per second; 0 for none.

    Attributes:
        open_seconds: for the connection and the first picture.
        silent_seconds: without a picture, after which the source counts as gone.
        frozen_seconds: of the very same picture, after which the source counts as frozen; a camera's noise
            changes every picture, but a drawn one may stand still for ever.
        max_width, max_height: larger pictures end the attempt.
        max_fps: pictures above are left out.
    """

    open_seconds: float = 10.0
    silent_seconds: float = 5.0
    frozen_seconds: float = 0.0
    max_width: int = 3840
    max_height: int = 2160
    max_fps: float = 0.0


@dataclass(frozen=True, slots=True)
class Opened:
    """What a stream turned out to be; `decoder` is CUDA or SOFTWARE."""

    codec: str
    decoder: str


class Reader:
    """Reads one RTSP address until it ends, fails or is let go.

    Args:
        address: with the host to connect to.
        options: FFmpeg's, for this protocol.
    """

    def __init__(self, address: Address, options: dict[str, str], limits: Limits) -> None:
        self.opened: Opened | None = None
        self.broken_packets = 0
        self._address, self._options, self._limits = address, options, limits
        self._loop = asyncio.get_running_loop()
        self._latest: Latest[Picture] = Latest()
        self._stop = threading.Event()
        self._kept_at: float | None = None
        self._sample, self._changed_at = b"", time.monotonic()
        self._error: SourceError | None = None
        self._thread = threading.Thread(target=self._run, name="rtsp-source", daemon=True)
        self._thread.start()

    async def next(self) -> Picture:
        """The newest picture.

        Raises:
            SourceError: there will be none.
        """
        try:
            return await self._latest.get()
        except LatestClosed:
            raise self._error or SourceError("ENDED", "the stream ended") from None

    def let_go(self) -> None:
        """Stop reading; returns at once."""
        self._stop.set()

    # In the thread.

    def _run(self) -> None:
        try:
            self._read()
        except SourceError as error:
            self._error = error
        except av.FFmpegError as error:
            self._error = SourceError("BROKEN", f"{self._address}: {_cause(error)}")
        except Exception as error:  # whatever a stream makes FFmpeg or PyAV do, it must not go unnoticed
            log.exception("reading a stream failed")
            self._error = SourceError("BROKEN", f"{self._address}: {type(error).__name__}")
        else:
            self._error = SourceError("ENDED", f"{self._address}: the camera ended the stream")
        self._tell(self._latest.close, "ended")

    def _read(self) -> None:
        with self._open() as container:
            stream = _video(container, self._address)
            for packet in container.demux(stream):
                if self._stop.is_set():
                    return
                try:
                    frames = packet.decode()
                except av.FFmpegError:
                    self.broken_packets += 1
                    continue
                for frame in frames:
                    self._deliver(frame, stream)

    def _open(self) -> InputContainer:
        limits = self._limits
        return av.open(
            self._address.url,
            format="rtsp",  # and nothing else that a URL could talk FFmpeg into
            options=self._options,
            timeout=(limits.open_seconds, limits.silent_seconds + 1),
            hwaccel=HWAccel(CUDA, allow_software_fallback=True) if has_cuda() else None,
        )

    def _deliver(self, frame: av.VideoFrame, stream: VideoStream) -> None:
        limits = self._limits
        if frame.width > limits.max_width or frame.height > limits.max_height:
            size = f"{frame.width}x{frame.height}"
            at_most = f"{limits.max_width}x{limits.max_height}"
            raise SourceError("TOO_LARGE", f"{self._address}: expected at most {at_most}, got {size}")
        if self.opened is None:
            context = stream.codec_context
            self.opened = Opened(context.name, decoder_of(frame, context.is_hwaccel))
        self._check_frozen(frame)
        now = time.monotonic()
        if limits.max_fps and self._kept_at is not None and now - self._kept_at < 0.9 / limits.max_fps:
            return
        self._kept_at = now
        self._tell(self._latest.put, Picture(frame, now, frame.time, decoder=self.opened.decoder))

    def _check_frozen(self, frame: av.VideoFrame) -> None:
        if not self._limits.frozen_seconds:
            return
        now, sample = time.monotonic(), bytes(frame.planes[0])[::61]
        if sample != self._sample:
            self._sample, self._changed_at = sample, now
        elif now - self._changed_at > self._limits.frozen_seconds:
            raise SourceError(
                "SILENT", f"{self._address}: the same picture for {now - self._changed_at:.0f} s"
            )

    def _tell(self, call: object, value: object) -> None:
        try:
            self._loop.call_soon_threadsafe(call, value)  # type: ignore[arg-type]
        except RuntimeError:
            self._stop.set()  # the loop is closed: nobody listens any more


def _video(container: InputContainer, address: Address) -> VideoStream:
    if not container.streams.video:
        raise SourceError("BROKEN", f"{address}: the stream has no video")
    stream = container.streams.video[0]
    stream.thread_type = "SLICE"  # threads by frame would hold each frame back
    return stream


def decoder_of(frame: av.VideoFrame, hardware: bool) -> str:
    """CUDA or SOFTWARE: who decoded `frame`, where hardware was asked to.

    FFmpeg goes over to software without a word when the GPU does not take a stream (4:2:2, AV1 on many), and
    the context then still counts as accelerated. But what comes down from an NVIDIA GPU has its chroma
    interleaved.
    """
    return CUDA if hardware and frame.format.name in DOWNLOADED else SOFTWARE


def _cause(error: av.FFmpegError) -> str:
    """FFmpeg's words without the URL, which it repeats with the password."""
    if isinstance(error, TimeoutError) or error.errno == 110:
        return "nothing came in time"
    return str(error.strerror or type(error).__name__)


@functools.cache
def has_cuda() -> bool:
    """Whether an NVIDIA GPU decodes video here."""
    try:
        HWAccel(CUDA).create(av.codec.Codec("h264", "r"))
    except (av.FFmpegError, NotImplementedError, RuntimeError, ValueError):
        return False
    return True
