"""One pass of the network over a batch of clips, as the tracker will run it, with losses.

Frame 0 is prompted; later frames are tracked from memory, and one of them may be corrected by a click.
Uses stock `SAM2Base.track_step`; the decoder is tapped to see all its candidate masks.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from sam2.modeling.sam2_base import SAM2Base
from torch import Tensor

from engine.dense import dense_prompt
from engine.pixels import normalised
from engine.training import prompts
from engine.training.losses import Decoded, Losses, frame_losses, mean_iou
from engine.training.scenes import Clips

LEAST_AREA = 0.0008  # share of the picture that an object must have to be prompted, and
LEAST_SHOWN = 0.5  # of itself: a click or box on the rest of it means what is in front
FILTER_NOISE = 0.1  # of the sides of a filter's box, in its sides


@dataclass(frozen=True, slots=True)
class Lesson:
    """How a batch is prompted.

    Attributes:
        first: "click" | "box" | "mask" on frame 0, and
        clicks: corrections to add there.
        correct_at: a later frame that is corrected by a click.
        pointed: chance of a later frame to have a box for each object, as a correlation filter gives it.
        anew: share in the loss of every frame asked as if it were the first, with a click or a box.
        balance: of the mask loss.
        told: the network is told by the truth whether an object is there.
    """

    first: str = "click"
    clicks: int = 0
    correct_at: int | None = None
    pointed: float = 0.0
    anew: float = 0.0
    balance: float = 0.0
    told: bool = True


@dataclass(frozen=True, slots=True)
class Outcome:
    losses: Losses
    first_iou: float
    tracked_iou: float

    @staticmethod
    def of_nothing(zero: Tensor) -> Outcome:
        """Of a batch in which there is nothing to learn; `zero` is what would learn, times 0."""
        return Outcome(Losses(zero, zero, zero), 0.0, 0.0)


class Tap:
    """Records the raw decoder output and, while teaching, decides presence by the truth."""

    def __init__(self, net: SAM2Base) -> None:
        self.net = net
        self.present: Tensor | None = None
        self.decoded: Decoded | None = None

    @contextmanager
    def __call__(self) -> Iterator[Tap]:
        decoder = self.net.sam_mask_decoder
        original = decoder.predict_masks

        def predict_masks(*args: Any, **kwargs: Any) -> tuple[Tensor, ...]:
            masks, ious, tokens, scores = original(*args, **kwargs)
            self.decoded = Decoded(masks, ious, scores)
            if self.present is not None:  # an object called absent gets logits of -1024 and no gradient
                scores = torch.where(self.present[:, None], 10.0, -10.0)
            return masks, ious, tokens, scores

        decoder.predict_masks = predict_masks
        try:
            yield self
        finally:
            decoder.predict_masks = original


def unroll(net: SAM2Base, clips: Clips, lesson: Lesson, g: torch.Generator) -> Outcome:
    batch, frames, objects = clips.masks.shape[:3]
    features = _encode(net, clips.images)
    clear = promptable(clips)
    weight = clear[:, 0].flatten().float()
    output = _empty()
    losses: list[Losses] = []
    ious: list[float] = []
    boxes = prompts.corners(clips.masks[:, 0].flatten(0, 1))
    with Tap(net)() as tap:
        for t in range(frames):
            truth = clips.masks[:, t].flatten(0, 1)
            tap.present = truth.flatten(1).sum(1) > 12 if lesson.told else None
            frame = _Step(net, tap, features.lanes(objects, t, batch), truth, t, frames, output)
            if t == 0:
                results = frame.prompted(lesson, g)
            else:
                boxes = torch.where(truth.any(2).any(1)[:, None], prompts.corners(truth), boxes)
                pointed = float(torch.rand((), generator=g)) < lesson.pointed
                results = frame.tracked(lesson.correct_at == t, boxes if pointed else None, g)
            losses += [frame_losses(d, truth, weight, lesson.balance) for d in results]
            final = F.interpolate(frame.logits, truth.shape[-2:], mode="bilinear", align_corners=False)
            ious.append(mean_iou(final[:, 0] > 0, truth, weight))
        total = _average(losses)
        if lesson.anew:
            total = total.mixed(_anew(net, tap, features, clips.masks, clear, lesson, g), lesson.anew)
    return Outcome(total, ious[0], sum(ious[1:]) / max(1, frames - 1))


def clicked(net: SAM2Base, clips: Clips, g: torch.Generator) -> tuple[Tensor, Tensor]:
    """What the network offers for a click on each object of the first pictures.

    Returns:
        logits [B * O, 3, h, w], and the clicks [B * O, 1, 2] in 0..1.
    """
    batch, _, objects = clips.masks.shape[:3]
    features, truth = _encode(net, clips.images[:, :1]), clips.masks[:, 0].flatten(0, 1)
    points, labels = prompts.clicks(truth, g)
    with Tap(net)() as tap:
        step = _Step(net, tap, features.lanes(objects, 0, batch), truth)
        step._run(points, labels, step._dense(points, labels), memorise=False)
        masks = step._said().masks[:, 1:]
    return masks, (points + 0.5) / net.image_size


def _empty() -> dict[str, dict[int, Any]]:
    return {"cond_frame_outputs": {}, "non_cond_frame_outputs": {}}


def promptable(clips: Clips) -> Tensor:
    """bool [B, T, O], objects that a prompt can mean on a frame."""
    return (clips.masks.float().mean(dim=(3, 4)) > LEAST_AREA) & (clips.shown > LEAST_SHOWN)


def _anew(
    net: SAM2Base,
    tap: Tap,
    features: _Features,
    masks: Tensor,
    clear: Tensor,
    lesson: Lesson,
    g: torch.Generator,
) -> Losses:
    """Losses of all frames at once, each prompted as a first frame is, but for objects not `clear` there.

    The pictures are encoded already and the decoder is far from busy with the few objects of one frame, so
    that what a prompt means is taught many times over for little.
    """
    truth = masks.flatten(0, 2)
    tap.present = None
    step = _Step(net, tap, features.lanes(masks.shape[2]), truth)
    first = "box" if float(torch.rand((), generator=g)) < 0.4 else "click"
    (decoded,) = step.prompted(Lesson(first), g)
    return frame_losses(decoded, truth, clear.flatten().float(), lesson.balance)


def _average(losses: list[Losses]) -> Losses:
    n = max(1, len(losses))
    return Losses(*(sum(getattr(x, k) for x in losses) / n for k in ("mask", "iou", "score")))


@dataclass(frozen=True, slots=True)
class _Features:
    vision: list[Tensor]  # per level [HW, N, C], of pictures (B * T) or of lanes: one object on one picture
    position: list[Tensor]
    sizes: list[tuple[int, int]]

    def lanes(self, objects: int, t: int | None = None, batch: int = 1) -> _Features:
        """For each object on frame `t` of each clip [HW, B * O, C], or on all frames [HW, B * T * O, C]."""

        def each(x: Tensor) -> Tensor:
            x = x if t is None else torch.unflatten(x, 1, (batch, -1))[:, :, t]
            return x.repeat_interleave(objects, dim=1)

        # the last level's positions are the only ones that are read
        return _Features([each(x) for x in self.vision], [each(x) for x in self.position[-1:]], self.sizes)


def _encode(net: SAM2Base, images: Tensor) -> _Features:
    flat = normalised(images.flatten(0, 1)).contiguous(memory_format=torch.channels_last)
    _, vision, position, sizes = net._prepare_backbone_features(net.forward_image(flat))
    return _Features(vision, position, sizes)


class _Step:
    """Objects on pictures, as one batch of lanes (clip-major), on frame `t` of clips of `frames`."""

    def __init__(
        self,
        net: SAM2Base,
        tap: Tap,
        lanes: _Features,
        truth: Tensor,
        t: int = 0,
        frames: int = 1,
        output: dict[str, dict[int, Any]] | None = None,
    ) -> None:
        self.net, self.tap, self.lanes, self.truth = net, tap, lanes, truth
        self.t, self.frames = t, frames
        self.output = output if output is not None else _empty()
        self.logits: Tensor

    def prompted(self, lesson: Lesson, g: torch.Generator) -> list[Decoded]:
        if lesson.first == "mask":
            self._store(self._run(mask=self.truth[:, None].float(), memorise=True), prompted=True)
            return []
        sample = prompts.boxes if lesson.first == "box" else prompts.clicks
        points, labels = sample(self.truth, g)
        decoded = []
        logits = self._dense(points, labels)
        follows = self.frames > 1
        for k in range(lesson.clicks + 1):
            out = self._run(points, labels, logits, memorise=follows and k == lesson.clicks)
            decoded.append(self._said())
            if k < lesson.clicks:
                logits = out["pred_masks"].detach().clamp(-32, 32)
                points, labels = self._add(points, labels, logits, g)
        self._store(out, prompted=True)
        return decoded

    def tracked(self, correct: bool, boxes: Tensor | None, g: torch.Generator) -> list[Decoded]:
        """Follow onto the frame, with a filter's `boxes` [N, 4] to look in if there are any."""
        if boxes is None:
            out = self._run(memorise=not correct)
        else:
            points, labels = prompts.jittered(boxes, self.truth.shape[-1], g, FILTER_NOISE)
            with self._soft():
                out = self._run(points, labels, self._dense(points, labels), memorise=not correct)
        decoded = [self._said()]
        if correct:
            logits = out["pred_masks"].detach().clamp(-32, 32)
            predicted = F.interpolate(logits, self.truth.shape[-2:], mode="bilinear", align_corners=False)
            points, labels = prompts.corrections(self.truth, predicted[:, 0] > 0, g)
            out = self._run(points, labels, logits, memorise=True)
            decoded.append(self._said())
        self._store(out, prompted=correct)
        return decoded

    @contextmanager
    def _soft(self) -> Iterator[None]:
        """What a filter's box has shown is remembered like what was tracked, not like what was prompted."""
        hard, self.net.binarize_mask_from_pts_for_mem_enc = self.net.binarize_mask_from_pts_for_mem_enc, False
        try:
            yield
        finally:
            self.net.binarize_mask_from_pts_for_mem_enc = hard

    def _add(
        self, points: Tensor, labels: Tensor, logits: Tensor, g: torch.Generator
    ) -> tuple[Tensor, Tensor]:
        predicted = F.interpolate(logits, self.truth.shape[-2:], mode="bilinear", align_corners=False)
        more, more_labels = prompts.corrections(self.truth, predicted[:, 0] > 0, g)
        return torch.cat((points, more), 1), torch.cat((labels, more_labels), 1)

    def _dense(self, points: Tensor, labels: Tensor) -> Tensor:
        size = self.net.sam_prompt_encoder.mask_input_size[0]
        return dense_prompt((points + 0.5) / self.net.image_size, labels, size)

    def _said(self) -> Decoded:
        assert self.tap.decoded is not None
        return self.tap.decoded

    def _run(
        self,
        points: Tensor | None = None,
        labels: Tensor | None = None,
        logits: Tensor | None = None,
        mask: Tensor | None = None,
        memorise: bool = True,
    ) -> dict[str, Any]:
        clicked = None if points is None else {"point_coords": points, "point_labels": labels}
        out: dict[str, Any] = self.net.track_step(
            frame_idx=self.t,
            is_init_cond_frame=self.t == 0,
            current_vision_feats=self.lanes.vision,
            current_vision_pos_embeds=self.lanes.position,
            feat_sizes=self.lanes.sizes,
            point_inputs=clicked,
            mask_inputs=mask,
            output_dict=self.output,
            num_frames=max(self.frames, 64),
            run_mem_encoder=memorise,
            prev_sam_mask_logits=logits if points is not None else None,
        )
        self.logits = out["pred_masks"]
        return out

    def _store(self, out: dict[str, Any], prompted: bool) -> None:
        bank = "cond_frame_outputs" if prompted else "non_cond_frame_outputs"
        self.output[bank][self.t] = out
