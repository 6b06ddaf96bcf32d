"""The endpoints as data: what each takes, which files it names, and how it is answered."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import BaseModel, ValidationError

from engine.types import Frame
from signaling.fal import schemas
from signaling.fal.errors import FalError, from_validation, invalid
from signaling.fal.marks import Marks, require_prompt
from signaling.fal.pictures import CONTENT_TYPES, read_mask, read_picture, write_picture
from signaling.fal.sink import Segmented, Wanted
from signaling.fal.video import NO_MASKS, segment_video
from signaling.fal.work import Body, Files, Made, Task

JPEG_SUFFIX = {"png": ".png", "jpeg": ".jpg", "webp": ".webp"}


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One app id. `files` are the fields that name files and the family each must be of."""

    app: str
    input: type[schemas.Fields]
    output: type[BaseModel]
    files: Mapping[str, str]
    run: Callable[[Task, Any, Files], Body]
    prompted: bool = True

    def read(self, body: object, model: str) -> schemas.Fields:
        """The checked input.

        Raises:
            FalError: 422; also when nothing, or only words, say what to follow.
        """
        try:
            checked = self.input.model_validate(body)
        except ValidationError as error:
            raise from_validation(error) from None
        if self.prompted:
            _require_prompt(checked, model)
        return checked


def _require_prompt(checked: Any, model: str) -> None:
    marked = bool(checked.prompts or checked.box_prompts or getattr(checked, "mask_url", None))
    marked = marked or bool(getattr(checked, "point_prompts", None))
    text = getattr(checked, "text", "")
    field = "prompt" if getattr(checked, "prompt", "").strip() else "text_prompt"
    require_prompt(marked, text, field, model)


def sam2_video(task: Task, asked: schemas.Sam2VideoInput, files: Files) -> Body:
    wanted = Wanted(_mode(asked.apply_mask), boxes_zip=asked.boundingbox_zip)
    return _video_body(segment_video(task, files["video_url"].path, _video_marks(task, asked, files), wanted))


def sam3_video(task: Task, asked: schemas.Sam3VideoInput, files: Files) -> Body:
    wanted = Wanted(_mode(asked.apply_mask), _suffix(asked), asked.boundingbox_zip)
    return _video_body(segment_video(task, files["video_url"].path, _video_marks(task, asked, files), wanted))


def sam3_video_rle(task: Task, asked: schemas.Sam3VideoRleInput, files: Files) -> Body:
    mode = "overlay" if asked.apply_mask else None
    wanted = Wanted(mode, _suffix(asked), asked.boundingbox_zip, rle=True)
    made = segment_video(task, files["video_url"].path, _video_marks(task, asked, files), wanted)
    return {**_rle_body(task, made), **_video_body(made)}


def sam2_image(task: Task, asked: schemas.Sam2ImageInput, files: Files) -> Body:
    taken = files["image_url"]
    picture = read_picture(taken.path, taken.media, task.settings.image_pixels, ("image_url",))
    height, width = picture.shape[:2]
    marks = Marks(_points(asked.prompts), _boxes(asked.box_prompts))
    if any(index for _, index in marks.frames):
        loc, index = next((loc, index) for loc, index in marks.frames if index)
        raise invalid(loc, "A picture has only frame 0", "less_than", got=index, ctx={"lt": 1})
    frame = Frame(0, picture)
    lane = task.open_lane()
    try:
        masks = lane.submit(frame, marks.by_frame(width, height)[0], live=False).result()
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
        merged = np.logical_or.reduce([found.mask for found in masks.objects])
        image = merged.astype(np.uint8) * 255
    return {"image": _picture(task, "image", image, asked.output_format)}


def _picture(task: Task, name: str, image: np.ndarray[Any, np.dtype[np.uint8]], image_format: str) -> Made:
    path = task.folder / f"{name}{JPEG_SUFFIX[image_format]}"
    write_picture(image, path, image_format)
    return Made(path, CONTENT_TYPES[image_format], int(image.shape[1]), int(image.shape[0]))


def _mode(apply_mask: bool) -> str:
    """With `apply_mask` the masks are drawn on the video, without it they are the video."""
    return "overlay" if apply_mask else "mask"


