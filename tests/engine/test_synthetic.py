"""The built-in clip: the same on every machine, its masks exact, and the events that it promises."""

from __future__ import annotations

import hashlib
import math

import numpy as np
import pytest
from numpy.typing import NDArray

from engine.choreography import SCRIPT, Thing, pose_at
from engine.synthetic import SyntheticClip

# The clip is fixed: a model is judged on it. Whoever changes these has made a different clip.
FINGERPRINTS = {
    0: "3dfdf33b69f82c6a",
    137: "ce60a4d9c2982b64",
    300: "3d9ec24a74a14085",
}


@pytest.fixture(scope="module")
def clip() -> SyntheticClip:
    return SyntheticClip()


def fingerprint(clip: SyntheticClip, index: int) -> str:
    picture, masks = clip.frame(index)
    digest = hashlib.sha256(picture.tobytes())
    for object_id in sorted(masks):
        digest.update(np.packbits(masks[object_id]).tobytes())
    return digest.hexdigest()[:16]


def rim(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Pixels whose 3 x 3 neighbourhood is neither wholly in nor wholly out of the mask."""
    padded = np.pad(mask, 1, mode="edge")
    height, width = mask.shape
    shifts = [padded[y : y + height, x : x + width] for y in range(3) for x in range(3)]
    return np.logical_or.reduce(shifts) & ~np.logical_and.reduce(shifts)


def silhouette(clip: SyntheticClip, thing: Thing, index: int) -> NDArray[np.bool_]:
    """The thing's outline from its formula at every pixel's centre: no sprite, no drawing."""
    pose = pose_at(thing, index / clip.fps)
    radius = thing.radius * clip.height * pose.size
    x, y = np.meshgrid(np.arange(clip.width) + 0.5, np.arange(clip.height) + 0.5)
    dx, dy = (x - pose.x * clip.width) / radius, (y - pose.y * clip.height) / radius
    angle = 2 * math.pi * pose.turns
    cos, sin = math.cos(angle), math.sin(angle)
    return thing.shape(cos * dx + sin * dy, cos * dy - sin * dx)


@pytest.mark.parametrize("index", FINGERPRINTS)
def test_the_clip_is_the_same_everywhere(clip: SyntheticClip, index: int) -> None:
    assert fingerprint(clip, index) == FINGERPRINTS[index]


def test_frames_do_not_depend_on_the_order_they_are_asked_for(clip: SyntheticClip) -> None:
    later = fingerprint(clip, 200)
    fingerprint(clip, 10)
    assert fingerprint(clip, 200) == later


def test_another_seed_paints_other_surfaces_on_the_same_script() -> None:
    (one, masks), (other, other_masks) = (SyntheticClip(160, 120, seed=s).frame(5) for s in (1, 2))
    assert not np.array_equal(one, other)
    assert all(np.array_equal(masks[i], other_masks[i]) for i in masks)


@pytest.mark.parametrize("thing", SCRIPT, ids=lambda thing: f"object {thing.object_id}")
def test_masks_follow_the_formula_of_the_shape(clip: SyntheticClip, thing: Thing) -> None:
    mask = clip.frame(20)[1][thing.object_id]
    wrong = mask ^ silhouette(clip, thing, 20)
    assert not (wrong & ~rim(mask)).any()
    assert wrong.sum() < 0.01 * mask.sum()


def test_masks_split_the_overlap_by_depth(clip: SyntheticClip) -> None:
    """While 1 crosses 2, the nearer one keeps its whole outline and the farther one loses exactly that."""
    near, far = (next(t for t in SCRIPT if t.object_id == i) for i in (1, 2))
    _, masks = clip.frame(105)
    expected = silhouette(clip, far, 105) & ~silhouette(clip, near, 105)
    assert (silhouette(clip, far, 105) & silhouette(clip, near, 105)).sum() > 2000
    assert not (masks[1] & masks[2]).any()
    assert ((masks[2] ^ expected) & ~rim(masks[1]) & ~rim(masks[2])).sum() == 0


@pytest.mark.parametrize("index", [0, 105, 360])
def test_an_object_paints_its_mask_and_nothing_else(clip: SyntheticClip, index: int) -> None:
    picture, masks = clip.frame(index)
    for object_id, mask in masks.items():
        bare, others = clip.frame(index, without=(object_id,))
        painted = (picture != bare).any(axis=2)
        assert object_id not in others
        assert not (painted & ~mask & ~rim(mask)).any()
        assert painted[mask].mean() > 0.98 if mask.any() else not painted.any()


def test_what_the_script_promises_happens(clip: SyntheticClip) -> None:
    areas = np.array([[m.sum() for m in clip.frame(i)[1].values()] for i in range(0, len(clip), 3)])
    first, gone = areas[0], areas == 0
    assert (first > 0.015 * clip.width * clip.height).all(), "everything is in view at the start"
    assert not gone[:, :2].any(), "1 and 2 never leave"
    assert areas[:, 1].min() < 0.35 * first[1], "2 is mostly covered by 1 for a moment"
    hidden = np.flatnonzero(gone[:, 2]) * 3
    assert {True, False} == set(hidden < 250), "3 is wholly hidden behind the post, twice"
    assert 24 <= len(hidden) * 3 <= 39
    away = np.flatnonzero(gone[:, 3]) * 3
    assert 30 <= len(away) * 3 <= 60, "4 leaves the picture"
    assert areas[away[-1] // 3 + 20, 3] > 0.6 * first[3], "4 comes back"


def test_the_script_repeats_without_a_seam(clip: SyntheticClip) -> None:
    before, start, again = (clip.frame(len(clip) + k)[1] for k in (-1, 0, 1))
    for object_id, mask in start.items():
        assert np.array_equal(mask, clip.frame(0)[1][object_id])
        for neighbour in (before, again):
            shared = (mask & neighbour[object_id]).sum() / (mask | neighbour[object_id]).sum()
            assert shared > 0.9


def test_objects_stand_out_from_what_is_around_them(clip: SyntheticClip) -> None:
    picture, masks = clip.frame(0)
    anything = np.logical_or.reduce(list(masks.values()))
    for mask in masks.values():
        inside, outside = picture[mask].astype(float), picture[~anything].astype(float)
        assert np.abs(inside.mean(0) - outside.mean(0)).max() > 30, "not camouflaged"
        assert inside.std(0).max() > 20, "not flat"


def test_clicks_are_well_inside(clip: SyntheticClip) -> None:
    clicks = clip.clicks()
    assert tuple(clicks) == clip.object_ids == (1, 2, 3, 4)
    for object_id, (index, x, y) in clicks.items():
        row, column = int(y * clip.height), int(x * clip.width)
        around = clip.frame(index)[1][object_id][row - 12 : row + 13, column - 12 : column + 13]
        assert around.shape == (25, 25)
        assert around.all()


def test_any_size_shows_the_same_scene() -> None:
    small, large = SyntheticClip(320, 240), SyntheticClip(640, 480)
    for object_id, mask in small.frame(40)[1].items():
        shrunk = large.frame(40)[1][object_id].reshape(240, 2, 320, 2).mean((1, 3)) > 0.5
        assert (mask & shrunk).sum() / (mask | shrunk).sum() > 0.95
    picture, masks = SyntheticClip(1280, 720, fps=25, seconds=2).frame(3)
    assert picture.shape == (720, 1280, 3)
    assert all(mask.shape == (720, 1280) and mask.any() for mask in masks.values())


def test_length_is_frames() -> None:
    assert len(SyntheticClip(64, 64, fps=25, seconds=2)) == 50


def test_a_picture_too_small_is_refused() -> None:
    with pytest.raises(ValueError, match="at least 64x64"):
        SyntheticClip(32, 480)
