"""Still pictures through the model: marked objects, and everything there is."""

from __future__ import annotations

from concurrent.futures import Future
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.palette import colour_of
from engine.types import Frame
from signaling.fal import schemas
from signaling.fal.errors import invalid
from signaling.fal.marks import Marks, placed_boxes
from signaling.fal.pictures import CONTENT_TYPES, read_picture, write_picture
from signaling.fal.video import NO_MASKS
from signaling.fal.work import Body, Files, Made, Task

SUFFIXES = {"png": ".png", "jpeg": ".jpg", "webp": ".webp"}
MAX_MASKS = 500


def sam2_image(task: Task, asked: schemas.Sam2ImageInput, files: Files) -> Body:
    """The marked objects as one mask, or drawn on the picture."""
    frame = _frame(task, files)
    points = [(("prompts", index), prompt) for index, prompt in enumerate(asked.prompts)]
    marks = Marks(points, placed_boxes(asked.box_prompts))
    for loc, index in marks.frames:
        if index:
            raise invalid(loc, "A picture has only frame 0", "less_than", got=index, ctx={"lt": 1})
    lane = task.open_lane()
    try:
        prompts = marks.by_frame(frame.width, frame.height)[0]
        masks = lane.submit(frame, prompts, live=False).result()
    finally:
        lane.close()
    if masks.rejected:
        raise invalid(("prompts",), "; ".join(str(error) for _, error in masks.rejected))
    if all(found.box is None for found in masks.objects):
        raise invalid(("prompts",), NO_MASKS, "no_media_generated")
    if asked.apply_mask:
        from engine.render import RenderMode, render

        image = render(frame, masks, RenderMode.OVERLAY)
    else:
        image = _grey(np.logical_or.reduce([found.mask for found in masks.objects]))
    return {"image": _picture(task, "image", image, asked.output_format)}


def auto_segment(task: Task, asked: schemas.AutoSegmentInput, files: Files) -> Body:
    """Everything in the picture: one picture with a colour for each thing, and a mask of each, the surest
    first.

    The work is handed to the engine a few points at a time, so that live streams go on in between.
    """
    from engine import segments

    frame = _frame(task, files)
    features = _result(task, partial(segments.encode, frame=frame))
    proposals: list[segments.Proposal] = []
    for points in segments.grid(asked.points_per_side):
        task.check()
        piece = partial(
            segments.propose,
            features=features,
            points=points,
            min_iou=asked.pred_iou_thresh,
            min_stability=asked.stability_score_thresh,
        )
        proposals += _result(task, piece)
    chosen = segments.choose(proposals)[:MAX_MASKS]
    if not chosen:
        raise invalid(("pred_iou_thresh",), "No masks generated: lower the thresholds", "no_media_generated")
    combined = np.zeros((frame.height, frame.width, 3), np.uint8)
    made = []
    for number, proposal in enumerate(chosen):
        task.check()
        mask = segments.enlarge(proposal, frame.width, frame.height, asked.min_mask_region_area)
        made.append(_picture(task, f"mask_{number:03d}", _grey(mask), asked.output_format))
    # The largest lies lowest, so that what is small stays visible.
    for number, proposal in sorted(enumerate(chosen), key=lambda item: -_area(item[1].box)):
        mask = segments.enlarge(proposal, frame.width, frame.height, asked.min_mask_region_area)
        combined[mask] = colour_of(number + 1)
    return {
        "combined_mask": _picture(task, "combined_mask", combined, asked.output_format),
        "individual_masks": made,
    }


def _result(task: Task, piece: Any) -> Any:
    future: Future[Any] = task.call(piece)
    return future.result()


def _frame(task: Task, files: Files) -> Frame:
    taken = files["image_url"]
    return Frame(0, read_picture(taken.path, taken.media, task.settings.image_pixels, ("image_url",)))


def _picture(task: Task, name: str, image: NDArray[np.uint8], image_format: str) -> Made:
    path = task.folder / f"{name}{SUFFIXES[image_format]}"
    write_picture(image, path, image_format)
    return Made(path, CONTENT_TYPES[image_format], int(image.shape[1]), int(image.shape[0]))


def _grey(mask: NDArray[np.bool_]) -> NDArray[np.uint8]:
    return mask.astype(np.uint8) * 255


def _area(box: tuple[int, int, int, int]) -> int:
    return (box[2] - box[0]) * (box[3] - box[1])
