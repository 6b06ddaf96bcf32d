"""The background blur: smooth, even, and without a glow from what it leaves out."""

from __future__ import annotations

import numpy as np
import pytest

from engine.blur import blur_around


@pytest.mark.parametrize("shape", [(480, 640), (240, 320, 3), (178, 100), (37, 51, 3), (2, 2)])
def test_one_grey_stays_that_grey(shape: tuple[int, ...]) -> None:
    pixels, out = np.full(shape, 137, np.uint8), np.zeros(shape, np.uint8)
    blur_around(pixels, np.zeros(shape[:2], np.bool_), out)
    assert (np.abs(out.astype(int) - 137) <= 1).all()


def test_detail_goes_and_brightness_stays() -> None:
    pixels = np.random.RandomState(0).randint(0, 256, (480, 640)).astype(np.uint8)
    out = np.empty_like(pixels)
    blur_around(pixels, np.zeros(pixels.shape, np.bool_), out)
    assert out.std() < 0.1 * pixels.std()
    assert abs(out.mean() - pixels.mean()) < 1


def test_an_edge_becomes_a_slope_without_steps() -> None:
    pixels = np.zeros((480, 640), np.uint8)
    pixels[:, 320:] = 200
    out = np.empty_like(pixels)
    blur_around(pixels, np.zeros(pixels.shape, np.bool_), out)
    slope = np.diff(out[240].astype(int))
    assert (slope >= 0).all()
    assert slope.max() <= 12
    assert abs(int(out[240, 320]) - 100) <= 12, "the slope lies where the edge was"


def test_what_is_covered_does_not_glow() -> None:
    pixels = np.full((240, 320), 60, np.uint8)
    covered = np.zeros(pixels.shape, np.bool_)
    covered[80:160, 100:200] = True
    pixels[covered] = 255
    out = np.empty_like(pixels)
    blur_around(pixels, covered, out)
    assert (np.abs(out[~covered].astype(int) - 60) <= 2).all()
