import av
import numpy as np
import pytest
from av.video.reformatter import ColorRange
from scene import Scene

from stream.picture import Picture


def planar(width: int, height: int) -> np.ndarray:
    return np.random.default_rng(1).integers(16, 235, (height * 3 // 2, width), np.uint8)


def test_planar_pictures_keep_every_sample() -> None:
    image = planar(62, 46)  # a width whose lines are padded in the decoder's buffer
    assert np.array_equal(Picture(av.VideoFrame.from_ndarray(image, format="yuv420p"), 0.0).i420(), image)


def test_the_picture_is_a_copy_that_outlives_the_decoders_buffer() -> None:
    image = planar(64, 48)
    picture = Picture(av.VideoFrame.from_ndarray(image, format="yuv420p"), 0.0).i420()
    assert picture.flags.owndata
    assert picture.flags.c_contiguous


@pytest.mark.parametrize(("width", "height"), [(63, 48), (64, 47), (63, 47)])
def test_odd_sizes_are_cropped_to_even(width: int, height: int) -> None:
    video = av.VideoFrame(width, height, "yuv420p")
    for value, plane in zip((50, 100, 200), video.planes, strict=True):
        plane.update(bytes([value]) * plane.buffer_size)
    image = Picture(video, 0.0).i420()
    even_width, even_height = width // 2 * 2, height // 2 * 2
    assert image.shape == (even_height * 3 // 2, even_width)
    flat, luma = image.reshape(-1), even_width * even_height
    assert set(flat[:luma]) == {50}
    assert set(flat[luma : luma * 5 // 4]) == {100}
    assert set(flat[luma * 5 // 4 :]) == {200}


def test_other_formats_are_converted() -> None:
    rgb = Scene(64, 48).paint(0)
    image = Picture(av.VideoFrame.from_ndarray(rgb, format="rgb24"), 0.0).i420()
    back = av.VideoFrame.from_ndarray(image, format="yuv420p").to_ndarray(format="rgb24")
    assert np.abs(back.astype(int) - rgb).mean() < 3


def test_full_range_pictures_come_out_in_limited_range() -> None:
    video = av.VideoFrame(64, 48, "yuvj420p")
    for value, plane in zip((255, 128, 128), video.planes, strict=True):
        plane.update(bytes([value]) * plane.buffer_size)
    video.color_range = ColorRange.JPEG
    assert Picture(video, 0.0).i420()[:48].max() in (234, 235)


def test_ten_bit_pictures_are_read() -> None:
    video = av.VideoFrame.from_ndarray(Scene(64, 48).paint(0), format="rgb24").reformat(format="yuv420p10le")
    image = Picture(video, 0.0).i420()
    assert image.shape == (72, 64)
    assert image[:48].std() > 5
