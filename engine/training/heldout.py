"""Score a model on made clips that it has not trained on: their masks are exact, on every frame.

J is the mean IoU of an object's masks over the frames after the prompted one on which it can be seen.
Clips are made one at a time, so a long run needs no more memory than a short one.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from engine.models import Model
from engine.tracker import Tracker
from engine.training.material import Material
from engine.training.scenes import SceneConfig, make_clips
from engine.training.sprites import Wardrobe
from engine.training.textures import sample_textures
from engine.training.unroll import LEAST_SHOWN
from engine.types import Box, Frame, Point, Points, Prompt

First = Literal["click", "box"]
Bool = NDArray[np.bool_]

# 60 frames in the time that passes in 12 of training's: things cross the picture once, as in a real clip.
SCENES = SceneConfig(size=256, frames=60, pace=0.2, speed=0.12, leave=0.0, hide=0.0)
VISIBLE = 0.001  # share of the picture; with less of it to be seen, an object is neither prompted nor scored
HIDDEN, SLIDE = slice(20, 35), 4  # fully hidden frames of the occlusion clips; frames the curtain slides


@dataclass(frozen=True, slots=True, eq=False)
class Clip:
    """`images` uint8 [T, S, S, 3]; `masks` bool [T, S, S] by object; J counts from frame `scored` on.

    `covered` are those objects that stand behind something when they are prompted, with more than half of
    themselves: the prompt may as well mean what is in front.
    """

    images: NDArray[np.uint8]
    masks: Mapping[int, Bool]
    scored: int = 1
    covered: frozenset[int] = frozenset()


@dataclass(frozen=True, slots=True)
class Score:
    """`j` is the mean over objects, `clear` over those not `Clip.covered`, NaN without any.

    `absent` is the share of unseen frames called so, NaN without any.
    """

    j: float
    clear: float
    first: float
    absent: float
    objects: int


def clips(material: Material, count: int, seed: int, config: SceneConfig = SCENES) -> Iterator[Clip]:
    """`count` clips with at least one object to prompt; the same for the same arguments."""
    g = torch.Generator().manual_seed(seed)
    wardrobe = Wardrobe(material.pictures, seed, groups=32, cutouts=material.cutouts)
    made = drawn = 0
    while made < count:
        wardrobe.at(2 * drawn)
        drawn += 1
        batch = make_clips(material, wardrobe, 1, config, g)
        images = (batch.images[0] * 255).round().to(torch.uint8).permute(0, 2, 3, 1).contiguous().numpy()
        masks = {
            i + 1: m.numpy()
            for i, m in enumerate(batch.masks[0].unbind(1))
            if m[0].float().mean() >= 4 * VISIBLE
        }
        if masks:
            made += 1
            covered = frozenset(i for i in masks if batch.shown[0, 0, i - 1] < LEAST_SHOWN)
            yield Clip(images, masks, covered=covered)


def occlusions(material: Material, count: int, seed: int, config: SceneConfig = SCENES) -> Iterator[Clip]:
    """Clips in which a textured curtain hides the object fully for 15 frames and goes away again."""
    g = torch.Generator().manual_seed(seed + 1)
    made = 0
    for clip in clips(material, 4 * count, seed, config):
        hidden = next((c for i in clip.masks if (c := _curtain(clip, i, material, g)) is not None), None)
        if hidden is not None:
            made += 1
            yield hidden
        if made == count:
            return


def _curtain(clip: Clip, number: int, material: Material, g: torch.Generator) -> Clip | None:
    """The clip with object `number` behind a curtain; None if it would hide most of the picture."""
    mask = clip.masks[number]
    frames, size = mask.shape[:2]
    rows, columns = (np.flatnonzero(mask[HIDDEN].any((0, axis))) for axis in (2, 1))
    if not len(rows) or not (mask[HIDDEN.stop + SLIDE :].mean((1, 2)) >= VISIBLE).any():
        return None
    top, bottom = max(0, rows[0] - 6), min(size, rows[-1] + 7)
    from_left = columns[-1] < size - columns[0]
    reach = columns[-1] + 7 if from_left else size - columns[0] + 6
    reach = min(size, int(reach))
    if reach * (bottom - top) > 0.6 * size * size:
        return None
    cloth = (sample_textures(material.pictures, 1, size, g)[0] * 255).byte().permute(1, 2, 0).numpy()
    images, seen = clip.images.copy(), mask.copy()
    for frame in range(HIDDEN.start - SLIDE, min(frames, HIDDEN.stop + SLIDE)):
        away = max(HIDDEN.start - frame, frame - HIDDEN.stop + 1, 0) / (SLIDE + 1)
        width = round(reach * (1 - away))
        across = slice(0, width) if from_left else slice(size - width, size)
        images[frame, top:bottom, across] = cloth[top:bottom, across]
        seen[frame, top:bottom, across] = False
    return replace(clip, images=images, masks={number: seen}, scored=HIDDEN.stop + SLIDE)


def score(model: Model, made: Iterator[Clip], first: First, memory: bool = True) -> Score:
    """Follow every object of every clip from one prompt on its first frame.

    Args:
        memory: False is the ablation: each frame is seen by a tracker that remembers nothing, which is given
            one click at the innermost point of the mask before.
    """
    per_object: list[float] = []
    clear: list[float] = []
    firsts: list[float] = []
    absent: list[bool] = []
    for clip in made:
        said = (follow if memory else follow_without_memory)(model, clip, first)
        for number, truth in clip.masks.items():
            overlaps = [_iou(a, b) for a, b in zip(said[number], truth, strict=True)]
            visible = truth.mean((1, 2)) >= VISIBLE
            later = [overlaps[t] for t in range(clip.scored, len(truth)) if visible[t]]
            if later:
                per_object.append(float(np.mean(later)))
                firsts.append(overlaps[0])
                clear += [] if number in clip.covered else per_object[-1:]
            gone = ~truth.any((1, 2))
            absent += [not said[number][t].any() for t in np.flatnonzero(gone)]
    if not per_object:
        raise ValueError("expected clips with objects that stay in the picture, got none")
    return Score(_mean(per_object), _mean(clear), _mean(firsts), _mean(absent), len(per_object))


def _mean(values: Sequence[float]) -> float:
    return float(np.mean(values)) if values else float("nan")


def follow(model: Model, clip: Clip, first: First) -> dict[int, Bool]:
    """Masks bool [T, S, S] by object."""
    tracker = Tracker(model)
    prompts: list[Prompt] = [prompt(number, mask[0], first) for number, mask in clip.masks.items()]
    steps = [tracker.step(Frame(t, image), [] if t else prompts) for t, image in enumerate(clip.images)]
    return {
        number: np.stack([step.objects[k].mask for step in steps])
        for k, number in enumerate(sorted(clip.masks))
    }


def follow_without_memory(model: Model, clip: Clip, first: First) -> dict[int, Bool]:
    """The same, each frame by a tracker of its own."""
    said = {}
    for number, truth in clip.masks.items():
        ask, masks = prompt(number, truth[0], first), []
        for t, image in enumerate(clip.images):
            masks.append(Tracker(model).step(Frame(t, image), [ask]).objects[0].mask)
            if masks[-1].any():
                ask = prompt(number, masks[-1], "click")
        said[number] = np.stack(masks)
    return said


def prompt(number: int, mask: Bool, first: First) -> Prompt:
    """A click at the innermost point of the mask, or the box around it."""
    height, width = mask.shape
    if first == "click":
        depth = cv2.distanceTransform(np.pad(mask, 1).astype(np.uint8), cv2.DIST_L2, 5)
        y, x = np.unravel_index(int(depth.argmax()), depth.shape)
        return Points(number, (Point((x - 0.5) / width, (y - 0.5) / height),))
    rows, columns = (np.flatnonzero(mask.any(axis)) for axis in (1, 0))
    return Box(
        number,
        columns[0] / width,
        rows[0] / height,
        (columns[-1] + 1) / width,
        (rows[-1] + 1) / height,
    )


def _iou(a: Bool, b: Bool) -> float:
    union = int((a | b).sum())
    return int((a & b).sum()) / union if union else 1.0
