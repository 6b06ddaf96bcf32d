"""A recording's JSON lines as one COCO file: `images` are the frames of its video, `annotations` their masks.

Knows no video and no session. Made when somebody asks for it, for one JSON object cannot be appended to, and
what cannot be appended to is lost in a crash. Fields as in cocodataset.org/#format-data; `frame_index`,
`track_id` and `video_id` as in TAO (github.com/TAO-Dataset/annotations), whose tracks they are.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

from engine.masks import rle_area
from stream.wire import Message

CATEGORY = {"id": 1, "name": "object"}


def coco(lines: Path) -> Iterator[str]:
    """The COCO file of `lines`, piece by piece, in memory that does not grow with it.

    `images`: one for each line, in order: `id` from 1, `file_name` of the video part, `video_id` its number,
    `frame_index` in it, `time` in seconds. `annotations`: an object that has pixels on an image, with
    `segmentation` (COCO run lengths), `bbox` in pixels [left, top, width, height], `area`, `score` and, as
    `track_id`, its object id. What is being recorded still is given up to where it is now.

    Raises:
        OSError: it cannot be read.
    """
    stem = lines.name.removesuffix(".jsonl")
    info = {"description": f"masks of {stem}"}
    yield f'{{"info":{json.dumps(info)},"licenses":[],"categories":{json.dumps([CATEGORY])},"images":['
    end = lines.stat().st_size
    yield from _listed(_image(number, record, stem) for number, record in _records(lines, end))
    yield '],"annotations":['
    annotations = (each for number, record in _records(lines, end) for each in _annotations(number, record))
    yield from _listed({"id": number, **each} for number, each in enumerate(annotations, 1))
    yield "]}"


def part_name(stem: str, part: int) -> str:
    """The file of a recording's video part, counted from 1."""
    return f"{stem}-{part}.mp4" if part > 1 else f"{stem}.mp4"


def _records(lines: Path, end: int) -> Iterator[tuple[int, Message]]:
    """Every line of the first `end` bytes, counted from 1; a crash may have left half of the last one."""
    with lines.open("rb") as file:
        for number, line in enumerate(file, 1):
            end -= len(line)
            if end >= 0 and line.endswith(b"\n"):
                yield number, json.loads(line)


def _image(number: int, record: Message, stem: str) -> Message:
    video = record["video"]
    return {
        "id": number,
        "file_name": part_name(stem, video["part"]),
        "width": record["width"],
        "height": record["height"],
        "video_id": video["part"],
        "frame_index": video["frame"],
        "time": video["time"],
    }


def _annotations(number: int, record: Message) -> Iterator[Message]:
    width, height = record["width"], record["height"]
    for found in record["objects"]:
        if found["box"] is None:
            continue
        cx, cy, w, h = found["box"]
        yield {
            "image_id": number,
            "category_id": CATEGORY["id"],
            "track_id": found["object_id"],
            "segmentation": found["rle"],
            "bbox": [
                round((cx - w / 2) * width),
                round((cy - h / 2) * height),
                round(w * width),
                round(h * height),
            ],
            "area": rle_area(found["rle"]),
            "iscrowd": 0,
            "score": found["score"],
        }


def _listed(items: Iterator[Message]) -> Iterator[str]:
    for number, item in enumerate(items):
        yield ("," if number else "") + json.dumps(item, separators=(",", ":"))
