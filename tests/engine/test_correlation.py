"""The correlation filter: it follows what it has learnt, says when it cannot, and finds it again."""

from __future__ import annotations

from functools import cache

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from engine import correlation, search, weights
from engine.colours import LOW
from engine.correlation import CorrelationFilter
from engine.look import COLOURS, Look, seen
from engine.models import MODELS
from engine.pico import build_pico

SIZE = 256


def noise(seed: int, size: int, grain: int) -> Tensor:
    """A texture [3, size, size] of zero mean and about unit variance."""
    small = torch.randn(1, 3, size // grain, size // grain, generator=torch.Generator().manual_seed(seed))
    return F.interpolate(small, size=(size, size), mode="bicubic")[0]


WALL, THING, OTHER = noise(1, SIZE, 16) * 0.2, noise(2, 64, 4), noise(3, 64, 4)


def picture(x: float, y: float, side: int = 48, thing: Tensor | None = THING) -> Tensor:
    """[1, C, h, w] of `engine.look`: a square thing of `side` pixels with its middle at x, y in pixels."""
    image = WALL.clone()
    if thing is not None:
        left, top = round(x - side / 2), round(y - side / 2)
        image[:, top : top + side, left : left + side] = F.interpolate(thing[None], size=(side, side))[0]
    return looked(image)


def looked(image: Tensor) -> Tensor:
    """What filters are given of a picture of the network's size."""
    half = F.avg_pool2d(image[None], 2)
    with torch.inference_mode():
        return seen(taught()(half), half).half()


@cache
def taught() -> Look:
    net = build_pico().eval()
    weights.load(net, weights.find(MODELS["pico"]))
    look = net.look
    assert isinstance(look, Look)
    return look


def box(x: float, y: float, side: float = 48) -> Tensor:
    return torch.tensor([x, y, side, side]) / SIZE


def mask(x: float, y: float, side: float = 48) -> Tensor:
    drawn = torch.zeros(1, 1, 64, 64)
    low, high = [round((v - side / 2) / 4) for v in (x, y)], [round((v + side / 2) / 4) for v in (x, y)]
    drawn[..., low[1] : high[1], low[0] : high[0]] = 1
    return drawn


def started(x: float = 100, y: float = 120) -> CorrelationFilter:
    first = correlation.begin(picture(x, y), box(x, y), mask(x, y))
    assert first is not None
    return first


def middle(one: CorrelationFilter) -> tuple[float, float]:
    x, y = (one.box[:2] * SIZE).tolist()
    return x, y


def test_it_goes_where_the_thing_goes_over_a_still_wall() -> None:
    one = started()
    for step in range(1, 25):
        x, y = 100 + 4 * step, 120 + 2 * step
        (one,), (clear,) = correlation.locate([one], [picture(x, y)])
        assert clear > correlation.SURE
        assert middle(one) == pytest.approx((x, y), abs=2)
        (one,) = correlation.learn([one], [picture(x, y)], box(x, y)[None], [mask(x, y)])
    assert (one.box[2:] * SIZE).tolist() == pytest.approx([48, 48], abs=4)


def test_it_grows_with_the_thing() -> None:
    one = started()
    for step in range(1, 61):
        side = 48 + 2 * (step // 4)
        (one,), _ = correlation.locate([one], [picture(100, 120, side)])
        (one,) = correlation.learn(
            [one], [picture(100, 120, side)], box(100, 120, side)[None], [mask(100, 120, side)]
        )
    assert (one.box[2:] * SIZE).tolist() == pytest.approx([78, 78], rel=0.15)


def test_it_follows_the_outline_while_they_agree_and_no_other() -> None:
    near, far = box(106, 120), box(200, 60)
    (one,) = correlation.learn([started()], [picture(100, 120)], near[None], [mask(106, 120)])
    assert middle(one)[0] == pytest.approx(100 + 6 * correlation.NUDGE, abs=0.01)
    (other,) = correlation.learn([started()], [picture(100, 120)], far[None], [mask(200, 60)])
    assert middle(other) == (100, 120)


@pytest.mark.parametrize("instead", [None, OTHER], ids=["gone", "another thing"])
def test_what_is_not_there_is_never_sure(instead: Tensor | None) -> None:
    """The network may say then that it is not there."""
    one = started()
    for _ in range(8):
        (moved,), (clear,) = correlation.locate([one], [picture(100, 120, thing=instead)])
        assert clear < correlation.SURE
        assert clear or moved.box is one.box
        one = one.missed()
    assert one.lost >= correlation.LOST


def test_what_comes_back_elsewhere_is_found_within_a_few_frames() -> None:
    one = started(60, 60).missed().missed()
    assert correlation.locate([one], [picture(190, 200)])[1] == [0], "that is for the search"
    places = []
    for frame in range(search.PHASES):
        boxes, peaks = search.everywhere(one, picture(190, 200), frame, 1)
        places.append((float(peaks[0]), (boxes[0, :2] * SIZE).tolist()))
    clear, place = max(places)
    assert clear > correlation.SURE
    assert place == pytest.approx([190, 200], abs=2)


def test_a_search_finds_several_places_but_each_thing_once() -> None:
    one, image = started(60, 60), WALL.clone()
    for x, y in ((190, 200), (60, 190)):
        image[:, y - 24 : y + 24, x - 24 : x + 24] = F.interpolate(THING[None], size=(48, 48))[0]
    boxes, peaks = search.everywhere(one, looked(image), 0, 4)
    assert len(boxes) == len(peaks) <= 4
    middles = boxes[:, :2] * SIZE
    for x, y in ((190, 200), (60, 190)):
        near = (middles - torch.tensor([x, y])).abs().amax(dim=1) < 12
        assert int(near.sum()) == 1
        assert float(peaks[near][0]) > correlation.SURE


def test_what_filled_the_picture_is_searched_for_in_it() -> None:
    one = correlation.begin(picture(128, 128, 250), box(128, 128, 250), mask(128, 128, 250))
    assert one is not None
    for frame in range(search.PHASES):
        boxes, peaks = search.everywhere(one.missed().missed(), picture(128, 128, 250), frame, 4)
        assert float(peaks[0]) > correlation.SURE
        assert boxes[0].tolist() == pytest.approx(box(128, 128, 250).tolist(), abs=0.05)


def test_a_mask_is_like_its_object_in_any_light_and_unlike_another_thing() -> None:
    tint = torch.tensor([0.8, -0.4, -0.4]).view(3, 1, 1)
    one = correlation.begin(picture(100, 120, thing=THING + tint), box(100, 120), mask(100, 120))
    assert one is not None

    def like(thing: Tensor, light: float = 1.0) -> float:
        shown = picture(140, 100, thing=thing).clone()
        shown[:, -COLOURS:] = LOW + light * (shown[:, -COLOURS:] - LOW)
        return float(correlation.alike([one], [shown], mask(140, 100))[0])

    for light in (0.75, 1.0, 1.3):
        assert like(THING + tint, light) > correlation.OTHER + 0.1
        assert like(THING - tint, light) < correlation.OTHER
    assert float(correlation.alike([one], [picture(140, 100)], torch.zeros(1, 1, 64, 64))[0]) == 0


def test_a_batch_over_several_pictures_is_each_by_itself() -> None:
    filters = [started(), started(150, 150), started(60, 180), started().missed().missed().missed()]
    here, there = picture(104, 122), picture(152, 147)
    seen = [here, there, here, there]
    moved, clear = correlation.locate(filters, seen)
    taught = correlation.learn(moved, seen, torch.stack([f.box for f in moved]), [mask(100, 120)] * 4)
    alike = correlation.alike(filters, seen, mask(100, 120).expand(4, -1, -1, -1))
    for k, one in enumerate(filters):
        (alone,), (alone_clear,) = correlation.locate([one], [seen[k]])
        assert clear[k] == pytest.approx(alone_clear, abs=1e-4)
        torch.testing.assert_close(moved[k].box, alone.box)
        (alone,) = correlation.learn([alone], [seen[k]], alone.box[None], [mask(100, 120)])
        torch.testing.assert_close(taught[k].numerator, alone.numerator)
        torch.testing.assert_close(taught[k].denominator, alone.denominator)
        (like,) = correlation.alike([one], [seen[k]], mask(100, 120))
        torch.testing.assert_close(alike[k], like)


def test_a_dot_is_nothing_to_hold_on_to() -> None:
    assert correlation.begin(picture(100, 120), box(100, 120, 0.5), mask(100, 120)) is None
