"""The COCO file of a recording, read by pycocotools."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pycocotools.coco import COCO
from pycocotools.mask import decode

from engine.masks import mask_box
from engine.types import Frame, MaskSet, ObjectMask, ObjectState
from stream import replies
from stream.outputs.coco import coco
from stream.outputs.output import Shown
from stream.outputs.recorder import Recorder


def read(text: str) -> COCO:
    """What `COCO(path)` does, without a file."""
    known = COCO()
    known.dataset = json.loads(text)
    known.createIndex()
    return known


def blob(index: int, object_id: int, size: tuple[int, int]) -> np.ndarray:
    """A mask [height, width] unlike any other; none for object 2 of odd frames."""
    width, height = size
    mask = np.zeros((height, width), np.bool_)
    if object_id != 2 or index % 2 == 0:
        mask[index + 1 : index + 9, 3 * object_id : 3 * object_id + 7] = True
        mask[index + 2, 3 * object_id + 1] = False
    return mask


def shown(index: int, size: tuple[int, int]) -> Shown:
    width, height = size
    frame = Frame(index, np.full((height * 3 // 2, width), 90, np.uint8), pts=index / 10)
    blobs = {each: blob(index, each, size) for each in (1, 2, 7)}
    objects = (
        ObjectMask(each, mask, 0.9, mask_box(mask), ObjectState.TRACKING) for each, mask in blobs.items()
    )
    masks = MaskSet(index, tuple(objects))
    return Shown(frame, masks, frame.image, replies.result(frame, masks, None), None)  # as with `rle: false`


@pytest.fixture
async def lines(tmp_path: Path) -> Path:
    """The JSON lines of six pictures, the last two of another size."""
    recorder = Recorder(tmp_path / "day")
    for index in range(6):
        recorder.put(shown(index, (64, 48) if index < 4 else (96, 64)))
    recorder.close()
    await recorder.finished()
    assert recorder.ended == "stopped"
    return tmp_path / "day.jsonl"


def cut(lines: Path, at: int) -> bytes:
    """Leave the first `at` bytes; gives the others."""
    whole = lines.read_bytes()
    lines.write_bytes(whole[:at])
    return whole[at:]


def track(known: COCO, image: int, object_id: int) -> dict[str, Any]:
    (found,) = [each for each in known.imgToAnns[image] if each["track_id"] == object_id]
    return dict(found)


def test_every_picture_and_every_mask_is_there(lines: Path) -> None:
    known = read("".join(coco(lines)))
    assert sorted(known.imgs) == [1, 2, 3, 4, 5, 6]
    places = [(each["file_name"], each["frame_index"], each["time"]) for each in known.loadImgs(range(1, 7))]
    assert places[:2] == [("day.mp4", 0, 0.0), ("day.mp4", 1, 0.1)]
    assert places[4:] == [("day-2.mp4", 0, 0.0), ("day-2.mp4", 1, 0.1)]
    for index in range(6):
        size = (64, 48) if index < 4 else (96, 64)
        for object_id in (1, 7):
            found, mask = track(known, index + 1, object_id), blob(index, object_id, size)
            assert (known.annToMask(found) == mask).all()
            assert found["area"] == mask.sum()
            assert found["bbox"] == [3 * object_id, index + 1, 7, 8]
    ids = [(each["image_id"], each["track_id"]) for each in known.loadAnns(known.getAnnIds())]
    assert ids == [(i + 1, o) for i in range(6) for o in (1, 2, 7) if o != 2 or i % 2 == 0]
    assert [each["name"] for each in known.loadCats(known.getCatIds())] == ["object"]


def test_the_lines_hold_run_lengths_though_the_session_sends_none(lines: Path) -> None:
    record = json.loads(lines.read_text().splitlines()[3])
    assert [each["object_id"] for each in record["objects"]] == [1, 2, 7]
    masks = [decode(each["rle"]).astype(bool) for each in record["objects"]]
    assert all((mask == blob(3, each, (64, 48))).all() for mask, each in zip(masks, (1, 2, 7), strict=True))


def test_a_line_that_a_crash_cut_off_is_left_out(lines: Path) -> None:
    cut(lines, -40)
    known = read("".join(coco(lines)))
    assert sorted(known.imgs) == [1, 2, 3, 4, 5]
    assert {each["image_id"] for each in known.anns.values()} == {1, 2, 3, 4, 5}


def test_lines_that_come_while_it_is_made_are_left_to_the_next_time(lines: Path) -> None:
    rest = cut(lines, len("".join(lines.read_text().splitlines(keepends=True)[:3])))
    pieces = coco(lines)
    begun = next(pieces) + next(pieces)
    with lines.open("ab") as file:
        file.write(rest)
    known = read(begun + "".join(pieces))
    assert sorted(known.imgs) == [1, 2, 3]
    assert {each["image_id"] for each in known.anns.values()} == {1, 2, 3}


def test_an_empty_recording_is_an_empty_file(tmp_path: Path) -> None:
    empty = tmp_path / "none.jsonl"
    empty.write_text("")
    known = json.loads("".join(coco(empty)))
    assert (known["images"], known["annotations"]) == ([], [])
