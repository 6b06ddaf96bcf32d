"""The video encoders of what we send, and all that we change of aiortc's codecs; nothing else touches them.

Against aiortc's own (aiortc/codecs/h264.py, vpx.py): bitrates by picture size instead of one fixed start of
0.5 or 1 Mb/s, a faster x264 preset, exact 90 kHz time stamps, and RTP timestamps that are chosen by us.
"""

from __future__ import annotations

import math
import random
from abc import abstractmethod
from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol, cast

import av
from aiortc import RTCRtpSender
from aiortc.codecs.base import Encoder
from aiortc.codecs.h264 import H264Encoder
from aiortc.codecs.vpx import Vp8Encoder
from aiortc.rtcrtpparameters import RTCRtpCodecCapability, RTCRtpCodecParameters

from stream import encoders
from stream.encoders import TIME_BASE

if TYPE_CHECKING:
    from av.frame import Frame
    from av.video.codeccontext import VideoCodecContext

    from stream.encoders import VideoPacket

CLOCK_RATE = 90_000
# A new encoder means a key frame, so that small moves of the receiver's estimate are not followed.
REBUILD_ABOVE = 0.25
START_AT_VGA = 1_500_000


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
        self._estimate: int | None = None
        self.target = START_AT_VGA

    def fit(self, width: int, height: int) -> None:
        """Begin anew for another picture size."""
        if self._size != (width, height):
            self._size = (width, height)
            self._start = self.target = start_bitrate(width, height)
            if self._estimate is not None:
                self.follow(self._estimate)

    def follow(self, estimate: int) -> None:
        """Take the receiver's estimate, from a quarter to two and a half times the start."""
        self._estimate = estimate
        self.target = min(max(estimate, self._start // 4), self._start * 5 // 2)

    def outgrown(self, codec: VideoCodecContext, frame: av.VideoFrame) -> bool:
        """Whether `codec` was made for another size or for too different a bitrate."""
        if (codec.width, codec.height) != (frame.width, frame.height):
            return True
        return abs(self.target - (codec.bit_rate or 0)) > REBUILD_ABOVE * (codec.bit_rate or 1)


class LiveEncoder(Encoder):
    """What our encoders do alike; a codec's own says how a context is opened and what its payloads are."""

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

    @property
    def name(self) -> str | None:
        """FFmpeg's name of the encoder at work; None before the first picture."""
        return str(self.codec.name) if self.codec else None

    def encode(self, frame: Frame, force_keyframe: bool = False) -> tuple[list[bytes], int]:
        assert isinstance(frame, av.VideoFrame)
        return self.pack(self.compress(frame, force_keyframe))

    def compress(self, frame: av.VideoFrame, key: bool = False) -> VideoPacket:
        """The coded picture (H264: Annex B) under the frame's own time, for one `pack` or many."""
        self._bitrate.fit(frame.width, frame.height)
        if self.codec is None or self._bitrate.outgrown(self.codec, frame):
            self.codec = self._open(frame.width, frame.height)
        _mark(frame, key)
        return _joined(self.codec.encode(frame), frame)

    def pack(self, packet: VideoPacket) -> tuple[list[bytes], int]:
        payloads, _ = super().pack(packet)  # type: ignore[safe-super] # aiortc's encoder, which stands beside us
        return payloads, _rtp_timestamp(packet)

    def release(self) -> None:
        """Let the context go, and its threads with it, without waiting for a garbage collection."""
        self.codec = None

    @abstractmethod
    def _open(self, width: int, height: int) -> VideoCodecContext: ...


class LiveH264Encoder(LiveEncoder, H264Encoder):
    """H264 without delay, by the encoder `wanted` of `stream.encoders`."""

    def __init__(self, wanted: str = encoders.X264) -> None:
        super().__init__()
        self._wanted = wanted

    def _open(self, width: int, height: int) -> VideoCodecContext:
        return encoders.h264(self._wanted, width, height, self.target_bitrate)


class LiveVp8Encoder(LiveEncoder, Vp8Encoder):
    """libvpx in real-time mode, constant bitrate."""

    def _open(self, width: int, height: int) -> VideoCodecContext:
        return encoders.vp8(width, height, self.target_bitrate)


ENCODERS: dict[str, type[LiveH264Encoder] | type[LiveVp8Encoder]] = {
    "video/h264": LiveH264Encoder,
    "video/vp8": LiveVp8Encoder,
}


class Receiver(Protocol):
    """Whom a sender tells what its other end says of the video."""

    def request_key(self) -> None:
        """It cannot go on without a key frame (RTCP PLI or FIR)."""
        ...

    def estimate(self, bitrate: int) -> None:
        """It can take so many bits per second (RTCP REMB)."""
        ...


class Packer(LiveEncoder):
    """Packs what another encoder made; the other end's estimate goes to `receiver`."""

    receiver: Receiver

    @property
    def target_bitrate(self) -> int:
        return self._bitrate.target

    @target_bitrate.setter
    def target_bitrate(self, bitrate: int) -> None:
        self.receiver.estimate(bitrate)


class H264Packer(Packer, LiveH264Encoder):
    """H264 (RFC 6184)."""


class Vp8Packer(Packer, LiveVp8Encoder):
    """VP8 (RFC 7741)."""


PACKERS: dict[str, type[H264Packer] | type[Vp8Packer]] = {"video/h264": H264Packer, "video/vp8": Vp8Packer}


def use_packer(sender: RTCRtpSender, codec: RTCRtpCodecParameters, receiver: Receiver) -> None:
    """Let `sender`, not yet started, pack coded pictures of `codec` and pass its feedback to `receiver`.

    aiortc makes an encoder of its own only where it finds none, and keeps PLI and REMB to itself: it only
    sets a flag and an attribute, which coded pictures never meet.
    """
    packer = PACKERS[codec.mimeType.lower()]()
    packer.receiver = receiver
    sender._RTCRtpSender__encoder = packer  # type: ignore[attr-defined]
    sender._send_keyframe = receiver.request_key  # type: ignore[method-assign]


def use_live_encoder(sender: RTCRtpSender, codec: RTCRtpCodecParameters) -> None:
    """Give `sender`, not yet started, our encoder for the negotiated `codec`, for frames of its own track."""
    sender._RTCRtpSender__encoder = ENCODERS[codec.mimeType.lower()]()  # type: ignore[attr-defined]


def preferred(codec: str | None) -> list[RTCRtpCodecCapability]:
    """All video codecs with `codec` ("vp8" or "h264") first; an empty list, no preference, for None."""
    if codec is None:
        return []
    capabilities = RTCRtpSender.getCapabilities("video").codecs
    return sorted(capabilities, key=lambda each: each.mimeType.lower() != f"video/{codec}")


def random_origin() -> int:
    """A random RTP timestamp to begin with, as RFC 3550 section 5.1 asks for."""
    return random.getrandbits(32)


def _rtp_timestamp(frame: Frame | VideoPacket) -> AbsoluteTimestamp:
    assert frame.pts is not None
    assert frame.time_base is not None
    ticks = frame.pts if frame.time_base == TIME_BASE else round(frame.pts * frame.time_base * CLOCK_RATE)
    return AbsoluteTimestamp(ticks % (1 << 32))


def _mark(frame: av.VideoFrame, key: bool) -> None:
    kinds = av.video.frame.PictureType
    frame.pict_type = kinds.I if key else kinds.NONE


def _joined(packets: Sequence[VideoPacket], frame: av.VideoFrame) -> VideoPacket:
    """What an encoder without delay gave for one frame, as one packet."""
    assert frame.time_base is not None
    whole = cast("VideoPacket", av.Packet(b"".join(bytes(packet) for packet in packets)))
    whole.pts, whole.time_base = frame.pts, frame.time_base
    whole.is_keyframe = any(packet.is_keyframe for packet in packets)
    return whole
