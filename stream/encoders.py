"""FFmpeg's video encoders as we set them up for live video: no delay, no B frames, key frames on demand."""

from __future__ import annotations

import functools
import logging
import multiprocessing
from fractions import Fraction
from typing import TYPE_CHECKING, cast

import av
from aiortc.codecs.vpx import number_of_threads

if TYPE_CHECKING:
    from av.packet import Packet
    from av.video.codeccontext import VideoCodecContext
    from av.video.stream import VideoStream

    VideoPacket = Packet[VideoStream]

TIME_BASE = Fraction(1, 90_000)
FRAME_RATE = 30
KEY_FRAME_INTERVAL = 3000
X264 = "libx264"
NVENC = "h264_nvenc"
VP8 = "libvpx"
AUTO = "auto"

log = logging.getLogger(__name__)


def pick_h264(wanted: str = AUTO) -> str:
    """The H264 encoder to use: `wanted`, or NVENC for "auto"; libx264 where NVENC does not open.

    Many data-centre GPUs (A100, H100, H200) have no NVENC, so that only opening it tells.
    """
    if wanted == X264:
        return X264
    failure = _nvenc_failure()
    if failure is None:
        return NVENC
    log.log(
        logging.WARNING if wanted == NVENC else logging.INFO, "NVENC does not open (%s): libx264", failure
    )
    return X264


def h264(name: str, width: int, height: int, bitrate: int) -> VideoCodecContext:
    """An open context of encoder `name` ("libx264" or "h264_nvenc"); bitrate in bits per second.

    NVENC may refuse one session more than the driver allows: libx264 takes its place then.
    """
    if name == NVENC:
        try:
            return _nvenc(width, height, bitrate)
        except av.FFmpegError as error:
            log.warning("NVENC does not open (%s): libx264 for this stream", error.strerror)
    return _x264(width, height, bitrate)


def vp8(width: int, height: int, bitrate: int) -> VideoCodecContext:
    """libvpx in real-time mode, constant bitrate."""
    codec = _context(VP8, width, height, bitrate)
    codec.qmin, codec.qmax = 2, 56
    codec.options = {
        "deadline": "realtime",
        # A third faster than -6 for less than 0.1 dB (docs/decisions.md), as libwebrtc has it for phones.
        "cpu-used": "-12",
        "lag-in-frames": "0",
        # Equal minimum and maximum make libvpx hold a constant bitrate.
        "minrate": str(bitrate),
        "maxrate": str(bitrate),
        "bufsize": str(bitrate // 2),
        "overshoot-pct": "15",
        "undershoot-pct": "100",
        "static-thresh": "1",
    }
    codec.thread_count = number_of_threads(width * height, multiprocessing.cpu_count())
    return codec


def _x264(width: int, height: int, bitrate: int) -> VideoCodecContext:
    codec = _context(X264, width, height, bitrate)
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


def _nvenc(width: int, height: int, bitrate: int) -> VideoCodecContext:
    codec = _context(NVENC, width, height, bitrate)
    codec.options = {
        "preset": "p3",
        "tune": "ull",
        "zerolatency": "1",
        "delay": "0",
        "bf": "0",
        "rc": "cbr",
        # Without it a forced I frame is not an IDR, and a viewer that joins never begins.
        "forced-idr": "1",
        "profile": "baseline",
        "maxrate": str(bitrate),
        "bufsize": str(bitrate // 2),
    }
    codec.open()
    return codec


@functools.cache
def _nvenc_failure() -> str | None:
    """Why NVENC cannot be used here; None when it can."""
    try:
        _nvenc(640, 480, 1_000_000)
    except (av.FFmpegError, ValueError) as error:  # ValueError: an FFmpeg that was built without it
        return getattr(error, "strerror", None) or str(error)
    return None


def _context(name: str, width: int, height: int, bitrate: int) -> VideoCodecContext:
    codec = cast(av.VideoCodecContext, av.CodecContext.create(name, "w"))
    codec.width, codec.height = width, height
    codec.pix_fmt = "yuv420p"
    codec.bit_rate = bitrate
    codec.framerate = Fraction(FRAME_RATE, 1)
    codec.time_base = TIME_BASE
    codec.gop_size = KEY_FRAME_INTERVAL
    return codec
