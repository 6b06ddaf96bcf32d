"""The endpoints as data: what each takes, which files it names, and how it is answered."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from signaling.fal import schemas
from signaling.fal.errors import FalError, from_validation
from signaling.fal.image import auto_segment, sam2_image
from signaling.fal.marks import Marks, placed_boxes, require_prompt
from signaling.fal.pictures import read_mask
from signaling.fal.sink import Segmented, Wanted
from signaling.fal.video import segment_video
from signaling.fal.work import Body, Files, Made, Task


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


def _mode(apply_mask: bool) -> str:
    """With `apply_mask` the masks are drawn on the video, without it they are the video."""
    return "overlay" if apply_mask else "mask"


def _suffix(asked: schemas.Sam3VideoRleInput) -> str:
    return ".webm" if asked.video_output_type == schemas.WEBM else ".mp4"


def _video_marks(task: Task, asked: schemas.VideoInput, files: Files) -> Marks:
    taken = files.get("mask_url")
    pixels = task.settings.image_pixels
    mask = read_mask(taken.path, taken.media, pixels, ("mask_url",)) if taken else None
    return Marks(asked.points, placed_boxes(asked.box_prompts), mask, asked.frame_index)


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
        Endpoint(
            "fal-ai/sam2/auto-segment",
            schemas.AutoSegmentInput,
            schemas.AutoSegmentOutput,
            IMAGE_FILES,
            auto_segment,
            prompted=False,
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
