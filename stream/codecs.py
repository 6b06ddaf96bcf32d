"""The video encoders of what we send, and all that we change of aiortc's codecs; nothing else touches them.

Against aiortc's own (aiortc/codecs/h264.py, vpx.py): bitrates by picture size instead of one fixed start of
0.5 or 1 Mb/s, a faster x264 preset, exact 90 kHz time stamps, and RTP timestamps that are chosen by us.
"""

from __future__ import annotations

import math
import multiprocessing
import random
from collections.abc import Iterator
from fractions import Fraction
from typing import TYPE_CHECKING, cast

import av
from aiortc import RTCRtpSender
from aiortc.codecs.h264 import H264Encoder
from aiortc.codecs.vpx import Vp8Encoder, number_of_threads
from aiortc.rtcrtpparameters import RTCRtpCodecCapability, RTCRtpCodecParameters

if TYPE_CHECKING:
    from av.frame import Frame
    from av.video.codeccontext import VideoCodecContext

CLOCK_RATE = 90_000
TIME_BASE = Fraction(1, CLOCK_RATE)
FRAME_RATE = 30
# A new encoder means a key frame, so that small moves of the receiver's estimate are not followed.
REBUILD_ABOVE = 0.25
START_AT_VGA = 1_500_000
KEY_FRAME_INTERVAL = 3000


class AbsoluteTimestamp(int):
    """An RTP timestamp that stays itself when a random origin is added to it.

    aiortc's sender adds an origin, which it tells nobody, to each encoded frame's timestamp
    (RTCRtpSender._run_rtp). Here the session chooses the (random) origin, so that the timestamp of a frame
    is known before it is sent and is the same for every viewer.
    """

    def __radd__(self, origin: int) -> int:
        return self


def start_bitrate(width: int, height: int) -> int:
    """Bits per second to begin with: 1.5 Mb/s at 640x480, 3.6 at 1280x720, 6.9 at 1920x1080."""
    return round(START_AT_VGA * math.pow(width * height / (640 * 480), 0.8))


