"""The box of an object on a later picture, from what it looked like before: where does it end, is it there?

A correlation filter knows where an object is and keeps its box as it was, but for its size; the network
obeys the box that it is asked with. So a third looks for the outline: a small network that sees a window
around the box of today, how much each place of it looks like the object of the first picture and of the
newest one that showed it, how much like what was beside it then, and where the filter found it. It answers
with four edges, a rough mask, and whether the object is there at all.

Places are compared with all of both windows, whatever has moved, as the global matching of FEELVOS
(Voigtlaender et al., CVPR 2019) does, and the first and the newest picture are remembered as there; each
edge is the mean of a distribution over columns or rows, as in Generalized Focal Loss (Li et al., NeurIPS
2020).

Knows pictures, windows and boxes; knows no filter and no other network.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from engine.around import LEAST_BOX, SIDE, Around
from engine.boxes import seen_in
from engine.pixels import halved
from engine.windows import cut, inside, lattice, samples

SAMPLES = 4 * SIDE  # of a picture across a window; brought to half of that, and seen at a quarter
KEYS = SIDE // 2  # places of a window each way that are compared with
STEM, WIDTH, EMBEDDED, JUDGE = (12, 24), (24, 48, 72), 16, 32  # channels
VIEWS = 2  # of an object that are compared with: the first one and the newest
MOST_ANSWER = 2.0  # of a filter that counts; where there is next to nothing to see it may be anything
TOLD = 3  # maps of what else is known: answers of filters, boxes, what is in the picture
OBJECT, BESIDE = 0.6, 0.4  # of a place that the mask covers, at least and at most
APART = 4.0  # more than likenesses can differ
MOST_OFF = 1.6  # factor by which an answer's sides can differ from what a person means
BOUND = 6.0  # how far the logits of a sketch count
EVERYWHERE = (0.5, 0.5, 100.0, 100.0)  # a window with every place of a picture in it


@dataclass(frozen=True, slots=True, eq=False)
class Template:
    """What n objects looked like on the first picture, and on the newest that showed them.

    Attributes:
        keys: float32 [n, VIEWS, EMBEDDED, KEYS ** 2] of length 1, places of the window around each.
        cover: float32 [n, VIEWS, KEYS ** 2], how much of each place the object covered.
        off: float32 [n, 4], how the answer on the first picture differed from the first box: its middle, in
            sides of it, and its sides, as factors. What ends where for a person is in the box that was drawn.
    """

    keys: Tensor
    cover: Tensor
    off: Tensor

    @staticmethod
    def of(keys: Tensor, cover: Tensor) -> Template:
        """Of the first picture alone: keys [n, EMBEDDED, KEYS ** 2], and masks [n, 1, SIDE, SIDE], 0..1."""
        exact = keys.new_tensor((0, 0, 1, 1)).expand(len(keys), 4)
        covered = _covered(cover)
        return Template(
            keys[:, None].expand(-1, VIEWS, -1, -1), covered[:, None].expand(-1, VIEWS, -1), exact
        )

    @property
    def first(self) -> Template:
        """The same without a newer picture."""
        keys, cover = (x[:, :1].expand_as(x) for x in (self.keys, self.cover))
        return replace(self, keys=keys, cover=cover)

    def renewed(self, keys: Tensor, cover: Tensor) -> Template:
        """The same with another newest picture, given as for `of`."""
        both = torch.stack((self.keys[:, 0], keys), dim=1)
        return Template(both, torch.stack((self.cover[:, 0], _covered(cover)), dim=1), self.off)

    def __getitem__(self, lanes: Tensor | slice) -> Template:
        return Template(self.keys[lanes], self.cover[lanes], self.off[lanes])

    @staticmethod
    def batch(templates: Sequence[Template]) -> Template:
        rows = zip(*(t.tensors() for t in templates), strict=True)
        return Template(*(torch.cat(row) for row in rows))

    def tensors(self) -> tuple[Tensor, ...]:
        return self.keys, self.cover, self.off

    def measured(self, answers: Tensor, boxes: Tensor) -> Template:
        """The same, knowing the answers [n, 4] to the first pictures and the first boxes [n, 4]."""
        middle = (answers[:, :2] - boxes[:, :2]) / answers[:, 2:]
        sides = (answers[:, 2:] / boxes[:, 2:]).clamp(1 / MOST_OFF, MOST_OFF)
        return replace(self, off=torch.cat((middle, sides), dim=1))

    def corrected(self, answers: Tensor) -> Tensor:
        """What answers [n, 4] mean, in terms of the first boxes."""
        middle = answers[:, :2] - self.off[:, :2] * answers[:, 2:]
        return torch.cat((middle, answers[:, 2:] / self.off[:, 2:]), dim=1)


@dataclass(frozen=True, slots=True, eq=False)
class Sketch:
    """Where n objects are by their look, roughly.

    Attributes:
        logits: float32 [n, 1, SIDE, SIDE], of windows
        windows: [n, 4] of the picture: centre and size in 0..1.
    """

    logits: Tensor
    windows: Tensor

    @staticmethod
    def of(logits: Tensor, around: Around) -> Sketch:
        """Logits [n, SIDE, SIDE] as `BoxRegressor.forward` has them."""
        return Sketch(logits[:, None], torch.cat((around.centres, around.sides), dim=1))

    @staticmethod
    def none(count: int, device: torch.device) -> Sketch:
        """Of objects of which it is not known."""
        nothing = torch.zeros(count, 1, SIDE, SIDE, device=device)
        return Sketch(nothing, nothing.new_tensor(EVERYWHERE).expand(count, 4))

    @staticmethod
    def batch(sketches: Sequence[Sketch]) -> Sketch:
        return Sketch(
            *(torch.cat(part) for part in zip(*((s.logits, s.windows) for s in sketches), strict=True))
        )

    def __getitem__(self, lanes: Tensor | slice) -> Sketch:
        return Sketch(self.logits[lanes], self.windows[lanes])

    def seen(self, boxes: Tensor) -> Sketch:
        """The same in 0..1 of parts of the pictures, `boxes` [n, 4]."""
        return replace(self, windows=seen_in(boxes, self.windows))

    def lattice(self) -> tuple[Tensor, Tensor]:
        """Where its samples x and y [n, SIDE] lie in the picture."""
        return lattice(self.windows, self.windows[:, 2:], SIDE)

    def cut(self, x: Tensor, y: Tensor) -> Tensor:
        """Its logits at `x` [n, W] and `y` [n, H] of the picture: [n, H, W]; beyond its windows least."""
        x, y = (
            (places - self.windows[:, k, None]) / self.windows[:, k + 2, None] + 0.5
            for k, places in enumerate((x, y))
        )
        there = cut(self.logits, x, y)[:, 0].clamp(-BOUND, BOUND)
        return torch.where(inside(x, y), there, -BOUND)


@dataclass(frozen=True, slots=True, eq=False)
class Ends:
    """Where n objects are, by their look.

    Attributes:
        boxes: float32 [n, 4], centre and size in 0..1 of the picture.
        sketch: of each.
        there: float32 [n], how likely each is to be seen, 0..1.
        keys: as `Found` has them, of the windows of the sketches.
    """

    boxes: Tensor
    sketch: Sketch
    there: Tensor
    keys: Tensor

    @staticmethod
    def batch(several: Sequence[Ends]) -> Ends:
        boxes, there, keys = (
            torch.cat(part) for part in zip(*((e.boxes, e.there, e.keys) for e in several), strict=True)
        )
        return Ends(boxes, Sketch.batch([e.sketch for e in several]), there, keys)

    def __getitem__(self, lanes: Tensor | slice) -> Ends:
        return Ends(self.boxes[lanes], self.sketch[lanes], self.there[lanes], self.keys[lanes])


class Found(NamedTuple):
    """What is found of n objects in their windows.

    Attributes:
        edges: float32 [n, 4], left, top, right and bottom in 0..1 of the window.
        logits: float32 [n, SIDE, SIDE], of a rough mask.
        there: float32 [n], logits of that the object is to be seen.
        keys: float32 [n, EMBEDDED, KEYS ** 2], what these windows look like, for `Template.renewed`.
    """

    edges: Tensor
    logits: Tensor
    there: Tensor
    keys: Tensor


class BoxRegressor(nn.Module):
    """A U-Net over a window, and edges from its columns and rows."""

    def __init__(self) -> None:
        super().__init__()
        fine, coarse = STEM
        first, second, third = WIDTH
        self.stem = nn.Sequential(
            nn.Conv2d(3, fine, 3, 1, 1), nn.ReLU(),
            nn.Conv2d(fine, coarse, 3, 2, 1), nn.ReLU(),
            nn.Conv2d(coarse, coarse, 3, 1, 1), nn.ReLU(),
        )  # fmt: skip
        self.embed, self.key = nn.Conv2d(coarse, EMBEDDED, 1), nn.Conv2d(coarse, EMBEDDED, 1)
        self.contrast = nn.Parameter(torch.tensor(2.0))
        self.enter, self.entered = nn.Conv2d(EMBEDDED + TOLD + 4 * VIEWS, first, 3, 1, 1), _Residual(first)
        self.down, self.middle = nn.Conv2d(first, second, 3, 2, 1), _Residual(second)
        self.deeper = nn.Conv2d(second, third, 3, 2, 1)
        self.deepest = nn.Sequential(_Residual(third), _Residual(third))
        self.up, self.upper = nn.Conv2d(third, second, 1), _Residual(second)
        self.out, self.outer = nn.Conv2d(second, first, 1), _Residual(first)
        self.mask = nn.Conv2d(first, 1, 1)
        self.judge = nn.Sequential(
            nn.Linear(2 * third + 2 + 3 * VIEWS, JUDGE), nn.ReLU(), nn.Linear(JUDGE, 1)
        )
        self.lines = nn.Sequential(
            nn.Conv1d(2 * first + 2, 2 * first, 3, 1, 1), nn.ReLU(), nn.Conv1d(2 * first, 2, 3, 1, 1)
        )

    def template(self, crops: Tensor, cover: Tensor) -> Template:
        """Of `crop` around objects' first boxes, normalised, and masks [n, 1, SIDE, SIDE] there, 0..1."""
        return Template.of(_keys(self.key(self._stem(crops)).float()), cover)

    def forward(self, keys: Tensor, cover: Tensor, crops: Tensor, told: Tensor) -> Found:
        """Where n objects end.

        Args:
            keys, cover: of the `Template` of each.
            crops: float32 [n, 3, 2 * SIDE, 2 * SIDE], `crop` around where they are now, normalised.
            told: float32 [n, TOLD, SIDE, SIDE] of those windows, `tell`.
        """
        seen = self._stem(crops)
        places = self.key(seen).float()
        first, newest = (self._alike(keys[:, k], cover[:, k], places) for k in range(VIEWS))
        covered = F.interpolate(cover.view(-1, VIEWS, KEYS, KEYS), scale_factor=2.0, mode="nearest")
        known = (first, told[:, :1], covered[:, :1], told[:, 1:], newest, covered[:, 1:])
        x = self.entered(torch.relu(self.enter(torch.cat((self.embed(seen), *known), dim=1))))
        y = self.middle(torch.relu(self.down(x)))
        z = self.deepest(torch.relu(self.deeper(y)))
        y = self.upper(torch.relu(y + _twice(self.up(z))))
        x = self.outer(torch.relu(x + _twice(self.out(y))))
        logits = self.mask(x)
        shares = logits.sigmoid()
        columns, rows = (self._edges(x, logits, shares, along) for along in (2, 3))
        edges = torch.stack((columns[:, 0], rows[:, 0], columns[:, 1], rows[:, 1]), dim=1)
        there = self._there(z, shares, told[:, 0], torch.cat((first, newest), dim=1))
        return Found(edges, logits[:, 0].float(), there, _keys(places))

    def _there(self, deepest: Tensor, shares: Tensor, answers: Tensor, alike: Tensor) -> Tensor:
        """[n] from what is deepest, the answers [n, SIDE, SIDE], and how alike is what the masks cover."""
        covered = shares.sum(dim=(2, 3))
        drawn = (alike * shares).sum(dim=(2, 3)) / (covered + 1)
        gist = (deepest.mean(dim=(2, 3)), deepest.amax(dim=(2, 3)), drawn, covered / SIDE**2)
        told = answers.amax(dim=(1, 2))[:, None]
        there: Tensor = self.judge(torch.cat((*gist, told), dim=1).float())[:, 0].float()
        return there

    def _stem(self, crops: Tensor) -> Tensor:
        out: Tensor = self.stem(crops.contiguous(memory_format=torch.channels_last))
        return out

    def _alike(self, keys: Tensor, cover: Tensor, places: Tensor) -> Tensor:
        """How much places [n, EMBEDDED, SIDE, SIDE] look like the object, what was beside it, and more."""
        apart = -APART * torch.stack((cover < OBJECT, cover > BESIDE), dim=1).float()
        # As one more channel of the keys: likenesses of all pairs are too many to add anything to.
        compared = torch.cat((keys[:, None].expand(-1, 2, -1, -1), apart[:, :, None]), dim=2)
        here = F.pad(F.normalize(places.flatten(2), dim=1), (0, 0, 0, 1), value=1.0).transpose(1, 2)
        kinds = [(here @ compared[:, kind]).max(dim=2).values for kind in (0, 1)]
        best = torch.stack(kinds, dim=1).clamp(min=-1)
        more = self.contrast * (best[:, :1] - best[:, 1:])
        return torch.cat((best, more), dim=1).view(-1, 3, SIDE, SIDE)

    def _edges(self, x: Tensor, logits: Tensor, shares: Tensor, along: int) -> Tensor:
        """[n, 2] of maps [n, C, SIDE, SIDE] and a mask, gathered over rows (2) or columns (3)."""
        lines = torch.cat((x.amax(along), x.mean(along), logits.amax(along), shares.mean(along)), dim=1)
        places = (torch.arange(SIDE, device=x.device) + 0.5) / SIDE
        chances: Tensor = self.lines(lines).float().softmax(dim=2)
        return (chances * places).sum(dim=2)


