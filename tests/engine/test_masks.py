import numpy as np
import pytest

from engine.masks import Rle, fal_rle_to_mask, mask_box, mask_to_fal_rle, mask_to_rle, rle_to_mask
from engine.types import EngineError

SQUARE = np.zeros((4, 4), dtype=bool)
SQUARE[1:3, 1:3] = True


def test_coco_rle_of_a_known_mask() -> None:
    # runs 5 2 2 2 5, as written 5 2 2 (2-2) (5-2)
    assert mask_to_rle(SQUARE) == {"size": [4, 4], "counts": "52203"}
    assert mask_to_rle(np.zeros((2, 3), dtype=bool))["counts"] == "6"
    assert mask_to_rle(np.ones((2, 3), dtype=bool))["counts"] == "06"


def test_coco_rle_packs_long_and_negative_values_as_cocoapi_does() -> None:
    # runs 1000, 1, 3, 40, 956: differences 1000, 1, 3, 39, 953
    mask = np.zeros(2000, dtype=bool)
    mask[1000:1001] = mask[1004:1044] = True
    assert mask_to_rle(mask[:, None])["counts"] == _reference([1000, 1, 3, 40, 956])


def _reference(runs: list[int]) -> str:
    """rleToString of maskApi.c, line by line."""
    text = ""
    for i, run in enumerate(runs):
        x = run - runs[i - 2] if i > 2 else run
        more = True
        while more:
            c = x & 0x1F
            x >>= 5
            more = x != -1 if c & 0x10 else x != 0
            text += chr((c | 0x20 if more else c) + 48)
    return text


@pytest.mark.parametrize("density", [0.0, 0.01, 0.5, 0.99, 1.0])
def test_round_trips(density: float) -> None:
    rng = np.random.default_rng(7)
    for shape in ((1, 1), (7, 5), (48, 64), (240, 320)):
        mask = rng.random(shape) < density
        rle = mask_to_rle(mask)
        np.testing.assert_array_equal(rle_to_mask(rle), mask)
        runs, value, length = [], False, 0
        for pixel in mask.T.ravel().tolist():
            if pixel != value:
                runs.append(length)
                value, length = pixel, 0
            length += 1
        assert rle["counts"] == _reference([*runs, length])
        np.testing.assert_array_equal(fal_rle_to_mask(mask_to_fal_rle(mask), *shape), mask)


def test_fal_rle_counts_from_one_row_by_row() -> None:
    assert mask_to_fal_rle(SQUARE) == "6 2 10 2"
    assert mask_to_fal_rle(np.zeros((3, 3), dtype=bool)) == ""
    assert mask_to_fal_rle(np.ones((3, 3), dtype=bool)) == "1 9"


@pytest.mark.parametrize("text", ["1", "0 3", "8 3", "1 x", "-1 2", "1 -2"])
def test_bad_fal_rle_is_refused(text: str) -> None:
    with pytest.raises(EngineError) as caught:
        fal_rle_to_mask(text, 3, 3)
    assert caught.value.code == "BAD_RLE"


@pytest.mark.parametrize("counts", ["", "5", "99", "P", "\x1f", "ü", "P" * 40 + "0"])
def test_bad_coco_rle_is_refused(counts: str) -> None:
    with pytest.raises(EngineError) as caught:
        rle_to_mask(Rle(size=[4, 4], counts=counts))
    assert caught.value.code == "BAD_RLE"


def test_box_is_normalised_centre_and_size() -> None:
    mask = np.zeros((10, 20), dtype=bool)
    mask[2:4, 5:10] = True
    assert mask_box(mask) == (0.375, 0.3, 0.25, 0.2)
    assert mask_box(np.zeros((10, 20), dtype=bool)) is None
