"""The outliner's lesson: what the network draws in a box, redrawn towards the thing that is meant.

First pictures are boxed as a person does, later ones as the regressor of boxes does, from what things
looked like on the first; small ones are seen in a view of their own, as `engine.lanes` has it. All else
stays as it is.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from sam2.modeling.sam2_base import SAM2Base
from torch import Tensor

from engine import redrawer, windows
from engine.boxes import seen_in
from engine.closeup import View
from engine.parts import StockParts, box_prompts
from engine.pixels import halved, normalised
from engine.regressor import Sketch, placed
from engine.training.looking import boxes_of, jittered
from engine.training.losses import Losses
from engine.training.redrawing import JUDGED, drawing, iou_of, tinted
from engine.training.regressing import asked_later
from engine.training.scenes import Clips
from engine.training.unroll import Outcome, promptable

MOST_LANES = 48  # objects on pictures in a lesson
LEFT_OUT = 0.15  # share of later pictures without a sketch
WHOLE = View(0.0, 0.0, 1.0, 1.0)


@dataclass(frozen=True, slots=True, eq=False)
class _Boxed:
    """n objects on pictures of their clips.

    Attributes:
        clip, thing, frame: int64 [n], who and where they are.
        boxes: [n, 4] that they are asked with.
        sketch: of each.
    """

    clip: Tensor
    thing: Tensor
    frame: Tensor
    boxes: Tensor
    sketch: Sketch

    @staticmethod
    def batch(several: Sequence[_Boxed]) -> _Boxed:
        clip, thing, frame, boxes = (
            torch.cat(part)
            for part in zip(*((b.clip, b.thing, b.frame, b.boxes) for b in several), strict=True)
        )
        return _Boxed(clip, thing, frame, boxes, Sketch.batch([b.sketch for b in several]))

    def __getitem__(self, lanes: Tensor) -> _Boxed:
        clip, thing, frame, boxes = (x[lanes] for x in (self.clip, self.thing, self.frame, self.boxes))
        return _Boxed(clip, thing, frame, boxes, self.sketch[lanes])


def outline(net: SAM2Base, clips: Clips, g: torch.Generator) -> Outcome:
    """Losses of the masks of objects in boxes.

    `first_iou` is of what the network draws, `tracked_iou` of what comes of it, as far as the windows show.
    """
    with torch.no_grad():
        boxed = _some(_Boxed.batch([_first(clips, g), *_later(net, clips, g)]), g)
        if not len(boxed.clip):
            return Outcome.of_nothing(0 * net.outliner.out.weight.sum())
        shown, truth = _shown(clips, boxed)
        logits = _asked(net, shown.images, shown.boxes)
        pictures = tinted(halved(shown.images), g)
    redrawn = redrawer.boxed(net.outliner, pictures, logits, shown.boxes, shown.sketch)
    wanted = windows.cut(truth, redrawn.x, redrawn.y)[:, 0]
    area = truth.mean(dim=(1, 2, 3))
    drawn = iou_of(redrawn, wanted, area)
    judged = F.binary_cross_entropy_with_logits(redrawn.quality, drawn, reduction="none")
    losses = Losses(drawing(redrawn, wanted).mean(), JUDGED * judged.mean(), area.new_zeros(()))
    before = replace(redrawn, logits=windows.cut(logits, redrawn.x, redrawn.y)[:, 0])
    return Outcome(losses, float(iou_of(before, wanted, area).mean()), float(drawn.mean()))


def _first(clips: Clips, g: torch.Generator) -> _Boxed:
    clip, thing = promptable(clips)[:, 0].nonzero().unbind(dim=1)
    boxes = jittered(boxes_of(clips.masks[:, :1])[clip, 0, thing], g)
    return _Boxed(clip, thing, torch.zeros_like(clip), boxes, Sketch.none(len(clip), clip.device))


def _later(net: SAM2Base, clips: Clips, g: torch.Generator) -> Iterator[_Boxed]:
    for asked in asked_later(net, clips, g):
        known = torch.rand(len(asked.clip), generator=g).to(asked.clip.device) >= LEFT_OUT
        sketch = Sketch.of(asked.found.logits * known[:, None, None], asked.around)
        boxes = placed(asked.found.edges, asked.around)
        yield _Boxed(asked.clip, asked.thing, asked.frame, boxes, sketch)[asked.plain]


def _some(boxed: _Boxed, g: torch.Generator) -> _Boxed:
    lanes = torch.randperm(len(boxed.clip), generator=g)[:MOST_LANES]
    return boxed[lanes.to(boxed.clip.device)]


@dataclass(frozen=True, slots=True, eq=False)
class _Shown:
    """What the network sees of n of them: images [n, 3, S, S] normalised; boxes and sketches in these."""

    images: Tensor
    boxes: Tensor
    sketch: Sketch


def _shown(clips: Clips, boxed: _Boxed) -> tuple[_Shown, Tensor]:
    """In the whole picture or, of what is small, in a view; and masks float32 [n, 1, S, S] there."""
    views = [View.around(box) or WHOLE for box in boxed.boxes.tolist()]
    parts = torch.cat([view.box(boxed.boxes) for view in views])
    x, y = windows.lattice(parts, parts[:, 2:], clips.images.shape[-1])
    images = windows.cut(clips.images[boxed.clip, boxed.frame], x, y)
    masks = windows.cut(clips.masks[boxed.clip, boxed.frame, boxed.thing][:, None].float(), x, y)
    return _Shown(normalised(images), seen_in(parts, boxed.boxes), boxed.sketch.seen(parts)), masks


def _asked(net: SAM2Base, images: Tensor, boxes: Tensor) -> Tensor:
    """The network's logits [n, 1, S / 4, S / 4] for boxes on pictures that it sees for the first time."""
    parts = StockParts(net)
    *high, top = parts.levels(images.contiguous(memory_format=torch.channels_last))
    clicks, drawn = box_prompts(net, boxes)
    source = top + net.no_mem_embed.view(1, -1, 1, 1)
    masks, _, _, _ = parts.masks(source, clicks, drawn, high, several=False)
    return masks.float()
