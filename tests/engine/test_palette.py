"""Colours by object id: stable, many, and apart for colour-blind eyes."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from numpy.typing import NDArray

from engine.palette import COLOURS, Colour, colour_of, hex_colour, yuv

# Machado, Oliveira and Fernandes 2009, severity 1.0, on linear RGB.
EYES = {
    "trichromat": np.eye(3),
    "protanope": np.array([[0.152, 1.053, -0.205], [0.115, 0.786, 0.099], [-0.004, -0.048, 1.052]]),
    "deuteranope": np.array([[0.367, 0.861, -0.228], [0.280, 0.673, 0.047], [-0.012, 0.043, 0.969]]),
    "tritanope": np.array([[1.256, -0.077, -0.179], [-0.078, 0.931, 0.148], [0.005, 0.691, 0.304]]),
}


def lab(colour: Colour, eye: NDArray[np.float64]) -> NDArray[np.float64]:
    """CIE L*a*b* of a colour as that eye sees it."""
    c = np.array(colour) / 255
    linear = np.clip(eye @ np.where(c <= 0.04045, c / 12.92, ((c + 0.055) / 1.055) ** 2.4), 0, 1)
    to_xyz = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])
    xyz = to_xyz @ linear / np.array([0.9505, 1, 1.089])
    f = np.where(xyz > 0.008856, np.cbrt(xyz), 7.787 * xyz + 16 / 116)
    return np.array([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])


@pytest.mark.parametrize("eye", EYES)
def test_any_two_colours_are_apart_for_every_eye(eye: str) -> None:
    seen = [lab(colour, EYES[eye]) for colour in COLOURS]
    assert min(float(np.linalg.norm(a - b)) for a, b in itertools.combinations(seen, 2)) > 15


def test_twelve_colours_by_id_then_again() -> None:
    assert len({colour_of(object_id) for object_id in range(1, 13)}) == 12
    assert colour_of(13) == colour_of(1)
    assert colour_of(0) in COLOURS
    assert colour_of(2**31 - 1) in COLOURS


def test_colours_are_written_as_css_does() -> None:
    assert hex_colour(1) == "#0072b2"
    assert hex_colour(2) == "#e69f00"


@pytest.mark.parametrize(
    ("colour", "expected"),
    [
        ((0, 0, 0), (16, 128, 128)),
        ((255, 255, 255), (235, 128, 128)),
        ((255, 0, 0), (81, 90, 240)),
        ((0, 0, 255), (41, 240, 110)),
    ],
)
def test_yuv_is_bt601_in_limited_range(colour: Colour, expected: Colour) -> None:
    assert yuv(colour) == expected
