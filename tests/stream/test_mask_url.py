import base64
import io

import numpy as np
import pytest
from PIL import Image

from stream import mask_url
from stream.mask_url import MaskError, MaskTooLarge


def url(picture: Image.Image, kind: str = "PNG") -> str:
    buffer = io.BytesIO()
    picture.save(buffer, kind)
    return mask_url.PREFIX + base64.b64encode(buffer.getvalue()).decode()


def test_round_trip() -> None:
    mask = np.random.default_rng(0).random((37, 53)) > 0.5
    assert np.array_equal(mask_url.decode(mask_url.encode(mask)), mask)


def test_threshold_is_between_127_and_128() -> None:
    grey = Image.fromarray(np.array([[0, 127, 128, 255]], np.uint8))
    assert mask_url.decode(url(grey)).tolist() == [[False, False, True, True]]


def test_transparent_pixels_are_outside() -> None:
    rgba = np.zeros((1, 3, 4), np.uint8)
    rgba[0, :, :3] = 255
    rgba[0, :, 3] = (0, 127, 255)
    assert mask_url.decode(url(Image.fromarray(rgba))).tolist() == [[False, False, True]]


def test_palette_and_colour_pictures_go_by_luminance() -> None:
    rgb = np.array([[[255, 255, 255], [255, 0, 0], [0, 0, 0]]], np.uint8)
    assert mask_url.decode(url(Image.fromarray(rgb))).tolist() == [[True, False, False]]
    assert mask_url.decode(url(Image.fromarray(rgb).convert("P"))).tolist() == [[True, False, False]]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "https://example.com/mask.png",
        "file:///etc/passwd",
        "data:image/jpeg;base64,AAAA",
        mask_url.PREFIX,
        mask_url.PREFIX + "not base64!",
        mask_url.PREFIX + base64.b64encode(b"not a PNG").decode(),
        mask_url.PREFIX + "é",
    ],
)
def test_what_is_not_a_png_data_uri_is_refused(text: str) -> None:
    with pytest.raises(MaskError):
        mask_url.decode(text)


def test_other_formats_under_the_png_label_are_refused() -> None:
    with pytest.raises(MaskError):
        mask_url.decode(url(Image.new("L", (8, 8), 255), "BMP"))


def test_a_truncated_png_is_refused() -> None:
    whole = url(Image.fromarray(np.random.default_rng(0).integers(0, 255, (64, 64), np.uint8)))
    for cut in (60, 200, 1000):
        with pytest.raises(MaskError):
            mask_url.decode(whole[:cut])


def test_an_empty_mask_is_refused() -> None:
    with pytest.raises(MaskError, match="at least one pixel"):
        mask_url.decode(url(Image.new("L", (8, 8), 0)))


def test_size_is_checked_before_any_pixel_is_decoded() -> None:
    mask_url.decode(url(Image.new("1", (2048, 1), 1)))
    header = url(Image.new("1", (2049, 20000), 1))
    with pytest.raises(MaskTooLarge):
        mask_url.decode(header)
