"""Where an object went since the last picture, and by how much it grew: a discriminative correlation filter.

A network as small as `pico` reads a box well and loses a thing to whatever touches it; a correlation filter
keeps hold of a thing's rigid look and knows no outline. So the filter says where to look, as a box prompt,
and the network says what is the object there (docs/pico-tried.md has what each reaches alone).

The filter is MOSSE (Bolme et al., CVPR 2010) over many channels as in DSST (Danelljan et al., BMVC 2014):
what `engine.look` sees of a window around the object, learnt in closed form in the Fourier domain,
forgetting slowly, and of the object more than of what is around it (as Lukezic et al., CVPR 2017, with the
network's mask in place of a colour model). Where its answer is faint the object is hidden or gone; after
that it is looked for in the whole picture.

Knows pictures, boxes and masks; knows no network and no prompt.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor

from engine.around import LEAST_BOX, SIDE, Around
from engine.boxes import overlap
from engine.colours import blend, evenly_lit, likeness
from engine.look import COLOURS

if TYPE_CHECKING:
    from engine.regressor import Template

SPREAD = 0.1  # of the wanted answer, in sides of the box
RIDGE = 0.02  # of the mean power
RATE = 0.01  # of learning, per frame
# What lies outside the mask and its margin, in samples, counts this much in learning: with all of it a filter
# clings to a still background that an object moves over, with none it has less to tell the object by.
OUTSIDE, MARGIN = 0.08, 2
SCALES, OTHER_SCALE, SCALE_STEP = (1.0, 0.95, 1.05), 0.95, 0.6  # tried; handicap; how far to follow the best
NUDGE, AGREE = 0.05, 0.6  # how far the box follows the mask's in a frame, while they overlap so much
# Answers; 1 is that to what was learnt. Below the first the object is hidden or gone, from the second on it
# is there, whatever the network says.
FAINT, SURE = 0.2, 0.5
# Frames in a row on which it was not found, after which the whole picture is searched; and on which it must
# surely be found again before that ends.
LOST, AGAIN = 2, 3
# Levels of each channel that an object's colours are counted in; the coefficient of Bhattacharyya with those
# learnt below which something is another thing, unless the filter's answer is above the second.
LEVELS, OTHER, DOUBTLESS = 4, 0.7, 0.6


@dataclass(frozen=True, slots=True, eq=False)
class CorrelationFilter:
    """What is known of one object's look and place. Immutable, so a snapshot is a reference.

    Attributes:
        box: float32 [4], centre x and y, width and height in 0..1 of the picture.
        numerator: complex64 [C, SIDE, SIDE / 2 + 1], and
        denominator: float32 [SIDE, SIDE / 2 + 1], of the filter in the Fourier domain.
        mean: float32 [C, 1, 1], of the channels when it began.
        colours: float32 [LEVELS ** 3], how much of the object had which colour when it began, in even light.
        lost: frames in a row on which it was not found; from LOST on it counts as well how often it must be,
        doubted: frames in a row on which it was doubtful that this is the object, found or not.
        turned: it looks other than when it began.
        met: whether other objects that were in a picture with it are the same thing, by the serials of their
            stories.
        template: what the object looked like when it began and newest, by which its box is regressed.
    """

    box: Tensor
    numerator: Tensor
    denominator: Tensor
    mean: Tensor
    colours: Tensor
    lost: int = 0
    doubted: int = 0
    turned: bool = False
    met: Mapping[int, bool] = field(default_factory=dict)
    template: Template | None = None

    def tensors(self) -> tuple[Tensor, ...]:
        seen = self.template.tensors() if self.template else ()
        return self.box, self.numerator, self.denominator, self.mean, self.colours, *seen

    def missed(self) -> CorrelationFilter:
        """One more frame on which it was not found."""
        return replace(self, lost=self.lost + 1 if self.lost + 1 < LOST else LOST + AGAIN - 1)

    def found(self) -> CorrelationFilter:
        """One more frame on which it surely was."""
        return replace(self, lost=self.lost - 1 if self.lost > LOST else 0)


def begin(seen: Tensor, box: Tensor, mask: Tensor) -> CorrelationFilter | None:
    """Learn the look of an object from one picture; None when the box is too small to hold on to.

    Args:
        seen: [1, C + COLOURS, H, W] of `engine.look`.
        box: float32 [4], centre and size in 0..1.
        mask: float32 [1, 1, h, w], 0..1, of the object in the picture.
    """
    if float(box[2:].min()) < LEAST_BOX:
        return None
    around = Around.boxes(box[None])
    mean = around.look([seen])[0].mean(dim=(1, 2), keepdim=True)
    (colours,) = _colours(seen, mask)
    blank = CorrelationFilter(box, mean.new_zeros(()), mean.new_zeros(()), mean, colours)
    numerator, denominator = _lesson([blank], around, [seen], [mask])
    return replace(blank, numerator=numerator[0], denominator=denominator[0])


def learn(
    filters: Sequence[CorrelationFilter],
    seen: Sequence[Tensor],
    boxes: Tensor,
    masks: Sequence[Tensor],
) -> list[CorrelationFilter]:
    """Take in how each object looks where it was found, a little; and where its outline is, while they agree.

    Args:
        boxes: float32 [n, 4], and
        masks: of each object in its picture, as for `begin`.
    """
    old = _boxes(filters)
    nudge = NUDGE * (overlap(old, boxes) > AGREE).float()
    new = torch.lerp(old, boxes, nudge[:, None])
    placed = [replace(f, box=box) for f, box in zip(filters, new, strict=True)]
    numerators, denominators = _lesson(placed, Around.boxes(new), seen, masks)
    return [
        replace(
            f,
            numerator=torch.lerp(f.numerator, n, RATE),
            denominator=torch.lerp(f.denominator, d, RATE),
            lost=0,
        )
        for f, n, d in zip(placed, numerators, denominators, strict=True)
    ]


def locate(
    filters: Sequence[CorrelationFilter], seen: Sequence[Tensor]
) -> tuple[list[CorrelationFilter], list[float]]:
    """Move each filter to where its object is on a new picture, near to where it was.

    Args:
        seen: [1, C + COLOURS, H, W] of `engine.look` for each filter's stream.

    Returns:
        the filters, moved where they found their objects, and how clear each answer was; 0 where it was
        too faint, and of those that are LOST, which `engine.search` is for.
    """
    near = [k for k, f in enumerate(filters) if f.lost < LOST]
    moved, clear = list(filters), [0.0] * len(filters)
    if near:
        boxes, peaks = best_near([filters[k] for k in near], [seen[k] for k in near])
        for k, box, peak in zip(near, boxes, peaks.tolist(), strict=True):
            if peak >= FAINT:
                moved[k], clear[k] = replace(filters[k], box=box), peak
    return moved, clear


def alike(filters: Sequence[CorrelationFilter], seen: Sequence[Tensor], masks: Tensor) -> Tensor:
    """How much the colours of masks are those that their objects had: Bhattacharyya's coefficients [n].

    Args:
        seen: [1, C + COLOURS, H, W] of `engine.look` for each filter's stream.
        masks: float32 [n, 1, h, w], 0..1; of one that holds nothing it is 0.
    """
    found = torch.empty(len(filters), LEVELS**3, device=masks.device)
    for picture in {id(picture): picture for picture in seen}.values():
        there = [k for k, other in enumerate(seen) if other is picture]
        found[there] = _colours(picture, masks[there])
    return likeness(torch.stack([f.colours for f in filters]), found)


def best_near(filters: Sequence[CorrelationFilter], seen: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
    """Boxes [n, 4] where the answers are greatest, near the old ones and at several sizes, and peaks [n]."""
    start = _boxes(filters)
    tried = start.repeat(len(SCALES), 1, 1)
    scales = start.new_tensor(SCALES)
    tried[..., 2:] *= scales[:, None, None]
    around = Around.boxes(tried.flatten(0, 1))
    centres, peaks = greatest(around, answers(filters, around, [*seen] * len(SCALES)))
    handicap = peaks.new_tensor([1.0 if scale == 1 else OTHER_SCALE for scale in SCALES])
    best = (peaks.view(len(SCALES), -1) * handicap[:, None]).argmax(dim=0)
    chosen = best * len(filters) + torch.arange(len(filters), device=best.device)
    growth = 1 + (scales[best] - 1) * SCALE_STEP
    boxes = torch.cat((centres[chosen].clamp(0, 1), start[:, 2:] * growth[:, None]), dim=1)
    return boxes, peaks[chosen]


def _colours(seen: Tensor, masks: Tensor) -> Tensor:
    """How much of each mask [n, 1, h, w] of a picture has which colour: [n, LEVELS ** 3], sums of 1 or 0."""
    (colour,) = blend(evenly_lit(seen[:, -COLOURS:].float()), LEVELS)
    weight = F.interpolate(masks, seen.shape[-2:], mode="area").flatten(1)
    counted: Tensor = weight @ colour.T
    return counted / counted.sum(dim=1, keepdim=True).clamp(min=1e-6)


def _boxes(filters: Sequence[CorrelationFilter]) -> Tensor:
    return torch.stack([f.box for f in filters])


def _spectrum(filters: Sequence[CorrelationFilter], windows: Tensor, weight: Tensor) -> Tensor:
    """Of windows [k * n, C, SIDE, SIDE], k of each filter: [k, n, C, SIDE, SIDE / 2 + 1]."""
    mean = torch.stack([f.mean for f in filters])
    each = windows.view(-1, len(filters), *windows.shape[1:])
    faded = (weight * _fade(windows.device)).view(-1, len(filters), 1, SIDE, SIDE)
    out: Tensor = torch.fft.rfft2((each - mean) * faded)
    return out


@lru_cache(maxsize=8)
def _fade(device: torch.device) -> Tensor:
    """[SIDE, SIDE], 1 in the middle of a window to 0 at its edge."""
    with torch.inference_mode(False):  # used in training as well
        fade = torch.hann_window(SIDE, periodic=False, device=device)
        return fade[:, None] * fade


def _lesson(
    filters: Sequence[CorrelationFilter], around: Around, seen: Sequence[Tensor], masks: Sequence[Tensor]
) -> tuple[Tensor, Tensor]:
    """Numerators and denominators of the filters that answer to these windows with a peak in the middle."""
    near = F.max_pool2d(around.cut(masks), 2 * MARGIN + 1, 1, MARGIN)
    weight = around.inside() * (OUTSIDE + (1 - OUTSIDE) * near)
    (x,) = _spectrum(filters, around.look(seen), weight)
    y = torch.fft.rfft2(wanted(around, torch.zeros_like(around.centres)))
    return y.conj()[:, None] * x, x.abs().square().sum(dim=1)


def wanted(around: Around, offsets: Tensor) -> Tensor:
    """The answer to a thing `offsets` [n, xy] samples off the middle; [n, SIDE, SIDE], middle first."""
    sigma = (SPREAD * SIDE * around.sizes / around.sides).clamp(min=0.6)  # [n, xy] in samples
    places = torch.fft.fftfreq(SIDE, 1 / SIDE, device=sigma.device)
    away = (places - offsets[..., None] + SIDE / 2) % SIDE - SIDE / 2
    x, y = torch.exp(-0.5 * (away / sigma[..., None]).square()).unbind(dim=1)
    return y[:, :, None] * x[:, None]


def answers(filters: Sequence[CorrelationFilter], around: Around, seen: Sequence[Tensor]) -> Tensor:
    """What filters say of windows, k of each: [k * n, SIDE, SIDE], the middle of each window first."""
    numerator = torch.stack([f.numerator for f in filters])
    power = torch.stack([f.denominator for f in filters])
    ridge = RIDGE * power.mean(dim=(1, 2), keepdim=True)
    windows = _spectrum(filters, around.look(seen), around.inside())
    spectrum = (numerator.conj() * windows).sum(dim=2) / (power + ridge)
    out: Tensor = torch.fft.irfft2(spectrum, s=(SIDE, SIDE)).flatten(0, 1)
    return out


def greatest(around: Around, answer: Tensor) -> tuple[Tensor, Tensor]:
    """Where in the picture answers are greatest, [n, 2], and how great, [n]."""
    peaks, places = answer.flatten(1).max(dim=1)
    lanes = torch.arange(len(places), device=places.device)
    row, column = places // SIDE, places % SIDE
    across = [answer[lanes, row, (column + d) % SIDE] for d in (-1, 0, 1)]
    down = [answer[lanes, (row + d) % SIDE, column] for d in (-1, 0, 1)]
    offset = torch.stack((_signed(column) + _between(*across), _signed(row) + _between(*down)), dim=1)
    return around.centres + offset / SIDE * around.sides, peaks


def _signed(place: Tensor) -> Tensor:
    """Samples from the middle; the second half of a period lies before it."""
    return (place + SIDE // 2) % SIDE - SIDE // 2


def _between(before: Tensor, peak: Tensor, after: Tensor) -> Tensor:
    """Where between the samples a parabola through three of them has its top, -0.5..0.5."""
    bend = before - 2 * peak + after
    return torch.where(bend < 0, 0.5 * (before - after) / bend.clamp(max=-1e-9), 0.0).clamp(-0.5, 0.5)
