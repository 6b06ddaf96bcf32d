"""The verbs of a step on batches of objects: encode, recall, decode, adopt, remember.

The only file that calls into the SAM 2 network. Knows tensors and what an object remembers; knows no stream,
no prompt of a person and no id. A lane is one object on one frame; all lanes of a call run as one batch.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from sam2.modeling.sam2_base import NO_OBJ_SCORE
from torch import Tensor

from engine.bounds import Bounds
from engine.closeup import View
from engine.drawing import Drawing
from engine.features import LEAST_SCORE, Clicks, Closeups, Decoded, Features, distinct, of_lanes
from engine.holes import fill_holes
from engine.look import seen
from engine.memory import Memory
from engine.parts import Masks, box_prompts
from engine.pixels import halved, normalised, restored
from engine.precision import in_precision

if TYPE_CHECKING:
    from engine.models import Model

MEMORY_DTYPE = torch.bfloat16  # how upstream stores spatial memories, whatever it computes in


class Stages:
    """The network of a model, verb by verb. Stateless between calls but for constant tables."""

    def __init__(self, model: Model) -> None:
        self._net, self.autocast = model.net, model.autocast
        self.drawing, self.bounds = Drawing(model), Bounds(model)
        net, preset = self._net, model.preset
        self._fill_area = preset.fill_hole_area
        self._filtered, self._snaps, self.looks_close = preset.correlation_filter, preset.snap, preset.close
        self.grid = model.image_size // net.backbone_stride
        self._parts = model.parts

    def encode(self, images: Tensor) -> list[Features]:
        """Images [N, 3, S, S] to the features of each frame (`SAM2Base.forward_image`).

        A CPU takes as long for a batch as for its pictures one by one, or longer: its cache is full with one.
        """
        encoded = []
        for batch in images[:, None] if images.device.type == "cpu" else (images,):
            levels = self._levels(batch)
            for n, kept in enumerate(self._seen(batch)):
                high = tuple(level[n : n + 1] for level in levels[:-1])
                encoded.append(Features(levels[-1][n : n + 1], high, *kept))
        return encoded

    @in_precision
    def _levels(self, images: Tensor) -> list[Tensor]:
        return self._parts.levels(images)

    def _seen(self, images: Tensor) -> list[tuple[Tensor | None, ...]]:
        """`Features.seen` of each image."""
        nothing: list[Tensor | None] = [None] * len(images)
        if not (self._filtered or self._snaps):
            return list(zip(nothing, nothing, nothing, strict=True))
        half = halved(images.float())
        looked = seen(self._look(half), half).half()[:, None] if self._filtered else nothing
        pictures = half.half()[:, None] if self._snaps else nothing
        kept = restored(images)[:, None] if self._filtered or self.looks_close else nothing
        return list(zip(looked, pictures, kept, strict=True))

    @in_precision
    def _look(self, halves: Tensor) -> Tensor:
        return self._parts.look(halves)

    def unremembered(self, features: Features) -> Tensor:
        """[1, C, H, W] for an object that is seen for the first time: no memory to read."""
        out: Tensor = features.top + self._net.no_mem_embed.view(1, -1, 1, 1)
        return out

    @in_precision
    def recall(
        self, features: Sequence[Features], memories: Sequence[Memory], frames: Sequence[int]
    ) -> Tensor:
        """Condition each lane's features on its memory.

        All lanes must hold equally many spatial memories and pointers.

        Returns:
            [B, C, H, W].
        """
        slots = [memory.slots(frame) for memory, frame in zip(memories, frames, strict=True)]
        pointers = [memory.reads(frame) for memory, frame in zip(memories, frames, strict=True)]
        tops, lanes = distinct([f.top for f in features])
        read = self._parts.read(tops, lanes, slots, pointers)
        return read.transpose(1, 2).view(len(lanes), -1, self.grid, self.grid)

    def decode(
        self,
        conditioned: Tensor,
        features: Sequence[Features],
        clicks: Clicks | None = None,
        prior: Tensor | None = None,
        first: bool = False,
        certain: Tensor | None = None,
    ) -> Decoded:
        """Masks of B lanes (`SAM2Base._forward_sam_heads`).

        Args:
            conditioned: [B, C, H, W] of `recall` or `unremembered`.
            clicks: of each lane.
            prior: [B, 1, S/4, S/4] logits given as a mask prompt.
            first: the lane has no memory yet.
            certain: bool [B], lanes whose object is known to be there, whatever the network says of that.
        """
        net = self._net
        points = None if clicks is None else {"point_labels": clicks.labels}
        several: bool = net._use_multimask(first, points)
        masks, ious, tokens, score = self._candidates(conditioned, features, clicks, prior, several)
        lanes = torch.arange(len(masks), device=masks.device)
        close: Closeups = ()
        if clicks is not None and self.drawing.ambiguous(clicks):
            best, logits, close = self.drawing.chosen(masks, features, clicks)
        else:
            best = ious.argmax(dim=-1) if several else torch.zeros_like(lanes)
            logits = masks[lanes, best][:, None].float()
        token = tokens[lanes, best if tokens.shape[1] > 1 else 0]
        if certain is not None:
            score = torch.where(certain[:, None], score.clamp(min=LEAST_SCORE), score)
        if net.pred_obj_scores:
            there = score > 0
            logits = torch.where(there[:, None, None], logits, NO_OBJ_SCORE)
            close = tuple(
                c if seen else None for c, seen in zip(close, there.flatten().tolist(), strict=False)
            )
        return Decoded(logits, self._filled(logits), self._pointer(token, score), score, close)

    def boxed(self, boxes: Tensor) -> tuple[Clicks, Tensor]:
        """One box for each lane as a prompt for `decode`: its corners, and drawn (`engine.dense`).

        Args:
            boxes: float32 [B, 4], centre and size in 0..1.
        """
        return box_prompts(self._net, boxes)

    def propose(self, features: Features, clicks: Clicks, prior: Tensor | None) -> tuple[Tensor, Tensor]:
        """All masks that the decoder offers for each of N clicks (`SAM2ImagePredictor._predict`).

        Args:
            clicks: one point each, coords [N, 1, 2].
            prior: [N, 1, S/4, S/4] logits, for networks whose clicks are drawn.

        Returns:
            logits float32 [N, 3, S/4, S/4] and their predicted IoU float32 [N, 3].
        """
        image = self.unremembered(features)
        masks, ious, _, _ = self._candidates(image, [features], clicks, prior, several=True)
        return masks.float(), ious.float()

    @in_precision
    def _candidates(
        self,
        source: Tensor,
        features: Sequence[Features],
        clicks: Clicks | None,
        prior: Tensor | None,
        several: bool,
    ) -> Masks:
        """Masks [B, M, S/4, S/4], their predicted IoU [B, M], tokens and object score [B, 1] of the decoder.

        Args:
            source: what each lane reads, or, [1, C, H, W], what all clicks read.
        """
        return self._parts.masks(source, clicks, prior, _high(features), several)

    @in_precision
    def _pointer(self, token: Tensor, score: Tensor) -> Tensor:
        """[B, hidden_dim]: what the mask token says of the object, or that there is none."""
        net = self._net
        pointer: Tensor = net.obj_ptr_proj(token)
        if not net.pred_obj_scores:
            return pointer
        there = score.sigmoid() if net.soft_no_obj_ptr else (score > 0).float()
        if net.fixed_no_obj_ptr:
            pointer = there * pointer
        absent: Tensor = (1 - there) * net.no_obj_ptr
        return pointer + absent

    def near(self, features: Features, view: View) -> Features:
        """Of a view of the picture, for presets that look `close`."""
        assert features.image is not None, "expected features of a preset that looks close"
        image = normalised(view.cut(features.image, self._net.image_size) / 255)
        *high, top = self._levels(image)
        return Features(top, tuple(high), picture=halved(image).half())

    @in_precision
    def adopt(self, features: Features, mask: Tensor) -> Decoded:
        """Take a mask as it is, bypassing the decoder (`SAM2Base._use_mask_as_output`).

        Args:
            mask: float32 [1, 1, S, S], 0 or 1.
        """
        _, _, _, logits, _, pointer, score = self._net._use_mask_as_output(
            features.top, _high([features]), mask
        )
        return Decoded(logits, self._filled(logits), pointer, score)

    def _filled(self, logits: Tensor) -> Tensor:
        return fill_holes(logits, self._fill_area) if self._fill_area else logits

    @in_precision
    def remember(self, features: Sequence[Features], decoded: Decoded, prompted: bool) -> list[Tensor]:
        """Spatial memories of B lanes (`SAM2Base._encode_new_memory`).

        Tracked lanes remember the mask softly and as decoded; prompted ones what was shown, binarised.

        Returns:
            per lane what `Parts` keep, [H * W, n] in `MEMORY_DTYPE`, each with storage of its own.
        """
        tops, lanes = distinct([f.top for f in features])
        logits = decoded.filled if prompted else decoded.logits
        kept = self._parts.write(tops, lanes, logits, decoded.score, prompted).to(MEMORY_DTYPE)
        return [lane.clone(memory_format=torch.contiguous_format) for lane in kept]


def _high(features: Sequence[Features]) -> list[Tensor] | None:
    """High-resolution maps of all lanes; [1, ...] where one frame serves all, for they are only added."""
    levels = zip(*(f.high for f in features), strict=True)
    batches = [distinct(maps) for maps in levels]
    return [of_lanes(maps, lanes) for maps, lanes in batches] or None
