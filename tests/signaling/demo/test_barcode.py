"""The number in the picture that ties what comes back to what was filmed."""

from __future__ import annotations

import functools
from fractions import Fraction

import av
import numpy as np
import pytest
from numpy.typing import NDArray

from engine.synthetic import SyntheticClip
from signaling.demo import barcode


@functools.cache
def picture(width: int, height: int) -> NDArray[np.uint8]:
    rgb, _ = SyntheticClip(width, height).frame(0)
    return av.VideoFrame.from_ndarray(rgb, format="rgb24").to_ndarray(format="yuv420p")


def through_vp8(image: NDArray[np.uint8], bitrate: int) -> NDArray[np.uint8]:
    encoder = av.CodecContext.create("libvpx", "w")
    encoder.width, encoder.height, encoder.pix_fmt = image.shape[1], image.shape[0] * 2 // 3, "yuv420p"
    encoder.bit_rate, encoder.time_base = bitrate, Fraction(1, 30)
    encoder.options = {"deadline": "realtime", "cpu-used": "8", "lag-in-frames": "0"}
    packets = encoder.encode(av.VideoFrame.from_ndarray(image, format="yuv420p"))
    decoder = av.CodecContext.create("vp8", "r")
    (frame,) = decoder.decode(packets[0])
    return frame.to_ndarray(format="yuv420p")


@pytest.mark.parametrize("size", [(640, 480), (1280, 720), (320, 240), (162, 90)])
@pytest.mark.parametrize("number", [0, 1, 1365, 2730, 4095])
def test_a_number_is_read_as_it_was_written(size: tuple[int, int], number: int) -> None:
    image = picture(*size)
    before = image.copy()
    assert barcode.read(barcode.stamp(image, number)) == number
    assert np.array_equal(image, before)


@pytest.mark.parametrize("number", [7, 819, 4000])
def test_a_number_survives_a_poor_video(number: int) -> None:
    assert barcode.read(through_vp8(barcode.stamp(picture(640, 480), number), 150_000)) == number


def test_a_picture_without_a_number_has_none() -> None:
    assert barcode.read(picture(640, 480)) is None
    assert barcode.read(np.full((720, 640), 128, np.uint8)) is None


def test_only_a_strip_of_the_picture_is_taken() -> None:
    image = picture(640, 480)
    changed = (barcode.stamp(image, 77)[:480] != image[:480]).any(axis=1)
    assert not changed[:464].any()
