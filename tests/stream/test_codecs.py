from contextlib import suppress
from fractions import Fraction

import av
import numpy as np
import pytest
from aiortc.codecs.h264 import H264Decoder, h264_depayload
from aiortc.codecs.vpx import Vp8Decoder, vp8_depayload
from aiortc.jitterbuffer import JitterFrame
from aiortc.utils import uint32_add
from numpy.typing import NDArray
from scene import Scene

from stream.codecs import (
    AbsoluteTimestamp,
    Bitrate,
    LiveH264Encoder,
    LiveVp8Encoder,
    preferred,
    start_bitrate,
)

CODECS = {
    "h264": (LiveH264Encoder, H264Decoder, h264_depayload),
    "vp8": (LiveVp8Encoder, Vp8Decoder, vp8_depayload),
}


def frame(scene: Scene, index: int, pts: int | None = None) -> av.VideoFrame:
    video = av.VideoFrame.from_ndarray(scene.paint(index), format="rgb24").reformat(format="yuv420p")
    video.pts, video.time_base = index * 3000 if pts is None else pts, Fraction(1, 90_000)
    return video


class Line:
    """Encoder, packets and aiortc's own decoder."""

    def __init__(self, codec: str) -> None:
        encoder, decoder, self._depayload = CODECS[codec]
        self.encoder, self._decoder = encoder(), decoder()

    def send(self, video: av.VideoFrame, key: bool = False) -> list[NDArray[np.uint8]]:
        payloads, timestamp = self.encoder.encode(video, key)
        data = b"".join(self._depayload(payload) for payload in payloads)
        decoded = self._decoder.decode(JitterFrame(data, timestamp))
        return [each.to_ndarray(format="rgb24") for each in decoded]


@pytest.mark.parametrize("codec", CODECS)
def test_what_is_encoded_comes_out_without_delay(codec: str) -> None:
    line, scene = Line(codec), Scene()
    for i in range(10):
        (picture,) = line.send(frame(scene, i))
        assert np.abs(picture.astype(int) - scene.paint(i)).mean() < 6


@pytest.mark.parametrize("codec", CODECS)
def test_a_change_of_size_is_a_new_start(codec: str) -> None:
    line, large = Line(codec), Scene(640, 480)
    line.send(frame(Scene(), 0))
    line.send(frame(Scene(), 1))
    (picture,) = line.send(frame(large, 2))
    assert picture.shape == (480, 640, 3)
    assert line.encoder.target_bitrate == start_bitrate(640, 480)


@pytest.mark.parametrize("codec", CODECS)
def test_a_key_frame_comes_when_asked_for(codec: str) -> None:
    line, scene = Line(codec), Scene()
    for i in range(5):
        line.send(frame(scene, i))
    late = Line(codec)  # a decoder that has seen nothing of the above
    late.encoder = line.encoder
    with suppress(av.FFmpegError):
        assert late.send(frame(scene, 5)) == []
    (picture,) = late.send(frame(scene, 6), key=True)
    assert np.abs(picture.astype(int) - scene.paint(6)).mean() < 6


@pytest.mark.parametrize("codec", CODECS)
def test_times_closer_than_a_thirtieth_and_across_the_wrap_are_taken(codec: str) -> None:
    line, scene = Line(codec), Scene()
    for i, pts in enumerate([2**32 - 1500, 2**32 - 1499, 2**32, 2**32 + 1500, 2**32 + 90_000]):
        payloads, timestamp = line.encoder.encode(frame(scene, i, pts))
        assert payloads
        assert timestamp == pts % 2**32


def test_the_timestamp_withstands_the_origin_that_aiortc_adds() -> None:
    for origin in (0, 1, 2**31, 2**32 - 1):
        assert uint32_add(origin, AbsoluteTimestamp(4_294_967_295)) == 4_294_967_295


def test_bitrate_starts_by_size_and_follows_within_bounds() -> None:
    sizes = ((640, 480), (1280, 720), (1920, 1080))
    assert [round(start_bitrate(*size) / 1e5) for size in sizes] == [15, 36, 69]
    bitrate = Bitrate()
    bitrate.fit(640, 480)
    for estimate, target in ((10_000, 375_000), (2_000_000, 2_000_000), (90_000_000, 3_750_000)):
        bitrate.follow(estimate)
        bitrate.fit(640, 480)
        assert bitrate.target == target


@pytest.mark.parametrize("codec", CODECS)
def test_small_moves_of_the_estimate_make_no_new_encoder(codec: str) -> None:
    line, scene = Line(codec), Scene()
    line.send(frame(scene, 0))
    first, start = line.encoder.codec, line.encoder.target_bitrate
    line.encoder.target_bitrate = round(start * 1.2)
    line.send(frame(scene, 1))
    assert line.encoder.codec is first
    line.encoder.target_bitrate = round(start * 1.5)
    line.send(frame(scene, 2))
    assert line.encoder.codec is not first


def test_preferred_codec_comes_first_and_none_is_lost() -> None:
    kinds = {codec: [each.mimeType for each in preferred(codec)] for codec in ("vp8", "h264")}
    assert kinds["vp8"][0] == "video/VP8"
    assert kinds["h264"][0] == "video/H264"
    assert sorted(kinds["vp8"]) == sorted(kinds["h264"])
    assert preferred(None) == []