class _Residual(nn.Module):
    def __init__(self, dim: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(dim, dim, 3, 1, 1)

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(x + self.conv(x))


def _keys(places: Tensor) -> Tensor:
    """[n, EMBEDDED, KEYS ** 2] of length 1, of places [n, EMBEDDED, SIDE, SIDE]."""
    return F.normalize(F.avg_pool2d(places, 2).flatten(2), dim=1)


def _covered(cover: Tensor) -> Tensor:
    """[n, KEYS ** 2] of masks [n, 1, SIDE, SIDE]."""
    return F.avg_pool2d(cover, 2).flatten(1)


def crop(images: Sequence[Tensor] | Tensor, around: Around) -> Tensor:
    """What pictures show around boxes: float32 [n, 3, 2 * SIDE, 2 * SIDE].

    Args:
        images: [1, 3, S, S] for each window, or [n, 3, S, S].
    """
    x, y = samples(around.centres, around.sides, SAMPLES).unbind(dim=1)
    return halved(cut(images, x, y))


def tell(answers: Tensor, around: Around) -> Tensor:
    """What else is known of windows, [n, TOLD, SIDE, SIDE]: answers, boxes, what is in the picture.

    Args:
        answers: float32 [n, SIDE, SIDE], the middle of the window first.
    """
    found = torch.roll(answers.clamp(-MOST_ANSWER, MOST_ANSWER), (SIDE // 2, SIDE // 2), (1, 2))[:, None]
    return torch.cat((found, _drawn(around), around.inside()), dim=1)


def placed(edges: Tensor, around: Around) -> Tensor:
    """Boxes float32 [n, 4] in pictures, centre and size, of edges [n, 4] in 0..1 of windows."""
    low, high = edges[:, :2], edges[:, 2:]
    corner = around.centres - around.sides / 2
    sides = (high - low).abs() * around.sides
    return torch.cat((corner + (low + high) / 2 * around.sides, sides.clamp(min=LEAST_BOX)), dim=1)


def _drawn(around: Around) -> Tensor:
    """The boxes in their windows, [n, 1, SIDE, SIDE], 1 in them to 0 outside."""
    places = (torch.arange(SIDE, device=around.sizes.device) + 0.5) / SIDE - 0.5
    half = around.sizes / around.sides / 2
    across, down = (SIDE * (half[..., None] - places.abs()) + 0.5).clamp(0, 1).unbind(dim=1)
    return (down[:, :, None] * across[:, None])[:, None]


def _twice(x: Tensor) -> Tensor:
    return F.interpolate(x, scale_factor=2.0, mode="bilinear", align_corners=False)