def _suffix(asked: schemas.Sam3VideoRleInput) -> str:
    return ".webm" if asked.video_output_type == schemas.WEBM else ".mp4"


def _points(prompts: Iterable[schemas.PointPrompt]) -> list[tuple[tuple[str, int], schemas.PointPrompt]]:
    return [(("prompts", index), prompt) for index, prompt in enumerate(prompts)]


def _boxes(prompts: Iterable[schemas.BoxPrompt]) -> list[tuple[tuple[str, int], schemas.BoxPrompt]]:
    return [(("box_prompts", index), prompt) for index, prompt in enumerate(prompts)]


def _video_marks(task: Task, asked: schemas.VideoInput, files: Files) -> Marks:
    taken = files.get("mask_url")
    pixels = task.settings.image_pixels
    mask = read_mask(taken.path, taken.media, pixels, ("mask_url",)) if taken else None
    return Marks(asked.points, _boxes(asked.box_prompts), mask, asked.frame_index)


def _video_body(made: Segmented) -> Body:
    body: Body = {}
    if made.video is not None:
        body["video"] = Made(made.video, "video/webm" if made.video.suffix == ".webm" else "video/mp4")
    if made.boxes_zip is not None:
        body["boundingbox_frames_zip"] = Made(made.boxes_zip, "application/zip")
    return body


def _rle_body(task: Task, made: Segmented) -> Body:
    """The records as lists; as one JSON file when they are too long for an answer."""
    assert made.records is not None
    if made.record_bytes > task.settings.inline_bytes:
        path = task.folder / "rle.json"
        _write_lists(made.records, path)
        return {"rle": Made(path, "application/json")}
    columns: dict[str, list[Any]] = {name: [] for name in _COLUMNS}
    for index, item in enumerate(_records(made.records)):
        for name, column in _COLUMNS.items():
            columns[name].append(column(index, item))
    return dict(columns)


_COLUMNS: Mapping[str, Callable[[int, dict[str, Any]], Any]] = {
    "rle": lambda index, item: item["rle"],
    "boxes": lambda index, item: item["box"],
    "scores": lambda index, item: item["score"],
    "metadata": lambda index, item: {
        "index": index,
        "score": item["score"],
        **({"box": item["box"]} if item["box"] else {}),
    },
}


def _records(path: Path) -> Iterator[dict[str, Any]]:
    with path.open() as lines:
        for line in lines:
            yield json.loads(line)


def _write_lists(records: Path, path: Path) -> None:
    """The same object that a short answer is, written frame by frame so that memory stays bounded."""
    with path.open("w") as out:
        for name, column in _COLUMNS.items():
            out.write("{" if name == "rle" else ", ")
            out.write(f'"{name}": [')
            for index, item in enumerate(_records(records)):
                out.write((", " if index else "") + json.dumps(column(index, item)))
            out.write("]")
        out.write("}")


VIDEO_FILES = {"video_url": "video", "mask_url": "image"}
IMAGE_FILES = {"image_url": "image"}


def _table() -> dict[str, Endpoint]:
    rows = (
        Endpoint("fal-ai/sam2/video", schemas.Sam2VideoInput, schemas.VideoOutput, VIDEO_FILES, sam2_video),
        Endpoint(
            "fal-ai/sam2/image", schemas.Sam2ImageInput, schemas.Sam2ImageOutput, IMAGE_FILES, sam2_image
        ),
        Endpoint("fal-ai/sam-3/video", schemas.Sam3VideoInput, schemas.VideoOutput, VIDEO_FILES, sam3_video),
        Endpoint(
            "fal-ai/sam-3/video-rle",
            schemas.Sam3VideoRleInput,
            schemas.VideoRleOutput,
            VIDEO_FILES,
            sam3_video_rle,
        ),
    )
    return {row.app: row for row in rows}


ENDPOINTS = _table()


def find_endpoint(app: str) -> Endpoint:
    """Raises FalError 404 in fal's words."""
    if app not in ENDPOINTS:
        raise FalError(404, f"Path /{app} not found", "not_found", {"x-fal-billable-units": "0"})
    return ENDPOINTS[app]
