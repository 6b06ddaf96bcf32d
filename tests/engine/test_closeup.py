"""Looking closely: views lie where they should, their masks are the picture's, small things have outlines."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import cv2
import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from engine import closeup, windows
from engine.boxes import outline, overlap
from engine.closeup import Closeup, View, closeups
from engine.enlarged import enlarged
from engine.features import Decoded
from engine.lanes import LOOKS, Lane, views
from engine.memory import Limits, Memory
from engine.models import Model
from engine.snap import Settled
from engine.story import Story
from engine.tracker import Tracker
from engine.types import Box, Frame, Mask, MaskSet, Point, Points, Prompt

GRID, HEIGHT, WIDTH = 64, 240, 320
RADIUS, FRAMES = 0.03, 12  # of the small disc, in heights
Image, Bool = NDArray[np.uint8], NDArray[np.bool_]


@pytest.fixture(scope="module")
def coarse(pico: Model) -> Model:
    """The same without looking closely."""
    return replace(pico, preset=replace(pico.preset, close=False))


def place(t: int) -> tuple[float, float]:
    """The middle of the disc, in 0..1 of the picture."""
    return 0.3 + 0.008 * t, 0.6 - 0.005 * t


def scene(t: int, radius: float = RADIUS) -> tuple[Image, Bool]:
    """A red disc that moves over grass, and what of the picture it is."""
    noise = np.random.default_rng(7).normal(0, 18, (HEIGHT // 4, WIDTH // 4, 3)).astype(np.float32)
    ground = cv2.resize(noise, (WIDTH, HEIGHT), interpolation=cv2.INTER_CUBIC)
    ground += np.float32((60, 120, 50))
    x, y = place(t)
    rows, columns = np.mgrid[:HEIGHT, :WIDTH]
    disc = np.hypot(columns + 0.5 - x * WIDTH, rows + 0.5 - y * HEIGHT) <= radius * HEIGHT
    image = np.where(disc[..., None], (200, 40, 45), ground)
    return image.clip(0, 255).astype(np.uint8), disc


def drawn(t: int = 0, radius: float = RADIUS, object_id: int = 1) -> Box:
    (x, y), (w, h) = place(t), (radius * HEIGHT / WIDTH, radius)
    return Box(object_id, x - w, y - h, x + w, y + h)


def followed(model: Model, prompt: Prompt, radius: float = RADIUS) -> list[MaskSet]:
    tracker = Tracker(model)
    return [tracker.step(Frame(t, scene(t, radius)[0]), [prompt] if t == 0 else []) for t in range(FRAMES)]


def iou(a: Bool, b: Bool) -> float:
    return float((a & b).sum() / max(1, (a | b).sum()))


def disc_in(view: View, x: float, y: float, radius: float) -> Closeup:
    """A closeup of a disc of the picture: its middle and radius in 0..1 of that."""
    across, down = view.lattice(GRID, torch.device("cpu"))
    away = torch.hypot(across - x, (down - y).T)
    return Closeup(view, ((radius - away) * 100)[None, None])


@pytest.mark.parametrize("box", [(0.5, 0.5, 0.3, 0.1), (0.5, 0.5, 0.05, 0.2), (0.2, 0.5, 0.1, 0.0)])
def test_large_things_and_nothing_have_no_view(box: Sequence[float]) -> None:
    assert View.around(box) is None


@pytest.mark.parametrize("middle", [(0.5, 0.4), (0.01, 0.99), (0.98, 0.02)])
def test_a_view_is_three_times_as_wide_and_in_the_picture(middle: tuple[float, float]) -> None:
    view = View.around((*middle, 0.06, 0.1))
    assert view is not None
    assert view.width == view.height == pytest.approx(0.3)
    for start, place in zip((view.left, view.top), middle, strict=True):
        assert 0 <= start <= place <= start + view.width <= 1
    tiny = View.around((*middle, 0.01, 0.01))
    assert tiny is not None
    assert tiny.width == closeup.LEAST


def test_what_is_cut_out_and_where_points_and_boxes_are_in_it() -> None:
    view = View(0.5, 0.25, 0.25, 0.25)
    place = (torch.arange(GRID) + 0.5) / GRID
    slopes = torch.stack((place.expand(GRID, GRID), place[:, None].expand(GRID, GRID)))[None]
    corner_to_corner = view.cut(slopes, 16)[0]
    middles = (torch.arange(16) + 0.5) / 16 * 0.25
    torch.testing.assert_close(corner_to_corner[0, 0], middles + 0.5)
    torch.testing.assert_close(corner_to_corner[1, :, 0], middles + 0.25)
    assert view.points(torch.tensor([[0.5, 0.25], [0.75, 0.375]])).tolist() == [[0, 0], [1, 0.5]]
    assert view.boxes(torch.tensor([[0.625, 0.5, 0.125, 0.05]])).tolist() == [
        pytest.approx([0.5, 1, 0.5, 0.2])
    ]


@pytest.mark.parametrize("middle", [(0.5, 0.4), (0.03, 0.96)])
def test_a_mask_is_the_same_in_its_view_on_the_grid_and_in_the_picture(middle: tuple[float, float]) -> None:
    view = View.around((*middle, 0.1, 0.1))
    assert view is not None
    close = disc_in(view, *middle, 0.05)
    low, high = (torch.tensor(middle) - 0.05).clamp(min=0), (torch.tensor(middle) + 0.05).clamp(max=1)
    there = torch.cat(((low + high) / 2, high - low))
    torch.testing.assert_close(close.outline()[0], there, atol=0.004, rtol=0)
    whole = close.whole(GRID)
    assert whole.shape == (1, 1, GRID, GRID)
    assert float(overlap(outline(whole), there[None])) > 0.7
    mask = close.enlarged(480, 640)
    rows, columns = np.mgrid[:480, :640]
    truth = np.hypot((columns + 0.5) / 640 - middle[0], (rows + 0.5) / 480 - middle[1]) <= 0.05
    assert mask.shape == truth.shape
    assert iou(mask, truth) > 0.96


@pytest.mark.parametrize("middle", [(0.5, 0.4), (0.02, 0.98)])
def test_a_mask_in_a_window_is_finer_than_on_the_grid(middle: tuple[float, float]) -> None:
    """Also where the window lies beyond the picture in part."""
    sides = torch.tensor([[0.32, 0.16]])
    x, y = windows.lattice(torch.tensor([[*middle, 0.2, 0.1]]), sides, 48)
    across, down = (x - middle[0]) / 0.1, (y - middle[1]) / 0.05
    there = Settled((0.5 + 20 * (1 - torch.hypot(across[:, None], down[:, :, None]))).clamp(0, 1), x, y)
    (close,) = closeups(there.there, x, y)
    rows, columns = np.mgrid[:480, :640]
    ellipse = np.hypot(((columns + 0.5) / 640 - middle[0]) / 0.1, ((rows + 0.5) / 480 - middle[1]) / 0.05)
    fine, coarse = (
        iou(mask, ellipse <= 1)
        for mask in (close.enlarged(480, 640), enlarged(there.masks(GRID), 480, 640)[0])
    )
    assert fine > 0.985 > 0.98 > coarse
    assert close.view.box(sides)[0].tolist() == pytest.approx([*middle, 0.32, 0.16], abs=1e-5)


def test_a_dot_is_somewhere_on_the_grid_and_nothing_is_nowhere() -> None:
    view = View(0.4, 0.4, 0.15, 0.15)
    dot = disc_in(view, 0.47, 0.47, 0.002)
    assert float((dot.whole(GRID) > 0).sum()) == 1
    nothing = Closeup(view, torch.full((1, 1, GRID, GRID), -3.0))
    assert nothing.outline().tolist() == [[0, 0, 0, 0]]
    assert not (nothing.whole(GRID) > 0).any()
    assert not nothing.enlarged(120, 160).any()


def test_lanes_of_a_batch_keep_their_closeups() -> None:
    def lane(x: float, closeup: Closeup | None) -> Decoded:
        logits = torch.full((1, 1, GRID, GRID), float(x))
        return Decoded(logits, logits, torch.zeros(1, 8), torch.ones(1, 1), (closeup,) if closeup else ())

    view = View(0.4, 0.4, 0.2, 0.2)
    close = disc_in(view, 0.5, 0.5, 0.03)
    batch = Decoded.batch([lane(1, None), lane(2, close), lane(3, None)])
    assert [batch.lane(k).close for k in range(3)] == [(None,), (close,), (None,)]
    assert batch.outlines()[[0, 2]].tolist() == [[0.5, 0.5, 1, 1]] * 2
    torch.testing.assert_close(batch.outlines()[1], close.outline()[0])
    assert any(t is close.logits for t in batch.tensors())
    gone = batch.lane(1).absent()
    assert not gone.close
    assert not gone.outlines().any()


@pytest.mark.parametrize("how", ["box", "click"])
def test_a_small_thing_has_an_outline(pico: Model, coarse: Model, how: str) -> None:
    x, y = place(0)
    prompt = drawn() if how == "box" else Points(1, (Point(x, y),))
    near, far = (
        [iou(result.objects[0].mask, scene(t)[1]) for t, result in enumerate(followed(model, prompt))]
        for model in (pico, coarse)
    )
    assert near[0] > 0.94 > 0.9 > far[0]
    assert np.mean(near) > np.mean(far) + 0.02


def test_a_box_of_a_small_thing_is_tight_and_lies_on_it(pico: Model) -> None:
    for t, result in enumerate(followed(pico, drawn())):
        box, (rows, columns) = result.objects[0].box, np.nonzero(scene(t)[1])
        assert box is not None
        low = np.array([columns.min(), rows.min()])
        size = np.array([columns.max(), rows.max()]) + 1 - low
        assert np.multiply(box, (WIDTH, HEIGHT) * 2) == pytest.approx([*(low + size / 2), *size], abs=3.5)


def test_large_things_are_what_they_were_without(pico: Model, coarse: Model) -> None:
    prompt = drawn(radius=0.3)
    for ours, theirs in zip(followed(pico, prompt, 0.3), followed(coarse, prompt, 0.3), strict=True):
        assert np.array_equal(ours.objects[0].mask, theirs.objects[0].mask)


def test_small_and_large_things_are_what_they_are_alone(pico: Model) -> None:
    """They are decoded together, the small one in its view and the others in the whole picture."""
    boxes = {2: (0.55, 0.1, 0.9, 0.45), 3: (0.6, 0.55, 0.95, 0.95), 4: (0.05, 0.08, 0.35, 0.4)}
    colours = {2: (40, 60, 190), 3: (210, 190, 60), 4: (230, 230, 230)}

    def picture(t: int) -> Image:
        image, _ = scene(t)
        for k, (left, top, right, bottom) in boxes.items():
            rows, columns = (
                (round(top * HEIGHT), round(bottom * HEIGHT)),
                (round(left * WIDTH) + t, round(right * WIDTH)),
            )
            image[slice(*rows), slice(*columns)] = colours[k]
        return image

    prompts: list[Prompt] = [drawn(), *(Box(k, *corners) for k, corners in boxes.items())]
    together, alone = Tracker(pico), [Tracker(pico) for _ in prompts]
    for t in range(FRAMES):
        frame = Frame(t, picture(t))
        shown = together.step(frame, prompts if t == 0 else []).objects
        for tracker, prompt, ours in zip(alone, prompts, shown, strict=True):
            (theirs,) = tracker.step(frame, [prompt] if t == 0 else []).objects
            assert ours.mask.any()
            assert iou(ours.mask, theirs.mask) > 0.95
    assert together.tracks[1].answer.close[0].view.width < 0.5


def test_a_click_away_is_heard_on_a_small_thing(pico: Model) -> None:
    tracker, (x, y) = Tracker(pico), place(0)
    image, _ = scene(0)
    outside = (x + 0.06, y)
    tracker.step(Frame(0, image), [drawn(), Points(1, (Point(*outside, positive=False),))])
    answer = tracker.tracks[1].answer
    (close,) = answer.close
    assert close is not None
    mask = close.enlarged(HEIGHT, WIDTH)
    assert mask[int(y * HEIGHT), int(x * WIDTH)]
    assert not mask[int(outside[1] * HEIGHT), int(outside[0] * WIDTH)]


def test_a_mask_that_a_person_gives_is_kept(pico: Model) -> None:
    _, disc = scene(0)
    tracker = Tracker(pico)
    tracker.step(Frame(0, scene(0)[0]), [drawn(), Mask(1, disc)])
    assert not any(tracker.tracks[1].answer.close)


def test_a_late_prompt_gives_what_one_in_time_gives(pico: Model) -> None:
    """History keeps of the picture what there is to look at closely."""
    late, on_time = Tracker(pico), Tracker(pico)
    for t in range(FRAMES):
        said = [replace(drawn(2), frame_index=2)] if t == 5 else []
        ours = late.step(Frame(t, scene(t)[0], t / 15), said)
        theirs = on_time.step(Frame(t, scene(t)[0], t / 15), [drawn(2)] if t == 2 else [])
    (one,), (other,) = ours.objects, theirs.objects
    assert one.mask.any()
    assert iou(one.mask, other.mask) > 0.97


def test_a_preview_shows_the_outline_as_well(pico: Model) -> None:
    tracker = Tracker(pico)
    tracker.step(Frame(0, scene(0)[0]))
    (shown,) = tracker.preview([drawn()]).objects
    assert iou(shown.mask, scene(0)[1]) > 0.8


@torch.inference_mode()
def test_many_small_things_take_turns(pico: Model) -> None:
    (features,) = pico.stages.encode(pico.pixels.read(Frame(0, scene(0)[0])))
    (other,) = pico.stages.encode(pico.pixels.read(Frame(0, scene(1)[0])))
    small, large = torch.tensor([0.3, 0.6, 0.05, 0.06]), torch.tensor([0.5, 0.5, 0.4, 0.2])
    looks = dict.fromkeys(range(6), 0)
    for frame in range(12):
        lanes = [
            Lane(k, frame, features, Memory(Limits(4, 7)), 0, Story(k), asked=large if k == 6 else small)
            for k in range(7)
        ]
        alone = Lane(8, frame, other, Memory(Limits(4, 7)), 0, Story(8), asked=small)
        seen = views([*lanes, alone])
        assert id(alone) in seen, "another picture has looks of its own"
        near = [lane.object_id for lane in lanes if id(lane) in seen]
        assert len(near) == LOOKS
        for k in near:
            looks[k] += 1
    assert set(looks.values()) == {12 * LOOKS // 6}


def test_what_is_held_for_it_is_counted(pico: Model) -> None:
    tracker = Tracker(pico, history=0)
    tracker.step(Frame(0, scene(0)[0]), [drawn()])
    (close,) = tracker.tracks[1].answer.close
    assert close is not None
    assert any(t is close.logits for t in tracker.tracks[1].tensors())
