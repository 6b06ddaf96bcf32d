import numpy as np

from stream.outage import Outage, black, slate


def test_the_slate_is_the_last_picture_darkened_with_the_text_across_it() -> None:
    image = np.full((360, 320), 200, np.uint8)
    shown = slate(image, Outage(0.0, 0.0).text)
    assert shown.shape == image.shape
    assert (image == 200).all()  # the picture itself is kept for when the camera is back
    band = shown[100:140]
    assert (band == 235).sum() > 200
    assert (shown[:80] < 120).all()
    assert (shown[:80] > 60).all()
    assert "1970-01-01 00:00:00 UTC" in Outage(0.0, 0.0).text


def test_any_size_has_room_for_it_and_none_is_black() -> None:
    for width, height in ((16, 16), (64, 2), (1920, 1080)):
        assert slate(black(width, height), "no signal").shape == (height * 3 // 2, width)
    empty = slate(None, "no signal")
    assert empty.shape == (540, 640)
    assert (empty == 235).any()
    assert (empty[360:] == 128).all()
