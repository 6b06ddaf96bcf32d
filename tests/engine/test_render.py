"""Masks drawn into pictures, in RGB and in planar YUV."""

from __future__ import annotations

import subprocess
import sys

import av
import numpy as np
import pytest
from numpy.typing import NDArray

from engine.palette import colour_of, yuv
from engine.render import RenderMode, render
from engine.synthetic import SyntheticClip
from engine.types import Frame, MaskSet, ObjectMask, ObjectState

H, W = 240, 320


def i420(rgb: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return av.VideoFrame.from_ndarray(rgb, format="rgb24").reformat(format="yuv420p").to_ndarray()


def rgb(planar: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return av.VideoFrame.from_ndarray(planar, format="yuv420p").to_ndarray(format="rgb24")


def masks_of(*masks: NDArray[np.bool_]) -> MaskSet:
    objects = (ObjectMask(i, m, 1.0, None, ObjectState.TRACKING) for i, m in enumerate(masks, 1))
    return MaskSet(0, tuple(objects))


def square(y0: int, x0: int, y1: int, x1: int) -> NDArray[np.bool_]:
    mask = np.zeros((H, W), np.bool_)
    mask[y0:y1, x0:x1] = True
    return mask


def far_from(mask: NDArray[np.bool_], by: int) -> NDArray[np.bool_]:
    """Pixels with nothing of the mask within `by` rows and columns."""
    padded = np.pad(mask, by)
    near = np.logical_or.reduce(
        [padded[y : y + H, x : x + W] for y in range(2 * by + 1) for x in range(2 * by + 1)]
    )
    return ~near


@pytest.fixture(scope="module")
def scene() -> tuple[NDArray[np.uint8], MaskSet]:
    picture, masks = SyntheticClip(W, H).frame(100)
    return picture, masks_of(*masks.values())


@pytest.fixture(params=["rgb", "i420"])
def frame(request: pytest.FixtureRequest, scene: tuple[NDArray[np.uint8], MaskSet]) -> Frame:
    return Frame(0, scene[0] if request.param == "rgb" else i420(scene[0]))


def shown(frame: Frame, image: NDArray[np.uint8]) -> NDArray[np.int64]:
    return (rgb(image) if frame.planar else image).astype(np.int64)


@pytest.mark.parametrize("mode", RenderMode)
def test_layout_stays_and_the_frame_is_not_changed(
    frame: Frame, scene: tuple[NDArray[np.uint8], MaskSet], mode: RenderMode
) -> None:
    before = frame.image.copy()
    out = render(frame, scene[1], mode)
    assert out.shape == frame.image.shape
    assert out.dtype == np.uint8
    assert np.array_equal(frame.image, before)


def test_plain_is_the_picture_as_it_came(frame: Frame, scene: tuple[NDArray[np.uint8], MaskSet]) -> None:
    assert render(frame, scene[1], RenderMode.PLAIN) is frame.image


@pytest.mark.parametrize("mode", [RenderMode.OVERLAY, RenderMode.PLAIN])
def test_without_objects_the_picture_stays(frame: Frame, mode: RenderMode) -> None:
    nothing = masks_of(np.zeros((H, W), np.bool_))
    assert np.array_equal(render(frame, nothing, mode), frame.image)
    assert np.array_equal(render(frame, MaskSet(0, ()), mode), frame.image)


def test_overlay_changes_the_object_and_nothing_far_from_it(
    frame: Frame, scene: tuple[NDArray[np.uint8], MaskSet]
) -> None:
    covered = np.logical_or.reduce([thing.mask for thing in scene[1].objects])
    before, after = shown(frame, frame.image), shown(frame, render(frame, scene[1], RenderMode.OVERLAY))
    far = far_from(covered, 3)
    assert np.array_equal(before[far], after[far])
    assert (before[covered] != after[covered]).any(axis=1).mean() > 0.98


def test_overlay_tints_towards_the_colour(frame: Frame) -> None:
    mask = square(60, 80, 180, 240)
    out = shown(frame, render(frame, masks_of(mask), RenderMode.OVERLAY))
    inside = square(70, 90, 170, 230)
    half = (shown(frame, frame.image) + np.array(colour_of(1))) / 2
    assert np.abs(out[inside] - half[inside]).mean() < 4


@pytest.mark.parametrize("grey", [0, 60, 128, 200, 255])
@pytest.mark.parametrize("planar", [False, True])
@pytest.mark.parametrize("object_id", range(1, 13))
def test_the_contour_can_be_seen_on_any_grey(grey: int, planar: bool, object_id: int) -> None:
    flat = np.full((H, W, 3), grey, np.uint8)
    frame = Frame(0, i420(flat) if planar else flat)
    thing = ObjectMask(object_id, square(60, 80, 180, 240), 1.0, None, ObjectState.TRACKING)
    out = shown(frame, render(frame, MaskSet(0, (thing,)), RenderMode.OVERLAY))
    across = out[120, 76:90] @ np.array([0.299, 0.587, 0.114])
    just_outside, rim = across[3], across[4]
    assert rim - just_outside > 90, "dark and bright lie side by side"
    assert just_outside < 60
    assert rim > 130


def test_cutout_keeps_the_objects_to_the_bit_and_nothing_else(
    frame: Frame, scene: tuple[NDArray[np.uint8], MaskSet]
) -> None:
    covered = np.logical_or.reduce([thing.mask for thing in scene[1].objects])
    out = render(frame, scene[1], RenderMode.CUTOUT, background=(0, 177, 64))
    if frame.planar:
        luma, kept = out[:H], frame.image[:H]
        assert np.array_equal(luma[covered], kept[covered])
        assert (luma[~covered] == yuv((0, 177, 64))[0]).all()
        u = out.reshape(-1)[H * W : H * W * 5 // 4].reshape(H // 2, W // 2)
        assert (u[~covered[::2, ::2]] == yuv((0, 177, 64))[1]).all()
    else:
        assert np.array_equal(out[covered], frame.image[covered])
        assert (out[~covered] == (0, 177, 64)).all()


def test_mask_mode_is_colours_on_black(frame: Frame) -> None:
    one, two = square(20, 20, 100, 100), square(120, 150, 220, 300)
    out = shown(frame, render(frame, masks_of(one, two), RenderMode.MASK))
    assert np.abs(out[60, 60] - colour_of(1)).max() <= 4
    assert np.abs(out[180, 200] - colour_of(2)).max() <= 4
    assert out[110, 10].max() <= 2


def test_blur_keeps_the_objects_sharp(frame: Frame, scene: tuple[NDArray[np.uint8], MaskSet]) -> None:
    covered = np.logical_or.reduce([thing.mask for thing in scene[1].objects])
    out = render(frame, scene[1], RenderMode.BLUR)
    luma, before = (out[:H], frame.image[:H]) if frame.planar else (out[..., 1], frame.image[..., 1])
    assert np.array_equal(luma[covered], before[covered])
    background = far_from(covered, 2)[:, 1:] & far_from(covered, 2)[:, :-1]
    detail, smooth = (np.abs(np.diff(p.astype(int), axis=1))[background].mean() for p in (before, luma))
    assert smooth < 0.35 * detail


def test_hidden_objects_are_not_drawn(frame: Frame) -> None:
    one, two = square(20, 20, 100, 100), square(120, 150, 220, 300)
    for mode in RenderMode:
        only = render(frame, masks_of(one), mode)
        assert np.array_equal(render(frame, masks_of(one, two), mode, hidden={2}), only)


def test_an_object_at_every_edge_is_drawn(frame: Frame) -> None:
    whole = np.ones((H, W), np.bool_)
    out = shown(frame, render(frame, masks_of(whole), RenderMode.MASK))
    assert np.abs(out - np.array(colour_of(1))).max() <= 4
    speck = square(H - 1, W - 1, H, W)
    assert not np.array_equal(render(frame, masks_of(speck), RenderMode.OVERLAY), frame.image)


def test_planar_and_rgb_show_the_same(scene: tuple[NDArray[np.uint8], MaskSet]) -> None:
    colour, planar = Frame(0, scene[0]), Frame(0, i420(scene[0]))
    for mode in RenderMode:
        a, b = shown(colour, render(colour, scene[1], mode)), shown(planar, render(planar, scene[1], mode))
        assert np.abs(a - b).mean() < 4, mode


def test_sizes_that_are_not_multiples_of_four() -> None:
    picture = np.random.RandomState(1).randint(0, 256, (90 * 3 // 2, 122)).astype(np.uint8)
    mask = np.zeros((90, 122), np.bool_)
    mask[31:77, 41:121] = True
    for mode in RenderMode:
        assert render(Frame(0, picture), masks_of(mask), mode).shape == picture.shape


def test_a_mask_of_another_size_is_refused() -> None:
    with pytest.raises(ValueError, match=r"expected masks of \[240, 320\], got \[120, 160\] for object 1"):
        render(
            Frame(0, np.zeros((H, W, 3), np.uint8)),
            masks_of(np.ones((120, 160), np.bool_)),
            RenderMode.OVERLAY,
        )


def test_drawing_needs_no_torch() -> None:
    code = "import sys, engine.render, engine.palette, engine.synthetic; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