class Bitrate:
    """The target of one encoder: starts by picture size, then follows the receiver within bounds."""

    def __init__(self) -> None:
        self._start = START_AT_VGA
        self._size: tuple[int, int] | None = None
        self.target = START_AT_VGA

    def fit(self, width: int, height: int) -> None:
        """Begin anew for another picture size."""
        if self._size != (width, height):
            self._size = (width, height)
            self._start = self.target = start_bitrate(width, height)

    def follow(self, estimate: int) -> None:
        """Take the receiver's estimate, from a quarter to two and a half times the start."""
        self.target = min(max(estimate, self._start // 4), self._start * 5 // 2)

    def outgrown(self, codec: VideoCodecContext, frame: av.VideoFrame) -> bool:
        """Whether `codec` was made for another size or for too different a bitrate."""
        if (codec.width, codec.height) != (frame.width, frame.height):
            return True
        return abs(self.target - (codec.bit_rate or 0)) > REBUILD_ABOVE * (codec.bit_rate or 1)


class LiveH264Encoder(H264Encoder):
    """x264 at `superfast`, zero latency."""

    def __init__(self) -> None:
        super().__init__()
        self.codec: VideoCodecContext | None = None
        self._bitrate = Bitrate()

    @property
    def target_bitrate(self) -> int:
        return self._bitrate.target

    @target_bitrate.setter
    def target_bitrate(self, bitrate: int) -> None:
        self._bitrate.follow(bitrate)

    def encode(self, frame: Frame, force_keyframe: bool = False) -> tuple[list[bytes], int]:
        payloads, _ = super().encode(frame, force_keyframe)
        return payloads, _rtp_timestamp(frame)

    def _encode_frame(self, frame: av.VideoFrame, force_keyframe: bool) -> Iterator[bytes]:
        self._bitrate.fit(frame.width, frame.height)
        if self.codec is None or self._bitrate.outgrown(self.codec, frame):
            self.codec = _x264(frame, self._bitrate.target)
        _mark(frame, force_keyframe)
        for packet in self.codec.encode(frame):
            yield from self._split_bitstream(bytes(packet))


class LiveVp8Encoder(Vp8Encoder):
    """libvpx in real-time mode, constant bitrate."""

    def __init__(self) -> None:
        super().__init__()
        self.codec: VideoCodecContext | None = None
        self._bitrate = Bitrate()

    @property
    def target_bitrate(self) -> int:
        return self._bitrate.target

    @target_bitrate.setter
    def target_bitrate(self, bitrate: int) -> None:
        self._bitrate.follow(bitrate)

    def encode(self, frame: Frame, force_keyframe: bool = False) -> tuple[list[bytes], int]:
        assert isinstance(frame, av.VideoFrame)
        self._bitrate.fit(frame.width, frame.height)
        if self.codec is None or self._bitrate.outgrown(self.codec, frame):
            self.codec = _libvpx(frame, self._bitrate.target)
        _mark(frame, force_keyframe)
        data = b"".join(bytes(packet) for packet in self.codec.encode(frame))
        payloads = self._packetize(data, self.picture_id)
        self.picture_id = (self.picture_id + 1) % (1 << 15)
        return payloads, _rtp_timestamp(frame)


ENCODERS = {"video/h264": LiveH264Encoder, "video/vp8": LiveVp8Encoder}


def use_live_encoder(sender: RTCRtpSender, codec: RTCRtpCodecParameters) -> None:
    """Give `sender`, not yet started, our encoder for the negotiated `codec`.

    aiortc makes an encoder of its own only where it finds none.
    """
    encoder = ENCODERS[codec.mimeType.lower()]()
    sender._RTCRtpSender__encoder = encoder  # type: ignore[attr-defined]


def preferred(codec: str | None) -> list[RTCRtpCodecCapability]:
    """All video codecs with `codec` ("vp8" or "h264") first; an empty list, no preference, for None."""
    if codec is None:
        return []
    capabilities = RTCRtpSender.getCapabilities("video").codecs
    return sorted(capabilities, key=lambda each: each.mimeType.lower() != f"video/{codec}")


def random_origin() -> int:
    """A random RTP timestamp to begin with, as RFC 3550 section 5.1 asks for."""
    return random.getrandbits(32)


def _rtp_timestamp(frame: Frame) -> AbsoluteTimestamp:
    assert frame.pts is not None
    assert frame.time_base is not None
    ticks = frame.pts if frame.time_base == TIME_BASE else round(frame.pts * frame.time_base * CLOCK_RATE)
    return AbsoluteTimestamp(ticks % (1 << 32))


def _mark(frame: av.VideoFrame, key: bool) -> None:
    kinds = av.video.frame.PictureType
    frame.pict_type = kinds.I if key else kinds.NONE


def _context(name: str, frame: av.VideoFrame, bitrate: int) -> VideoCodecContext:
    codec = cast(av.VideoCodecContext, av.CodecContext.create(name, "w"))
    codec.width, codec.height = frame.width, frame.height
    codec.pix_fmt = "yuv420p"
    codec.bit_rate = bitrate
    codec.framerate = Fraction(FRAME_RATE, 1)
    codec.time_base = TIME_BASE
    codec.gop_size = KEY_FRAME_INTERVAL
    return codec


def _x264(frame: av.VideoFrame, bitrate: int) -> VideoCodecContext:
    codec = _context("libx264", frame, bitrate)
    # Half a second of buffer keeps a key frame from arriving as one long burst.
    codec.options = {
        "preset": "superfast",
        "tune": "zerolatency",
        "sc_threshold": "0",
        "maxrate": str(bitrate),
        "bufsize": str(bitrate // 2),
    }
    codec.profile = "Baseline"
    return codec


def _libvpx(frame: av.VideoFrame, bitrate: int) -> VideoCodecContext:
    codec = _context("libvpx", frame, bitrate)
    codec.qmin, codec.qmax = 2, 56
    codec.options = {
        "deadline": "realtime",
        "cpu-used": "-6",
        "lag-in-frames": "0",
        # Equal minimum and maximum make libvpx hold a constant bitrate.
        "minrate": str(bitrate),
        "maxrate": str(bitrate),
        "bufsize": str(bitrate // 2),
        "overshoot-pct": "15",
        "undershoot-pct": "100",
        "static-thresh": "1",
    }
    codec.thread_count = number_of_threads(frame.width * frame.height, multiprocessing.cpu_count())
    return codec
